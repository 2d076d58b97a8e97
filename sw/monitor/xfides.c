/* The extension's state at boot. */
#include "monitor.h"

#if XFIDES

uint64_t xfides_compartments_implemented(void)
{
  return UINT64_C(1) << (csr_read(CSR_COMCTL) >> COMCTL_BIT_LOG2_COMPARTMENTS & 0xff);
}

static void fill_metadata(const struct policy_header *policy)
{
  uint64_t *table = (uint64_t *)policy->table_base;
  for (uint32_t index = 0; index < policy->table_entries; index++)
    table[index] = 0;
  for (uint32_t i = 0; i < policy->statics; i++) {
    const struct policy_static *object = &policy_statics()[i];
    table[object->index] = object->base << ENTRY_BASE_SHIFT | (uint64_t)object->size << ENTRY_SIZE_SHIFT
                           | object->cookie;
  }
}

/* The cookie generator takes one bit a write. */
static void seed_cookies(uint32_t seed)
{
  for (int bit = 0; bit < 32; bit++)
    csr_write(CSR_COOKIESEED, seed >> bit & 1);
}

void xfides_start(const struct policy_header *policy)
{
  fill_metadata(policy);
  csr_write(CSR_PARCOMPCSTART, policy->restricted_start);
  csr_write(CSR_ANYCOMPCSTART, policy->complete_start);
  csr_write(CSR_ANYCOMPCEND, policy->complete_end);
  csr_write(CSR_FIDESMETADATABASE, policy->table_base);
  csr_write(CSR_FSTACKBASE, policy->stack_zone_start);
  csr_write(CSR_FSTACKEND, policy->table_entries);
  csr_write(CSR_FMARK, policy->stack_zone_start);
  seed_cookies(policy->cookie_constant ^ (uint32_t)csr_read(mcycle));
  crossings_start(policy);
  csr_write(CSR_COMCTL, 1 << COMCTL_BIT_CEN | 1 << COMCTL_BIT_FEN | 1 << COMCTL_BIT_LOCK);
}

#else

uint64_t xfides_compartments_implemented(void)
{
  return MAX_COMPARTMENTS;
}

void xfides_start(const struct policy_header *policy)
{
  (void)policy;
}

#endif
