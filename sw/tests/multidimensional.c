/* Arrays of arrays, pointers to rows, negative indexes from the middle. */
#include <stdio.h>
static int grid[6][7];

static int row_sum(int (*row)[7])
{
  int total = 0;
  for (int i = 0; i < 7; i++)
    total += (*row)[i];
  return total;
}

static int trace(int n, int m[][5])
{
  int total = 0;
  for (int i = 0; i < n; i++)
    total += m[i][i];
  return total;
}

int main(void)
{
  for (int i = 0; i < 6; i++)
    for (int j = 0; j < 7; j++)
      grid[i][j] = i * 10 + j;
  int square[5][5];
  for (int i = 0; i < 25; i++)
    square[i / 5][i % 5] = i;
  int *middle = &grid[3][3];
  printf("%d %d %d %d\n", row_sum(&grid[2]), trace(5, square), middle[-3], middle[10]);
  int total = 0;
  for (int *at = &grid[0][0]; at <= &grid[5][6]; at += 3)
    total += *at;
  printf("%d\n", total);
  return 0;
}
