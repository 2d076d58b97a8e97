/* Boot, and every trap from U-mode. */
#include "hypercalls.h"
#include "monitor.h"
#include "platform.h"

#define INTERRUPT_BIT (UINT64_C(1) << 63)
#define PMP_READ 1
#define PMP_WRITE 2
#define PMP_EXECUTE 4
#define PMP_TOR (1 << 3)

#define REGISTER_A0 10
#define REGISTER_A1 11
#define REGISTER_A7 17

static volatile uint64_t *const mtime = (volatile uint64_t *)(CLINT_BASE + 0xbff8);
static volatile uint64_t *const mtimecmp = (volatile uint64_t *)(CLINT_BASE + 0x4000);

static uint64_t tick_period; /* 0: off */
static uint64_t ticks;

/* Text can be executed, constants only read, data, heap and stack written; all else is denied to U-mode. */
static void protect_memory(const struct policy_header *policy)
{
  csr_write(pmpaddr0, policy->text_start >> 2);
  csr_write(pmpaddr1, policy->constants_start >> 2);
  csr_write(pmpaddr2, policy->data_start >> 2);
  csr_write(pmpaddr3, policy->data_end >> 2);
  csr_write(pmpcfg0, (uint64_t)(PMP_TOR | PMP_READ | PMP_EXECUTE) << 8 | (uint64_t)(PMP_TOR | PMP_READ) << 16
                         | (uint64_t)(PMP_TOR | PMP_READ | PMP_WRITE) << 24);
}

void monitor_main(void);
void monitor_main(void)
{
  const struct policy_header *policy = policy_header();
  policy_check(xfides_compartments_implemented());
  for (uint64_t *word = (uint64_t *)policy->bss_start; word < (uint64_t *)policy->bss_end; word++)
    *word = 0;
  protect_memory(policy);
  csr_write(mcounteren, 7); /* U-mode may read cycle, time and instret */
  *mtimecmp = UINT64_MAX;
  csr_write(mie, 1 << INTERRUPT_TIMER);
  xfides_start(policy);
  user_enter(policy->entry, policy->stack_top);
}

/* -1 unless U-mode itself may read all of the buffer. */
static uint64_t hypercall_write(uint64_t buffer, uint64_t count)
{
  const struct policy_header *policy = policy_header();
#if XFIDES
  buffer &= UINT32_MAX; /* the tag of a fat pointer */
#endif
  if (buffer < policy->text_start || buffer > policy->data_end || count > policy->data_end - buffer)
    return UINT64_MAX;
  console_bytes((const char *)buffer, count);
  return count;
}

static uint64_t hypercall_ticks(uint64_t period)
{
  if (period && period < MINIMUM_TICK_PERIOD)
    period = MINIMUM_TICK_PERIOD;
  tick_period = period;
  *mtimecmp = period ? *mtime + period : UINT64_MAX;
  return ticks;
}

static void hypercall(struct trap_frame *frame)
{
  uint64_t argument = frame->x[REGISTER_A0];
  uint64_t result = UINT64_MAX;
  switch (frame->x[REGISTER_A7]) {
  case HYPERCALL_EXIT:
    platform_exit(argument < EXIT_MAX_PROGRAM ? (uint32_t)argument : EXIT_MAX_PROGRAM);
  case HYPERCALL_WRITE:
    result = hypercall_write(argument, frame->x[REGISTER_A1]);
    break;
  case HYPERCALL_TIME:
    result = *mtime;
    break;
  case HYPERCALL_CYCLE:
    result = csr_read(mcycle);
    break;
  case HYPERCALL_INSTRET:
    result = csr_read(minstret);
    break;
  case HYPERCALL_TICKS:
    result = hypercall_ticks(argument);
    break;
  }
  frame->x[REGISTER_A0] = result;
  frame->x[0] += 4;
}

void trap_handle(struct trap_frame *frame)
{
  uint64_t cause = csr_read(mcause);
  if (cause == (INTERRUPT_BIT | INTERRUPT_TIMER)) {
    ticks++;
    *mtimecmp = tick_period ? *mtime + tick_period : UINT64_MAX;
    return;
  }
  if (cause == CAUSE_ECALL_FROM_U) {
    hypercall(frame);
    return;
  }
#if CROSSINGS_BY_MONITOR
  if (cause == CAUSE_CONTROL_FLOW) {
    crossing_trap(frame);
    return;
  }
#elif XFIDES
  uint64_t reason = csr_read(CSR_COMCAUSE);
  if (cause == CAUSE_CONTROL_FLOW && reason == FAULT_SHADOW_OVERFLOW) {
    shadow_stack_spill(frame);
    return;
  }
  if (cause == CAUSE_CONTROL_FLOW && reason == FAULT_SHADOW_UNDERFLOW) {
    shadow_stack_refill();
    return;
  }
#endif
  fault_stop(frame, 0);
}

_Noreturn void trap_in_monitor(void)
{
  console_text("monitor: trap in the monitor, mcause ");
  console_hex(csr_read(mcause));
  console_text(", mepc ");
  console_hex(csr_read(mepc));
  console_text(", mtval ");
  console_hex(csr_read(mtval));
  console_text("\n");
  platform_exit(EXIT_MONITOR_TRAP);
}
