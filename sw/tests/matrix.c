/* Multiplication, with pointers to rows on the heap. */
#include <stdio.h>
#include <stdlib.h>

static double **make(int n)
{
  double **rows = malloc((size_t)n * sizeof *rows);
  for (int i = 0; i < n; i++)
    rows[i] = calloc((size_t)n, sizeof **rows);
  return rows;
}

static void multiply(double **to, double **a, double **b, int n)
{
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) {
      double sum = 0;
      for (int k = 0; k < n; k++)
        sum += a[i][k] * b[k][j];
      to[i][j] = sum;
    }
}

int main(void)
{
  int n = 8;
  double **a = make(n), **b = make(n), **c = make(n);
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) {
      a[i][j] = i + j;
      b[i][j] = i - j;
    }
  multiply(c, a, b, n);
  printf("%.1f %.1f %.1f\n", c[0][0], c[3][4], c[7][7]);
  for (int i = 0; i < n; i++) {
    free(a[i]);
    free(b[i]);
    free(c[i]);
  }
  free(a);
  free(b);
  free(c);
  return 0;
}
