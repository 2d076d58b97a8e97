/* Arrays of variable length, in loops, nested, of several dimensions. */
#include <stdio.h>
#include <string.h>

static int sum(int n, const int a[n])
{
  int total = 0;
  for (int i = 0; i < n; i++)
    total += a[i];
  return total;
}

static int table(int rows, int columns)
{
  int t[rows][columns];
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < columns; j++)
      t[i][j] = i * j + 1;
  return sum(columns, t[rows - 1]) + (int)(sizeof t / sizeof t[0]);
}

int main(void)
{
  int total = 0;
  for (int round = 0; round < 600; round++) {
    int n = round % 17 + 1;
    int a[n];
    for (int i = 0; i < n; i++)
      a[i] = i + round;
    total += sum(n, a);
    if (round % 2) {
      char text[n + 1];
      memset(text, 'x', (size_t)n);
      text[n] = 0;
      total += (int)strlen(text);
    }
  }
  printf("%d %d %d\n", total, table(3, 4), table(1, 9));
  return 0;
}
