/* C2: lists of postal votes, "candidate=count,candidate=count". */
#include <string.h>

#include "election.h"

struct list {
  const char *text;
  size_t length, at;
  jmp_buf malformed;
};

static unsigned imported;

static __attribute__((noinline)) unsigned number(struct list *list)
{
  unsigned value = 0, digits = 0;
  for (; list->at < list->length; list->at++, digits++) {
    unsigned digit = (unsigned)AT(list->text, list->at) - '0';
    if (digit > 9)
      break;
    value = 10 * value + digit;
  }
  if (!digits)
    longjmp(list->malformed, 1);
  return value;
}

static __attribute__((noinline)) void expect(struct list *list, char separator)
{
  if (list->at == list->length || AT(list->text, list->at) != separator)
    longjmp(list->malformed, 1);
  list->at++;
}

static __attribute__((noinline)) void forget(void)
{
  imported = 0;
}

static void read_list(struct list *list)
{
  while (list->at < list->length) {
    unsigned candidate = number(list);
    expect(list, '=');
    unsigned count = number(list);
    if (candidate >= CANDIDATES)
      longjmp(list->malformed, 1);
    votes_add(candidate, count);
    imported += count;
    if (list->at < list->length)
      expect(list, ',');
  }
}

int votes_import(const char *text, size_t length)
{
  struct list list = {.text = text, .length = length};
  if (setjmp(list.malformed) == 0) {
    read_list(&list);
    setjmp_leave(list.malformed);
    return 0;
  }
  setjmp_leave(list.malformed);
  forget();
  return -1;
}

unsigned votes_by_post(void)
{
  return imported;
}
