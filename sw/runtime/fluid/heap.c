/* The heap: first fit over blocks of 16-byte granules, with all bookkeeping away from the objects.
 *
 * With the extension each block owns one metadata index. A freed block's entry is dead at once, and the block
 * waits in a quarantine before its memory and its index are used again, so that a stale pointer keeps failing;
 * when an index is used again, its cookie differs from the last one. */
#include <fat_pointer.h>
#include <runtime.h>
#include <stdlib.h>

#define GRANULE 16       /* bytes */
#define MAX_GRANULES 8192
#define MAX_BLOCKS 512
#define NONE 0xffff
#define QUARANTINE 16    /* blocks */

enum state { UNUSED, FREE, ALLOCATED, QUARANTINED };

struct block {
  uint16_t start, granules; /* in granules */
  uint16_t previous, next;  /* by address */
  uint8_t state;
  uint8_t last_cookie;
};

static struct block blocks[MAX_BLOCKS];
static uint16_t block_at[MAX_GRANULES]; /* first granule -> allocated block */
static uint16_t first_block, unused_blocks; /* unused ones are linked by next */
static uint32_t max_blocks;
static int ready;

#if XFIDES
static uint16_t quarantine[QUARANTINE];
static uint32_t quarantine_next, quarantine_count;
#endif

static void start(void)
{
  uint64_t granules = (runtime_parameters.heap_end - runtime_parameters.heap_start) / GRANULE;
  uint64_t indexes = runtime_parameters.index_end - runtime_parameters.index_start;
  max_blocks = indexes < MAX_BLOCKS ? (uint32_t)indexes : MAX_BLOCKS;
  if (granules > MAX_GRANULES)
    granules = MAX_GRANULES;
  for (uint32_t i = 1; i < max_blocks; i++)
    blocks[i].next = (uint16_t)(i + 1 < max_blocks ? i + 1 : NONE);
  blocks[0] = (struct block){.granules = (uint16_t)granules, .previous = NONE, .next = NONE, .state = FREE};
  first_block = 0;
  unused_blocks = max_blocks > 1 ? 1 : NONE;
  ready = 1;
}

/* Takes the block out of the list by address; its granules have gone to `into`. */
static void absorb(uint16_t into, uint16_t block)
{
  blocks[into].granules = (uint16_t)(blocks[into].granules + blocks[block].granules);
  blocks[into].next = blocks[block].next;
  if (blocks[block].next != NONE)
    blocks[blocks[block].next].previous = into;
  blocks[block].state = UNUSED;
  blocks[block].next = unused_blocks;
  unused_blocks = block;
}

static int is_free(uint16_t block)
{
  return block != NONE && blocks[block].state == FREE;
}

static void release(uint16_t block)
{
  blocks[block].state = FREE;
  if (is_free(blocks[block].next))
    absorb(block, blocks[block].next);
  if (is_free(blocks[block].previous))
    absorb(blocks[block].previous, block);
}

/* Leaves `granules` in the block and makes a free one of the rest, if there is a rest and a block for it. */
static void split(uint16_t block, uint16_t granules)
{
  uint16_t rest = unused_blocks;
  if (blocks[block].granules == granules || rest == NONE)
    return;
  unused_blocks = blocks[rest].next;
  blocks[rest].start = (uint16_t)(blocks[block].start + granules);
  blocks[rest].granules = (uint16_t)(blocks[block].granules - granules);
  blocks[rest].previous = block;
  blocks[rest].next = blocks[block].next;
  blocks[rest].state = FREE;
  if (blocks[rest].next != NONE)
    blocks[blocks[rest].next].previous = rest;
  blocks[block].next = rest;
  blocks[block].granules = granules;
}

static void *mint_block(uint16_t block, size_t size)
{
  uint64_t base = runtime_parameters.heap_start + (uint64_t)blocks[block].start * GRANULE;
#if XFIDES
  uint64_t index = runtime_parameters.index_start + block;
  void *pointer = mint((void *)base, size, index);
  while ((uint8_t)((uintptr_t)pointer >> POINTER_COOKIE_SHIFT) == blocks[block].last_cookie) {
    revoke(pointer);
    pointer = mint((void *)base, size, index);
  }
  blocks[block].last_cookie = (uint8_t)((uintptr_t)pointer >> POINTER_COOKIE_SHIFT);
  return pointer;
#else
  return mint((void *)base, size, 0);
#endif
}

static uint16_t first_fit(uint64_t granules)
{
  for (uint16_t block = first_block; block != NONE; block = blocks[block].next)
    if (blocks[block].state == FREE && blocks[block].granules >= granules)
      return block;
  return NONE;
}

#if XFIDES
static void release_oldest(void)
{
  release(quarantine[(quarantine_next + QUARANTINE - quarantine_count) % QUARANTINE]);
  quarantine_count--;
}
#endif

void *malloc(size_t size)
{
  if (!ready)
    start();
  uint64_t granules = size ? size / GRANULE + (size % GRANULE != 0) : 1;
  uint16_t block = first_fit(granules);
#if XFIDES
  while (block == NONE && quarantine_count) {
    release_oldest();
    block = first_fit(granules);
  }
#endif
  if (block == NONE)
    return 0;
  split(block, (uint16_t)granules);
  blocks[block].state = ALLOCATED;
  block_at[blocks[block].start] = block;
  return mint_block(block, size ? size : 1);
}

void free(void *pointer)
{
  if (!pointer)
    return;
  uint64_t address = (uintptr_t)pointer & UINT32_MAX;
  uint64_t offset = address - runtime_parameters.heap_start;
  if (offset >= runtime_parameters.heap_end - runtime_parameters.heap_start || offset % GRANULE)
    __builtin_trap();
  uint16_t block = block_at[offset / GRANULE];
#if XFIDES
  revoke(pointer); /* faults unless it is live and the base */
  if (quarantine_count == QUARANTINE)
    release_oldest();
  blocks[block].state = QUARANTINED;
  quarantine[quarantine_next] = block;
  quarantine_next = (quarantine_next + 1) % QUARANTINE;
  quarantine_count++;
#else
  release(block);
#endif
}
