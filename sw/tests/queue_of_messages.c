/* Structures with unions inside, moved between queues. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct message {
  enum { NUMBER, TEXT, PAIR } kind;
  union {
    long number;
    char text[16];
    struct {
      struct message *first, *second;
    } pair;
  } u;
  struct message *next;
};

static struct message *number(long n)
{
  struct message *m = calloc(1, sizeof *m);
  m->kind = NUMBER;
  m->u.number = n;
  return m;
}

static struct message *text(const char *from)
{
  struct message *m = calloc(1, sizeof *m);
  m->kind = TEXT;
  strncpy(m->u.text, from, sizeof m->u.text - 1);
  return m;
}

static struct message *pair(struct message *a, struct message *b)
{
  struct message *m = calloc(1, sizeof *m);
  m->kind = PAIR;
  m->u.pair.first = a;
  m->u.pair.second = b;
  return m;
}

static void show(struct message *m)
{
  switch (m->kind) {
  case NUMBER: printf("%ld", m->u.number); break;
  case TEXT: printf("'%s'", m->u.text); break;
  case PAIR:
    printf("(");
    show(m->u.pair.first);
    printf(" ");
    show(m->u.pair.second);
    printf(")");
    free(m->u.pair.first);
    free(m->u.pair.second);
  }
}

int main(void)
{
  struct message *queue = NULL, **end = &queue;
  struct message *all[] = {number(1), text("text that is cut off"), pair(number(2), pair(text("x"), number(3)))};
  for (int i = 0; i < 3; i++) {
    *end = all[i];
    end = &all[i]->next;
  }
  for (struct message *m = queue, *next; m; m = next) {
    next = m->next;
    show(m);
    free(m);
  }
  printf("\n");
  return 0;
}
