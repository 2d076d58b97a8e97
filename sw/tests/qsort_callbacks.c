/* The library calls back with pointers into the program's arrays. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct row {
  char name[12];
  int age;
};

static int by_age(const void *a, const void *b)
{
  const struct row *x = a, *y = b;
  return x->age < y->age ? -1 : x->age > y->age;
}

static int by_name(const void *a, const void *b)
{
  return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

static int by_number(const void *a, const void *b)
{
  return *(const int *)a - *(const int *)b;
}

int main(void)
{
  struct row rows[] = {{"kim", 30}, {"alex", 25}, {"sam", 41}, {"jo", 19}, {"pat", 33}};
  size_t count = sizeof rows / sizeof *rows;
  qsort(rows, count, sizeof *rows, by_age);
  for (size_t i = 0; i < count; i++)
    printf("%s %d\n", rows[i].name, rows[i].age);
  qsort(rows, count, sizeof *rows, by_name);
  struct row key = {"pat", 0};
  struct row *found = bsearch(&key, rows, count, sizeof *rows, by_name);
  printf("%s %d at %d\n", found->name, found->age, (int)(found - rows));
  int *numbers = malloc(100 * sizeof *numbers);
  for (int i = 0; i < 100; i++)
    numbers[i] = i * 37 % 101;
  qsort(numbers, 100, sizeof *numbers, by_number);
  for (int i = 1; i < 100; i++)
    if (numbers[i - 1] > numbers[i])
      printf("wrong at %d\n", i);
  printf("%d %d\n", numbers[0], numbers[99]);
  free(numbers);
  return 0;
}
