/* Large initialised locals and sparse tables. */
#include <stdio.h>
struct config {
  const char *name;
  int values[6];
  struct {
    short a, b;
  } pairs[3];
};

static int check(const struct config *c)
{
  int sum = 0;
  for (int i = 0; i < 6; i++)
    sum += c->values[i] * (i + 1);
  for (int i = 0; i < 3; i++)
    sum += c->pairs[i].a - c->pairs[i].b;
  return sum;
}

int main(void)
{
  struct config c = {.name = "config", .values = {[2] = 5, [4] = 7}, .pairs = {[1].b = 3, [2] = {9, 1}}};
  struct config table[] = {[1] = c, [0] = {.values = {1, 1, 1}}};
  char sparse[40] = {[0] = 'a', [39] = 'z'};
  printf("%s %d %d %d %c%c\n", table[1].name, check(&c), check(&table[0]), check(&table[1]), sparse[0], sparse[39]);
  return 0;
}
