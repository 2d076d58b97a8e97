/* The runtime's memory behind jmp_buf; for jump.S, and for the demo's attacker, who overwrites it. */
#ifndef JUMP_H
#define JUMP_H

#define JUMP_SLOTS 16
#define JUMP_SLOT_SHIFT 7 /* log2 of a slot's bytes */
#define JUMP_RA 0
#define JUMP_SP 8
#define JUMP_S0 16 /* s0 to s11 */
#define JUMP_HANDLE 112

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

struct jump_slot {
  uint64_t ra, sp, s[12], handle, unused;
};

_Static_assert(sizeof(struct jump_slot) == 1 << JUMP_SLOT_SHIFT, "slot size");
_Static_assert(offsetof(struct jump_slot, handle) == JUMP_HANDLE, "slot layout");

extern struct jump_slot jump_slots[JUMP_SLOTS];
#endif

#endif
