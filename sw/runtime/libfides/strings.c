/* Memory and string functions for checked code: the C library's, between checks of all that they touch. What is read
 * to find a string's end is checked once the end is known, before anything that was read can be used. */
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "internal.h"
#include "scan.h"

#define CHECKED(name) __fides_##name

/* Length of the string, which is all in one live object. */
static size_t length_of(const char *text)
{
  check_extent(text, 1);
  size_t length = scan_length(text);
  check_extent(text, length + 1);
  return length;
}

static size_t length_within(const char *text, size_t most)
{
  if (!most)
    return 0;
  check_extent(text, 1);
  size_t length = strnlen(text, most);
  check_extent(text, length < most ? length + 1 : most);
  return length;
}

void *CHECKED(memcpy)(void *to, const void *from, size_t count)
{
  check_extent(to, count);
  check_extent(from, count);
  copy_up(to, from, count);
  return to;
}

void *CHECKED(memmove)(void *to, const void *from, size_t count)
{
  check_extent(to, count);
  check_extent(from, count);
  if (((uintptr_t)to & UINT32_MAX) - ((uintptr_t)from & UINT32_MAX) >= count) {
    copy_up(to, from, count);
    return to;
  }
  return memmove(to, from, count);
}

void *CHECKED(memset)(void *to, int byte, size_t count)
{
  check_extent(to, count);
  return memset(to, byte, count);
}

int CHECKED(memcmp)(const void *a, const void *b, size_t count)
{
  check_extent(a, count);
  check_extent(b, count);
  return memcmp(a, b, count);
}

int CHECKED(bcmp)(const void *a, const void *b, size_t count)
{
  return CHECKED(memcmp)(a, b, count);
}

/* As C11 has it, the bytes behind the one that is found need not be there. */
void *CHECKED(memchr)(const void *from, int byte, size_t count)
{
  if (!count)
    return 0;
  check_extent(from, 1);
  char *found = memchr(from, byte, count);
  check_extent(from, found ? (size_t)(found - (const char *)from) + 1 : count);
  return found;
}

void *CHECKED(memrchr)(const void *from, int byte, size_t count)
{
  check_extent(from, count);
  for (const char *at = (const char *)from + count; at != from;)
    if (*--at == (char)byte)
      return (void *)(uintptr_t)at;
  return 0;
}

size_t CHECKED(strlen)(const char *text)
{
  return length_of(text);
}

size_t CHECKED(strnlen)(const char *text, size_t most)
{
  return length_within(text, most);
}

char *CHECKED(strcpy)(char *to, const char *from)
{
  size_t bytes = length_of(from) + 1;
  check_extent(to, bytes);
  copy_up(to, from, bytes);
  return to;
}

char *CHECKED(stpcpy)(char *to, const char *from)
{
  size_t length = length_of(from);
  check_extent(to, length + 1);
  copy_up(to, from, length + 1);
  return to + length;
}

char *CHECKED(strncpy)(char *to, const char *from, size_t count)
{
  length_within(from, count);
  check_extent(to, count);
  return strncpy(to, from, count);
}

char *CHECKED(strcat)(char *to, const char *from)
{
  size_t length = length_of(to);
  check_extent(to, length + length_of(from) + 1);
  return strcat(to, from);
}

char *CHECKED(strncat)(char *to, const char *from, size_t count)
{
  size_t length = length_of(to);
  check_extent(to, length + length_within(from, count) + 1);
  return strncat(to, from, count);
}

/* What is compared is checked: up to the ends, `count` bytes, or the first difference, whatever comes first. */
int CHECKED(strncmp)(const char *a, const char *b, size_t count)
{
  if (!count)
    return 0;
  check_extent(a, 1);
  check_extent(b, 1);
  size_t at = scan_same(a, b, count - 1);
  check_extent(a, at + 1);
  check_extent(b, at + 1);
  return (unsigned char)a[at] - (unsigned char)b[at];
}

int CHECKED(strcmp)(const char *a, const char *b)
{
  return CHECKED(strncmp)(a, b, SIZE_MAX);
}

int CHECKED(strcoll)(const char *a, const char *b)
{
  return CHECKED(strcmp)(a, b);
}

int CHECKED(strcasecmp)(const char *a, const char *b)
{
  length_of(a);
  length_of(b);
  return strcasecmp(a, b);
}

