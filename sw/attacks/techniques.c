/* The techniques of the attack matrix: ordinary C, with one error in each function, unless `harmless`.
 *
 * Targets are told by the lower half of their addresses, as an attacker knows them: with it, no function here could
 * make a pointer that is whole. */
#include <stdio.h>
#include <string.h>

#include "attack.h"

#define HEADER 16 /* bytes before a block of the heap: sw/runtime/libfides/heap.c */
#define USED 0xa5L

volatile int harmless;
long decoy;

static void *volatile exposed;
static char payload[FARTHEST + 2 * sizeof(long)];

void *expose(void *pointer)
{
  exposed = pointer;
  FORGET();
  return exposed;
}

_Noreturn void went_through(void)
{
  _exit(WENT_THROUGH);
}

void harmless_handler(void)
{
  FORGET();
}

NOINLINE static void hijacked(void)
{
  went_through();
}

NOINLINE static void hijacked_elsewhere(void)
{
  decoy = 1;
  went_through();
}

static int has_zero_byte(uintptr_t number)
{
  return !(number & 0xff) || !(number & 0xff00);
}

long hijack(void)
{
  return (long)(has_zero_byte((uintptr_t)hijacked) ? hijacked_elsewhere : hijacked);
}

void *above(void *one, void *other, const void *buffer)
{
  return address(one) > address(buffer) ? one : other;
}

void *below(void *one, void *other, const void *buffer)
{
  return address(one) < address(buffer) ? one : other;
}

/* Overflows. The payload: letters up to the target, the value, an end. Returns its length without the end. */
static size_t fill_payload(const long *buffer, uint32_t where, long value)
{
  size_t distance = where - address(buffer);
  if (distance < BUFFER_BYTES || distance > FARTHEST)
    _exit(OUT_OF_REACH);
  memset(payload, 'A', distance);
  for (size_t i = 0; i < sizeof value; i++)
    payload[distance + i] = (char)(value >> 8 * i);
  payload[distance + sizeof value] = 0;
  if (!harmless)
    return distance + sizeof value;
  payload[BUFFER_BYTES - 1] = 0;
  return BUFFER_BYTES;
}

void direct_overflow(long *buffer, uint32_t where, long value)
{
  size_t bytes = fill_payload(buffer, where, value);
  char *to = (char *)buffer;
  for (size_t i = 0; i < bytes; i++) {
    to[i] = payload[i];
    FORGET();
  }
}

void off_by_one(long *buffer, long value)
{
  for (int i = 0; i <= WORDS - harmless; i++) /* the error: <= */
    buffer[i] = value;
}

void off_by_one_at(long *buffer, uint32_t where, long value)
{
  if (where != address(buffer) + BUFFER_BYTES)
    _exit(OUT_OF_REACH);
  off_by_one(buffer, value);
}

/* The word behind the buffer is the neighbour's header, which then says that it reaches to the end of the target. */
void off_by_one_header(long *buffer, long *neighbour, size_t bytes, size_t target_bytes)
{
  size_t both = bytes + HEADER + (target_bytes + HEADER - 1) / HEADER * HEADER;
  off_by_one(buffer, (long)(both + HEADER) | (long)(BUFFER_BYTES + HEADER) << 32);
  free(neighbour);
}

void underflow(long *buffer, uint32_t where, long value)
{
  long first = (int32_t)(where - address(buffer)) / (long)sizeof(long);
  if (first >= 0 || first < -FARTHEST / (long)sizeof(long))
    _exit(OUT_OF_REACH);
  long last = harmless ? 0 : first;
  for (long i = WORDS - 1; i >= last; i--) { /* as an attacker who leaves what is between as it is */
    buffer[i] = i == first ? value : buffer[i];
    FORGET();
  }
}

/* The buffer is in the caller's frame, right above the one of this function. */
void underflow_return(long *buffer, long value)
{
  buffer = expose(buffer);
  underflow(buffer, RETURN_SLOT(), value);
  FORGET();
}

/* `first` and `count` come from outside. Their sum overflows, so that the check passes. */
NOINLINE static void store_from(long *buffer, size_t first, size_t count, long value)
{
  if (first * sizeof *buffer + count * sizeof *buffer > BUFFER_BYTES)
    return;
  buffer[first] = value; /* and no more, as the input ends here */
}

void index_overflow(long *buffer, uint32_t where, long value)
{
  long first = harmless ? 0 : (int32_t)(where - address(buffer)) / (long)sizeof(long);
  store_from(buffer, (size_t)first, -(size_t)first, value);
}

/* The overflow stays inside one object, whose pointer it replaces. */
void indirect(struct carrier *carrier, uint32_t where, long value)
{
  long *words = expose(carrier);
  for (int i = 0; i < (harmless ? WORDS : WORDS + 1); i++)
    words[i] = where;
  FORGET();
  *carrier->pointer = value;
}

