/* Memory of the frame that grows in a loop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef alloca
#define alloca __builtin_alloca
#endif

struct cell {
  struct cell *next;
  int value;
};

static int chain(int count)
{
  struct cell *list = NULL;
  int total = 0;
  for (int i = 0; i < count; i++) {
    struct cell *cell = alloca(sizeof *cell);
    cell->next = list;
    cell->value = i;
    list = cell;
  }
  for (; list; list = list->next)
    total = total * 3 % 1009 + list->value;
  return total;
}

static char *copy_into(char *to, const char *from)
{
  char *twice = alloca(2 * strlen(from) + 1);
  strcpy(twice, from);
  strcat(twice, from);
  return strcpy(to, twice);
}

int main(void)
{
  char buffer[40];
  printf("%d %d\n", chain(10), chain(100));
  printf("%s\n", copy_into(buffer, "again"));
  return 0;
}
