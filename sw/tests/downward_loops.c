/* Loops that count down, with steps, and with pointers that go backwards. */
#include <stdio.h>
#include <string.h>

static void reverse(char *text)
{
  char *end = text + strlen(text);
  while (text < --end) {
    char c = *text;
    *text++ = *end;
    *end = c;
  }
}

int main(void)
{
  int a[30];
  for (int i = 29; i >= 0; i--)
    a[i] = i * i;
  int total = 0;
  for (unsigned i = 30; i-- > 0;)
    total += a[i];
  for (int i = 27; i >= 0; i -= 3)
    total -= a[i];
  char text[] = "backwards", one[] = "x", none[] = "";
  reverse(text);
  reverse(one);
  reverse(none);
  printf("%d %s %s %s\n", total, text, one, none);
  return 0;
}
