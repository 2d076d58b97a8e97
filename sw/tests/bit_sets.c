/* Sets of bits in arrays of words, and the sieve. */
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>

static void set(uint64_t *bits, unsigned n) { bits[n / 64] |= UINT64_C(1) << n % 64; }
static int get(const uint64_t *bits, unsigned n) { return bits[n / 64] >> n % 64 & 1; }

int main(void)
{
  enum { N = 1000 };
  uint64_t *composite = calloc((N + 63) / 64, 8);
  int count = 0;
  unsigned last = 0;
  for (unsigned i = 2; i < N; i++) {
    if (get(composite, i))
      continue;
    count++;
    last = i;
    for (unsigned j = i * i; j < N; j += i)
      set(composite, j);
  }
  printf("%d %u\n", count, last);
  free(composite);
  return 0;
}
