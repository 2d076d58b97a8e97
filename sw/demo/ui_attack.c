/* C4 turned against the rest. Each attack that goes through prints what it stole or changed. */
#include <jump.h>
#include <scenarios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "election.h"

#define PIN 4471
#define FORGED_BALLOTS 500

_Noreturn void ui_hijack_jump(const void *target, void (*afterwards)(void), const void *argument);
_Noreturn void ui_hijack_return(const void *target, void (*afterwards)(void), const void *argument);

static const char *const names[CANDIDATES] = CANDIDATE_NAMES;
static unsigned running; /* the scenario, for code that gets no arguments */

static _Noreturn void succeeded(void)
{
  exit(EXIT_SUCCEEDED);
}

static void show_ballot(void *ballot, void *context)
{
  const struct ballot *stolen = ballot;
  (void)context;
  print("attack: stole the ballot of %s, for %s\n", stolen->voter, names[stolen->candidate]);
  succeeded();
}

/* Where functions of other compartments return to, once their return addresses come from the attacker. */
static void afterwards(void)
{
  if (running == SCENARIO_LONGJMP_NEVER_ARMED) {
    if (votes_by_post() == 0)
      print("attack: the postal votes are gone\n");
  } else if (running == SCENARIO_LONGJMP_OTHER_STACK) {
    print("attack: main ran on a stack made by UI\n");
  } else {
    print("attack: the ballot box holds %u ballots\n", votes_in_box());
  }
  succeeded();
}

static void stuff_the_box(void)
{
  votes_add(MALLORY, 1000);
  print("attack: mallory has %u votes\n", votes_of(MALLORY));
  succeeded();
}

static void confuse_the_library(void)
{
  ESCAPING_LOCALS();
  struct ballot forged = {"nobody", MALLORY};
  struct ballot *forged_pointer = ESCAPE(forged);
  iterate(forged_pointer, FORGED_BALLOTS, 0, votes_count_ballot, 0);
  print("attack: mallory has %u votes\n", votes_of(MALLORY));
  succeeded();
}

/* Writes the runtime's memory as code can whose accesses are not checked. */
static void forge_jump(void)
{
  static uint64_t stack[512];
  for (size_t i = 0; i < sizeof stack / sizeof stack[0]; i++)
    stack[i] = (uintptr_t)afterwards;
  /* Slot 0 is main's, and live. Slot 1 holds what the vote handler left when it read the postal votes. */
  struct jump_slot forged = jump_slots[running == SCENARIO_LONGJMP_NEVER_ARMED ? 1 : 0];
  jmp_buf buffer = {{jump_slots[0].handle}};
  forged.sp = (uintptr_t)&stack[256];
  forged.handle = buffer[0].handle;
  jump_slots[0] = forged;
  longjmp(buffer, 1);
}

/* Two objects of 16 bytes, the second right behind the first. */
static void *adjacent_blocks(void **second)
{
  void *first = malloc(16);
  for (;;) {
    *second = malloc(16);
    if (!*second || (uint32_t)(uintptr_t)*second == (uint32_t)(uintptr_t)first + 16)
      return first;
    first = *second;
  }
}

static void overflow_by_one(void)
{
  void *second;
  char *name = adjacent_blocks(&second);
  uint8_t *vote = second;
  AT(vote, 0) = 1;
  for (unsigned i = 0; i <= 16; i++)
    AT(name, i) = MALLORY;
  print("attack: the vote beside the buffer changed from %s to %s\n", names[1], names[AT(vote, 0)]);
  succeeded();
}

static void access_across_end(void)
{
  uint32_t *wallet = malloc(16);
  AT(wallet, 3) = PIN;
  free(wallet);
  uint64_t *record = malloc(12); /* on the base core the same memory */
  uint64_t both = AT(record, 1);
  print("attack: read %u behind the end\n", (unsigned)(both >> 32));
  succeeded();
}

static void use_after_free(void)
{
  uint32_t *stale = malloc(16);
  free(stale);
  uint32_t *wallet = malloc(16);
  AT(wallet, 0) = PIN;
  print("attack: the freed pointer reads the PIN %u\n", AT(stale, 0));
  succeeded();
}

static void use_after_reuse(void)
{
  void *neighbour;
  uint32_t *stale = adjacent_blocks(&neighbour);
  free(stale);
  uint32_t *wallet = malloc(16);
  /* Wait until the allocator gives the block out again. */
  for (unsigned i = 0; i < 100 && (uint32_t)(uintptr_t)wallet != (uint32_t)(uintptr_t)stale; i++) {
    free(wallet);
    wallet = malloc(16);
  }
  AT(wallet, 0) = PIN;
  print("attack: the freed pointer reads the PIN %u\n", AT(stale, 0));
  succeeded();
}

static __attribute__((noipa)) uint32_t *leave_pointer(void)
{
  ESCAPING_LOCALS();
  uint32_t local[16];
  memset(local, 0, sizeof local);
  return ESCAPE_ARRAY(local);
}

static __attribute__((noipa)) unsigned keep_secret(void)
{
  volatile uint32_t wallet[16];
  for (unsigned i = 0; i < 16; i++)
    wallet[i] = PIN;
  return wallet[3];
}

static void read_dead_frame(void)
{
  uint32_t *dangling = leave_pointer();
  keep_secret();
  print("attack: the dead frame shows the PIN %u\n", AT(dangling, 8));
  succeeded();
}

void ui_attack(unsigned scenario, struct sealed_ballot *sealed)
{
  running = scenario;
  switch (scenario) {
  case SCENARIO_UI_CALLS_VOTE_HANDLER:
    stuff_the_box();
    break;
  case SCENARIO_JUMP_INTO_FUNCTION:
    ui_hijack_jump(votes_recount_authorised, afterwards, 0);
  case SCENARIO_RETURN_INTO_COMPARTMENT:
    ui_hijack_return(votes_recount_authorised, afterwards, 0);
  case SCENARIO_RETURN_TO_LANDING_PAD:
    ui_hijack_return((const void *)votes_for_each, afterwards, (const void *)show_ballot);
  case SCENARIO_CONFUSED_DEPUTY:
    confuse_the_library();
    break;
  case SCENARIO_RESTRICTED_CALLS_CRYPTO:
  case SCENARIO_RESTRICTED_CALLS_CRYPTO_THROUGH_FLUID:
    report_attack(scenario, sealed);
    break;
  case SCENARIO_LONGJMP_NEVER_ARMED:
  case SCENARIO_LONGJMP_OTHER_STACK:
    forge_jump();
    break;
  case SCENARIO_HEAP_OVERFLOW_BY_ONE:
    overflow_by_one();
    break;
  case SCENARIO_HEAP_ACCESS_ACROSS_END:
    access_across_end();
    break;
  case SCENARIO_USE_AFTER_FREE:
    use_after_free();
    break;
  case SCENARIO_USE_AFTER_REUSE:
    use_after_reuse();
    break;
  case SCENARIO_DEAD_STACK_FRAME:
    read_dead_frame();
    break;
  }
}
