/* Open addressing and chains, grown while in use. */
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct entry {
  char *key;
  int value;
  struct entry *next;
};

struct table {
  struct entry **slots;
  size_t room, used;
};

static size_t hash(const char *text)
{
  size_t h = 5381;
  while (*text)
    h = h * 33 ^ (unsigned char)*text++;
  return h;
}

static void grow(struct table *t)
{
  size_t room = t->room ? 2 * t->room : 4;
  struct entry **slots = calloc(room, sizeof *slots);
  for (size_t i = 0; i < t->room; i++)
    for (struct entry *e = t->slots[i], *next; e; e = next) {
      next = e->next;
      e->next = slots[hash(e->key) % room];
      slots[hash(e->key) % room] = e;
    }
  free(t->slots);
  t->slots = slots;
  t->room = room;
}

static int *lookup(struct table *t, const char *key)
{
  if (t->used >= t->room)
    grow(t);
  struct entry **slot = &t->slots[hash(key) % t->room];
  for (struct entry *e = *slot; e; e = e->next)
    if (!strcmp(e->key, key))
      return &e->value;
  struct entry *e = malloc(sizeof *e);
  *e = (struct entry){strdup(key), 0, *slot};
  *slot = e;
  t->used++;
  return &e->value;
}

int main(void)
{
  struct table t = {0};
  char key[16];
  for (int i = 0; i < 300; i++) {
    snprintf(key, sizeof key, "key%d", i * 31 % 50);
    *lookup(&t, key) += i;
  }
  int seven = *lookup(&t, "key7"), none = *lookup(&t, "none");
  printf("%zu %d %d\n", t.used, seven, none);
  for (size_t i = 0; i < t.room; i++)
    for (struct entry *e = t.slots[i], *next; e; e = next) {
      next = e->next;
      free(e->key);
      free(e);
    }
  free(t.slots);
  return 0;
}
