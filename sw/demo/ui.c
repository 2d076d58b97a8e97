/* C4: takes the voters' ballots, here from a list, and shows the result. */
#include <stdio.h>
#include <string.h>

#include "election.h"

static const struct ballot ballots[] = {
    {"ann", 0}, {"ben", 1},  {"cat", 0}, {"dan", 2}, {"eve", 3},  {"fay", 0},
    {"gus", 1}, {"hal", 1},  {"ida", 2}, {"jon", 0}, {"kim", 1},  {"lea", 0},
};

static const char *const names[CANDIDATES] = CANDIDATE_NAMES;

struct result {
  const struct tally *tally;
  const uint8_t *order;
};

unsigned ui_ballots(void)
{
  return sizeof ballots / sizeof ballots[0];
}

void ui_take_ballot(unsigned number, struct ballot *ballot, struct sealed_ballot *sealed)
{
  memcpy(val_extent(ballot, sizeof *ballot), &ballots[number], sizeof *ballot);
  crypto_seal(ballot, number, sealed); /* a tail call into another compartment */
}

static void emit_row(size_t row, void *context)
{
  const struct result *result = context;
  unsigned candidate = AT(FIELD(result, order), row);
  unsigned votes = FIELD(FIELD(result, tally), votes[candidate]);
  char bar[20] = "";
  memset(bar, '#', votes < sizeof bar ? votes : sizeof bar - 1);
  print("ui: %lu. %-8s %3u %s\n", row + 1, names[candidate], votes, bar);
}

void ui_render(const struct tally *tally, const uint8_t *order)
{
  ESCAPING_LOCALS();
  struct result result = {tally, order};
  report_rows(CANDIDATES, emit_row, ESCAPE(result)); /* restricted fluid code, which calls back */
}
