/* argc and argv: the name alone. Compiled with checks, so that the pointers are fat. */
static char name[] = "program";
static char *vector[] = {name, 0};

struct arguments {
  long count;
  char **vector;
};

struct arguments __fides_arguments(void)
{
  return (struct arguments){1, vector};
}
