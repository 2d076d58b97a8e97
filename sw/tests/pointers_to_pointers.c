/* Through several levels, and lists changed through the address of a link. */
#include <stdio.h>
#include <stdlib.h>

struct node {
  int key;
  struct node *next;
};

static void insert(struct node **at, int key)
{
  while (*at && (*at)->key < key)
    at = &(*at)->next;
  struct node *node = malloc(sizeof *node);
  node->key = key;
  node->next = *at;
  *at = node;
}

static void drop(struct node **at, int key)
{
  for (; *at; at = &(*at)->next)
    if ((*at)->key == key) {
      struct node *gone = *at;
      *at = gone->next;
      free(gone);
      return;
    }
}

int main(void)
{
  struct node *list = NULL;
  for (int i = 0; i < 10; i++)
    insert(&list, i * 7 % 10);
  drop(&list, 0);
  drop(&list, 5);
  drop(&list, 9);
  drop(&list, 42);
  for (struct node *at = list; at; at = at->next)
    printf("%d ", at->key);
  int value = 1, *one = &value, **two = &one, ***three = &two;
  ***three = 8;
  int other = 3;
  *two = &other;
  ***three += 1;
  printf("%d %d\n", value, other);
  return 0;
}
