/* Functions with a context pointer to a caller's local. */
#include <stdio.h>
#include <stdlib.h>

struct sum {
  int total, count;
};

static void each(const int *a, int n, void (*visit)(int, void *), void *context)
{
  for (int i = 0; i < n; i++)
    visit(a[i], context);
}

static void add(int value, void *context)
{
  struct sum *sum = context;
  sum->total += value;
  sum->count++;
}

static void keep_largest(int value, void *context)
{
  int *largest = context;
  if (value > *largest)
    *largest = value;
}

int main(void)
{
  int a[] = {3, 9, -2, 7}, largest = -100;
  struct sum sum = {0, 0};
  each(a, 4, add, &sum);
  each(a, 4, keep_largest, &largest);
  printf("%d %d %d\n", sum.total, sum.count, largest);
  return 0;
}
