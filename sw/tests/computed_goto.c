/* Labels as values. */
#include <stdio.h>
static int run(const unsigned char *code)
{
  static const void *const labels[] = {&&stop, &&increment, &&twice, &&square};
  int value = 1;
  goto *labels[*code++];
increment:
  value++;
  goto *labels[*code++];
twice:
  value *= 2;
  goto *labels[*code++];
square:
  value *= value;
  goto *labels[*code++];
stop:
  return value;
}

int main(void)
{
  printf("%d %d\n", run((const unsigned char[]){1, 2, 3, 1, 0}), run((const unsigned char[]){0}));
  return 0;
}
