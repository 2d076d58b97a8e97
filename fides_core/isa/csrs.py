"""CSR numbers. Bits [9:8] of a number give the lowest privilege that may access it, [11:10] = 3 read-only.

Sources: privileged ISA 1.12, tables 2.2 to 2.5 and section 3.1.10; Xfides contract, section 4.
"""

from enum import IntEnum

__all__ = [
    "CSR", "CSR_NAMES", "CSR_ROWS", "XfidesCSR", "MonitorCSR", "Comctl", "Comsel", "FidesContext", "Event",
    "counted_event",
]  # fmt: skip


class CSR(IntEnum):
    """Standard CSRs that the core implements."""

    CYCLE = 0xC00
    TIME = 0xC01
    INSTRET = 0xC02
    MSTATUS = 0x300
    MISA = 0x301
    MIE = 0x304
    MTVEC = 0x305
    MCOUNTEREN = 0x306
    MENVCFG = 0x30A
    MCOUNTINHIBIT = 0x320
    MHPMEVENT3 = 0x323
    MSCRATCH = 0x340
    MEPC = 0x341
    MCAUSE = 0x342
    MTVAL = 0x343
    MIP = 0x344
    PMPCFG0 = 0x3A0
    PMPCFG2 = 0x3A2
    PMPADDR0 = 0x3B0
    MCYCLE = 0xB00
    MINSTRET = 0xB02
    MHPMCOUNTER3 = 0xB03
    HPMCOUNTER3 = 0xC03
    MVENDORID = 0xF11
    MARCHID = 0xF12
    MIMPID = 0xF13
    MHARTID = 0xF14
    MCONFIGPTR = 0xF15


class XfidesCSR(IntEnum):
    """CSRs of the extension; all M-mode only but FMARK, which U-mode reads and may lower."""

    COMCTL = 0x7F0
    COMCAUSE = 0x7F4
    CURRCOM = 0x7F5
    COOKIESEED = 0x7F6  # write-only, reads 0: seed of the cookie generator (contract notes)
    PARCOMPCSTART = 0x7FA
    ANYCOMPCSTART = 0x7FB
    ANYCOMPCEND = 0x7FC
    FIDESMETADATABASE = 0x7FE
    FSTACKBASE = 0x7ED
    FSTACKEND = 0x7EF
    SSDEPTH = 0x7E8
    SSBASE = 0x7EE
    COMSEL = 0x7E0
    COMDATA = 0x7E1
    FMARK = 0x800


class MonitorCSR(IntEnum):
    """What a core has beside them whose crossings the monitor judges (docs/ablation.md); M-mode only."""

    COMRANGE = 0x7F8  # write-only, reads 0: current range, [31:0] its start, [63:32] its end


#: Rows of like registers with consecutive numbers: the first one, and how many there are.
CSR_ROWS = {CSR.MHPMEVENT3: 29, CSR.MHPMCOUNTER3: 29, CSR.HPMCOUNTER3: 29, CSR.PMPADDR0: 16}


def _names() -> dict[int, str]:
    names = {int(csr): csr.name.lower() for csr in (*CSR, *XfidesCSR, *MonitorCSR)}
    for first, count in CSR_ROWS.items():
        stem = first.name.lower().rstrip("0123456789")
        lowest = int(first.name[len(stem) :])
        names |= {first + i: f"{stem}{lowest + i}" for i in range(count)}
    return names


#: The name of every number, in small letters, the registers of a row included.
CSR_NAMES = _names()


class Comctl(IntEnum):
    """Bit positions in comctl."""

    CEN = 0
    FEN = 1
    LOCK = 7
    LOG2_COMPARTMENTS = 8  # [15:8], read-only
    CAPACITY = 16  # [31:16], read-only: shadow-stack entries on chip


class Comsel(IntEnum):
    """comsel[19:16]: what comdata is. comsel[15:0] is the number of the compartment, row or entry."""

    RANGE_START = 0
    RANGE_END = 1
    MATRIX_WORD0 = 2
    MATRIX_WORD1 = 3
    MATRIX_WORD2 = 4
    MATRIX_WORD3 = 5
    ENTRY_RA = 8
    ENTRY_SP = 9
    ENTRY_CONTEXT = 10


class FidesContext(IntEnum):
    """Bit positions in currcom and in the context word of a shadow-stack entry."""

    CID = 0  # [7:0]
    RESTRICTED = 8
    KIND = 9  # entries only: 0 call, 1 armed handler
    FMARK = 16  # [31:16], entries only


class Event(IntEnum):
    """What the hardware performance counters count: the values of mhpmevent.

    Counters are hard-wired: mhpmcounter3 counts event 1, mhpmcounter4 event 2 and so on, as far as the core
    has counters (``CoreConfig.hpm_counters``) and there are events. mhpmevent reads the number of its event,
    0 where nothing is counted; writes to it are ignored (WARL).
    """

    BRANCH_MISPREDICTION = 1  # branches and jumps that went elsewhere than fetched
    ICACHE_MISS = 2  # lines fetched by the instruction cache
    DCACHE_MISS = 3  # lines fetched by the data cache
    STALL_FETCH = 4  # cycles without an instruction to issue
    STALL_LOAD = 5  # cycles in which an instruction waits for the result of a load
    STALL_EXECUTE = 6  # cycles of multiplications, divisions, atomics and fences after their first
    STALL_MEMORY = 7  # cycles in which the memory stage waits for the bus
    CROSSING = 8  # calls, tail calls, returns and unwinding that change the context (Xfides)
    SHADOW_STACK_SPILL = 9  # shadow-stack overflow and underflow exceptions (Xfides)
    VAL_MISS = 10  # val and vali whose entry was not in the data cache (Xfides)


def counted_event(counter: int, hpm_counters: int) -> Event | None:
    """The event of ``mhpmcounter<counter>``, 3..31, in a core with ``hpm_counters``; None: it reads 0."""
    number = counter - 2
    return Event(number) if 1 <= number <= min(hpm_counters, len(Event)) else None
