/* Addresses of locals in structures, arrays and globals while they live. */
#include <stdio.h>
struct frame {
  struct frame *above;
  int *value;
  char name[8];
};

static struct frame *top;

static int sum(void)
{
  int total = 0;
  for (struct frame *at = top; at; at = at->above)
    total += *at->value;
  return total;
}

static int nest(int depth)
{
  int value = depth * depth;
  struct frame frame = {top, &value, "frame"};
  top = &frame;
  int result = depth ? nest(depth - 1) : sum();
  value = 0;
  top = frame.above;
  return result;
}

static void swap(int *a, int *b)
{
  int old = *a;
  *a = *b;
  *b = old;
}

int main(void)
{
  int a = 1, b = 2, c[3] = {3, 4, 5};
  swap(&a, &b);
  swap(&a, &c[1]);
  printf("%d %d %d %d\n", a, b, c[1], nest(20));
  int *list[] = {&a, &b, c, &c[2]};
  for (int i = 0; i < 4; i++)
    *list[i] += i;
  printf("%d %d %d %d %d\n", a, b, c[0], c[2], top == 0);
  return 0;
}
