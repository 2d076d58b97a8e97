/* Clock cycles of a call and its return, for each way there is. One line for each: "crossing NAME ITERATIONS
 * CYCLES", cycles of all iterations without the loop around them. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ITERATIONS 1000

uint64_t measure_calls(void (*function)(void), uint64_t iterations);
uint64_t measure_loop(uint64_t iterations);

void caller_leaf(void);     /* in this compartment */
void caller_tail(void);     /* in this compartment, which goes on to caller_leaf */
void callee_leaf(void);     /* in another one */
void callee_tail(void);     /* in another one, which goes on to a third */
void restricted_leaf(void); /* in restricted fluid code */
void complete_leaf(void);   /* in complete fluid code */

int main(void);

int main(void)
{
  static const struct {
    const char *name;
    void (*function)(void);
  } ways[] = {
      {"inside", caller_leaf},         {"across", callee_leaf},
      {"tail_inside", caller_tail},    {"tail_across", callee_tail},
      {"restricted", restricted_leaf}, {"complete", complete_leaf},
  };
  uint64_t loop = measure_loop(ITERATIONS);
  for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
    print("crossing %s %u %lu\n", ways[i].name, ITERATIONS, measure_calls(ways[i].function, ITERATIONS) - loop);
  return 0;
}
