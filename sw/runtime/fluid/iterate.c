/* Higher-order functions; they run with the identity of whoever calls them. */
#include <fat_pointer.h>
#include <stdlib.h>

void iterate(void *elements, size_t count, size_t size, void (*visit)(void *element, void *context), void *context)
{
  for (size_t i = 0; i < count; i++)
    visit(ptradd(elements, i * size), context);
}
