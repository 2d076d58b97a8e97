/* C1: opens the election, has ballots taken, cast and counted, and declares the winner. */
#include <hypercall.h>
#include <runtime.h>
#include <scenarios.h>
#include <stdio.h>
#include <stdlib.h>

#include "election.h"

#define PRECINCTS 600         /* more activations than the shadow stack has entries on chip */
#define BROKEN_BALLOT 6       /* this one arrives with a broken seal */
#define BALLOTS_FOR_ATTACKS 3 /* enough to steal */

const char postal_votes[] = "0=2,2=4";

int main(void);

void main_declare(unsigned candidate)
{
  static const char *const names[CANDIDATES] = CANDIDATE_NAMES;
  print("main: the winner is %s\n", names[candidate]);
}

/* 1 when the ballot is in the box, 0 when its seal is broken: crypto jumps here over the vote handler. */
static __attribute__((noinline)) int cast(const struct sealed_ballot *sealed)
{
  jmp_buf forgery;
  if (setjmp(forgery) == 0) {
    votes_cast(sealed, forgery);
    setjmp_leave(forgery);
    return 1;
  }
  setjmp_leave(forgery);
  return 0;
}

static struct sealed_ballot *take_ballots(unsigned count)
{
  ESCAPING_LOCALS();
  struct sealed_ballot *sealed = malloc(count * sizeof *sealed);
  struct ballot paper;
  struct ballot *paper_pointer = ESCAPE(paper);
  for (unsigned i = 0; i < count; i++)
    ui_take_ballot(i, paper_pointer, ELEMENT_ADDRESS(sealed, i));
  if (count > BROKEN_BALLOT)
    FIELD(ELEMENT_ADDRESS(sealed, BROKEN_BALLOT), text[3]) ^= 1;
  return sealed;
}

static void cast_ballots(struct sealed_ballot *sealed, unsigned count)
{
  print("main: %u of %u seals are whole\n", votes_check(sealed, count), count);
  for (unsigned i = 0; i < count; i++)
    if (!cast(ELEMENT_ADDRESS(sealed, i)))
      print("main: ballot %u rejected, its seal is broken\n", i);
  if (votes_import(static_pointer_postal_votes + 3, 4) == 0)
    print("main: a malformed list of postal votes got through\n");
  if (votes_import(static_pointer_postal_votes, sizeof postal_votes - 1) != 0)
    print("main: the postal votes are malformed\n");
}

/* Mutual recursion with restricted fluid code: two crossings a level. */
static uint64_t visit_precinct(unsigned precinct)
{
  return precinct ? precinct + report_descend(precinct - 1, visit_precinct) : 0;
}

static void visit_precincts(void)
{
  hypercall(HYPERCALL_TICKS, MINIMUM_TICK_PERIOD, 0);
  uint64_t sum = visit_precinct(PRECINCTS);
  uint64_t ticks = hypercall(HYPERCALL_TICKS, 0, 0);
  print("main: %u precincts, sum %lu, %s\n", PRECINCTS, sum, ticks ? "interrupted" : "not interrupted");
}

static __attribute__((noinline)) void session(unsigned scenario, struct sealed_ballot *sealed)
{
  jmp_buf aborted;
  if (setjmp(aborted) == 0) {
    votes_import(static_pointer_postal_votes, 3); /* late ones */
    crypto_attack(scenario);
    ui_attack(scenario, sealed);
  } else {
    print("main: the session was aborted\n");
  }
  setjmp_leave(aborted);
}

static void finish(void)
{
  ESCAPING_LOCALS();
  struct tally tally;
  uint8_t order[CANDIDATES];
  struct tally *tally_pointer = ESCAPE(tally);
  uint8_t *order_pointer = ESCAPE_ARRAY(order);
  votes_tally(tally_pointer);
  print("main: %u ballots and %u postal votes\n", tally.ballots,
        library_sum(FIELD_ADDRESS(tally_pointer, votes[0]), CANDIDATES) - tally.ballots);
  library_rank(FIELD_ADDRESS(tally_pointer, votes[0]), order_pointer, CANDIDATES);
  ui_render(tally_pointer, order_pointer);
  main_declare(order[0]);
}

int main(void)
{
  unsigned scenario = (unsigned)program_argument;
  unsigned count = scenario == SCENARIO_LEGAL ? ui_ballots() : BALLOTS_FOR_ATTACKS;
  print("main: an election of %u candidates, %u ballots\n", CANDIDATES, count);
  crypto_start();
  if (votes_open(count))
    return 1;
  struct sealed_ballot *sealed = take_ballots(count);
  cast_ballots(sealed, count);
  if (scenario != SCENARIO_LEGAL) {
    session(scenario, sealed);
    print("main: the attack had no effect\n");
    return 1;
  }
  visit_precincts();
  finish();
  free(sealed);
  return 0;
}
