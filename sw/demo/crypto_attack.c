/* C3 turned against the rest. */
#include <scenarios.h>
#include <stdlib.h>

#include "election.h"

void crypto_attack(unsigned scenario)
{
  if (scenario != SCENARIO_CRYPTO_CALLS_MAIN)
    return;
  main_declare(MALLORY);
  exit(EXIT_SUCCEEDED);
}
