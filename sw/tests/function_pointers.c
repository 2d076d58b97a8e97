/* Tables of functions, members that are functions, and functions that return some. */
#include <stdio.h>
#include <stdlib.h>

typedef int operation(int, int);

static int add(int a, int b) { return a + b; }
static int subtract(int a, int b) { return a - b; }
static int multiply(int a, int b) { return a * b; }

struct shape {
  const struct methods *methods;
  int size;
};

struct methods {
  int (*area)(const struct shape *);
  const char *name;
};

static int square_area(const struct shape *s) { return s->size * s->size; }
static int line_area(const struct shape *s) { return s->size; }
static const struct methods square = {square_area, "square"}, line = {line_area, "line"};

static operation *choose(char c)
{
  return c == '+' ? add : c == '-' ? subtract : multiply;
}

int main(void)
{
  static operation *const table[] = {add, subtract, multiply};
  for (int i = 0; i < 3; i++)
    printf("%d ", table[i](9, 4));
  printf("%d %d\n", choose('+')(1, 2), choose('*')(3, 4));
  struct shape shapes[] = {{&square, 5}, {&line, 7}};
  for (int i = 0; i < 2; i++)
    printf("%s %d\n", shapes[i].methods->name, shapes[i].methods->area(&shapes[i]));
  printf("%d\n", choose('-') == subtract);
  return 0;
}
