/* Members of some bits, packed and not, through pointers. */
#include <stdio.h>
struct flags {
  unsigned a : 3, b : 11;
  signed c : 7;
  unsigned long long d : 40;
  unsigned e : 1;
};

struct __attribute__((packed)) tight {
  unsigned char a : 4;
  unsigned b : 20;
  unsigned c : 17;
};

static void set(struct flags *f, struct tight *t, int n)
{
  f->a = (unsigned)n;
  f->b += (unsigned)n * 77;
  f->c = n - 40;
  f->d = (unsigned long long)n << 33 | 5;
  f->e ^= 1;
  t->a = (unsigned)n;
  t->b = (unsigned)n * 1000;
  t->c += (unsigned)n;
}

int main(void)
{
  struct flags f = {0};
  struct tight t[3] = {0};
  for (int i = 0; i < 20; i++) {
    set(&f, &t[i % 3], i);
    printf("%u %u %d %llx %u | %u %u %u\n", f.a, f.b, f.c, (unsigned long long)f.d, f.e, t[i % 3].a, t[i % 3].b,
           t[i % 3].c);
  }
  return 0;
}
