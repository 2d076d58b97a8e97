/* CoreMark's port to this system: seeds, time and output. Time is what the cycles of the measurement last at a clock
 * of CLOCK_HZ. */
#include "coremark.h"

#include "harness.h"

#if PERFORMANCE_RUN
volatile ee_s32 seed1_volatile = 0, seed2_volatile = 0, seed3_volatile = 0x66;
#elif VALIDATION_RUN
volatile ee_s32 seed1_volatile = 0x3415, seed2_volatile = 0x3415, seed3_volatile = 0x66;
#else
#error "define PERFORMANCE_RUN or VALIDATION_RUN"
#endif
volatile ee_s32 seed4_volatile = ITERATIONS;
volatile ee_s32 seed5_volatile = 0; /* all algorithms */

ee_u32 default_num_contexts = 1;

static int put(char byte, FILE *stream)
{
  (void)stream;
  console_byte(byte);
  return 0;
}

static FILE console = FDEV_SETUP_STREAM(put, NULL, NULL, _FDEV_SETUP_WRITE);
FILE *const stdout = &console;

static struct counters start, stop;

void start_time(void)
{
  counters_start(&start);
}

void stop_time(void)
{
  counters_stop(&stop);
}

CORE_TICKS get_time(void)
{
  return stop.cycles - start.cycles;
}

secs_ret time_in_secs(CORE_TICKS ticks)
{
  return (secs_ret)ticks / CLOCK_HZ;
}

void portable_init(core_portable *port, int *argc, char *argv[])
{
  (void)argc;
  (void)argv;
  port->portable_id = 1;
}

/* What was counted, for the program that runs this one. */
void portable_fini(core_portable *port)
{
  port->portable_id = 0;
  counters_print(&start, &stop);
}
