/* Every way out of functions with escaping locals. */
#include <stdio.h>
static int use(const char *text, int *n) { return text[*n]; }

static int leave(int how)
{
  char text[8] = "leaving";
  int n = 0;
  if (how == 0)
    return use(text, &n);
  for (n = 1; n < 5; n++) {
    int inner = n;
    if (how == n)
      return use(text, &inner) + 1000;
  }
  do {
    char other[4] = "abc";
    n = 2;
    if (how == 5)
      goto out;
    if (use(other, &n) != 'c')
      return -1;
  } while (0);
  return use(text, &n) + 2000;
out:
  return use(text, &n) + 3000;
}

int main(void)
{
  for (int round = 0; round < 100; round++)
    for (int how = 0; how < 8; how++) {
      int value = leave(how);
      if (round == 99)
        printf("%d ", value);
    }
  printf("\n");
  return 0;
}
