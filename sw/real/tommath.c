/* Long integers: factorial, power, division, gcd, inverse, square root, and whether numbers are prime. */
#include <stdio.h>
#include <stdlib.h>
#include <tommath.h>

static void check(mp_err error)
{
  if (error != MP_OKAY) {
    puts(mp_error_to_string(error));
    exit(1);
  }
}

static void show(const char *name, const mp_int *number)
{
  int size;
  check(mp_radix_size(number, 16, &size));
  char *text = malloc((size_t)size);
  check(mp_to_radix(number, text, (size_t)size, NULL, 16));
  printf("%s %s\n", name, text);
  free(text);
}

/* What the library asks for random numbers, which it would have from the operating system. */
static mp_err numbers(void *out, size_t size)
{
  static unsigned state = 1;
  for (size_t i = 0; i < size; i++) {
    state = state * 1103515245u + 12345u;
    ((unsigned char *)out)[i] = (unsigned char)(state >> 16);
  }
  return MP_OKAY;
}

int main(void)
{
  mp_int a, b, c, m;
  mp_bool prime;
  mp_rand_source(numbers);
  check(mp_init_multi(&a, &b, &c, &m, NULL));
  mp_set(&a, 1);
  for (unsigned i = 2; i <= 100; i++)
    check(mp_mul_d(&a, i, &a));
  show("factorial", &a);
  check(mp_2expt(&m, 127));
  check(mp_sub_d(&m, 1, &m));
  check(mp_exptmod(&a, &a, &m, &b));
  show("power", &b);
  check(mp_div(&a, &m, &c, &b));
  show("quotient", &c);
  show("remainder", &b);
  check(mp_read_radix(&c, "123456789012345678901234567890", 10));
  check(mp_gcd(&a, &c, &b));
  show("gcd", &b);
  check(mp_invmod(&c, &m, &b));
  show("inverse", &b);
  check(mp_sqrt(&a, &b));
  show("root", &b);
  check(mp_prime_is_prime(&m, 4, &prime));
  printf("prime %d\n", prime);
  check(mp_sub_d(&m, 2, &m));
  check(mp_prime_is_prime(&m, 4, &prime));
  printf("prime %d\n", prime);
  mp_clear_multi(&a, &b, &c, &m, NULL);
  return 0;
}
