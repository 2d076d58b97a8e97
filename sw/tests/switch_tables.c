/* Switches with tables of numbers, strings and jumps. */
#include <stdio.h>
static const char *day(int n)
{
  switch (n) {
  case 0: return "monday";
  case 1: return "tuesday";
  case 2: return "wednesday";
  case 3: return "thursday";
  case 4: return "friday";
  default: return "weekend";
  }
}

static int run(const unsigned char *code, int length)
{
  int stack[8], top = 0;
  for (int pc = 0; pc < length; pc++)
    switch (code[pc]) {
    case 0: stack[top++] = code[++pc]; break;
    case 1: top--; stack[top - 1] += stack[top]; break;
    case 2: top--; stack[top - 1] -= stack[top]; break;
    case 3: top--; stack[top - 1] *= stack[top]; break;
    case 4: stack[top] = stack[top - 1]; top++; break;
    case 5: stack[top - 1] = -stack[top - 1]; break;
    case 6: if (stack[--top]) pc += code[++pc]; else pc++; break;
    }
  return stack[0];
}

int main(void)
{
  static const unsigned char code[] = {0, 6, 4, 3, 0, 5, 2, 5, 0, 0, 6, 2, 5, 5, 0, 3, 1};
  for (int i = -1; i < 6; i++)
    printf("%s ", day(i));
  printf("%d\n", run(code, sizeof code));
  return 0;
}
