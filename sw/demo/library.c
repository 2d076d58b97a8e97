/* C5: helpers that only main may call. */
#include "election.h"

void library_rank(const uint32_t *keys, uint8_t *order, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    size_t at = i;
    for (; at && AT(keys, AT(order, at - 1)) < AT(keys, i); at--)
      AT(order, at) = AT(order, at - 1);
    AT(order, at) = (uint8_t)i;
  }
}

uint32_t library_sum(const uint32_t *values, size_t count)
{
  uint32_t sum = 0;
  for (size_t i = 0; i < count; i++)
    sum += AT(values, i);
  return sum;
}
