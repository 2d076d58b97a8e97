/* Copies of constant and variable length, overlapping, of whole structures, of nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct record {
  int a;
  char text[20];
  double d;
};

static void copy(void *to, const void *from, size_t n) { memcpy(to, from, n); }

int main(void)
{
  struct record x = {1, "record", 2.5}, y, *heap = malloc(3 * sizeof *heap);
  memcpy(&y, &x, sizeof y);
  heap[0] = y;
  heap[1] = *&heap[0];
  memcpy(&heap[2], heap, sizeof *heap);
  heap[2].a = 9;
  copy(heap, &heap[2], sizeof *heap);
  printf("%d %s %.1f\n", heap[0].a, heap[1].text, heap[2].d);
  signed char bytes[32];
  for (int i = 0; i < 32; i++)
    bytes[i] = (signed char)i;
  memmove(bytes + 3, bytes, 20);
  memmove(bytes, bytes + 5, 20);
  copy(bytes + 32, bytes, 0);
  memset(bytes + 30, 0xff, 2);
  memset(bytes + 32, 1, 0);
  int sum = 0;
  for (int i = 0; i < 32; i++)
    sum = sum * 3 + bytes[i];
  printf("%d\n", sum);
  memset(heap, 0, 3 * sizeof *heap);
  printf("%d\n", heap[2].a);
  free(heap);
  return 0;
}
