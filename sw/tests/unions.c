/* The same bytes as number, pointer and array. */
#include <stdio.h>
#include <stdint.h>

union value {
  uint64_t word;
  uint8_t bytes[8];
  int *pointer;
  struct {
    uint32_t low, high;
  } halves;
};

static uint32_t mix(union value *v)
{
  uint32_t sum = 0;
  for (int i = 0; i < 8; i++)
    sum = sum * 31 + v->bytes[i];
  return sum ^ v->halves.low ^ v->halves.high;
}

int main(void)
{
  union value v = {.word = 0x0123456789abcdef};
  int target = 5;
  printf("%u\n", mix(&v));
  v.bytes[3] = 0xff;
  printf("%llx\n", (unsigned long long)v.word);
  v.pointer = &target;
  *v.pointer += 2;
  printf("%d\n", target);
  return 0;
}
