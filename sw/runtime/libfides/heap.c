/* The heap: blocks side by side, each with a header in front, free ones in lists by size: one for each size below
 * FINE, then four for each power of two.
 *
 * With the extension each block that is in use has a metadata entry. A freed block's entry is dead at once; its index
 * goes to the end of a queue, and its memory waits in a quarantine, so that stale pointers keep failing. When an index
 * is used again its cookie differs from the last one. Headers are out of reach of checked code: no entry covers them. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define UNIT 16
#define SMALLEST (2 * UNIT)
#define FINE 1024 /* bytes */
#define LISTS 128 /* enough for 2^26 bytes; longer ones are in the last */
#define QUARANTINE_SHARE 4 /* of the heap, one part may wait */

enum state { FREE = 0xf1, USED = 0xa5, WAITING = 0xd3 };

struct block {
  uint32_t size;      /* bytes, with this header */
  uint32_t previous;  /* bytes of the block before, 0 for the first */
  uint32_t requested; /* bytes, in use; else offset of the next block in the list, or in the quarantine */
  uint16_t index;
  uint8_t state;
  uint8_t last; /* no block behind it */
};

struct links { /* in the memory of free blocks */
  struct block *next, *before;
};

_Static_assert(sizeof(struct block) == UNIT && sizeof(struct links) <= UNIT, "alignment of objects");

static struct block *lists[LISTS];
static uint64_t filled_lists[LISTS / 64]; /* a bit for each */
static struct block *oldest, *youngest; /* of the quarantine, linked by their memory */
static size_t waiting, most_waiting;    /* bytes */
static int ready;

#if XFIDES
static uint16_t *queue; /* free indexes, in a ring */
static uint8_t *cookies; /* the last one of each index */
static uint32_t indexes, first, filled;
#endif

static void *memory_of(struct block *block)
{
  return (char *)block + UNIT;
}

static struct links *links_of(struct block *block)
{
  return memory_of(block);
}

static struct block *block_of(const void *pointer)
{
  return (struct block *)(((uintptr_t)pointer & UINT32_MAX) - UNIT);
}

static struct block *behind(struct block *block)
{
  return block->last ? 0 : (struct block *)((char *)block + block->size);
}

static unsigned list_of(size_t size)
{
  if (size < FINE)
    return (unsigned)(size / UNIT);
  unsigned log = 63 - (unsigned)__builtin_clzl(size);
  unsigned number = FINE / UNIT + 4 * (log - 10) + (unsigned)(size >> (log - 2) & 3);
  return number < LISTS ? number : LISTS - 1;
}

static void insert(struct block *block)
{
  unsigned number = list_of(block->size);
  block->state = FREE;
  links_of(block)->before = 0;
  links_of(block)->next = lists[number];
  if (lists[number])
    links_of(lists[number])->before = block;
  lists[number] = block;
  filled_lists[number / 64] |= UINT64_C(1) << number % 64;
}

static void take(struct block *block)
{
  struct links *links = links_of(block);
  if (links->before)
    links_of(links->before)->next = links->next;
  else {
    unsigned number = list_of(block->size);
    lists[number] = links->next;
    if (!links->next)
      filled_lists[number / 64] &= ~(UINT64_C(1) << number % 64);
  }
  if (links->next)
    links_of(links->next)->before = links->before;
}

static void start(void)
{
  uintptr_t low = (runtime_parameters.heap_start + UNIT - 1) & -(uintptr_t)UNIT;
  uintptr_t high = runtime_parameters.heap_end & -(uintptr_t)UNIT;
  ready = 1;
#if XFIDES
  indexes = (uint32_t)(runtime_parameters.index_end - runtime_parameters.index_start);
  queue = (uint16_t *)low;
  cookies = (uint8_t *)(queue + indexes);
  low = ((uintptr_t)(cookies + indexes) + UNIT - 1) & -(uintptr_t)UNIT;
  if (low >= high)
    return;
  for (uint32_t i = 0; i < indexes; i++) {
    queue[i] = (uint16_t)(runtime_parameters.index_start + i);
    cookies[i] = 0;
  }
  filled = indexes;
#endif
  if (low + SMALLEST > high)
    return;
  struct block *all = (struct block *)low;
  *all = (struct block){.size = (uint32_t)(high - low), .last = 1};
  most_waiting = (high - low) / QUARANTINE_SHARE;
  insert(all);
}

