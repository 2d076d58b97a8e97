/* Formatted and plain output for checked code: strings, buffers and %n are checked, then the C library is called. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

#define CHECKED(name) __fides_##name

static size_t check_string(const char *text)
{
  check_extent(text, 1);
  size_t length = strlen(text);
  check_extent(text, length + 1);
  return length;
}

/* Streams that the program has got from the library: the three of its own, or one on the heap. */
static void check_stream(FILE *stream)
{
  if (stream != stdin && stream != stdout && stream != stderr)
    check_extent(stream, sizeof *stream);
}

enum length { INT, LONG, LONG_DOUBLE };

struct conversion {
  char kind;
  enum length length;
  int precision; /* -1: none */
};

/* Reads a conversion behind its %, and the arguments of its stars. */
static const char *read_conversion(const char *at, struct conversion *found, va_list *arguments)
{
  *found = (struct conversion){0, INT, -1};
  at += strspn(at, "-+ #0'");
  if (*at == '*') {
    va_arg(*arguments, int);
    at++;
  }
  at += strspn(at, "0123456789");
  if (*at == '.') {
    at++;
    if (*at == '*') {
      found->precision = va_arg(*arguments, int);
      at++;
    } else {
      for (found->precision = 0; *at >= '0' && *at <= '9'; at++)
        if (found->precision < 1 << 26)
          found->precision = 10 * found->precision + *at - '0';
    }
  }
  for (; *at && strchr("hljztL", *at); at++)
    if (*at == 'L')
      found->length = LONG_DOUBLE;
    else if (*at != 'h')
      found->length = LONG;
  found->kind = *at;
  return *at ? at + 1 : at;
}

static void check_format(const char *format, va_list given)
{
  va_list arguments;
  check_string(format);
  va_copy(arguments, given);
  while ((format = strchr(format, '%'))) {
    struct conversion found;
    format = read_conversion(format + 1, &found, &arguments);
    switch (found.kind) {
    case '%':
    case 0:
      break;
    case 's': {
      const char *text = va_arg(arguments, const char *);
      if (!text || found.precision == 0)
        break;
      if (found.precision < 0) {
        check_string(text);
        break;
      }
      check_extent(text, 1);
      size_t most = (size_t)found.precision;
      size_t length = strnlen(text, most);
      check_extent(text, length < most ? length + 1 : most);
      break;
    }
    case 'n':
      check_extent(va_arg(arguments, void *), found.length == INT ? sizeof(int) : sizeof(long));
      break;
    case 'a': case 'A': case 'e': case 'E': case 'f': case 'F': case 'g': case 'G':
      if (found.length == LONG_DOUBLE)
        va_arg(arguments, long double);
      else
        va_arg(arguments, double);
      break;
    default:
      if (found.length == LONG || found.kind == 'p')
        va_arg(arguments, long);
      else
        va_arg(arguments, int);
    }
  }
  va_end(arguments);
}

int CHECKED(vfprintf)(FILE *stream, const char *format, va_list arguments)
{
  check_stream(stream);
  check_format(format, arguments);
  return vfprintf(stream, format, arguments);
}

int CHECKED(vprintf)(const char *format, va_list arguments)
{
  return CHECKED(vfprintf)(stdout, format, arguments);
}

int CHECKED(vsnprintf)(char *to, size_t size, const char *format, va_list arguments)
{
  check_format(format, arguments);
  if (!size)
    return vsnprintf(0, 0, format, arguments);
  /* The size may be more than the object has, as long as the text is not. */
  va_list again;
  va_copy(again, arguments);
  int length = vsnprintf(0, 0, format, again);
  va_end(again);
  if (length < 0)
    return length;
  check_extent(to, (size_t)length + 1 < size ? (size_t)length + 1 : size);
  return vsnprintf(to, size, format, arguments);
}

int CHECKED(vsprintf)(char *to, const char *format, va_list arguments)
{
  return CHECKED(vsnprintf)(to, (size_t)INT32_MAX, format, arguments);
}

#define FORMATTED(name, parameters, call) \
  int CHECKED(name) parameters \
  { \
    va_list arguments; \
    va_start(arguments, format); \
    int result = call; \
    va_end(arguments); \
    return result; \
  }

FORMATTED(printf, (const char *format, ...), CHECKED(vfprintf)(stdout, format, arguments))
FORMATTED(fprintf, (FILE * stream, const char *format, ...), CHECKED(vfprintf)(stream, format, arguments))
FORMATTED(sprintf, (char *to, const char *format, ...), CHECKED(vsprintf)(to, format, arguments))
FORMATTED(snprintf, (char *to, size_t size, const char *format, ...),
          CHECKED(vsnprintf)(to, size, format, arguments))

int CHECKED(puts)(const char *text)
{
  check_string(text);
  return puts(text);
}

int CHECKED(fputs)(const char *text, FILE *stream)
{
  check_string(text);
  check_stream(stream);
  return fputs(text, stream);
}

char *CHECKED(fgets)(char *to, int size, FILE *stream)
{
  check_stream(stream);
  if (size > 0)
    check_extent(to, (size_t)size);
  return fgets(to, size, stream);
}

static size_t bytes_of(size_t size, size_t count)
{
  size_t bytes;
  return __builtin_mul_overflow(size, count, &bytes) ? SIZE_MAX : bytes;
}

size_t CHECKED(fread)(void *to, size_t size, size_t count, FILE *stream)
{
  check_stream(stream);
  check_extent(to, bytes_of(size, count));
  return fread(to, size, count, stream);
}

size_t CHECKED(fwrite)(const void *from, size_t size, size_t count, FILE *stream)
{
  check_stream(stream);
  check_extent(from, bytes_of(size, count));
  return fwrite(from, size, count, stream);
}
