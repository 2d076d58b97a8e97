/* Spectral norm of the infinite matrix with 1, 1/2, 1/3, ... along its antidiagonals, cut to N x N, by power
 * iteration. Double precision in software, divisions above all. */
#include <math.h>

#include "harness.h"

#define N 10
#define ITERATIONS 10

const struct benchmark benchmark = {"spectral_norm", 0x0e1d75cba95a8391};

static double element(int row, int column)
{
  return 1.0 / ((row + column) * (row + column + 1) / 2 + row + 1);
}

static void multiply(double product[N], const double vector[N])
{
  for (int row = 0; row < N; row++) {
    product[row] = 0;
    for (int column = 0; column < N; column++)
      product[row] += element(row, column) * vector[column];
  }
}

static void multiply_transposed(double product[N], const double vector[N])
{
  for (int row = 0; row < N; row++) {
    product[row] = 0;
    for (int column = 0; column < N; column++)
      product[row] += element(column, row) * vector[column];
  }
}

uint64_t benchmark_run(void)
{
  double u[N], v[N], between[N];
  for (int i = 0; i < N; i++)
    u[i] = 1;
  for (int i = 0; i < ITERATIONS; i++) {
    multiply(between, u);
    multiply_transposed(v, between);
    multiply(between, v);
    multiply_transposed(u, between);
  }
  double uv = 0, vv = 0;
  for (int i = 0; i < N; i++) {
    uv += u[i] * v[i];
    vv += v[i] * v[i];
  }
  return checksum_double(CHECKSUM_START, sqrt(uv / vv));
}
