/* Runs a benchmark program once, in U-mode; prints its checksum, and what it took. */
#include <stdio.h>

#include "harness.h"
#include "user_counters.h"

int main(void)
{
  uint64_t instructions = read_instructions(), cycles = read_cycles();
  uint64_t result = benchmark_run();
  cycles = read_cycles() - cycles;
  instructions = read_instructions() - instructions;
  int correct = result == benchmark.expected;
  printf("benchmark %s 0x%016lx %s\n", benchmark.name, result, correct ? "correct" : "wrong");
  printf("took %lu %lu\n", cycles, instructions);
  return !correct;
}
