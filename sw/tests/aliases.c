/* Two names for one object. */
#include <stdio.h>
static int base[4] = {1, 2, 3, 4};
extern int other[4] __attribute__((alias("base")));

static int sum(const int *a) { return a[0] + a[1] + a[2] + a[3]; }

int main(void)
{
  other[1] = 10;
  printf("%d %d %d\n", sum(base), sum(other), base[1]);
  return 0;
}
