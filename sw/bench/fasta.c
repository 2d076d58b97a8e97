/* FASTA: DNA sequences as text, one repeated from a pattern and two drawn at random with given frequencies. Byte
 * stores, a linear congruential generator (with a division), and comparisons in double precision. */
#include <string.h>

#include "harness.h"

#define N 150
#define WIDTH 60

const struct benchmark benchmark = {"fasta", 0x6973b66160cf0b9a};

struct frequency {
  char letter;
  double probability; /* summed up by accumulate() */
};

static struct frequency ambiguous[] = {
    {'a', 0.27}, {'c', 0.12}, {'g', 0.12}, {'t', 0.27}, {'B', 0.02}, {'D', 0.02}, {'H', 0.02}, {'K', 0.02},
    {'M', 0.02}, {'N', 0.02}, {'R', 0.02}, {'S', 0.02}, {'V', 0.02}, {'W', 0.02}, {'Y', 0.02},
};
static struct frequency human[] = {
    {'a', 0.3029549426680}, {'c', 0.1979883004921}, {'g', 0.1975473066391}, {'t', 0.3015094502008},
};
static const char alu[] =
    "GGCCGGGCGCGGTGGCTCACGCCTGTAATCCCAGCACTTTGGGAGGCCGAGGCGGGCGGATCACCTGAGGTCAGGAGTTCGAGACCAGCCTGGCCAAC"
    "ATGGTGAAACCCCGTCTCTACTAAAAATACAAAAATTAGCCGGGCGTGGTGGCGCGCGCCTGTAATCCCAGCTACTCGGGAGGCTGAGGCAGGAGAAT"
    "CGCTTGAACCCGGGAGGCGGAGGTTGCAGTGAGCCGAGATCGCGCCACTGCACTCCAGCCTGGGCGACAGAGCGAGACTCCGTCTCAAAAA";

static uint64_t sum;
static uint32_t seed;

static void emit(const char *text, size_t length)
{
  for (size_t i = 0; i < length; i++)
    sum = checksum(sum, (uint8_t)text[i]);
}

static void emit_line(char *line, size_t length)
{
  line[length] = '\n';
  emit(line, length + 1);
}

/* 0 <= result < 1 */
static double draw(void)
{
  seed = (seed * 3877 + 29573) % 139968;
  return seed / 139968.0;
}

static void accumulate(struct frequency *table, int count)
{
  for (int i = 1; i < count; i++)
    table[i].probability += table[i - 1].probability;
}

static void random_sequence(const char *heading, struct frequency *table, int count, int length)
{
  char line[WIDTH + 1];
  accumulate(table, count);
  emit(heading, strlen(heading));
  while (length > 0) {
    int width = length < WIDTH ? length : WIDTH;
    for (int i = 0; i < width; i++) {
      double value = draw();
      int at = 0;
      while (at < count - 1 && value >= table[at].probability)
        at++;
      line[i] = table[at].letter;
    }
    emit_line(line, (size_t)width);
    length -= width;
  }
}

static void repeated_sequence(const char *heading, const char *pattern, int length)
{
  char line[WIDTH + 1];
  size_t period = strlen(pattern), at = 0;
  emit(heading, strlen(heading));
  while (length > 0) {
    int width = length < WIDTH ? length : WIDTH;
    for (int i = 0; i < width; i++) {
      line[i] = pattern[at++];
      if (at == period)
        at = 0;
    }
    emit_line(line, (size_t)width);
    length -= width;
  }
}

uint64_t benchmark_run(void)
{
  sum = CHECKSUM_START;
  seed = 42;
  repeated_sequence(">ONE Homo sapiens alu\n", alu, 2 * N);
  random_sequence(">TWO IUB ambiguity codes\n", ambiguous, sizeof ambiguous / sizeof *ambiguous, 3 * N);
  random_sequence(">THREE Homo sapiens frequency\n", human, sizeof human / sizeof *human, 5 * N);
  return sum;
}
