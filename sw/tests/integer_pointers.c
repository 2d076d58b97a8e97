/* Pointers through integers, hashes of them, alignment by arithmetic. */
#include <stdio.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

static void *round_up(void *pointer, uintptr_t to)
{
  return (void *)(((uintptr_t)pointer + to - 1) & ~(to - 1));
}

int main(void)
{
  int numbers[4] = {1, 2, 3, 4};
  uintptr_t as_integer = (uintptr_t)numbers;
  int *back = (int *)(as_integer + 2 * sizeof(int));
  printf("%d\n", *back);
  char *block = malloc(200);
  char *aligned = round_up(block, 64);
  *aligned = 7;
  printf("%d %d\n", (int)((uintptr_t)aligned % 64), *aligned);
  ptrdiff_t distance = &numbers[3] - &numbers[0];
  printf("%d %d\n", (int)distance, (int)((char *)&numbers[3] - (char *)numbers));
  intptr_t hidden = ~(intptr_t)&numbers[1];
  printf("%d\n", *(int *)~hidden);
  free(block);
  printf("%d\n", (void *)0 == NULL);
  return 0;
}
