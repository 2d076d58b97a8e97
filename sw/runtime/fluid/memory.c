/* The functions that every C compiler may call on its own, and strings. Unchecked: see string.h. */
#include <string.h>

static int aligned(const void *left, const void *right)
{
  return (((uintptr_t)left | (uintptr_t)right) & 7) == 0;
}

void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
  unsigned char *out = to;
  const unsigned char *in = from;
  if (aligned(to, from))
    for (; count >= 8; count -= 8, out += 8, in += 8)
      *(uint64_t *)(void *)out = *(const uint64_t *)(const void *)in;
  while (count--)
    *out++ = *in++;
  return to;
}

void *memmove(void *to, const void *from, size_t count)
{
  unsigned char *out = to;
  const unsigned char *in = from;
  if (out < in)
    while (count--)
      *out++ = *in++;
  else
    while (count--)
      out[count] = in[count];
  return to;
}

void *memset(void *to, int byte, size_t count)
{
  unsigned char *out = to;
  uint64_t word = (unsigned char)byte * UINT64_C(0x0101010101010101);
  if (aligned(to, to))
    for (; count >= 8; count -= 8, out += 8)
      *(uint64_t *)(void *)out = word;
  while (count--)
    *out++ = (unsigned char)byte;
  return to;
}

int memcmp(const void *left, const void *right, size_t count)
{
  const unsigned char *a = left, *b = right;
  for (; count; count--, a++, b++)
    if (*a != *b)
      return *a < *b ? -1 : 1;
  return 0;
}

size_t strlen(const char *text)
{
  size_t length = 0;
  while (text[length])
    length++;
  return length;
}
