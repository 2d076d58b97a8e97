/* A structure that ends in an array of any length. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
  unsigned length;
  char bytes[];
};

static struct text *make(const char *from)
{
  size_t length = strlen(from);
  struct text *text = malloc(sizeof *text + length + 1);
  text->length = (unsigned)length;
  memcpy(text->bytes, from, length + 1);
  return text;
}

int main(void)
{
  struct text *text = make("flexible");
  for (unsigned i = 0; i <= text->length; i++)
    printf("%d ", text->bytes[i]);
  printf("%s\n", text->bytes);
  free(text);
  return 0;
}
