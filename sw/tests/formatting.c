/* printf in all its kinds. */
#include <stdio.h>
#include <stdint.h>
#include <string.h>

int main(void)
{
  char out[80];
  printf("%5d|%-5d|%05d|%+d|%x|%X|%o|%c|%%\n", 42, 42, 42, 42, 255u, 255u, 8u, 'z');
  printf("%.3s|%10s|%-10s|%.*s\n", "abcdef", "right", "left", 2, "xyz");
  printf("%lld %llu %zu %hhd\n", -5LL, 1ULL << 63, sizeof(int), (signed char)-1);
  printf("%.2f %e %g\n", 3.14159, 12345.678, 0.0001);
  int length = snprintf(out, 8, "%s-%d", "truncated", 5);
  printf("%s %d\n", out, length);
  length = sprintf(out, "%d%s", 1234, "tail");
  printf("%s %d\n", out, length);
  char unterminated[4] = {'a', 'b', 'c', 'd'};
  printf("%.4s\n", unterminated);
  fprintf(stdout, "%s\n", strcpy(out, "stdout"));
  fputs("fputs\n", stdout);
  fwrite("fwrite\n", 1, 7, stdout);
  putchar('c');
  puts("");
  return 0;
}
