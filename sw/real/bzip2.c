/* Expands the sample of the package, prints a checksum of the text. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <bzlib.h>

#include "sample.h"

void bz_internal_error(int code)
{
  printf("bzip2: internal error %d\n", code);
}

static uint32_t adler(uint32_t sum, const char *data, unsigned length)
{
  uint32_t a = sum & 0xffff, b = sum >> 16;
  for (unsigned i = 0; i < length; i++) { /* sums of 1000 bytes do not overflow */
    a += (unsigned char)data[i];
    b += a;
  }
  return b % 65521 << 16 | a % 65521;
}

int main(void)
{
  bz_stream stream = {0};
  char part[1000];
  uint32_t sum = 1;
  int result = BZ2_bzDecompressInit(&stream, 0, 0);
  stream.next_in = (char *)sample;
  stream.avail_in = sizeof sample;
  while (result == BZ_OK) {
    stream.next_out = part;
    stream.avail_out = sizeof part;
    result = BZ2_bzDecompress(&stream);
    sum = adler(sum, part, (unsigned)sizeof part - stream.avail_out);
  }
  printf("expanded %d %u %08x\n", result, stream.total_out_lo32, (unsigned)sum);
  BZ2_bzDecompressEnd(&stream);
  return result != BZ_STREAM_END;
}
