/* Deep recursion, each frame with a local whose address is passed on. */
#include <stdio.h>
static long down(int depth, const long *above)
{
  long mine = *above + depth;
  if (depth == 0)
    return mine;
  return down(depth - 1, &mine) + mine % 3;
}

static int ackermann(int m, int n)
{
  return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

int main(void)
{
  long start = 1;
  printf("%ld\n", down(200, &start));
  printf("%d\n", ackermann(2, 5));
  return 0;
}
