/* Text output and the end of the program. */
#include <hypercall.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
  char bytes[160];
  size_t length;
};

static void put(struct text *text, char byte)
{
  if (text->length < sizeof text->bytes)
    text->bytes[text->length++] = byte;
}

static void put_padding(struct text *text, size_t used, size_t width, char byte)
{
  for (; used < width; used++)
    put(text, byte);
}

static void put_number(struct text *text, uint64_t value, unsigned base, size_t width, char padding, int negative)
{
  char digits[20];
  size_t count = 0;
  do {
    digits[count++] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value);
  if (negative)
    digits[count++] = '-';
  put_padding(text, count, width, padding);
  while (count)
    put(text, digits[--count]);
}

static void put_string(struct text *text, const char *string, size_t width, int left)
{
  size_t length = strlen(string);
  if (!left)
    put_padding(text, length, width, ' ');
  for (size_t i = 0; i < length; i++)
    put(text, string[i]);
  if (left)
    put_padding(text, length, width, ' ');
}

void print(const char *format, ...)
{
  struct text text;
  va_list arguments;
  text.length = 0;
  va_start(arguments, format);
  for (const char *at = format; *at; at++) {
    if (*at != '%') {
      put(&text, *at);
      continue;
    }
    int left = 0, wide = 0;
    char padding = ' ';
    size_t width = 0;
    at++;
    for (; *at == '-'; at++)
      left = 1;
    for (; *at == '0'; at++)
      padding = '0';
    for (; *at >= '0' && *at <= '9'; at++)
      width = 10 * width + (size_t)(*at - '0');
    for (; *at == 'l'; at++)
      wide = 1;
    if (*at == 's') {
      put_string(&text, va_arg(arguments, const char *), width, left);
    } else if (*at == 'c') {
      put(&text, (char)va_arg(arguments, int));
    } else if (*at == 'd') {
      int64_t value = wide ? va_arg(arguments, int64_t) : va_arg(arguments, int);
      put_number(&text, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, width, padding, value < 0);
    } else if (*at == 'u' || *at == 'x') {
      uint64_t value = wide ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned);
      put_number(&text, value, *at == 'x' ? 16 : 10, width, padding, 0);
    } else {
      put(&text, *at);
    }
  }
  va_end(arguments);
  write_bytes(text.bytes, text.length);
}

long write_bytes(const void *bytes, size_t count)
{
  return (long)hypercall(HYPERCALL_WRITE, (uintptr_t)bytes, count);
}

_Noreturn void exit(int code)
{
  for (;;)
    hypercall(HYPERCALL_EXIT, (uint64_t)code, 0);
}
