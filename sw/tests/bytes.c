/* Every object as bytes. */
#include <stdio.h>
#include <stdint.h>
#include <string.h>

static unsigned sum_bytes(const void *object, size_t size)
{
  const unsigned char *bytes = object;
  unsigned sum = 0;
  for (size_t i = 0; i < size; i++)
    sum = sum * 251 + bytes[i];
  return sum;
}

int main(void)
{
  struct {
    uint32_t a;
    uint16_t b;
    uint8_t c[2];
  } s = {0x01020304, 0x0506, {7, 8}};
  uint64_t n = 0x1122334455667788;
  printf("%u %u %u\n", sum_bytes(&s, sizeof s), sum_bytes(&n, sizeof n), sum_bytes("text", 5));
  unsigned char swapped[8];
  for (int i = 0; i < 8; i++)
    swapped[i] = ((unsigned char *)&n)[7 - i];
  memcpy(&n, swapped, 8);
  printf("%llx\n", (unsigned long long)n);
  return 0;
}
