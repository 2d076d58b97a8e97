/* The policy section: found consistent before anything is filled in from it. */
#include "hypercalls.h"
#include "monitor.h"

extern const unsigned char policy_section[]; /* the section of this image */

static _Noreturn void refuse(const char *reason)
{
  console_text("monitor: policy refused: ");
  console_text(reason);
  console_text("\n");
  platform_exit(EXIT_POLICY_REFUSED);
}

static void require(bool condition, const char *reason)
{
  if (!condition)
    refuse(reason);
}

const struct policy_header *policy_header(void)
{
  return (const struct policy_header *)policy_section;
}

const struct policy_compartment *policy_compartments(void)
{
  return (const struct policy_compartment *)(policy_section + sizeof(struct policy_header));
}

const struct policy_static *policy_statics(void)
{
  return (const struct policy_static *)(policy_compartments() + policy_header()->compartments);
}

static void check_memory(const struct policy_header *policy)
{
  require(policy->text_start <= policy->constants_start && policy->constants_start <= policy->data_start
              && policy->data_start <= policy->stack_top && policy->stack_top <= policy->bss_start
              && policy->bss_start <= policy->bss_end && policy->bss_end <= policy->data_end
              && policy->data_end <= UINT64_C(1) << 32,
          "the regions of U-mode are out of order");
  require((policy->text_start | policy->constants_start | policy->data_start | policy->data_end) % 4 == 0
              && policy->stack_top % 16 == 0 && policy->table_base % 8 == 0,
          "misaligned regions, stack or metadata table");
  require(0 < policy->stack_zone_start && policy->stack_zone_start <= policy->table_entries
              && policy->table_entries < 1 << INDEX_BITS,
          "the stack zone is not inside the metadata table");
  require(policy->data_end <= policy->table_base
              || policy->table_base + 8 * (uint64_t)policy->table_entries <= policy->text_start,
          "the metadata table lies in memory that U-mode may use");
}

struct range {
  uint64_t start, end;
};

/* The code ranges: restricted fluid, complete fluid, then the compartments. */
static struct range range_of(const struct policy_header *policy, uint32_t number)
{
  const struct policy_compartment *compartment = policy_compartments();
  if (number == 0)
    return (struct range){policy->restricted_start, policy->complete_start};
  if (number == 1)
    return (struct range){policy->complete_start, policy->complete_end};
  return (struct range){compartment[number - 2].start, compartment[number - 2].end};
}

static void check_ranges(const struct policy_header *policy)
{
  uint32_t ranges = policy->compartments + 2;
  for (uint32_t i = 0; i < ranges; i++) {
    struct range range = range_of(policy, i);
    require((range.start | range.end) % RANGE_ALIGN == 0, "a range is misaligned");
    require(range.start <= range.end, "a range ends before it starts");
    if (range.start == range.end)
      continue;
    require(policy->text_start <= range.start && range.end <= policy->constants_start,
            "a range is not in the text of U-mode");
    for (uint32_t j = 0; j < i; j++) {
      struct range other = range_of(policy, j);
      require(other.start == other.end || range.end <= other.start || other.end <= range.start,
              "two ranges overlap");
    }
  }
}

static void check_compartments(const struct policy_header *policy, uint64_t implemented)
{
  const struct policy_compartment *compartment = policy_compartments();
  uint64_t present[MAX_COMPARTMENTS / 64] = {0};
  bool entry_found = false;
  for (uint32_t i = 0; i < policy->compartments; i++) {
    uint32_t cid = compartment[i].cid;
    require(cid < implemented, "a compartment's id is too large");
    require(!(present[cid / 64] >> cid % 64 & 1), "two compartments have the same id");
    require(compartment[i].name[sizeof compartment[i].name - 1] == 0, "a name has no end");
    present[cid / 64] |= UINT64_C(1) << cid % 64;
    if (cid == policy->entry_compartment)
      entry_found = compartment[i].start <= policy->entry && policy->entry < compartment[i].end;
  }
  require(entry_found, "the entry is not in its compartment");
  for (uint32_t i = 0; i < policy->compartments; i++)
    for (uint32_t word = 0; word < MAX_COMPARTMENTS / 64; word++)
      require(!(compartment[i].allowed[word] & ~present[word]), "a call is allowed to a compartment that is not there");
}

static void check_statics(const struct policy_header *policy)
{
  const struct policy_static *object = policy_statics();
  uint32_t highest = 0; /* index: one above it is new; the linker writes them in order, and there may be thousands */
  for (uint32_t i = 0; i < policy->statics; i++) {
    require(0 < object[i].index && object[i].index < policy->stack_zone_start, "a static's index is out of range");
    if (object[i].index <= highest)
      for (uint32_t j = 0; j < i; j++)
        require(object[i].index != object[j].index, "two statics have the same index");
    else
      highest = object[i].index;
    require(0 < object[i].size && object[i].size < 1 << SIZE_BITS && 0 < object[i].cookie
                && object[i].cookie < 1 << COOKIE_BITS,
            "a static's size or cookie is out of range");
    require(policy->constants_start <= object[i].base && object[i].base + object[i].size <= policy->data_end,
            "a static is not in the data of U-mode");
  }
}

void policy_check(uint64_t implemented)
{
  const struct policy_header *policy = policy_header();
  require(policy->magic == POLICY_MAGIC, "wrong magic number");
  require(policy->version == POLICY_VERSION, "unknown version");
  require(policy->compartments <= implemented
              && policy->statics < 1 << INDEX_BITS
              && policy->bytes == sizeof *policy + policy->compartments * sizeof(struct policy_compartment)
                                      + policy->statics * sizeof(struct policy_static),
          "the counts do not match its size");
  check_memory(policy);
  check_ranges(policy);
  check_compartments(policy, implemented);
  check_statics(policy);
}