/* Makes a block of its own of what is behind the first `size` bytes, when that is enough for one. */
static struct block *split(struct block *block, size_t size)
{
  if (block->size - size < SMALLEST)
    return 0;
  struct block *rest = (struct block *)((char *)block + size);
  struct block *next = behind(block);
  *rest = (struct block){.size = (uint32_t)(block->size - size), .previous = (uint32_t)size, .last = block->last};
  if (next)
    next->previous = rest->size;
  block->size = (uint32_t)size;
  block->last = 0;
  return rest;
}

/* Joins `block` with the free ones on both sides and makes it free. */
static void release(struct block *block)
{
  struct block *next = behind(block);
  if (next && next->state == FREE) {
    take(next);
    block->size += next->size;
    block->last = next->last;
  }
  if (block->previous) {
    struct block *before = (struct block *)((char *)block - block->previous);
    if (before->state == FREE) {
      take(before);
      before->size += block->size;
      before->last = block->last;
      block = before;
    }
  }
  next = behind(block);
  if (next)
    next->previous = block->size;
  insert(block);
}

static int release_oldest(void)
{
  struct block *block = oldest;
  if (!block)
    return 0;
  oldest = links_of(block)->next;
  if (!oldest)
    youngest = 0;
  waiting -= block->size;
  release(block);
  return 1;
}

/* Any block of a list behind the size's own is large enough. */
static struct block *find(size_t size)
{
  unsigned number = list_of(size);
  for (struct block *block = lists[number]; block; block = links_of(block)->next)
    if (block->size >= size)
      return block;
  number++;
  for (unsigned word = number / 64; word < LISTS / 64; word++) {
    uint64_t set = filled_lists[word];
    if (word == number / 64)
      set &= ~UINT64_C(0) << number % 64;
    if (set)
      return lists[64 * word + (unsigned)__builtin_ctzl(set)];
  }
  return 0;
}

#if XFIDES
static uint16_t cookie_of(const void *pointer)
{
  return (uint8_t)((uintptr_t)pointer >> POINTER_COOKIE_SHIFT);
}

static uint16_t index_of(const void *pointer)
{
  return (uint16_t)((uintptr_t)pointer >> POINTER_INDEX_SHIFT);
}

/* A fat pointer with the entry `index`, and another cookie than the index had last. */
static void *mint_again(const void *memory, size_t size, uint16_t index)
{
  uint8_t *last = &cookies[index - runtime_parameters.index_start];
  void *pointer = mint(memory, size, index);
  while (cookie_of(pointer) == *last) {
    revoke(pointer);
    pointer = mint(memory, size, index);
  }
  *last = (uint8_t)cookie_of(pointer);
  return pointer;
}

static void give_back(uint16_t index)
{
  queue[(first + filled++) % indexes] = index;
}

static uint16_t next_index(void)
{
  uint16_t index = queue[first];
  first = (first + 1) % indexes;
  filled--;
  return index;
}
#endif

static void *no_memory(void)
{
  errno = ENOMEM;
  return 0;
}

/* A block whose memory is at a multiple of `alignment`, a power of 2 that is at least UNIT. */
static void *allocate(size_t size, size_t alignment)
{
  if (!ready)
    start();
  size_t room = ((size ? size : 1) + UNIT - 1) / UNIT * UNIT + UNIT;
  size_t slack = alignment > UNIT ? alignment + SMALLEST : 0;
  if (size > LONGEST_OBJECT || alignment > LONGEST_OBJECT)
    return no_memory();
#if XFIDES
  if (!filled)
    return no_memory();
#endif
  struct block *block;
  while (!(block = find(room + slack)))
    if (!release_oldest())
      return no_memory();
  take(block);
  if (slack) {
    uintptr_t memory = ((uintptr_t)memory_of(block) + alignment - 1) & -alignment;
    while (memory != (uintptr_t)memory_of(block) && memory - (uintptr_t)memory_of(block) < SMALLEST)
      memory += alignment;
    if (memory != (uintptr_t)memory_of(block)) {
      struct block *aligned = split(block, memory - (uintptr_t)memory_of(block));
      insert(block);
      block = aligned;
    }
  }
  struct block *rest = split(block, room);
  block->state = USED;
  if (rest)
    insert(rest); /* behind it nothing is free, or it would have been joined */
  block->requested = (uint32_t)size;
#if XFIDES
  block->index = next_index();
  return mint_again(memory_of(block), size ? size : 1, block->index);
#else
  return memory_of(block);
#endif
}

