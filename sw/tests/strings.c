/* The C library's string functions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int main(void)
{
  char buffer[64] = "start";
  strcat(buffer, " middle");
  strncat(buffer, " end and more", 4);
  printf("%s %d\n", buffer, (int)strlen(buffer));
  printf("%s|%s|%s\n", strchr(buffer, 'm'), strrchr(buffer, 'd'), strstr(buffer, "dd"));
  printf("%d %d\n", (int)strspn(buffer, "tras"), (int)strcspn(buffer, " "));
  char copy[8];
  strncpy(copy, "ab", sizeof copy);
  printf("%s %d\n", copy, copy[7]);
  memmove(buffer + 2, buffer, 10);
  printf("%s\n", buffer);
  printf("%d %d %d\n", strcmp("abc", "abd") < 0, strncmp("abc", "abd", 2), strcasecmp("ABC", "abc"));
  char line[] = "one,two;three";
  for (char *word = strtok(line, ",;"); word; word = strtok(NULL, ",;"))
    printf("<%s>", word);
  char *twin = strdup("twin");
  printf(" %s %s\n", twin, strpbrk(twin, "in"));
  free(twin);
  printf("%d %d\n", memcmp("aaa", "aab", 3) < 0, memchr("abc", 'z', 3) == NULL);
  char *end;
  long number = strtol("123rest", &end, 10);
  printf("%ld %s %d %.2f\n", number, end, atoi("-7"), strtod("2.5e1", NULL));
  printf("%d\n", (int)strnlen("abcdef", 3));
  return 0;
}
