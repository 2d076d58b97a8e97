/* A vector that grows, with pointers into it made anew. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
  int *vector = NULL;
  size_t room = 0, used = 0;
  for (int i = 0; i < 2000; i++) {
    if (used == room) {
      room = room ? 2 * room : 4;
      vector = realloc(vector, room * sizeof *vector);
    }
    vector[used++] = i * i;
  }
  long sum = 0;
  for (size_t i = 0; i < used; i++)
    sum += vector[i];
  vector = realloc(vector, 10 * sizeof *vector);
  printf("%ld %d\n", sum, vector[9]);
  free(vector);
  return 0;
}
