/* What the build tells the runtime about its image; in read-only memory. */
#ifndef RUNTIME_H
#define RUNTIME_H

#include <stdint.h>

struct runtime_parameters {
  uint64_t heap_start, heap_end;    /* addresses */
  uint64_t index_start, index_end;  /* metadata indexes that the heap may use */
};

extern const struct runtime_parameters runtime_parameters;
/* A number that can be changed in the finished image; 0 as built. */
extern const volatile uint64_t program_argument;

#endif
