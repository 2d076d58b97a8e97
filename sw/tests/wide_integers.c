/* 128-bit numbers in memory. */
#include <stdio.h>
#include <stdint.h>

typedef unsigned __int128 wide;

static void multiply(wide *to, const uint64_t *a, const uint64_t *b, int n)
{
  for (int i = 0; i < n; i++)
    to[i] = (wide)a[i] * b[n - 1 - i] + i;
}

int main(void)
{
  uint64_t a[3] = {UINT64_MAX, 12345678901234567ull, 3}, b[3] = {7, UINT64_MAX / 3, 0x8000000000000000ull};
  wide product[3], sum = 0;
  multiply(product, a, b, 3);
  for (int i = 0; i < 3; i++) {
    sum += product[i] / 10;
    printf("%016llx%016llx\n", (unsigned long long)(product[i] >> 64), (unsigned long long)product[i]);
  }
  printf("%016llx%016llx\n", (unsigned long long)(sum >> 64), (unsigned long long)sum);
  return 0;
}
