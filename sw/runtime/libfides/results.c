/* Functions whose results the C library keeps in memory of its own, which has no entries: here it has. Compiled with
 * checks, as the library alone is not: what is read and written through the arguments is checked, too. */
#include <limits.h>
#include <locale.h>
#include <time.h>

/* The C locale, the only one. Not inside the function: what is called __fides_... is no object to the pass. */
static char point[] = ".", none[] = "";
static struct lconv conventions = {
    .decimal_point = point,
    .thousands_sep = none,
    .grouping = none,
    .int_curr_symbol = none,
    .currency_symbol = none,
    .mon_decimal_point = none,
    .mon_thousands_sep = none,
    .mon_grouping = none,
    .positive_sign = none,
    .negative_sign = none,
    .int_frac_digits = CHAR_MAX,
    .frac_digits = CHAR_MAX,
    .p_cs_precedes = CHAR_MAX,
    .p_sep_by_space = CHAR_MAX,
    .n_cs_precedes = CHAR_MAX,
    .n_sep_by_space = CHAR_MAX,
    .p_sign_posn = CHAR_MAX,
    .n_sign_posn = CHAR_MAX,
    .int_n_cs_precedes = CHAR_MAX,
    .int_n_sep_by_space = CHAR_MAX,
    .int_n_sign_posn = CHAR_MAX,
    .int_p_cs_precedes = CHAR_MAX,
    .int_p_sep_by_space = CHAR_MAX,
    .int_p_sign_posn = CHAR_MAX,
};

struct lconv *__fides_localeconv(void)
{
  return &conventions;
}

static struct tm broken_down;
static char text[64]; /* 26 are needed, unless the year has more than four digits */

struct tm *__fides_gmtime(const time_t *when)
{
  time_t copy = *when;
  return gmtime_r(&copy, &broken_down) ? &broken_down : 0;
}

struct tm *__fides_localtime(const time_t *when)
{
  time_t copy = *when;
  return localtime_r(&copy, &broken_down) ? &broken_down : 0;
}

char *__fides_asctime(const struct tm *time)
{
  struct tm copy = *time;
  return asctime_r(&copy, text) ? text : 0;
}

char *__fides_ctime(const time_t *when)
{
  return __fides_asctime(__fides_localtime(when));
}
