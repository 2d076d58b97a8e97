/* Blocks of sizes far apart keep what is in them, while others come, grow, shrink and go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 24

static unsigned char *blocks[SLOTS];
static size_t sizes[SLOTS];

static unsigned spoilt(unsigned slot)
{
  unsigned count = 0;
  for (size_t i = 0; i < sizes[slot]; i++)
    count += blocks[slot][i] != (unsigned char)(slot * 37 + i);
  return count;
}

static void fill(unsigned slot)
{
  for (size_t i = 0; i < sizes[slot]; i++)
    blocks[slot][i] = (unsigned char)(slot * 37 + i);
}

int main(void)
{
  unsigned seed = 3, wrong = 0, missing = 0, together = 0;
  for (unsigned round = 0; round < 400; round++) {
    seed = seed * 1103515245 + 12345;
    unsigned slot = (seed >> 16) % SLOTS, power = (seed >> 8) % 13;
    size_t size = ((size_t)1 << power) + (seed >> 20) % ((1u << power) + 1);
    if (size < sizes[slot] && round % 3) {
      wrong += spoilt(slot);
      sizes[slot] = size;
      unsigned char *moved = realloc(blocks[slot], size);
      missing += !moved;
      blocks[slot] = moved;
      wrong += spoilt(slot);
      continue;
    }
    if (blocks[slot])
      wrong += spoilt(slot);
    free(blocks[slot]);
    blocks[slot] = round % 5 ? malloc(size) : aligned_alloc(64, (size + 63) / 64 * 64);
    missing += !blocks[slot];
    sizes[slot] = size;
    fill(slot);
  }
  for (unsigned slot = 0; slot < SLOTS; slot++) {
    wrong += spoilt(slot);
    together += sizes[slot];
    free(blocks[slot]);
  }
  printf("%u %u %u\n", wrong, missing, together);
  unsigned char *large = malloc(100000);
  memset(large, 1, 100000);
  printf("%d\n", large[99999]);
  free(large);
  return 0;
}
