/* Statics inside functions, and pointers to them that are returned. */
#include <stdio.h>
static int *counter(void)
{
  static int count = 10;
  count++;
  return &count;
}

static char *digits(unsigned n)
{
  static char buffer[4][12];
  static int next;
  char *at = buffer[next++ & 3] + 11;
  *at = 0;
  do
    *--at = (char)('0' + n % 10);
  while (n /= 10);
  return at;
}

int main(void)
{
  int *first = counter(), *second = counter();
  *first += 5;
  printf("%d %d\n", *second, first == second);
  printf("%s %s %s\n", digits(0), digits(4294967295u), digits(77));
  return 0;
}
