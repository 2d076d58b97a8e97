/* The same name in scopes one after the other, and pointers kept only as long as each lives. */
#include <stdio.h>
static int *kept;

static int scopes(int n)
{
  int total = 0;
  {
    int a[4] = {n, n + 1, n + 2, n + 3};
    kept = &a[n & 3];
    total += *kept;
  }
  {
    int b[4] = {10 * n, 0, 0, 1};
    kept = &b[0];
    total += *kept + b[3];
  }
  for (int i = 0; i < 3; i++) {
    int c = i * n;
    kept = &c;
    total += *kept;
  }
  kept = 0;
  return total;
}

int main(void)
{
  int total = 0;
  for (int i = 0; i < 700; i++)
    total += scopes(i % 9);
  printf("%d\n", total);
  return 0;
}
