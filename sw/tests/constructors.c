/* Code before main. */
#include <stdio.h>
static int order[4], count;

__attribute__((constructor)) static void early(void)
{
  order[count++] = 1;
}

int main(void)
{
  printf("%d %d\n", count, order[0]);
  return 0;
}
