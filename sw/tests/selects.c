/* Pointers that are one of several objects. */
#include <stdio.h>
static int left[4] = {1, 2, 3, 4}, right[2] = {10, 20};

static int pick(int which, int at)
{
  int local[3] = {100, 200, 300};
  int *from = which == 0 ? left : which == 1 ? right : local;
  int *other = which ? &left[1] : &local[2];
  *other += 1;
  return from[at] + *other;
}

static const char *word(int n)
{
  return n < 0 ? "negative" : n == 0 ? "zero" : "positive";
}

int main(void)
{
  for (int which = 0; which < 3; which++)
    for (int at = 0; at < 2; at++)
      printf("%d ", pick(which, at));
  printf("%s %s %s\n", word(-1), word(0), word(1));
  return 0;
}
