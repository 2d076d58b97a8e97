"""Trap causes (privileged ISA 1.12, table 3.6) and the Xfides reason codes (contract, section 8)."""

from enum import IntEnum

__all__ = [
    "ExceptionCause", "InterruptCause", "ControlFlowFault", "CrossingTrap", "MemoryFault", "RESTARTABLE",
]  # fmt: skip


class ExceptionCause(IntEnum):
    """mcause values with the interrupt bit clear."""

    INSTRUCTION_MISALIGNED = 0
    INSTRUCTION_ACCESS_FAULT = 1
    ILLEGAL_INSTRUCTION = 2
    BREAKPOINT = 3
    LOAD_MISALIGNED = 4
    LOAD_ACCESS_FAULT = 5
    STORE_MISALIGNED = 6
    STORE_ACCESS_FAULT = 7
    ECALL_FROM_U = 8
    ECALL_FROM_M = 11
    CONTROL_FLOW = 24
    MEMORY = 25


class InterruptCause(IntEnum):
    """mcause values with the interrupt bit set; also the bit positions in mip and mie."""

    SOFTWARE = 3
    TIMER = 7
    EXTERNAL = 11


class ControlFlowFault(IntEnum):
    """comcause of a control-flow exception (mcause 24)."""

    ILLEGAL_ENTRY = 1
    RESTRICTED = 2
    DENIED = 3
    BAD_PAD = 4
    BAD_UNWIND = 5
    SHADOW_OVERFLOW = 6
    SHADOW_UNDERFLOW = 7


class CrossingTrap(IntEnum):
    """comcause of a control-flow exception of a core whose crossings the monitor judges (docs/ablation.md):
    what stands at the pc."""

    OUTSIDE = 1  # no pad, and not at home: the number of ILLEGAL_ENTRY
    ENTRY_PAD = 2  # not at home
    LOCAL_PAD = 3  # not at home
    HANDLER_PAD = 4  # anywhere
    ARM = 5  # at home
    DISARM = 6  # at home


class MemoryFault(IntEnum):
    """comcause of a memory exception (mcause 25)."""

    INVALID = 1
    BOUNDS = 2
    TEMPORAL = 3
    NOT_BASE = 4
    EXHAUSTED = 5


#: Faults after which the monitor moves shadow-stack entries and retries (contract, section 8).
RESTARTABLE = frozenset({ControlFlowFault.SHADOW_OVERFLOW, ControlFlowFault.SHADOW_UNDERFLOW})
