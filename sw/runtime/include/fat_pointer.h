/* Checked pointers for C: what a compiler that knows Xfides would insert. On a core without the extension every
 * one of these is the plain access. */
#ifndef FAT_POINTER_H
#define FAT_POINTER_H

#include <stddef.h>
#include <stdint.h>

#include "xfides.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline, unused))

/* p[i], checked. */
#define AT(p, i) (*(__typeof__(&(p)[0]))val((p), (uint64_t)(i) * sizeof(p)[0], sizeof(p)[0]))
/* p->member, checked; of 1, 2, 4, 8 or 16 bytes. */
#define FIELD(p, member) \
  (*(__typeof__(&(p)->member))val((p), offsetof(__typeof__(*(p)), member), sizeof(p)->member))
/* &p->member, and &p[i]; checked when used. */
#define FIELD_ADDRESS(p, member) ((__typeof__(&(p)->member))ptradd((p), offsetof(__typeof__(*(p)), member)))
#define ELEMENT_ADDRESS(p, i) ((__typeof__(&(p)[0]))ptradd((p), (uint64_t)(i) * sizeof(p)[0]))
/* The pointer to a static that the policy lists: name it once with STATIC_POINTER, at file scope. */
#define STATIC_POINTER(type, symbol) extern type *const static_pointer_##symbol

#if XFIDES

extern void xfides_no_such_access_size(void) __attribute__((error("val checks 1, 2, 4, 8 or 16 bytes")));

#define VAL_CASE_(bytes) \
  case bytes: \
    __asm__ volatile(INSN_VAL##bytes("%0", "%1", "%z2") : "=r"(checked) : "r"(pointer), "rJ"(offset)); \
    break;

/* Faults unless `size` bytes at pointer + offset (bytes) are in a live object; returns that pointer. */
ALWAYS_INLINE void *val(const volatile void *pointer, uint64_t offset, size_t size)
{
  uint64_t checked;
  switch (size) {
    VAL_CASE_(1)
    VAL_CASE_(2)
    VAL_CASE_(4)
    VAL_CASE_(8)
    VAL_CASE_(16)
  default:
    xfides_no_such_access_size();
    checked = 0;
  }
  return (void *)checked;
}

/* pointer + offset (bytes), unchecked. */
ALWAYS_INLINE void *ptradd(const volatile void *pointer, uint64_t offset)
{
  uint64_t moved;
  __asm__(INSN_PTRADD("%0", "%1", "%z2") : "=r"(moved) : "r"(pointer), "rJ"(offset));
  return (void *)moved;
}

/* A pointer to `size` bytes at `base`, in the metadata entry `index`; 0 takes one of the stack zone. */
ALWAYS_INLINE void *mint(const volatile void *base, uint64_t size, uint64_t index)
{
  uint64_t minted;
  __asm__ volatile(INSN_MINT("%0", "%1", "%2") : "=r"(minted) : "r"(base), "r"(size | index << 32) : "memory");
  return (void *)minted;
}

/* The object that `pointer` is the base of ends here. */
ALWAYS_INLINE void revoke(const volatile void *pointer)
{
  __asm__ volatile(INSN_REVOKE("%0") : : "r"(pointer) : "memory");
}

ALWAYS_INLINE uint64_t fmark_read(void)
{
  uint64_t mark;
  __asm__ volatile("csrr %0, %1" : "=r"(mark) : "i"(CSR_FMARK) : "memory");
  return mark;
}

ALWAYS_INLINE void fmark_restore(const uint64_t *mark)
{
  __asm__ volatile("csrw %0, %1" : : "i"(CSR_FMARK), "r"(*mark) : "memory");
}

/* First in a function with escaping locals: their entries die when it returns. */
#define ESCAPING_LOCALS() \
  uint64_t fmark_at_entry_ __attribute__((cleanup(fmark_restore), unused)) = fmark_read()

#else

ALWAYS_INLINE void *val(const volatile void *pointer, uint64_t offset, size_t size)
{
  (void)size;
  return (char *)(uintptr_t)pointer + offset;
}

ALWAYS_INLINE void *ptradd(const volatile void *pointer, uint64_t offset)
{
  return (char *)(uintptr_t)pointer + offset;
}

ALWAYS_INLINE void *mint(const volatile void *base, uint64_t size, uint64_t index)
{
  uint64_t same = (uintptr_t)base;
  (void)size;
  (void)index;
  __asm__ volatile("" : "+r"(same) : : "memory"); /* as opaque to the compiler as the instruction */
  return (void *)same;
}

ALWAYS_INLINE void revoke(const volatile void *pointer)
{
  (void)pointer;
}

#define ESCAPING_LOCALS() ((void)0)

#endif

/* A pointer to a local that other functions get to see; the function starts with ESCAPING_LOCALS(). */
#define ESCAPE(local) ((__typeof__(&(local)))mint(&(local), sizeof(local), 0))
#define ESCAPE_ARRAY(local) ((__typeof__(&(local)[0]))mint((local), sizeof(local), 0))

/* Faults unless all `size` bytes at `pointer` are in one live object; for code that is built without val. */
ALWAYS_INLINE void *val_extent(const void *pointer, size_t size)
{
  if (size) {
    val(pointer, 0, 1);
    val(pointer, size - 1, 1);
  }
  return (void *)(uintptr_t)pointer;
}

#endif
