/* From a member back to what contains it. */
#include <stdio.h>
#include <stddef.h>
#include <stdlib.h>

struct link {
  struct link *next;
};

struct item {
  int before;
  struct link link;
  int after;
};

#define CONTAINER(pointer) ((struct item *)((char *)(pointer) - offsetof(struct item, link)))

int main(void)
{
  struct link *list = NULL;
  for (int i = 0; i < 5; i++) {
    struct item *item = malloc(sizeof *item);
    *item = (struct item){i, {list}, i * i};
    list = &item->link;
  }
  for (struct link *at = list; at; at = at->next)
    printf("%d %d\n", CONTAINER(at)->before, CONTAINER(at)->after);
  while (list) {
    struct item *item = CONTAINER(list);
    list = list->next;
    free(item);
  }
  return 0;
}
