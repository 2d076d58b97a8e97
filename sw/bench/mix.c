/* Mix: what programs without numerics do, in the proportions that Dhrystone made usual: assignments between records
 * and their fields through pointers, string copies and comparisons, branches on enumerations, small arrays, many
 * calls, now and then a multiplication or a division. A round is a day in a warehouse. */
#include <string.h>

#include "harness.h"

#define ROUNDS 500
#define SHELVES 16
#define NAME 32

const struct benchmark benchmark = {"mix", 0xbf13168540b95151};

enum state { EMPTY, STORED, RESERVED, SHIPPED, LOST };

struct item {
  struct item *next;
  enum state state;
  int shelf, weight;
  char name[NAME];
};

static struct item items[4];
static struct item *newest;
static int stock[SHELVES], moves[SHELVES][SHELVES];
static int64_t ledger;

/* Not inlined, so that calls stay calls. */
#define SEPARATE __attribute__((noinline))

static SEPARATE int price(int weight, int distance)
{
  int raw = weight * (distance + 3);
  return raw > 40 ? raw - raw / 7 : raw + 2;
}

static SEPARATE enum state after(enum state state, int weight)
{
  switch (state) {
  case EMPTY:
    return STORED;
  case STORED:
    return weight & 1 ? RESERVED : STORED;
  case RESERVED:
    return weight > 20 ? SHIPPED : RESERVED;
  case SHIPPED:
    return EMPTY;
  default:
    return LOST;
  }
}

static SEPARATE int same_kind(const char *one, const char *other)
{
  int at = 0;
  while (at < 3 && one[at] == other[at])
    at++;
  if (at < 3)
    return one[at] > other[at] ? 1 : 2;
  return strcmp(one, other) == 0 ? 3 : 4;
}

static SEPARATE void move(struct item *item, int to)
{
  int from = item->shelf;
  stock[from] -= item->weight;
  stock[to] += item->weight;
  moves[from][to]++;
  item->shelf = to;
  ledger += price(item->weight, from > to ? from - to : to - from);
}

/* The oldest item becomes the newest: a copy of the record of `model`, but for its place in the list. */
static SEPARATE void renew(struct item *item, const struct item *model, int round)
{
  struct item *next = item->next;
  *item = *model;
  item->next = next;
  item->weight = (model->weight + round) % 37 + 1;
  item->state = after(model->state, item->weight);
  newest = item;
}

static SEPARATE void label(struct item *item, const char *name, int round)
{
  strcpy(item->name, name);
  item->name[strlen(name) - 1] = (char)('A' + round % 26);
}

uint64_t benchmark_run(void)
{
  static const char *const names[] = {"bolts, ten of a box, size 1", "bolts, ten of a box, size 2",
                                      "nails, loose, by weight, --", "paint, tin, white, outdoor "};
  uint64_t sum = CHECKSUM_START;
  for (int i = 0; i < 4; i++) {
    items[i].next = &items[(i + 1) % 4];
    items[i].weight = 5 * i + 7;
    items[i].shelf = i;
    stock[i] = items[i].weight;
    label(&items[i], names[i], 0);
  }
  newest = &items[0];
  for (int round = 0; round < ROUNDS; round++) {
    struct item *item = newest->next, *last = newest;
    renew(item, last, round);
    label(item, names[round & 3], round);
    move(item, (item->shelf * 5 + round) % SHELVES);
    switch (same_kind(item->name, last->name)) {
    case 1:
      ledger += item->weight;
      break;
    case 2:
      ledger -= last->weight;
      break;
    case 3:
      item->state = LOST;
      break;
    default:
      move(last, item->shelf);
    }
    if (item->state == LOST || item->state == SHIPPED)
      item->state = EMPTY;
    for (int shelf = round & 7; shelf < (round & 7) + 4; shelf++)
      if (stock[shelf] > stock[shelf + 1])
        moves[shelf][shelf + 1] += stock[shelf] - stock[shelf + 1];
    sum = checksum(sum, (uint64_t)ledger);
  }
  for (int from = 0; from < SHELVES; from++)
    for (int to = 0; to < SHELVES; to++)
      sum = checksum(sum, (uint64_t)moves[from][to]);
  return sum;
}
