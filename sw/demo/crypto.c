/* C3: ballots sealed with ChaCha20-Poly1305 (RFC 8439, without associated data). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "election.h"

static uint32_t key[8];

static uint32_t load32(const uint8_t *bytes)
{
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void store32(uint8_t *bytes, uint32_t value)
{
  for (unsigned i = 0; i < 4; i++)
    bytes[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t rotate(uint32_t value, unsigned bits)
{
  return value << bits | value >> (32 - bits);
}

static void quarter_round(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
  *a += *b, *d = rotate(*d ^ *a, 16);
  *c += *d, *b = rotate(*b ^ *c, 12);
  *a += *b, *d = rotate(*d ^ *a, 8);
  *c += *d, *b = rotate(*b ^ *c, 7);
}

/* RFC 8439, section 2.3 */
static void chacha20_block(const uint32_t block_key[8], uint32_t counter, const uint32_t nonce[3], uint8_t out[64])
{
  uint32_t input[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  uint32_t x[16];
  memcpy(input + 4, block_key, 32);
  input[12] = counter;
  memcpy(input + 13, nonce, 12);
  memcpy(x, input, sizeof x);
  for (unsigned round = 0; round < 10; round++) {
    for (unsigned i = 0; i < 4; i++)
      quarter_round(x + i, x + 4 + i, x + 8 + i, x + 12 + i);
    for (unsigned i = 0; i < 4; i++)
      quarter_round(x + i, x + 4 + (i + 1) % 4, x + 8 + (i + 2) % 4, x + 12 + (i + 3) % 4);
  }
  for (unsigned i = 0; i < 16; i++)
    store32(out + 4 * i, x[i] + input[i]);
}

/* RFC 8439, section 2.5, in limbs of 26 bits. `length` bytes; the one-time key is 32 bytes. */
static void poly1305(const uint8_t *message, size_t length, const uint8_t one_time_key[32], uint8_t tag[16])
{
  const uint32_t limb = 0x3ffffff;
  uint64_t h[5] = {0}, r[5];
  r[0] = load32(one_time_key) & 0x3ffffff;
  r[1] = load32(one_time_key + 3) >> 2 & 0x3ffff03;
  r[2] = load32(one_time_key + 6) >> 4 & 0x3ffc0ff;
  r[3] = load32(one_time_key + 9) >> 6 & 0x3f03fff;
  r[4] = load32(one_time_key + 12) >> 8 & 0x00fffff;
  for (size_t at = 0; at < length; at += 16) {
    uint8_t block[17] = {0};
    size_t count = length - at < 16 ? length - at : 16;
    memcpy(block, message + at, count);
    block[count] = 1;
    h[0] += load32(block) & limb;
    h[1] += load32(block + 3) >> 2 & limb;
    h[2] += load32(block + 6) >> 4 & limb;
    h[3] += load32(block + 9) >> 6 & limb;
    h[4] += load32(block + 12) >> 8 | (uint64_t)block[16] << 24;
    uint64_t product[5];
    for (unsigned i = 0; i < 5; i++) {
      product[i] = 0;
      for (unsigned j = 0; j < 5; j++) /* 2^130 = 5 */
        product[i] += h[j] * (j <= i ? r[i - j] : 5 * r[5 + i - j]);
    }
    uint64_t carry = 0;
    for (unsigned i = 0; i < 5; i++) {
      product[i] += carry;
      h[i] = product[i] & limb;
      carry = product[i] >> 26;
    }
    h[0] += 5 * carry;
    h[1] += h[0] >> 26;
    h[0] &= limb;
  }
  for (unsigned i = 1; i < 5; i++) {
    h[(i + 1) % 5] += (h[i] >> 26) * (i == 4 ? 5 : 1);
    h[i] &= limb;
  }
  h[1] += h[0] >> 26;
  h[0] &= limb;
  /* h - (2^130 - 5), if that is not negative */
  uint64_t g[5], carry = 5;
  for (unsigned i = 0; i < 5; i++) {
    g[i] = h[i] + carry;
    carry = g[i] >> 26;
    g[i] &= limb;
  }
  const uint64_t *low = carry ? g : h;
  uint32_t words[4] = {
      (uint32_t)(low[0] | low[1] << 26),
      (uint32_t)(low[1] >> 6 | low[2] << 20),
      (uint32_t)(low[2] >> 12 | low[3] << 14),
      (uint32_t)(low[3] >> 18 | low[4] << 8),
  };
  uint64_t sum = 0;
  for (unsigned i = 0; i < 4; i++) {
    sum += (uint64_t)words[i] + load32(one_time_key + 16 + 4 * i);
    store32(tag + 4 * i, (uint32_t)sum);
    sum >>= 32;
  }
}

/* Encrypts or decrypts `text` in place, and makes the tag of the ciphertext before or after. */
static void cipher(const uint8_t nonce[12], uint8_t text[16], uint8_t tag[16], int sealing)
{
  uint32_t words[3] = {load32(nonce), load32(nonce + 4), load32(nonce + 8)};
  uint8_t one_time_key[64], stream[64];
  uint8_t message[32] = {0}; /* ciphertext, then the lengths: 0 and 16 */
  chacha20_block(key, 0, words, one_time_key);
  chacha20_block(key, 1, words, stream);
  if (!sealing)
    memcpy(message, text, 16);
  for (unsigned i = 0; i < 16; i++)
    text[i] ^= stream[i];
  if (sealing)
    memcpy(message, text, 16);
  message[24] = 16;
  poly1305(message, sizeof message, one_time_key, tag);
}

/* The examples of RFC 8439, sections 2.3.2 and 2.5.2. */
static int self_test(void)
{
  static const uint32_t nonce[3] = {0x09000000, 0x4a000000, 0x00000000};
  static const uint8_t one_time_key[32] = {
      0x85, 0xd6, 0xbe, 0x78, 0x57, 0x55, 0x6d, 0x33, 0x7f, 0x44, 0x52, 0xfe, 0x42, 0xd5, 0x06, 0xa8,
      0x01, 0x03, 0x80, 0x8a, 0xfb, 0x0d, 0xb2, 0xfd, 0x4a, 0xbf, 0xf6, 0xaf, 0x41, 0x49, 0xf5, 0x1b,
  };
  static const uint8_t expected[16] = {
      0xa8, 0x06, 0x1d, 0xc1, 0x30, 0x51, 0x36, 0xc6, 0xc2, 0x2b, 0x8b, 0xaf, 0x0c, 0x01, 0x27, 0xa9,
  };
  static const char message[] = "Cryptographic Forum Research Group";
  uint32_t test_key[8];
  uint8_t block[64], tag[16];
  for (unsigned i = 0; i < 8; i++)
    test_key[i] = 0x03020100 + 0x04040404 * i;
  chacha20_block(test_key, 1, nonce, block);
  poly1305((const uint8_t *)message, sizeof message - 1, one_time_key, tag);
  return load32(block) == 0xe4e7f110 && load32(block + 60) == 0x4e3c50a2 && !memcmp(tag, expected, 16);
}

void crypto_start(void)
{
  static const char phrase[] = "an election is no place for bugs";
  if (!self_test()) {
    print("crypto: the self-test failed\n");
    exit(1);
  }
  memcpy(key, phrase, sizeof key);
}

void crypto_seal(const struct ballot *ballot, unsigned number, struct sealed_ballot *sealed)
{
  struct sealed_ballot made = {0};
  store32(made.nonce, number);
  memcpy(made.text, val_extent(ballot, sizeof *ballot), sizeof made.text);
  cipher(made.nonce, made.text, made.tag, 1);
  memcpy(val_extent(sealed, sizeof *sealed), &made, sizeof made);
}

int crypto_open(const struct sealed_ballot *sealed, struct ballot *ballot)
{
  struct sealed_ballot opened;
  uint8_t tag[16];
  uint8_t difference = 0;
  memcpy(&opened, val_extent(sealed, sizeof *sealed), sizeof opened);
  cipher(opened.nonce, opened.text, tag, 0);
  for (unsigned i = 0; i < sizeof tag; i++)
    difference |= tag[i] ^ opened.tag[i];
  if (difference)
    return 0;
  memcpy(val_extent(ballot, sizeof *ballot), opened.text, sizeof opened.text);
  return 1;
}

void crypto_open_or_jump(const struct sealed_ballot *sealed, struct ballot *ballot, jmp_buf on_forgery)
{
  if (!crypto_open(sealed, ballot))
    longjmp(on_forgery, 1);
}

void crypto_check_each(void *sealed, void *whole)
{
  ESCAPING_LOCALS();
  struct ballot ballot;
  if (crypto_open(sealed, ESCAPE(ballot)))
    AT((unsigned *)whole, 0)++;
}

void crypto_open_each(void *sealed, void *ballot)
{
  crypto_open(sealed, ballot);
}
