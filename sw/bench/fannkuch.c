/* Fannkuch: over all permutations of 1..N, how often can the first ELEMENT elements be reversed until a 1 comes
 * first; the maximum, and the sum with alternating signs. Small arrays, unpredictable short loops. */
#include "harness.h"

#define N 7

const struct benchmark benchmark = {"fannkuch", 0x0869c407b51b1851};

/* Reversals of a copy of `order` until its first element is 0. */
static unsigned reversals(const uint8_t order[N])
{
  uint8_t pile[N];
  unsigned count = 0;
  for (int i = 0; i < N; i++)
    pile[i] = order[i];
  while (pile[0]) {
    for (int low = 0, high = pile[0]; low < high; low++, high--) {
      uint8_t kept = pile[low];
      pile[low] = pile[high];
      pile[high] = kept;
    }
    count++;
  }
  return count;
}

/* The permutation after `order`, made by rotating a prefix as far as its counter allows: neighbours in this
 * order have opposite signs. False after the last. */
static int advance(uint8_t order[N], uint8_t turns[N])
{
  for (int length = 1; length < N; length++) {
    uint8_t first = order[0];
    for (int i = 0; i < length; i++)
      order[i] = order[i + 1];
    order[length] = first;
    if (++turns[length] <= length)
      return 1;
    turns[length] = 0;
  }
  return 0;
}

uint64_t benchmark_run(void)
{
  uint8_t order[N], turns[N] = {0};
  unsigned most = 0;
  int64_t sum = 0, sign = 1;
  for (int i = 0; i < N; i++)
    order[i] = (uint8_t)i;
  do {
    unsigned count = reversals(order);
    if (count > most)
      most = count;
    sum += sign * count;
    sign = -sign;
  } while (advance(order, turns));
  return checksum(checksum(CHECKSUM_START, most), (uint64_t)sum);
}
