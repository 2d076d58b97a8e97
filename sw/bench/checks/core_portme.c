/* CoreMark's port to programs in U-mode: seeds of the performance run, time, and what was counted. */
#include <stdio.h>

#include "coremark.h"
#include "user_counters.h"

volatile ee_s32 seed1_volatile = 0, seed2_volatile = 0, seed3_volatile = 0x66;
volatile ee_s32 seed4_volatile = ITERATIONS;
volatile ee_s32 seed5_volatile = 0; /* all algorithms */

ee_u32 default_num_contexts = 1;

static uint64_t cycles, instructions;

void start_time(void)
{
  instructions = read_instructions();
  cycles = read_cycles();
}

void stop_time(void)
{
  cycles = read_cycles() - cycles;
  instructions = read_instructions() - instructions;
}

CORE_TICKS get_time(void)
{
  return cycles;
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

void portable_fini(core_portable *port)
{
  port->portable_id = 0;
  printf("took %lu %lu\n", cycles, instructions);
}
