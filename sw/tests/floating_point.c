/* Arithmetic in software, on arrays. */
#include <stdio.h>
#include <math.h>
#include <stdlib.h>

int main(void)
{
  double *a = malloc(16 * sizeof *a);
  float f[8];
  for (int i = 0; i < 16; i++)
    a[i] = sqrt(i) + i / 7.0;
  double sum = 0;
  for (int i = 0; i < 16; i++)
    sum += a[i] * a[15 - i];
  for (int i = 0; i < 8; i++)
    f[i] = (float)a[2 * i] * 0.5f;
  printf("%.6f %.4f %.3f %d\n", sum, (double)f[7], fabs(-2.25), (int)floor(a[5]));
  long double l = 1.0L / 3;
  printf("%.3f\n", (double)(l * 3));
  free(a);
  return 0;
}
