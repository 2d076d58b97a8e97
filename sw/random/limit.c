/* Ends a program on the host after a number of basic blocks, the same at each run: what takes longer there would take
 * too long in a simulation. The program is compiled with -fsanitize-coverage=trace-pc, this file is not. */
#include <unistd.h>

#define EXIT_LIMIT 77

void __sanitizer_cov_trace_pc(void);

void __sanitizer_cov_trace_pc(void)
{
  static unsigned long blocks;
  if (++blocks > LIMIT)
    _exit(EXIT_LIMIT);
}
