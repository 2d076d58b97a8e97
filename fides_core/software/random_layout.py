"""Where random programs keep what, and which registers have a fixed use in them.

Main memory, from its start: the handler, a page of which the second half is KEPT; code; functions that PMP
regions may cut (VICTIMS); the data window; data as far as the memory reaches, whose last bytes are code
again. PMP regions lie between VICTIMS and ARENA_END, so that handler and main code always run.
"""

from fides_core.soc.memory_map import MAIN_MEMORY_BASE

__all__ = [
    "VECTORS", "KEPT", "STACK", "TABLE", "TABLE_ENTRIES", "CODE", "VICTIMS", "VICTIM_BYTES", "WINDOW",
    "WINDOW_BYTES", "BASE", "ARENA_END", "CLIFF_BYTES", "LEAST_MEMORY",
]  # fmt: skip

#: The vector table of the interrupts.
VECTORS = MAIN_MEMORY_BASE + 0x80
#: 2 KiB that no PMP region covers: what the handler counts, addresses, the stack.
KEPT = MAIN_MEMORY_BASE + 0x800
#: Top of the call stack.
STACK = KEPT + 0x700
#: Addresses of functions, 8 bytes each.
TABLE, TABLE_ENTRIES = KEPT + 0x80, 16
CODE = MAIN_MEMORY_BASE + 0x1000
VICTIMS = MAIN_MEMORY_BASE + 0x2_0000
VICTIM_BYTES = 0x1000
#: 4 KiB that loads and stores mean to hit; an immediate of 12 bits reaches all of it from BASE.
WINDOW = VICTIMS + 0x2000
WINDOW_BYTES = 0x1000
BASE = WINDOW + 0x800
ARENA_END = VICTIMS + 0x4000
#: Code in the last bytes of the main memory, from which execution falls off the end.
CLIFF_BYTES = 0x40
LEAST_MEMORY = 1 << 18

# Registers. Random instructions do not write these, except the handler's two, which it overwrites at any time.
RESUME = 31  # where the handler goes on after a fetch that failed, and after any trap in a victim
DATA = 30  # BASE
HANDLER, HANDLER_SECOND = 29, 28
INNER_COUNTER, COUNTER, SECOND, TEMPORARY = 27, 26, 25, 24  # of blocks; COUNTER of sections
POINTER = 4  # KEPT
STACK_POINTER = 2
LINK, ALTERNATE_LINK = 1, 5
FIXED = frozenset({RESUME, DATA, INNER_COUNTER, COUNTER, SECOND, TEMPORARY, POINTER, STACK_POINTER})
TARGETS = tuple(number for number in range(1, 32) if number not in FIXED)
