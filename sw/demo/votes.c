/* C2: the ballot box. Ballots are kept opened, in the order they came. */
#include <runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "election.h"

#define EVERY_TEMPORARY \
  "ra", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7"

static struct ballot *box;
static unsigned used, capacity;
static uint32_t counted[CANDIDATES];
static uint32_t added[CANDIDATES];
static volatile uint64_t officer = UINT64_C(0x6f66666963657221);

int votes_open(unsigned ballots)
{
  box = malloc(ballots * sizeof *box);
  capacity = ballots;
  used = 0;
  return box ? 0 : -1;
}

void votes_cast(const struct sealed_ballot *sealed, jmp_buf on_forgery)
{
  if (used == capacity)
    return;
  crypto_open_or_jump(sealed, ELEMENT_ADDRESS(box, used), on_forgery);
  used++;
}

unsigned votes_check(const struct sealed_ballot *sealed, unsigned count)
{
  ESCAPING_LOCALS();
  unsigned whole = 0;
  /* fluid code calls crypto with our permission */
  iterate((void *)sealed, count, sizeof *sealed, crypto_check_each, ESCAPE(whole));
  return whole;
}

void votes_count_ballot(void *ballot, void *context)
{
  unsigned candidate = FIELD((const struct ballot *)ballot, candidate);
  (void)context;
  if (candidate < CANDIDATES)
    counted[candidate]++;
}

void votes_for_each(void (*visit)(void *ballot, void *context), void *context)
{
  iterate(box, used, sizeof *box, visit, context);
}

void votes_tally(struct tally *tally)
{
  memset(counted, 0, sizeof counted);
  votes_for_each(votes_count_ballot, 0);
  for (unsigned candidate = 0; candidate < CANDIDATES; candidate++)
    FIELD(tally, votes[candidate]) = votes_of(candidate);
  FIELD(tally, ballots) = used;
}

unsigned votes_of(unsigned candidate)
{
  return counted[candidate] + added[candidate];
}

unsigned votes_in_box(void)
{
  return used;
}

void votes_add(unsigned candidate, unsigned count)
{
  added[candidate] += count;
}

int votes_recount(uint64_t officer_key)
{
  if (officer_key != officer)
    return -1;
  /* Named for the attacker, who jumps here; he finds nothing of the function's in registers. */
  __asm__ volatile(".globl votes_recount_authorised\nvotes_recount_authorised:" : : : EVERY_TEMPORARY, "memory");
  used = 0;
  print("votes: the box is emptied for a recount\n");
  return 0;
}
