/* Indexes that wrap, in a structure with its storage inside. */
#include <stdio.h>
#include <stdint.h>

struct ring {
  uint8_t bytes[16];
  uint8_t head, tail;
};

static int put(struct ring *r, uint8_t byte)
{
  if ((uint8_t)(r->head - r->tail) == sizeof r->bytes)
    return 0;
  r->bytes[r->head++ % sizeof r->bytes] = byte;
  return 1;
}

static int get(struct ring *r)
{
  return r->head == r->tail ? -1 : r->bytes[r->tail++ % sizeof r->bytes];
}

int main(void)
{
  struct ring r = {{0}, 250, 250};
  int refused = 0;
  unsigned sum = 0;
  for (int i = 0; i < 500; i++) {
    refused += !put(&r, (uint8_t)i);
    if (i % 3)
      sum = sum * 7 + (unsigned)get(&r);
  }
  printf("%d %u %d\n", refused, sum, get(&r));
  return 0;
}
