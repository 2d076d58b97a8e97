/* Functions and objects that are there or not. */
#include <stdio.h>
extern int missing_object __attribute__((weak));
extern int missing_function(void) __attribute__((weak));
__attribute__((weak)) int present = 6;

static int *choose(void)
{
  return &missing_object ? &missing_object : &present;
}

int main(void)
{
  printf("%d %d\n", *choose(), missing_function ? missing_function() : -1);
  return 0;
}
