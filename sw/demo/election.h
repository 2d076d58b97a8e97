/* What the compartments of the election know of each other. Pointers are fat pointers, but for text constants. */
#ifndef ELECTION_H
#define ELECTION_H

#include <fat_pointer.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#define CANDIDATES 4
#define MALLORY 3
#define CANDIDATE_NAMES {"alice", "bob", "carol", "mallory"}

struct ballot {
  char voter[15];
  uint8_t candidate;
};

/* ChaCha20-Poly1305 (RFC 8439) of a ballot. */
struct sealed_ballot {
  uint8_t nonce[12];
  uint8_t text[sizeof(struct ballot)];
  uint8_t tag[16];
};

struct tally {
  uint32_t votes[CANDIDATES];
  uint32_t ballots;
};

/* C1 main: the course of the election. */
void main_declare(unsigned candidate);
extern const char postal_votes[];
STATIC_POINTER(const char, postal_votes);

/* C2 votes: the ballot box. */
int votes_open(unsigned capacity);
void votes_cast(const struct sealed_ballot *sealed, jmp_buf on_forgery); /* jumps when the seal is broken */
unsigned votes_check(const struct sealed_ballot *sealed, unsigned count); /* how many seals are whole */
void votes_tally(struct tally *tally);
unsigned votes_of(unsigned candidate);
unsigned votes_in_box(void);
void votes_add(unsigned candidate, unsigned count); /* by post; the officer's */
int votes_recount(uint64_t officer_key);            /* empties the box; the officer's */
extern const char votes_recount_authorised[];       /* the instruction behind its check of the key */
void votes_for_each(void (*visit)(void *ballot, void *context), void *context);
void votes_count_ballot(void *ballot, void *context); /* for iterate */
int votes_import(const char *text, size_t length);    /* "0=12,1=7": postal votes; -1 and none if malformed */
unsigned votes_by_post(void);

/* C3 crypto: the only one that knows the key. */
void crypto_start(void);
void crypto_seal(const struct ballot *ballot, unsigned number, struct sealed_ballot *sealed);
int crypto_open(const struct sealed_ballot *sealed, struct ballot *ballot); /* 0: the seal is broken */
void crypto_open_or_jump(const struct sealed_ballot *sealed, struct ballot *ballot, jmp_buf on_forgery);
void crypto_check_each(void *sealed, void *whole); /* for iterate: counts in the unsigned at `whole` */
void crypto_open_each(void *sealed, void *ballot); /* for iterate: opens into the same ballot */
void crypto_attack(unsigned scenario);

/* C4 ui: voters' input, and the result. */
unsigned ui_ballots(void);
void ui_take_ballot(unsigned number, struct ballot *ballot, struct sealed_ballot *sealed);
void ui_render(const struct tally *tally, const uint8_t *order);
void ui_attack(unsigned scenario, struct sealed_ballot *sealed);

/* C5 library: only main may call it. */
void library_rank(const uint32_t *keys, uint8_t *order, size_t count); /* order: descending */
uint32_t library_sum(const uint32_t *values, size_t count);

/* Restricted fluid: a third party's report library. */
void report_rows(size_t rows, void (*emit)(size_t row, void *context), void *context);
uint64_t report_descend(unsigned depth, uint64_t (*visit)(unsigned depth));
void report_attack(unsigned scenario, struct sealed_ballot *sealed);

#endif
