/* Memory and strings: complete fluid code, unchecked. Hand them val_extent() of a fat pointer. */
#ifndef STRING_H
#define STRING_H

#include <stddef.h>

#include "fat_pointer.h"

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int byte, size_t count);
int memcmp(const void *left, const void *right, size_t count);
size_t strlen(const char *text);

#endif
