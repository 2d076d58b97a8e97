/* What the files of the runtime library share. */
#ifndef INTERNAL_H
#define INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "../include/fat_pointer.h"
#include "../include/hypercall.h"
#include "../include/runtime.h"

#define LONGEST_OBJECT ((UINT32_C(1) << SIZE_BITS) - 1)

/* heap.c: a fat pointer to memory of the C library, which ends never; the same for the same memory. */
void *__fides_adopt(const void *memory, size_t size);

/* Faults unless all `size` bytes at `pointer` are in one live object. */
ALWAYS_INLINE void check_extent(const void *pointer, size_t size)
{
#if XFIDES
  if (size == 0)
    return;
  /* More than any object: as far behind the first byte as no object reaches. */
  if (size > LONGEST_OBJECT)
    size = LONGEST_OBJECT + 1;
  val(pointer, 0, 1);
  val(pointer, size - 1, 1);
#else
  (void)pointer;
  (void)size;
#endif
}

#endif
