/* A third party's report library, run as restricted fluid code. */
#include <scenarios.h>
#include <stdio.h>
#include <stdlib.h>

#include "election.h"

void report_rows(size_t rows, void (*emit)(size_t row, void *context), void *context)
{
  for (size_t row = 0; row < rows; row++)
    emit(row, context);
}

uint64_t report_descend(unsigned depth, uint64_t (*visit)(unsigned depth))
{
  return visit(depth) + 1;
}

/* What its author slipped in. */
void report_attack(unsigned scenario, struct sealed_ballot *sealed)
{
  static const char *const names[CANDIDATES] = CANDIDATE_NAMES;
  ESCAPING_LOCALS();
  struct ballot stolen;
  struct ballot *stolen_pointer = ESCAPE(stolen);
  if (scenario == SCENARIO_RESTRICTED_CALLS_CRYPTO)
    crypto_open(sealed, stolen_pointer);
  else
    iterate(sealed, 2, sizeof *sealed, crypto_open_each, stolen_pointer);
  print("attack: stole the ballot of %s, for %s\n", stolen.voter, names[stolen.candidate]);
  exit(EXIT_SUCCEEDED);
}
