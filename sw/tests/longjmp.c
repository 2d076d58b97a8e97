/* Out of nested calls, several times, and again into the same place. */
#include <stdio.h>
#include <setjmp.h>
#include <stdlib.h>

static jmp_buf place;
static int depth;

static void dive(int levels, int value)
{
  int local[4] = {levels, value, 0, 0};
  depth = local[0];
  if (levels == 0)
    longjmp(place, local[1]);
  dive(levels - 1, local[1]);
}

static int attempt(int levels)
{
  volatile int tries = 0;
  int code = setjmp(place);
  tries++;
  if (code < 3)
    dive(levels, code + 1);
  return code * 10 + tries;
}

static int nested(void)
{
  jmp_buf outer;
  volatile int count = 0;
  if (setjmp(outer) == 0) {
    jmp_buf inner;
    if (setjmp(inner) == 0) {
      count++;
      longjmp(inner, 5);
    }
    count += 10;
    longjmp(outer, 7);
  }
  return count + 100;
}

int main(void)
{
  printf("%d\n", attempt(5));
  printf("%d\n", attempt(0));
  for (int i = 0; i < 200; i++)
    if (attempt(i % 7) != 34)
      printf("wrong\n");
  printf("%d\n", nested());
  volatile int rounds = 0;
  for (int i = 0; i < 50; i++) {
    if (setjmp(place) == 0)
      dive(2, 1);
    else
      rounds++;
  }
  printf("%d\n", rounds);
  jmp_buf zero;
  volatile int seen = 0;
  int value = setjmp(zero);
  if (!seen) {
    seen = 1;
    longjmp(zero, 0);
  }
  printf("%d\n", value);
  return 0;
}
