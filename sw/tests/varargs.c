/* Arguments of all kinds, more than fit registers, and lists handed on and copied. */
#include <stdio.h>
#include <stdarg.h>

struct big {
  long a[5];
};

struct small {
  int x, y;
};

static double total(const char *kinds, va_list list)
{
  double sum = 0;
  for (; *kinds; kinds++)
    switch (*kinds) {
    case 'i': sum += va_arg(list, int); break;
    case 'l': sum += (double)va_arg(list, long long); break;
    case 'd': sum += va_arg(list, double); break;
    case 's': sum += *va_arg(list, const char *); break;
    case 'b': sum += (double)va_arg(list, struct big).a[4]; break;
    case 'p': sum += va_arg(list, struct small).y; break;
    case 'L': sum += (double)va_arg(list, long double); break;
    }
  return sum;
}

static void show(const char *kinds, ...)
{
  va_list list, again;
  va_start(list, kinds);
  va_copy(again, list);
  printf("%.2f", total(kinds, list));
  printf(" %.2f\n", total(kinds, again));
  va_end(again);
  va_end(list);
}

static int largest(int count, ...)
{
  va_list list;
  int result = -1;
  va_start(list, count);
  for (int i = 0; i < count; i++) {
    int next = va_arg(list, int);
    if (next > result)
      result = next;
  }
  va_end(list);
  return result;
}

static void print(const char *format, ...)
{
  va_list list;
  va_start(list, format);
  vprintf(format, list);
  va_end(list);
}

int main(void)
{
  struct big big = {{1, 2, 3, 4, 5}};
  show("iiiiiiiiii", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
  show("ldsbpL", 123456789012LL, 2.5, "A", big, (struct small){3, 4}, (long double)0.25);
  show("bbd", big, big, 1.5);
  printf("%d %d\n", largest(3, 5, 9, 2), largest(0));
  print("%s %d %c %.3f\n", "text", 17, 'x', 1.0 / 3);
  return 0;
}
