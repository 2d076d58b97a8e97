/* Loops over strings as programs write them. */
#include <stdio.h>
#include <stdlib.h>

static size_t length(const char *s) { const char *p = s; while (*p) p++; return (size_t)(p - s); }
static char *copy(char *to, const char *from) { char *start = to; while ((*to++ = *from++)) ; return start; }
static int compare(const char *a, const char *b) { for (; *a && *a == *b; a++, b++) ; return (unsigned char)*a - (unsigned char)*b; }

static int split(char *text, char **words, int most)
{
  int count = 0;
  for (;;) {
    while (*text == ' ')
      *text++ = 0;
    if (!*text || count == most)
      return count;
    words[count++] = text;
    while (*text && *text != ' ')
      text++;
  }
}

int main(void)
{
  char buffer[32], *words[4];
  char *heap = malloc(6);
  copy(heap, "12345");
  copy(buffer, "  some words  here and ");
  int count = split(buffer, words, 4);
  for (int i = 0; i < count; i++)
    printf("<%s>", words[i]);
  printf(" %zu %d %d %s\n", length("four"), compare("a", "b"), compare("same", "same"), heap);
  free(heap);
  return 0;
}
