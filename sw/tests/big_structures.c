/* Structures of every size by value, in, out and copied. */
#include <stdio.h>
#include <string.h>

#define SIZED(n) \
  struct s##n { \
    unsigned char b[n]; \
  }; \
  static struct s##n turn##n(struct s##n x, int by) \
  { \
    struct s##n y; \
    for (int i = 0; i < n; i++) \
      y.b[(i + by) % n] = (unsigned char)(x.b[i] + 1); \
    return y; \
  }

SIZED(1) SIZED(3) SIZED(7) SIZED(8) SIZED(9) SIZED(15) SIZED(16) SIZED(17) SIZED(24) SIZED(33) SIZED(100) SIZED(260)

#define RUN(n) \
  do { \
    struct s##n x; \
    unsigned sum = 0; \
    memset(&x, n, sizeof x); \
    for (int i = 0; i < 5; i++) { \
      x.b[i % n] ^= (unsigned char)i; \
      x = turn##n(x, i); \
    } \
    for (int i = 0; i < n; i++) \
      sum = sum * 17 + x.b[i]; \
    printf("%d: %u\n", n, sum); \
  } while (0)

int main(void)
{
  RUN(1); RUN(3); RUN(7); RUN(8); RUN(9); RUN(15); RUN(16); RUN(17); RUN(24); RUN(33); RUN(100); RUN(260);
  return 0;
}
