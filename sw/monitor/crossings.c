/* Crossings in software, as published for FIDES: tables at boot, and what the trap vector leaves to C. */
#include "crossings.h"
#include "hypercalls.h"
#include "monitor.h"

#if CROSSINGS_BY_MONITOR

#define RESTRICTED (1 << CONTEXT_BIT_RESTRICTED)
#define KIND_HANDLER INT32_MIN
#define REGISTER_RA 1
#define REGISTER_SP 2

extern const unsigned char __crossing_gate[]; /* in U-mode's text, in no range: whoever returns to it traps */

struct crossing_area crossing_area;

/* The lowest is none: its kind keeps it from matching a return or a call. */
static struct crossing_entry entry[ENTRIES + 1];

static const struct policy_compartment *compartment(uint64_t cid)
{
  const struct policy_header *policy = policy_header();
  for (uint32_t i = 0; i < policy->compartments; i++)
    if (policy_compartments()[i].cid == cid)
      return &policy_compartments()[i];
  return 0;
}

static bool allowed(uint64_t caller, uint64_t callee)
{
  const struct policy_compartment *row = compartment(caller);
  return row && row->allowed[callee / 64] >> callee % 64 & 1;
}

/* The context and what follows from it. */
static void set_context(uint64_t context)
{
  const struct crossing_row *row = &crossing_area.row[context];
  csr_write(CSR_CURRCOM, context);
  csr_write(CSR_COMRANGE, (uint64_t)row->end << 32 | row->start);
}

void crossings_start(const struct policy_header *policy)
{
  for (uint32_t i = 0; i < policy->compartments; i++) {
    const struct policy_compartment *from = &policy_compartments()[i];
    struct crossing_row *row = &crossing_area.row[from->cid];
    row->start = crossing_area.row[from->cid | RESTRICTED].start = (uint32_t)from->start;
    row->end = crossing_area.row[from->cid | RESTRICTED].end = (uint32_t)from->end;
    for (uint32_t word = 0; word < MAX_COMPARTMENTS / 64; word++)
      row->allowed[word] = from->allowed[word];
    row->allowed[0] &= ~UINT64_C(1);                                  /* 0 is fluid code's, too */
    row->allowed[from->cid / 64] &= ~(UINT64_C(1) << from->cid % 64); /* who is there already has no pad outside */
  }
  crossing_area.gate = (uint64_t)__crossing_gate;
  crossing_area.restricted_start = policy->restricted_start;
  crossing_area.restricted_end = policy->complete_start;
  entry[0].context = KIND_HANDLER;
  crossing_area.top = &entry[0];
  crossing_area.last = &entry[ENTRIES];
  set_context(policy->entry_compartment);
}

static _Noreturn void fault(const struct trap_frame *frame, uint64_t reason)
{
  csr_write(CSR_COMCAUSE, reason);
  fault_stop(frame, reason == FAULT_SHADOW_OVERFLOW ? "the monitor's memory for shadow-stack entries is full" : 0);
}

static bool within(uint64_t start, uint64_t pc, uint64_t end)
{
  return start <= pc && pc < end;
}

static bool in_restricted_fluid(uint64_t pc)
{
  return within(policy_header()->restricted_start, pc, policy_header()->complete_start);
}

static bool in_range(uint64_t context, uint64_t pc)
{
  return within(crossing_area.row[context].start, pc, crossing_area.row[context].end);
}

static bool home(uint64_t context, uint64_t pc)
{
  if (within(policy_header()->complete_start, pc, policy_header()->complete_end))
    return true;
  return context & RESTRICTED ? in_restricted_fluid(pc) : in_range(context, pc);
}

static void push(const struct trap_frame *frame, uint64_t ra, int32_t kind)
{
  if (crossing_area.top == crossing_area.last)
    fault(frame, FAULT_SHADOW_OVERFLOW);
  *++crossing_area.top = (struct crossing_entry){
      .ra = ra,
      .sp = frame->x[REGISTER_SP],
      .context = (int32_t)csr_read(CSR_CURRCOM) | kind,
      .fmark = (uint32_t)csr_read(CSR_FMARK),
  };
}

/* Contract, section 5. */
static void cross(struct trap_frame *frame, bool local)
{
  uint64_t pc = frame->x[0];
  uint64_t context = csr_read(CSR_CURRCOM);
  uint64_t cid = context & (MAX_COMPARTMENTS - 1);
  uint64_t callee = *(const uint32_t *)pc >> 20 & (MAX_COMPARTMENTS - 1);
  uint64_t next;
  if (in_range(context, pc))
    next = cid; /* back out of restricted fluid code */
  else if (local)
    fault(frame, FAULT_ILLEGAL_ENTRY);
  else if (in_restricted_fluid(pc))
    next = cid | RESTRICTED;
  else if (context & RESTRICTED)
    fault(frame, FAULT_RESTRICTED);
  else if (callee == cid) /* its pads are at home, this one says what is not so; perhaps the vector has believed it */
    fault(frame, FAULT_BAD_PAD);
  else if (!allowed(cid, callee))
    fault(frame, FAULT_DENIED);
  else
    next = callee;
  if (!home(next, pc))
    fault(frame, FAULT_BAD_PAD);
  const struct crossing_entry *top = crossing_area.top;
  bool tail = top->context >= 0 && frame->x[REGISTER_RA] == crossing_area.gate && frame->x[REGISTER_SP] == top->sp;
  if (!tail)
    push(frame, frame->x[REGISTER_RA], 0);
  frame->x[REGISTER_RA] = crossing_area.gate;
  set_context(next);
}

/* Section 7. */
static void arm(struct trap_frame *frame)
{
  uint64_t number = *(const uint32_t *)frame->x[0] >> 15 & 31;
  uint64_t handler = number ? frame->x[number] : 0;
  if ((handler | frame->x[REGISTER_SP]) >> 32)
    fault(frame, FAULT_BAD_UNWIND);
  push(frame, handler, KIND_HANDLER);
}

static void disarm(struct trap_frame *frame)
{
  if (crossing_area.top == entry || crossing_area.top->context >= 0)
    fault(frame, FAULT_BAD_UNWIND);
  crossing_area.top--;
}

static void unwind(struct trap_frame *frame)
{
  struct crossing_entry popped;
  uint64_t context;
  do {
    if (crossing_area.top == entry)
      fault(frame, FAULT_BAD_UNWIND);
    popped = *crossing_area.top--;
    context = (uint64_t)popped.context & (ROWS - 1);
    set_context(context);
    csr_write(CSR_FMARK, popped.fmark);
  } while (popped.context >= 0 || popped.ra != frame->x[0] || popped.sp != frame->x[REGISTER_SP]);
  if (!home(context, frame->x[0]))
    fault(frame, FAULT_BAD_UNWIND);
}

void crossing_trap(struct trap_frame *frame)
{
  uint64_t what = csr_read(CSR_COMCAUSE);
  switch (what) {
  case TRAP_ENTRY_PAD:
  case TRAP_LOCAL_PAD:
    cross(frame, what == TRAP_LOCAL_PAD);
    return; /* to the pad, which is at home now */
  case TRAP_HANDLER_PAD:
    unwind(frame);
    break;
  case TRAP_ARM:
    arm(frame);
    break;
  case TRAP_DISARM:
    disarm(frame);
    break;
  default:
    fault(frame, FAULT_ILLEGAL_ENTRY);
  }
  frame->x[0] += 4;
}

#endif
