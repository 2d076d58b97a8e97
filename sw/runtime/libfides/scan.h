/* Scanning strings a word at a time. Aligned words never reach into memory that is closed where their string is open,
 * so that what lies around it may be read; it is not used. */
#ifndef SCAN_H
#define SCAN_H

#include <stddef.h>
#include <stdint.h>

#define WORD 8

typedef uint64_t __attribute__((may_alias)) word_alias;

/* 0xff in each byte that is 0, 0 in the others below the first of them. */
static inline uint64_t zero_bytes(uint64_t word)
{
#if __riscv_zbb
  return ~__builtin_riscv_orc_b_64(word);
#else
  return (word - UINT64_C(0x0101010101010101)) & ~word & UINT64_C(0x8080808080808080);
#endif
}

static inline size_t first_byte(uint64_t marks)
{
  return (size_t)__builtin_ctzll(marks) / 8;
}

static inline size_t scan_length(const char *text)
{
  unsigned before = (uintptr_t)text % WORD;
  const word_alias *at = (const word_alias *)(const void *)(text - before);
  uint64_t word = *at | ((UINT64_C(1) << 8 * before) - 1);
  uint64_t found;
  while (!(found = zero_bytes(word)))
    word = *++at;
  return (size_t)((const char *)at - text) + first_byte(found);
}

/* Copies from low to high addresses; between alignments by shifting, as unaligned words are trapped or slow. */
static inline void copy_up(char *to, const char *from, size_t count)
{
  for (; count && (uintptr_t)to % WORD; count--)
    *to++ = *from++;
  unsigned shift = 8 * ((uintptr_t)from % WORD);
  const word_alias *in = (const word_alias *)(const void *)(from - shift / 8);
  word_alias *out = (word_alias *)(void *)to;
  size_t words = count / WORD;
  if (!words) {
    /* the rest alone */
  } else if (!shift) {
    for (size_t i = 0; i < words; i++)
      out[i] = in[i];
  } else {
    uint64_t low = *in++;
    for (size_t i = 0; i < words; i++) {
      uint64_t high = *in++;
      out[i] = low >> shift | high << (64 - shift);
      low = high;
    }
  }
  to += words * WORD;
  from += words * WORD;
  for (count %= WORD; count; count--)
    *to++ = *from++;
}

/* How many bytes of both are the same and not 0, at most `most`. */
static inline size_t scan_same(const char *a, const char *b, size_t most)
{
  size_t at = 0;
  if ((uintptr_t)a % WORD == (uintptr_t)b % WORD) {
    while (at < most && (uintptr_t)(a + at) % WORD && a[at] == b[at] && a[at])
      at++;
    if ((uintptr_t)(a + at) % WORD == 0)
      while (at + WORD <= most) {
        uint64_t x = *(const word_alias *)(const void *)(a + at), y = *(const word_alias *)(const void *)(b + at);
        if (x != y || zero_bytes(x))
          break;
        at += WORD;
      }
  }
  while (at < most && a[at] == b[at] && a[at])
    at++;
  return at;
}

#endif
