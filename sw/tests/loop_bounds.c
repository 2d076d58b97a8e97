/* Trip counts that are zero, one, unknown, huge in type and small in fact. */
#include <stdio.h>
#include <stdlib.h>

static long sum(const int *a, int n) { long t = 0; for (int i = 0; i < n; i++) t += a[i]; return t; }
static long sum_unsigned(const int *a, unsigned n) { long t = 0; for (unsigned i = 0; i != n; i++) t += a[i]; return t; }
static long sum_long(const int *a, long from, long to) { long t = 0; for (long i = from; i < to; i++) t += a[i]; return t; }
static long every(const int *a, int n, int step) { long t = 0; for (int i = 0; i < n; i += step) t += a[i]; return t; }
static void fill(int *a, int n) { while (n--) *a++ = n; }
static int find(const int *a, int n, int key) { for (int i = 0; i < n; i++) if (a[i] == key) return i; return -1; }
static void copy_byte(unsigned char *to, const unsigned char *from, unsigned char n) { for (unsigned char i = 0; i < n; i++) to[i] = from[i]; }

int main(void)
{
  int *a = malloc(10 * sizeof *a);
  fill(a, 10);
  printf("%ld %ld %ld\n", sum(a, 10), sum(a, 0), sum(a, -5));
  printf("%ld %ld\n", sum_unsigned(a, 10), sum_unsigned(a, 0));
  printf("%ld %ld %ld\n", sum_long(a, 3, 7), sum_long(a + 5, -5, 5), sum_long(NULL, 4, 4));
  printf("%ld %ld\n", every(a, 10, 3), every(a, 1, 100));
  printf("%d %d %d\n", find(a, 100, 3), find(a, 10, 77), sum(NULL, 0) == 0);
  unsigned char from[255], to[255];
  for (int i = 0; i < 255; i++)
    from[i] = (unsigned char)(i ^ 0x5a);
  copy_byte(to, from, 255);
  copy_byte(to, from, 0);
  printf("%d\n", to[254]);
  free(a);
  return 0;
}
