/* Tables that are indexed by what comes from outside, masked and compared. */
#include <stdio.h>
static const unsigned char log2_of[16] = {0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3};
static int histogram[10];
static unsigned crc[256];
int shared[5] = {5, 4, 3, 2, 1};

static void make_crc(void)
{
  for (unsigned i = 0; i < 256; i++) {
    unsigned c = i;
    for (int bit = 0; bit < 8; bit++)
      c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
    crc[i] = c;
  }
}

static unsigned crc_of(const char *text)
{
  unsigned c = ~0u;
  while (*text)
    c = crc[(c ^ (unsigned char)*text++) & 0xff] ^ c >> 8;
  return ~c;
}

int main(void)
{
  unsigned x = 1;
  for (int i = 0; i < 1000; i++) {
    x = x * 1664525 + 1013904223;
    histogram[x >> 16 % 10 & 7]++;
    if ((x >> 28) < 10)
      histogram[x >> 28] += log2_of[x >> 20 & 15];
  }
  for (int i = 0; i < 10; i++)
    printf("%d ", histogram[i]);
  make_crc();
  printf("%08x %d\n", crc_of("The quick brown fox jumps over the lazy dog"), shared[shared[3]]);
  return 0;
}
