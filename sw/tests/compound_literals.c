/* Objects without names, and their addresses. */
#include <stdio.h>
#include <string.h>

struct point {
  int x, y;
};

static int dot(const struct point *a, const struct point *b) { return a->x * b->x + a->y * b->y; }
static struct point *global = &(struct point){3, 4};
static const int *list = (const int[]){1, 2, 3};

int main(void)
{
  int *numbers = (int[]){5, 6, 7, 8};
  int total = 0;
  for (int i = 0; i < 3; i++) {
    struct point *p = &(struct point){i, i + 1};
    total += dot(p, global) + list[i];
  }
  numbers[2] = total;
  printf("%d %d %s\n", numbers[2], (int)strlen((char[]){"literal"}), (char *)(char[]){'o', 'k', 0});
  return 0;
}
