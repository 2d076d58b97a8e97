/* Crossings that the hardware judges: its tables at boot, shadow-stack entries moved between the chip and memory. */
#include "hypercalls.h"
#include "monitor.h"

#if XFIDES && !CROSSINGS_BY_MONITOR

/* Entries that the monitor can hold: as many as comsel can number would need 768 KiB. */
#define SPILLED_ENTRIES 4096

static struct {
  uint32_t ra, sp, context;
} spilled[SPILLED_ENTRIES]; /* entry i of the shadow stack at i, for i < ssbase */

static void select(uint64_t selector, uint64_t number)
{
  csr_write(CSR_COMSEL, selector << COMSEL_SELECTOR_SHIFT | number);
}

static void table_write(uint64_t selector, uint64_t number, uint64_t datum)
{
  select(selector, number);
  csr_write(CSR_COMDATA, datum);
}

static uint64_t table_read(uint64_t selector, uint64_t number)
{
  select(selector, number);
  return csr_read(CSR_COMDATA);
}

static void fill_compartments(const struct policy_header *policy)
{
  static const struct policy_compartment absent; /* an empty range, and no permission */
  const struct policy_compartment *row[MAX_COMPARTMENTS];
  uint64_t implemented = xfides_compartments_implemented();
  for (uint64_t cid = 0; cid < implemented; cid++)
    row[cid] = &absent;
  for (uint32_t i = 0; i < policy->compartments; i++)
    row[policy_compartments()[i].cid] = &policy_compartments()[i];
  for (uint64_t cid = 0; cid < implemented; cid++) {
    table_write(COMSEL_RANGE_START, cid, row[cid]->start);
    table_write(COMSEL_RANGE_END, cid, row[cid]->end);
    for (uint64_t word = 0; word < MAX_COMPARTMENTS / 64; word++)
      table_write(COMSEL_MATRIX_WORD0 + word, cid, row[cid]->allowed[word]);
  }
}

/* Entries moved at a time: a quarter of the chip's, so that a program at the edge does not trap at each call. */
static uint64_t block(void)
{
  uint64_t capacity = csr_read(CSR_COMCTL) >> COMCTL_BIT_CAPACITY & 0xffff;
  return capacity / 4;
}

void shadow_stack_spill(struct trap_frame *frame)
{
  uint64_t base = csr_read(CSR_SSBASE);
  uint64_t end = base + block();
  if (end > SPILLED_ENTRIES)
    fault_stop(frame, "the monitor's memory for shadow-stack entries is full");
  for (uint64_t i = base; i < end; i++) {
    spilled[i].ra = (uint32_t)table_read(COMSEL_ENTRY_RA, i);
    spilled[i].sp = (uint32_t)table_read(COMSEL_ENTRY_SP, i);
    spilled[i].context = (uint32_t)table_read(COMSEL_ENTRY_CONTEXT, i);
  }
  csr_write(CSR_SSBASE, end);
}

void shadow_stack_refill(void)
{
  uint64_t end = csr_read(CSR_SSBASE); /* above 0: section 8 */
  uint64_t base = end > block() ? end - block() : 0;
  csr_write(CSR_SSBASE, base);
  for (uint64_t i = base; i < end; i++) {
    table_write(COMSEL_ENTRY_RA, i, spilled[i].ra);
    table_write(COMSEL_ENTRY_SP, i, spilled[i].sp);
    table_write(COMSEL_ENTRY_CONTEXT, i, spilled[i].context);
  }
}

void crossings_start(const struct policy_header *policy)
{
  fill_compartments(policy);
  csr_write(CSR_SSBASE, 0);
  csr_write(CSR_SSDEPTH, 0);
  csr_write(CSR_CURRCOM, policy->entry_compartment); /* after the ranges: it loads one */
}

#endif
