/* A pointer one past the end is compared, stepped back, and never read. */
#include <stdio.h>
static int sum(const int *at, const int *end)
{
  int total = 0;
  while (at != end)
    total += *at++;
  return total;
}

static int backwards(const int *begin, const int *end)
{
  int total = 0;
  while (end > begin)
    total = 10 * total + *--end;
  return total;
}

int main(void)
{
  int numbers[] = {1, 2, 3, 4};
  static int fixed[3] = {7, 8, 9};
  printf("%d %d\n", sum(numbers, numbers + 4), backwards(numbers, numbers + 4));
  printf("%d %d\n", sum(fixed, fixed + 3), backwards(fixed, &fixed[3]));
  return 0;
}
