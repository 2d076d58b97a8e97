/* Digits of pi one after another from Leibniz's series in Gosper's form, in integers of many words: multiply-and-add
 * chains with carries (mul, sltu), no division. */
#include "harness.h"

#define DIGITS 60
#define WORDS 64 /* enough for DIGITS, which benchmark_run checks */

const struct benchmark benchmark = {"pidigits", 0xfe5275e30d92a5fa};

/* A number from 0 on, least significant word first, `used` words without leading zeros. */
struct number {
  int used;
  uint32_t word[WORDS];
};

static int overflow;

/* a = a * factor + b * times; `b` may be null. The result must not be negative. */
static void multiply_add(struct number *a, uint32_t factor, const struct number *b, int32_t times)
{
  int count = b && b->used > a->used ? b->used : a->used;
  int64_t carry = 0;
  for (int i = 0; i < count || carry; i++) {
    if (i == WORDS) {
      overflow = 1;
      return;
    }
    carry += i < a->used ? (int64_t)a->word[i] * factor : 0;
    carry += b && i < b->used ? (int64_t)b->word[i] * times : 0;
    a->word[i] = (uint32_t)carry;
    carry >>= 32;
    if (i >= a->used)
      a->used = i + 1;
  }
  while (a->used && !a->word[a->used - 1])
    a->used--;
}

static int less(const struct number *a, const struct number *b)
{
  if (a->used != b->used)
    return a->used < b->used;
  for (int i = a->used - 1; i >= 0; i--)
    if (a->word[i] != b->word[i])
      return a->word[i] < b->word[i];
  return 0;
}

/* What is left of pi is value / denominator, by the terms so far, and at most numerator / denominator more; all
 * three grow by a common factor. */
static struct number numerator, value, denominator;

/* The next digit, when the terms so far have settled it; -1 when they have not. */
static int settled_digit(void)
{
  struct number rest = value;
  int digit = 0;
  while (!less(&rest, &denominator)) {
    multiply_add(&rest, 1, &denominator, -1);
    digit++;
  }
  multiply_add(&rest, 1, &numerator, 1);
  return less(&rest, &denominator) ? digit : -1;
}

uint64_t benchmark_run(void)
{
  uint64_t sum = CHECKSUM_START;
  numerator = denominator = (struct number){.used = 1, .word = {1}};
  value = (struct number){.used = 1, .word = {3}};
  for (uint32_t found = 0, term = 1; found < DIGITS && !overflow; term++) {
    multiply_add(&value, 2 * term + 1, &numerator, (int32_t)term - 1);
    multiply_add(&denominator, 2 * term + 1, 0, 0);
    multiply_add(&numerator, term, 0, 0);
    int digit = settled_digit();
    if (digit >= 0) {
      sum = checksum(sum, (uint64_t)digit);
      multiply_add(&value, 10, &denominator, -10 * digit);
      multiply_add(&numerator, 10, 0, 0);
      found++;
    }
  }
  return overflow ? 0 : sum;
}
