/* The counters that U-mode may read, as the monitor allows. */
#ifndef USER_COUNTERS_H
#define USER_COUNTERS_H

#include <stdint.h>

static inline uint64_t read_cycles(void)
{
  uint64_t value;
  __asm__ volatile("rdcycle %0" : "=r"(value)::"memory");
  return value;
}

static inline uint64_t read_instructions(void)
{
  uint64_t value;
  __asm__ volatile("rdinstret %0" : "=r"(value)::"memory");
  return value;
}

#endif
