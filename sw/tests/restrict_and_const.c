/* Promises that hold. */
#include <stdio.h>
#include <stddef.h>

static void axpy(size_t n, int a, const int *restrict x, int *restrict y)
{
  for (size_t i = 0; i < n; i++)
    y[i] += a * x[i];
}

static int first(const int a[static 3]) { return a[0] + a[2]; }

int main(void)
{
  int x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, y[8] = {0};
  axpy(8, 3, x, y);
  axpy(4, -1, x + 4, y);
  printf("%d %d %d\n", y[0], y[7], first(y + 5));
  return 0;
}
