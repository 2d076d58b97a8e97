/* Atomic types of every size. */
#include <stdio.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

struct counters {
  _Atomic uint8_t byte;
  _Atomic uint16_t half;
  _Atomic uint32_t word;
  _Atomic uint64_t wide;
  atomic_flag flag;
};

static void work(struct counters *c, int n)
{
  atomic_fetch_add(&c->byte, (uint8_t)n);
  atomic_fetch_sub(&c->half, (uint16_t)(2 * n));
  atomic_fetch_xor(&c->word, (uint32_t)n * 0x1010101);
  uint64_t old = atomic_load(&c->wide);
  while (!atomic_compare_exchange_weak(&c->wide, &old, old * 3 + 1))
    ;
}

int main(void)
{
  struct counters *c = calloc(1, sizeof *c);
  static _Atomic int shared = 3;
  for (int i = 0; i < 40; i++)
    work(c, i);
  printf("%u %u %u %llu\n", c->byte, c->half, c->word, (unsigned long long)c->wide);
  int before = atomic_flag_test_and_set(&c->flag);
  printf("%d %d\n", before, atomic_flag_test_and_set(&c->flag));
  atomic_exchange(&shared, 9);
  uint8_t expected = c->byte;
  int exchanged = atomic_compare_exchange_strong(&c->byte, &expected, 200);
  printf("%d %d %d\n", shared, exchanged, c->byte);
  free(c);
  return 0;
}
