/* Runs the program once, prints its checksum and the counters; the exit code is 0 when the checksum is right. */
#include "harness.h"

int main(void);

int main(void)
{
  struct counters start, stop;
  counters_start(&start);
  uint64_t result = benchmark_run();
  counters_stop(&stop);
  console_text("benchmark ");
  console_text(benchmark.name);
  console_byte(' ');
  console_hex(result);
  console_text(result == benchmark.expected ? " correct\n" : " wrong\n");
  counters_print(&start, &stop);
  return result != benchmark.expected;
}
