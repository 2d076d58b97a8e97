/* Volatile variables and pointers to them. */
#include <stdio.h>
static volatile int global = 4;

static int poke(volatile int *at, int n)
{
  for (int i = 0; i < n; i++)
    *at = *at + i;
  return *at;
}

int main(void)
{
  volatile int local = 1;
  volatile char bytes[5] = {1, 2, 3, 4, 5};
  int sum = 0;
  for (int i = 0; i < 5; i++)
    sum += bytes[i];
  printf("%d %d %d\n", poke(&global, 5), poke(&local, 3), sum);
  return 0;
}
