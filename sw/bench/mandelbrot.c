/* Mandelbrot set: SIZE x SIZE points of -1.5..0.5, -1..1, a bit for each that stays within radius 2 for LIMIT steps.
 * Double precision in software: additions, multiplications and comparisons. */
#include "harness.h"

#define SIZE 16
#define LIMIT 16

const struct benchmark benchmark = {"mandelbrot", 0x0b883a5da53b630b};

static int inside(double real, double imaginary)
{
  double x = 0, y = 0, x2 = 0, y2 = 0;
  for (int step = 0; step < LIMIT; step++) {
    y = 2 * x * y + imaginary;
    x = x2 - y2 + real;
    x2 = x * x;
    y2 = y * y;
    if (x2 + y2 > 4)
      return 0;
  }
  return 1;
}

uint64_t benchmark_run(void)
{
  uint64_t sum = CHECKSUM_START;
  for (int row = 0; row < SIZE; row++) {
    uint64_t bits = 0;
    for (int column = 0; column < SIZE; column++)
      bits = bits << 1 | (unsigned)inside(2.0 * column / SIZE - 1.5, 2.0 * row / SIZE - 1);
    sum = checksum(sum, bits);
  }
  return sum;
}
