/* What functions cost that are called back across boundaries. The argument is the number of elements. One line for
 * each place of the iterator: "callbacks NAME ELEMENTS CYCLES INSTRUCTIONS", of all elements together. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime.h"

#define WARM_UP 20 /* callbacks before those that count */

typedef void iterator(void (*function)(void), uint64_t count);

struct measurement {
  uint64_t cycles, instructions, sum;
};

void measure(iterator *iterate, uint64_t count, struct measurement *result);

iterator iterate_same, iterate_complete, iterate_restricted, iterate_another;

int main(void);

int main(void)
{
  static const struct {
    const char *name;
    iterator *iterate;
  } places[] = {
      {"same", iterate_same},
      {"complete", iterate_complete},
      {"restricted", iterate_restricted},
      {"another", iterate_another},
  };
  uint64_t elements = program_argument;
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    struct measurement warm_up, without, with;
    measure(places[i].iterate, WARM_UP, &warm_up);
    measure(places[i].iterate, 0, &without);
    measure(places[i].iterate, elements, &with);
    if (with.sum != 3 * elements || without.sum != 0)
      return 1;
    print("callbacks %s %lu %lu %lu\n", places[i].name, elements, with.cycles - without.cycles,
          with.instructions - without.instructions);
  }
  return 0;
}
