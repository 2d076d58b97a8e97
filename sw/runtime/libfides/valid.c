/* What code without checks will touch, checked before it is called (fides_core/compiler/contracts.txt). */
#include <string.h>
#include <wchar.h>

#include "internal.h"
#include "scan.h"

/* `a` * `b` bytes. */
void __fides_valid_extent(const void *pointer, size_t a, size_t b, int may_be_null)
{
  size_t size;
  if (!pointer && may_be_null)
    return;
  if (__builtin_mul_overflow(a, b, &size))
    size = SIZE_MAX;
  check_extent(pointer, size);
}

void __fides_valid_string(const char *text, int may_be_null)
{
  if (!text && may_be_null)
    return;
  check_extent(text, 1);
  check_extent(text, scan_length(text) + 1);
}

void __fides_valid_wide(const wchar_t *text, int may_be_null)
{
  if (!text && may_be_null)
    return;
  check_extent(text, sizeof *text);
  check_extent(text, (wcslen(text) + 1) * sizeof *text);
}

/* Room for the wide string `text`, with its end. */
void __fides_valid_like(void *room, const wchar_t *text)
{
  __fides_valid_wide(text, 0);
  check_extent(room, (wcslen(text) + 1) * sizeof *text);
}
