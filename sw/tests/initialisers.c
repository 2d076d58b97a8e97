/* Pointers in initialised data, nested, with offsets, to each other. */
#include <stdio.h>
struct inner {
  const char *name;
  int *number;
};

struct outer {
  struct inner inner[2];
  struct outer *next;
  const char *const *names;
};

static int numbers[4] = {10, 20, 30, 40};
static const char *const names[] = {"zero", "one", "two", 0};
static struct outer second;
static struct outer first = {{{"a", &numbers[1]}, {"b" "c", numbers + 3}}, &second, names};
static struct outer second = {{{&"offset"[3], numbers}, {0, 0}}, &first, &names[1]};
static int *middle = &numbers[2];
static char matrix[2][3][4] = {{"abc", "def", "ghi"}, {"jkl", "mno", "pqr"}};
static char (*row)[4] = matrix[1];
static void *self = &self;

int main(void)
{
  for (struct outer *at = &first;; at = at->next) {
    printf("%s %d %s\n", at->inner[0].name, *at->inner[0].number, at->names[0]);
    if (at == &second)
      break;
  }
  printf("%s %d %d\n", first.inner[1].name, *first.inner[1].number, *middle);
  printf("%s %c %d\n", row[1], (*row)[2], self == &self);
  middle[-1] = 5;
  printf("%d\n", numbers[1]);
  return 0;
}
