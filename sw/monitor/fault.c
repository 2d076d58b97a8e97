/* A fault that nothing can mend: say what happened where, and stop with its exit code. */
#include "hypercalls.h"
#include "monitor.h"

#define NAME(number, name) \
  case number: \
    return #name;

static const char *exception_name(uint64_t cause)
{
  switch (cause) {
    EXCEPTION_CAUSES(NAME)
  }
  return "UNKNOWN";
}

static bool inside(uint64_t start, uint64_t pc, uint64_t end)
{
  return start <= pc && pc < end;
}

/* Whose code the address is in. */
static void print_owner(uint64_t pc)
{
  const struct policy_header *policy = policy_header();
  if (inside(policy->restricted_start, pc, policy->complete_start)) {
    console_text("restricted fluid");
    return;
  }
  if (inside(policy->complete_start, pc, policy->complete_end)) {
    console_text("complete fluid");
    return;
  }
  for (uint32_t i = 0; i < policy->compartments; i++)
    if (inside(policy_compartments()[i].start, pc, policy_compartments()[i].end)) {
      console_text("compartment ");
      console_text(policy_compartments()[i].name);
      return;
    }
  console_text("no compartment");
}

#if XFIDES
static const char *control_flow_name(uint64_t reason)
{
  switch (reason) {
    CONTROL_FLOW_FAULTS(NAME)
  }
  return "UNKNOWN";
}

static const char *memory_name(uint64_t reason)
{
  switch (reason) {
    MEMORY_FAULTS(NAME)
  }
  return "UNKNOWN";
}

static void print_context(void)
{
  const struct policy_header *policy = policy_header();
  uint64_t context = csr_read(CSR_CURRCOM);
  uint64_t cid = context >> CONTEXT_BIT_CID & (MAX_COMPARTMENTS - 1);
  console_text("\nmonitor: running as compartment ");
  console_decimal(cid);
  for (uint32_t i = 0; i < policy->compartments; i++)
    if (policy_compartments()[i].cid == cid) {
      console_text(" ");
      console_text(policy_compartments()[i].name);
    }
  if (context >> CONTEXT_BIT_RESTRICTED & 1)
    console_text(", restricted");
}

static void print_pointer(uint64_t pointer)
{
  const struct policy_header *policy = policy_header();
  uint64_t index = pointer >> POINTER_INDEX_SHIFT & ((1 << INDEX_BITS) - 1);
  console_text("\nmonitor: pointer to ");
  console_hex(pointer & UINT32_MAX);
  console_text(", index ");
  console_decimal(index);
  console_text(", cookie ");
  console_decimal(pointer >> POINTER_COOKIE_SHIFT & ((1 << COOKIE_BITS) - 1));
  if (index >= policy->table_entries)
    return;
  uint64_t entry = ((const uint64_t *)policy->table_base)[index];
  console_text("; the entry holds ");
  console_decimal(entry >> ENTRY_SIZE_SHIFT & ((1 << SIZE_BITS) - 1));
  console_text(" bytes at ");
  console_hex(entry >> ENTRY_BASE_SHIFT);
  console_text(", cookie ");
  console_decimal(entry & ((1 << COOKIE_BITS) - 1));
}
#endif

/* Prints the name of the fault and returns its exit code. */
static uint32_t print_cause(uint64_t cause)
{
#if XFIDES
  uint64_t reason = csr_read(CSR_COMCAUSE);
  if (cause == CAUSE_CONTROL_FLOW) {
    console_text(control_flow_name(reason));
    return EXIT_CONTROL_FLOW + (uint32_t)reason;
  }
  if (cause == CAUSE_MEMORY) {
    console_text(memory_name(reason));
    return EXIT_MEMORY + (uint32_t)reason;
  }
#endif
  console_text(exception_name(cause));
  return EXIT_EXCEPTION + (uint32_t)(cause & 0x7f);
}

_Noreturn void fault_stop(const struct trap_frame *frame, const char *note)
{
  uint64_t cause = csr_read(mcause);
  console_text("monitor: fault ");
  uint32_t code = print_cause(cause);
  console_text(" (");
  console_text(exception_name(cause));
  console_text(", mcause ");
  console_decimal(cause);
  console_text(")\nmonitor: pc ");
  console_hex(frame->x[0]);
  console_text(" in ");
  print_owner(frame->x[0]);
  console_text(", mtval ");
  console_hex(csr_read(mtval));
#if XFIDES
  print_context();
  if (cause == CAUSE_MEMORY)
    print_pointer(csr_read(mtval));
#endif
  if (note) {
    console_text("\nmonitor: ");
    console_text(note);
  }
  console_text("\n");
  platform_exit(code);
}
