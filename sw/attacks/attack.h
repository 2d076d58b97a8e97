/* What the generated cases of the attack matrix share (fides_core/flow/attack_cases.py). */
#ifndef ATTACK_H
#define ATTACK_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* Exit codes, beside the monitor's. */
#define WENT_THROUGH 10
#define SURVIVED 11     /* nothing came of it */
#define OUT_OF_REACH 12 /* the target does not lie where the technique needs it */

#define NOINLINE __attribute__((noinline))
#define WORDS 8 /* of a buffer */
#define BUFFER_BYTES (WORDS * sizeof(long))
#define LARGE_WORDS 128 /* of buffers with whole objects in them */
#define FARTHEST 1024   /* bytes that a contiguous attack runs over */
#define NUMBER 0x6b6b6b6bL /* what data are changed to; without zero bytes, as strings carry it */

/* Nothing may be known of memory, nor assumed to be so still. Also keeps calls from becoming jumps. */
#define FORGET() __asm__ volatile("" : : : "memory")

/* Where the return address of this function is kept: the psABI's frame record. */
#define RETURN_SLOT() (address(__builtin_frame_address(0)) - (uint32_t)sizeof(long))

typedef void (*handler)(void);

struct account {
  long admin;
  long number;
};

typedef long numbers[2];

/* A pointer that an overflow inside one object can change. */
struct carrier {
  long buffer[WORDS];
  long *pointer;
  long more;
};

extern volatile int harmless; /* the same case without its error */
extern long decoy;            /* what pointers that no attack has changed point to */

static inline uint32_t address(const volatile void *pointer)
{
  return (uint32_t)(uintptr_t)pointer; /* without index and cookie */
}

/* The same pointer, of which no compiler knows where it comes from, and which it must take for stored. */
void *expose(void *pointer);

_Noreturn void went_through(void);
void harmless_handler(void);
/* An address of code that ends in went_through(), whose two lowest bytes are not zero if possible: the others are those of the
 * address that it replaces. */
long hijack(void);

/* The one of two objects of a kind, on both sides of `buffer`, that lies above or below. */
void *above(void *one, void *other, const void *buffer);
void *below(void *one, void *other, const void *buffer);

NOINLINE void direct_overflow(long *buffer, uint32_t where, long value);
NOINLINE void off_by_one(long *buffer, long value);
NOINLINE void off_by_one_at(long *buffer, uint32_t where, long value);
NOINLINE void off_by_one_header(long *buffer, long *neighbour, size_t bytes, size_t target_bytes);
NOINLINE void underflow(long *buffer, uint32_t where, long value);
NOINLINE void underflow_return(long *buffer, long value);
NOINLINE void index_overflow(long *buffer, uint32_t where, long value);
NOINLINE void indirect(struct carrier *carrier, uint32_t where, long value);
NOINLINE void indirect_low_half(struct carrier *carrier, uint32_t where, long value);

NOINLINE void with_memcpy(long *buffer, uint32_t where, long value);
NOINLINE void with_memmove(long *buffer, uint32_t where, long value);
NOINLINE void with_strcpy(long *buffer, uint32_t where, long value);
NOINLINE void with_strncpy(long *buffer, uint32_t where, long value);
NOINLINE void with_strcat(long *buffer, uint32_t where, long value);
NOINLINE void with_strncat(long *buffer, uint32_t where, long value);
NOINLINE void with_sprintf(long *buffer, uint32_t where, long value);
NOINLINE void with_snprintf(long *buffer, uint32_t where, long value);

/* Through a pointer to memory of `bytes` bytes that has ended. */
NOINLINE void write_stale(long *stale, size_t bytes, uint32_t where, long value);
/* Through a pointer to memory that is in use, if `where` is in it. */
NOINLINE void write_owned(long *owner, size_t bytes, uint32_t where, long value);
/* A new block with the freed one's metadata index or, without the extension, its address. */
void *take_the_place(const void *freed, size_t bytes);
NOINLINE void free_again(void *block);
NOINLINE void free_inside(long *buffer, size_t target_bytes);

NOINLINE long *leak_local(void);
NOINLINE void leave_on_stack(uint32_t where);
NOINLINE void use_uninitialised_local(long value);
NOINLINE void leave_on_heap(uint32_t where);
NOINLINE void use_uninitialised_block(long value);

#endif
