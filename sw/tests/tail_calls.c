/* Mutual recursion that the compiler turns into jumps. */
#include <stdio.h>
static int odd(unsigned n);
static int even(unsigned n) { return n == 0 ? 1 : odd(n - 1); }
static int odd(unsigned n) { return n == 0 ? 0 : even(n - 1); }
static long sum(const int *a, int n, long so_far) { return n == 0 ? so_far : sum(a + 1, n - 1, so_far + *a); }
static int with_local(int n)
{
  int local = n;
  int *volatile pointer = &local;
  *pointer += 1;
  return even((unsigned)*pointer);
}

int main(void)
{
  int a[50];
  for (int i = 0; i < 50; i++)
    a[i] = i;
  printf("%d %d %ld %d\n", even(1000), odd(7), sum(a, 50, 0), with_local(9));
  return 0;
}
