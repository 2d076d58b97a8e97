/* Compresses text by both compressors of LZ4, expands it, and expands what is damaged or too long for the buffer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lz4.h"
#include "lz4hc.h"

#define SIZE 3000

static unsigned sum(const char *data, int length)
{
  unsigned result = 2166136261u;
  for (int i = 0; i < length; i++)
    result = (result ^ (unsigned char)data[i]) * 16777619u;
  return result;
}

int main(void)
{
  static const char *const words[] = {"check ", "pad ", "index ", "cookie ", "fluid ", "\n", "compartment ", "0"};
  char *text = malloc(SIZE), *back = malloc(SIZE), *packed = malloc((size_t)LZ4_compressBound(SIZE));
  unsigned random = 1;
  for (int at = 0; at < SIZE;) {
    random = random * 1103515245u + 12345u;
    const char *word = words[random >> 16 & 7];
    for (; *word && at < SIZE; word++)
      text[at++] = *word;
  }
  printf("text %08x\n", sum(text, SIZE));
  for (int way = 0; way < 3; way++) {
    int bound = LZ4_compressBound(SIZE), length;
    if (way == 0)
      length = LZ4_compress_default(text, packed, SIZE, bound);
    else
      length = LZ4_compress_HC(text, packed, SIZE, bound, way == 1 ? 4 : 10);
    memset(back, 0, SIZE);
    int expanded = LZ4_decompress_safe(packed, back, length, SIZE);
    printf("packed %d %08x, expanded %d %s\n", length, sum(packed, length), expanded,
           memcmp(text, back, SIZE) ? "wrong" : "right");
    printf("short buffer %s\n", LZ4_decompress_safe(packed, back, length, SIZE - 1) < 0 ? "refused" : "taken");
    printf("part %d\n", LZ4_decompress_safe_partial(packed, back, length, 1000, SIZE) >= 1000);
    int refused = 0;
    for (int i = 0; i < 30; i++) {
      int at = (i * 97) % length;
      char kept = packed[at];
      packed[at] ^= (char)(1 << (i & 7));
      int result = LZ4_decompress_safe(packed, back, length, SIZE);
      refused += result < 0;
      packed[at] = kept;
    }
    printf("damaged and refused %d\n", refused);
  }
  free(text);
  free(back);
  free(packed);
  return 0;
}
