/* More objects than registers, each with its address taken. */
#include <stdio.h>
static void bump(int *p) { ++*p; }

static int work(int n)
{
  int a = n, b = n + 1, c = n + 2, d = n + 3, e = n + 4, f = n + 5, g = n + 6, h = n + 7, i = n + 8, j = n + 9;
  int *all[] = {&a, &b, &c, &d, &e, &f, &g, &h, &i, &j};
  for (int k = 0; k < 10; k++)
    bump(all[k]);
  bump(&a);
  bump(&j);
  return a + b + c + d + e + f + g + h + i + j;
}

int main(void)
{
  int total = 0;
  for (int i = 0; i < 100; i++)
    total += work(i);
  printf("%d\n", total);
  return 0;
}
