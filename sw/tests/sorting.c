/* Quicksort, heapsort and merge sort by hand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quick(int *from, int *to)
{
  while (to - from > 1) {
    int pivot = from[(to - from) / 2], *low = from, *high = to - 1;
    while (low <= high) {
      while (*low < pivot) low++;
      while (*high > pivot) high--;
      if (low <= high) {
        int t = *low;
        *low++ = *high;
        *high-- = t;
      }
    }
    quick(from, high + 1);
    from = low;
  }
}

static void sift(int *a, size_t at, size_t n)
{
  for (size_t child; (child = 2 * at + 1) < n; at = child) {
    if (child + 1 < n && a[child] < a[child + 1])
      child++;
    if (a[at] >= a[child])
      return;
    int t = a[at];
    a[at] = a[child];
    a[child] = t;
  }
}

static void heap(int *a, size_t n)
{
  for (size_t i = n / 2; i-- > 0;)
    sift(a, i, n);
  while (n-- > 1) {
    int t = a[0];
    a[0] = a[n];
    a[n] = t;
    sift(a, 0, n);
  }
}

static void merge(int *a, int *spare, size_t n)
{
  if (n < 2)
    return;
  size_t half = n / 2, i = 0, j = half, k = 0;
  merge(a, spare, half);
  merge(a + half, spare + half, n - half);
  while (i < half && j < n)
    spare[k++] = a[i] <= a[j] ? a[i++] : a[j++];
  while (i < half)
    spare[k++] = a[i++];
  while (j < n)
    spare[k++] = a[j++];
  memcpy(a, spare, n * sizeof *a);
}

int main(void)
{
  enum { N = 150 };
  int *a = malloc(N * sizeof *a), *b = malloc(N * sizeof *b), c[N], spare[N];
  unsigned x = 3;
  for (int i = 0; i < N; i++)
    a[i] = b[i] = c[i] = (int)((x = x * 69069 + 1) >> 20);
  quick(a, a + N);
  heap(b, N);
  merge(c, spare, N);
  printf("%d %d %d %d\n", a[0], a[N / 2], a[N - 1], !memcmp(a, b, N * sizeof *a) && !memcmp(b, c, sizeof c));
  free(a);
  free(b);
  return 0;
}
