/* What a benchmark program defines, and what it may use. One program is one C file beside this one. The same
 * files compile for the host, where the counters are absent, so that results can be compared. */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdint.h>

/* Defined by the program. `expected`: what benchmark_run must return. */
struct benchmark {
  const char *name;
  uint64_t expected;
};
extern const struct benchmark benchmark;
uint64_t benchmark_run(void); /* the measured work; returns a checksum of its results */

/* Clock cycles, retired instructions, and the events of mhpmcounter3 and on, in the order of
 * fides_core.isa.csrs.Event. */
#define EVENTS 10
struct counters {
  uint64_t cycles, instructions, events[EVENTS];
};
void counters_start(struct counters *now); /* the clock is read last */
void counters_stop(struct counters *now);  /* the clock is read first */
/* Prints "counters CYCLES INSTRUCTIONS EVENT...", what was counted between the two. */
void counters_print(const struct counters *start, const struct counters *stop);

void console_byte(char byte);
void console_text(const char *text);
void console_decimal(uint64_t value);
void console_hex(uint64_t value);

/* 64-bit FNV-1a hash, over the eight bytes of a word at once: a checksum of numbers and of text. */
#define CHECKSUM_START 0xcbf29ce484222325u

static inline uint64_t checksum(uint64_t sum, uint64_t word)
{
  return (sum ^ word) * 0x100000001b3u;
}

/* The same, over the bit pattern of a floating-point number. */
static inline uint64_t checksum_double(uint64_t sum, double number)
{
  union {
    double number;
    uint64_t bits;
  } same = {number};
  return checksum(sum, same.bits);
}

#endif
