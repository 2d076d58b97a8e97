/* Doubly linked, circular, with a head that is a local. */
#include <stdio.h>
#include <stdlib.h>

struct ring {
  struct ring *next, *before;
  int value;
};

static void insert(struct ring *head, struct ring *new)
{
  new->next = head;
  new->before = head->before;
  head->before->next = new;
  head->before = new;
}

static void take(struct ring *item)
{
  item->next->before = item->before;
  item->before->next = item->next;
}

int main(void)
{
  struct ring head = {&head, &head, 0}, local = {0, 0, 99};
  for (int i = 1; i <= 6; i++) {
    struct ring *item = malloc(sizeof *item);
    item->value = i;
    insert(&head, item);
  }
  insert(&head, &local);
  for (struct ring *at = head.next; at != &head; at = at->next)
    printf("%d ", at->value);
  take(&local);
  while (head.next != &head) {
    struct ring *item = head.next;
    take(item);
    printf("-%d ", item->value);
    free(item);
  }
  printf("\n");
  return 0;
}
