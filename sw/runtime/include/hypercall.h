/* The monitor's services. */
#ifndef HYPERCALL_H
#define HYPERCALL_H

#include <stdint.h>

#include "hypercalls.h"

static inline __attribute__((always_inline, unused)) uint64_t hypercall(uint64_t number, uint64_t a, uint64_t b)
{
  register uint64_t a0 __asm__("a0") = a;
  register uint64_t a1 __asm__("a1") = b;
  register uint64_t a7 __asm__("a7") = number;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a7) : "memory");
  return a0;
}

#endif
