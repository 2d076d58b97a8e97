/* Every function of the family, small and large, freed in another order. */
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
  void *kept[64];
  unsigned seed = 7, sum = 0;
  memset(kept, 0, sizeof kept);
  for (int round = 0; round < 1500; round++) {
    seed = seed * 1103515245 + 12345;
    unsigned slot = seed >> 16 & 63;
    if (kept[slot]) {
      sum += *(unsigned char *)kept[slot];
      free(kept[slot]);
      kept[slot] = NULL;
      continue;
    }
    size_t size = (seed >> 22) % 300 + 1;
    switch (seed >> 8 & 3) {
    case 0: kept[slot] = malloc(size); break;
    case 1: kept[slot] = calloc(size, 2); break;
    case 2: kept[slot] = aligned_alloc(64, (size + 63) / 64 * 64); break;
    case 3: kept[slot] = realloc(malloc(size / 2 + 1), size); break;
    }
    if ((seed >> 8 & 3) == 2 && (uintptr_t)kept[slot] % 64)
      printf("not aligned\n");
    memset(kept[slot], (int)slot, size);
  }
  for (int i = 0; i < 64; i++)
    free(kept[i]);
  void *aligned = NULL;
  printf("%d\n", posix_memalign(&aligned, 128, 100));
  memset(aligned, 1, 100);
  printf("%d %d\n", (int)((uintptr_t)aligned % 128), ((char *)aligned)[99]);
  free(aligned);
  free(NULL);
  char *empty = malloc(0);
  free(empty);
  printf("%u\n", sum);
  return 0;
}
