/* Memory allocation and the end of the program: complete fluid code. */
#ifndef STDLIB_H
#define STDLIB_H

#include <stddef.h>
#include <stdint.h>

/* A fat pointer to `size` bytes, NULL when there is no room. */
void *malloc(size_t size);
/* Faults (NOT_BASE, INVALID, TEMPORAL) unless `pointer` came from malloc and is live; NULL is allowed. */
void free(void *pointer);
/* `code` 0..31 */
_Noreturn void exit(int code);

/* visit(element, context) for each of `count` elements of `size` bytes. */
void iterate(void *elements, size_t count, size_t size, void (*visit)(void *element, void *context), void *context);

#endif
