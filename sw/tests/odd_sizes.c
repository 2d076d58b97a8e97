/* Members and loads of 3, 5, 6, 12 bytes, packed and unaligned. */
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct __attribute__((packed)) packed {
  char a;
  uint32_t b;
  uint16_t c;
  uint64_t d;
  char e[3];
};

struct three {
  uint8_t b[3];
};

static uint32_t read_be24(const uint8_t *at) { return (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2]; }

int main(void)
{
  struct packed *p = malloc(2 * sizeof *p);
  for (int i = 0; i < 2; i++)
    p[i] = (struct packed){(char)i, 0x11223344u * (unsigned)i, 0x5566, 0x778899aabbccddeeull, {7, 8, 9}};
  printf("%zu %x %llx %d\n", sizeof *p, (unsigned)p[1].b, (unsigned long long)p[1].d, p[1].e[2]);
  struct three t[5] = {{{1, 2, 3}}}, u = t[0];
  t[4] = u;
  printf("%u\n", (unsigned)read_be24(t[4].b));
  uint8_t raw[11] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  uint64_t wide;
  uint32_t word;
  memcpy(&wide, raw + 3, 8);
  memcpy(&word, raw + 7, 4);
  printf("%llx %x\n", (unsigned long long)wide, (unsigned)word);
  free(p);
  return 0;
}