void *malloc(size_t size)
{
  return allocate(size, UNIT);
}

void free(void *pointer)
{
  if (!pointer)
    return;
#if XFIDES
  revoke(pointer); /* faults unless it is live and the base */
#endif
  struct block *block = block_of(pointer);
  if (block->state != USED)
    __builtin_trap();
#if XFIDES
  give_back(block->index);
  block->state = WAITING;
  links_of(block)->next = 0;
  if (youngest)
    links_of(youngest)->next = block;
  else
    oldest = block;
  youngest = block;
  waiting += block->size;
  while (waiting > most_waiting)
    release_oldest();
#else
  release(block);
#endif
}

void *calloc(size_t count, size_t size)
{
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes))
    return no_memory();
  void *pointer = allocate(bytes, UNIT);
  if (pointer)
    memset(pointer, 0, bytes);
  return pointer;
}

void *realloc(void *pointer, size_t size)
{
  if (!pointer)
    return malloc(size);
#if XFIDES
  check_extent(pointer, 1);
#endif
  struct block *block = block_of(pointer);
  if (block->state != USED)
    __builtin_trap();
  if (size <= block->size - UNIT && block->size - UNIT <= 2 * size + UNIT) {
#if XFIDES
    revoke(pointer);
    block->requested = (uint32_t)size;
    return mint_again(memory_of(block), size ? size : 1, block->index);
#else
    block->requested = (uint32_t)size;
    return pointer;
#endif
  }
  void *moved = malloc(size);
  if (!moved)
    return 0;
  memcpy(moved, pointer, block->requested < size ? block->requested : size);
  free(pointer);
  return moved;
}

void *memalign(size_t alignment, size_t size)
{
  if (!alignment || alignment & (alignment - 1)) {
    errno = EINVAL;
    return 0;
  }
  return allocate(size, alignment < UNIT ? UNIT : alignment);
}

void *aligned_alloc(size_t alignment, size_t size)
{
  return memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size)
{
  if (!alignment || alignment & (alignment - 1) || alignment % sizeof(void *))
    return EINVAL;
  void *pointer = memalign(alignment, size);
  if (!pointer)
    return ENOMEM;
  check_extent(result, sizeof *result);
  *result = pointer;
  return 0;
}

size_t malloc_usable_size(void *pointer)
{
  if (!pointer)
    return 0;
  check_extent(pointer, 1);
  return block_of(pointer)->requested;
}

void cfree(void *pointer)
{
  free(pointer);
}

#define ADOPTED 32

void *__fides_adopt(const void *memory, size_t size)
{
#if XFIDES
  static void *adopted[ADOPTED];
  static size_t sizes[ADOPTED];
  static unsigned next;
  if (!memory)
    return 0;
  for (unsigned i = 0; i < ADOPTED; i++)
    if (adopted[i] && ((uintptr_t)adopted[i] & UINT32_MAX) == (uintptr_t)memory && sizes[i] == size)
      return adopted[i];
  if (index_of(memory))
    return (void *)(uintptr_t)memory;
  if (!ready)
    start();
  void *gone = adopted[next];
  uint16_t index;
  if (gone) {
    index = index_of(gone);
    revoke(gone);
  } else if (filled) {
    index = next_index();
  } else {
    return (void *)(uintptr_t)memory; /* dead */
  }
  adopted[next] = mint_again(memory, size, index);
  sizes[next] = size;
  void *result = adopted[next];
  next = (next + 1) % ADOPTED;
  return result;
#else
  (void)size;
  return (void *)(uintptr_t)memory;
#endif
}