void indirect_low_half(struct carrier *carrier, uint32_t where, long value)
{
  uint32_t *halves = expose(carrier);
  for (int i = 0; i < (harmless ? 2 * WORDS : 2 * WORDS + 1); i++)
    halves[i] = where;
  FORGET();
  *carrier->pointer = value;
}

void with_memcpy(long *buffer, uint32_t where, long value)
{
  memcpy(buffer, payload, fill_payload(buffer, where, value));
}

void with_memmove(long *buffer, uint32_t where, long value)
{
  memmove(buffer, payload, fill_payload(buffer, where, value));
}

void with_strcpy(long *buffer, uint32_t where, long value)
{
  fill_payload(buffer, where, value);
  strcpy((char *)buffer, payload);
}

void with_strncpy(long *buffer, uint32_t where, long value)
{
  fill_payload(buffer, where, value);
  strncpy((char *)buffer, payload, strlen(payload)); /* the error: the limit is the source's */
}

void with_strcat(long *buffer, uint32_t where, long value)
{
  fill_payload(buffer, where, value);
  char *text = (char *)buffer;
  text[0] = 'A';
  text[1] = 0;
  strcat(text, payload + 1);
}

void with_strncat(long *buffer, uint32_t where, long value)
{
  size_t bytes = fill_payload(buffer, where, value);
  char *text = (char *)buffer;
  text[0] = 'A';
  text[1] = 0;
  strncat(text, payload + 1, bytes); /* the error: the room that is left is less */
}

void with_sprintf(long *buffer, uint32_t where, long value)
{
  fill_payload(buffer, where, value);
  sprintf((char *)buffer, "%c%s", 'A', payload + 1);
}

void with_snprintf(long *buffer, uint32_t where, long value)
{
  size_t bytes = fill_payload(buffer, where, value);
  snprintf((char *)buffer, bytes, "%c%s", 'A', payload + 1);
}

/* Memory that has ended. Where the allocator does not give it out again, the first word is written. */
static size_t place_in(const long *memory, size_t bytes, uint32_t where)
{
  size_t offset = where - address(memory);
  return offset < bytes ? offset / sizeof(long) : 0;
}

void write_stale(long *stale, size_t bytes, uint32_t where, long value)
{
  if (!harmless)
    stale[place_in(stale, bytes, where)] = value;
}

void write_owned(long *owner, size_t bytes, uint32_t where, long value)
{
  owner[place_in(owner, bytes, where)] = value;
}

static int same_place(const void *one, const void *other)
{
#if __FIDES__
  return ((uintptr_t)one >> 40 & 0xffff) == ((uintptr_t)other >> 40 & 0xffff);
#else
  return one == other;
#endif
}

void *take_the_place(const void *freed, size_t bytes)
{
  for (int i = 0; i < 1 << 16; i++) {
    void *block = malloc(bytes);
    if (!block || same_place(block, freed))
      return block;
    free(block);
  }
  return 0;
}

void free_again(void *block)
{
  if (!harmless)
    free(block);
}

/* A forged header inside the buffer makes part of it a block of the heap, which the next malloc() gives out. */
void free_inside(long *buffer, size_t target_bytes)
{
  size_t room = (target_bytes + HEADER - 1) / HEADER * HEADER + HEADER;
  buffer[2] = (long)room;
  buffer[3] = (1L << 56) | (USED << 48); /* the last block, in use */
  if (!harmless)
    free(buffer + 4);
}

long *leak_local(void)
{
  long old[LARGE_WORDS];
  return expose(old);
}

void leave_on_stack(uint32_t where)
{
  long old[LARGE_WORDS];
  long *words = expose(old);
  for (int i = 0; i < LARGE_WORDS; i++)
    words[i] = where;
  FORGET();
}

NOINLINE static void use_uninitialised(long **pointers, long value)
{
  if (harmless)
    pointers[LARGE_WORDS / 2] = &decoy;
  FORGET();
  *pointers[LARGE_WORDS / 2] = value;
}

void use_uninitialised_local(long value)
{
  long *pointers[LARGE_WORDS];
  use_uninitialised(expose(pointers), value);
  FORGET();
}

void leave_on_heap(uint32_t where)
{
  long *old = expose(malloc(LARGE_WORDS * sizeof *old));
  for (int i = 0; i < LARGE_WORDS; i++)
    old[i] = where;
  free(old);
}

void use_uninitialised_block(long value)
{
  long **pointers = expose(malloc(LARGE_WORDS * sizeof *pointers));
  use_uninitialised(pointers, value);
  FORGET();
}