int CHECKED(strncasecmp)(const char *a, const char *b, size_t count)
{
  length_within(a, count);
  length_within(b, count);
  return strncasecmp(a, b, count);
}

char *CHECKED(strchr)(const char *text, int byte)
{
  length_of(text);
  return strchr(text, byte);
}

char *CHECKED(strrchr)(const char *text, int byte)
{
  length_of(text);
  return strrchr(text, byte);
}

char *CHECKED(strstr)(const char *text, const char *part)
{
  length_of(text);
  length_of(part);
  return strstr(text, part);
}

size_t CHECKED(strspn)(const char *text, const char *bytes)
{
  length_of(text);
  length_of(bytes);
  return strspn(text, bytes);
}

size_t CHECKED(strcspn)(const char *text, const char *bytes)
{
  length_of(text);
  length_of(bytes);
  return strcspn(text, bytes);
}

char *CHECKED(strpbrk)(const char *text, const char *bytes)
{
  length_of(text);
  length_of(bytes);
  return strpbrk(text, bytes);
}

char *CHECKED(strdup)(const char *text)
{
  size_t bytes = length_of(text) + 1;
  char *copy = malloc(bytes);
  return copy ? memcpy(copy, text, bytes) : 0;
}

char *CHECKED(strndup)(const char *text, size_t most)
{
  size_t length = length_within(text, most);
  char *copy = malloc(length + 1);
  if (!copy)
    return 0;
  memcpy(copy, text, length);
  copy[length] = 0;
  return copy;
}

char *CHECKED(strtok_r)(char *text, const char *bytes, char **place)
{
  check_extent(place, sizeof *place);
  length_of(bytes);
  char *at = text ? text : *place;
  if (!at)
    return 0;
  length_of(at);
  return strtok_r(text, bytes, place);
}

char *CHECKED(strtok)(char *text, const char *bytes)
{
  static char *place;
  length_of(bytes);
  char *at = text ? text : place;
  if (!at)
    return 0;
  length_of(at);
  return strtok_r(text, bytes, &place);
}

static void check_number(const char *text, char **end)
{
  length_of(text);
  if (end)
    check_extent(end, sizeof *end);
}

#define NUMBER(type, name) \
  type CHECKED(name)(const char *text, char **end, int base) \
  { \
    check_number(text, end); \
    return name(text, end, base); \
  }

NUMBER(long, strtol)
NUMBER(unsigned long, strtoul)
NUMBER(long long, strtoll)
NUMBER(unsigned long long, strtoull)

double CHECKED(strtod)(const char *text, char **end)
{
  check_number(text, end);
  return strtod(text, end);
}

float CHECKED(strtof)(const char *text, char **end)
{
  check_number(text, end);
  return strtof(text, end);
}

int CHECKED(atoi)(const char *text)
{
  length_of(text);
  return atoi(text);
}

long CHECKED(atol)(const char *text)
{
  length_of(text);
  return atol(text);
}

double CHECKED(atof)(const char *text)
{
  length_of(text);
  return atof(text);
}

void CHECKED(qsort)(void *elements, size_t count, size_t size, int (*compare)(const void *, const void *))
{
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes))
    bytes = SIZE_MAX;
  check_extent(elements, bytes);
  qsort(elements, count, size, compare);
}

void *CHECKED(bsearch)(const void *key, const void *elements, size_t count, size_t size,
                       int (*compare)(const void *, const void *))
{
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes))
    bytes = SIZE_MAX;
  check_extent(elements, bytes);
  return bsearch(key, elements, count, size, compare);
}

/* What the C library keeps in memory of its own. */
#define ADOPTING(name, parameters, arguments) \
  char *CHECKED(name) parameters \
  { \
    char *text = name arguments; \
    return text ? __fides_adopt(text, strlen(text) + 1) : 0; \
  }

ADOPTING(strerror, (int number), (number))
ADOPTING(getenv, (const char *name), (((void)length_of(name), name)))
ADOPTING(setlocale, (int category, const char *locale), (category, (locale ? (void)length_of(locale) : (void)0, locale)))
ADOPTING(strsignal, (int number), (number))
ADOPTING(nl_langinfo, (nl_item item), (item))
