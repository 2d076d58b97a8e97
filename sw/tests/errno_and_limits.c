/* errno, and numbers at their limits. */
#include <stdio.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

int main(void)
{
  errno = 0;
  long value = strtol("99999999999999999999", NULL, 10);
  printf("%d %d\n", value == LONG_MAX, errno == ERANGE);
  errno = 5;
  printf("%d\n", errno);
  int *p = &errno;
  *p = 7;
  printf("%d\n", errno);
  return 0;
}
