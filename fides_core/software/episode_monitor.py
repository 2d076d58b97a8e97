"""The monitor of random compartment programs.

It starts episodes: U-mode from a function of some compartment, with an empty shadow stack and fuel, which
every call and jump of the program uses up. It moves shadow-stack entries as the contract wants it (section
8), goes on behind what faulted, where a call was refused at its return address, and ends an episode when
that leads nowhere: after a fetch that failed, an unwinding without end, too many faults, or too many
interrupts, which come all the time. A system call returns if its number is one of SYSTEM_CALLS, and may have
raised a software interrupt or set the timer; any other ends the episode. The program ends when enough
instructions have retired.
"""

from dataclasses import dataclass

from fides_core.config import CoreConfig
from fides_core.isa.causes import ControlFlowFault, ExceptionCause, InterruptCause
from fides_core.isa.csrs import CSR, Comctl, Comsel, FidesContext, XfidesCSR
from fides_core.soc.memory_map import CLINT, EXIT, MAIN_MEMORY_BASE

from .label_code import LabelCode

__all__ = [
    "CHAIN", "CODE", "CODE_BYTES", "DATA", "DATA_BYTES", "FUEL", "GLOBAL", "LEAST_MEMORY", "METADATA_TABLE",
    "MULTIPLIER", "RANDOM", "STACK_TOP", "STACK_ZONE", "SYSTEM_CALL", "SYSTEM_CALLS", "Episode", "Layout",
    "monitor_segments",
]  # fmt: skip

_KEPT = MAIN_MEMORY_BASE + 0x8000
_EPISODES = _KEPT + 0x100
_MONITOR_BYTES = 0x1_0000
CODE, CODE_BYTES = MAIN_MEMORY_BASE + 0x1_0000, 0x1_0000  # not written by U-mode
METADATA_TABLE = MAIN_MEMORY_BASE + 0x2_0000
_TABLE_BYTES = 0x1_0000  # not reached by U-mode's own accesses
#: fstackbase and fstackend: entries of the table.
STACK_ZONE = (0x100, 0x400)
DATA, DATA_BYTES = MAIN_MEMORY_BASE + 0x3_0000, 0x1000
STACK_TOP = MAIN_MEMORY_BASE + 0x6_0000
_SPILLED, _SPILLED_BYTES = MAIN_MEMORY_BASE + 0x6_0000, 0x2_0000
LEAST_MEMORY = 0x8_0000

# Registers with a fixed use in U-mode: data, exception chain, fuel, a random number and what it is multiplied
# with.
GLOBAL, CHAIN, FUEL, RANDOM, MULTIPLIER = 3, 18, 8, 19, 4
_RA, _SP = 1, 2
#: Where the number of a system call is, and those that return: bit 0 for a software interrupt, bit 1 for one
#: of the timer within 256 cycles.
SYSTEM_CALL, SYSTEM_CALLS = 5, range(0x5A4, 0x5A8)
_AREA = 31  # _KEPT while the monitor runs
_A, _B, _C, _D, _E = 26, 27, 28, 29, 30

# Offsets from _KEPT.
_SAVED = {_A: 0, _B: 8, _C: 16, _D: 24, _E: 32}
_LIMIT, _INTERRUPTS_LEFT, _FAULTS_LEFT, _NEXT = 40, 48, 56, 64
_INTERRUPTS_OF_AN_EPISODE, _FAULTS_OF_AN_EPISODE = 400, 200

_MTIMECMP, _MTIME = 0x4000, 0xBFF8  # from the CLINT's base

_MPIE = 1 << 7
_NAPOT, _R, _W, _X = 3 << 3, 1, 2, 4


@dataclass(frozen=True)
class Layout:
    """What the monitor writes into the extension's registers: bounds in bytes; ``ranges`` and ``allowed``
    (callees) by compartment; ``spill`` entries are moved at an overflow, at most ``refill`` at an underflow.
    """

    restricted_fluid: int
    fluid: int
    fluid_end: int
    ranges: dict[int, tuple[int, int]]
    allowed: dict[int, frozenset[int]]
    spill: int
    refill: int
    seed: int
    locked: bool


@dataclass(frozen=True)
class Episode:
    """Where one begins: ``pc`` in the range of ``cid``, or in complete fluid; it returns to ``ra``."""

    pc: int
    cid: int
    ra: int
    fuel: int


def _csr_write(code: LabelCode, csr: int, value: int) -> None:
    code.constant(_A, value)
    code.op("csrrw", rs1=_A, csr=csr)


def _select(code: LabelCode, what: Comsel, number: int, temporary: int) -> None:
    """comsel = ``what`` of the entry whose number is in a register."""
    code.op("lui", rd=temporary, imm=what << 4)
    code.op("or", rd=temporary, rs1=temporary, rs2=number)
    code.op("csrrw", rs1=temporary, csr=XfidesCSR.COMSEL)


def _start(code: LabelCode, core: CoreConfig, layout: Layout) -> None:
    code.constant(_AREA, _KEPT)
    code.op("csrrw", rs1=_AREA, csr=CSR.MSCRATCH)
    code.address(_A, "trap")
    code.op("csrrw", rs1=_A, csr=CSR.MTVEC)
    if core.pmp_entries:
        regions = ((MAIN_MEMORY_BASE, _MONITOR_BYTES), (METADATA_TABLE, _TABLE_BYTES), (CODE, CODE_BYTES))
        for i, (base, size) in enumerate(regions):
            _csr_write(code, CSR.PMPADDR0 + i, base + size // 2 - 1 >> 2)
        _csr_write(code, CSR.PMPADDR0 + 3, (1 << 29) - 1)
        _csr_write(
            code, CSR.PMPCFG0, (_NAPOT | _R | _W) << 24 | (_NAPOT | _R | _X) << 16 | _NAPOT << 8 | _NAPOT
        )
    # No compartment may call, or has code, but those that follow.
    numbers = core.xfides.compartments
    code.constant(_D, numbers)
    code.label("clear")
    code.op("addi", rd=_D, rs1=_D, imm=-1)
    for what in (Comsel.RANGE_START, Comsel.RANGE_END, *range(Comsel.MATRIX_WORD0, Comsel.MATRIX_WORD3 + 1)):
        _select(code, what, _D, _E)
        code.op("csrrw", csr=XfidesCSR.COMDATA)
    code.jump("bne", "clear", rs1=_D)
    for cid, bounds in layout.ranges.items():
        row = sum(1 << callee for callee in layout.allowed[cid])
        words = [row >> 64 * i & (1 << 64) - 1 for i in range(4)]
        for what, value in enumerate((*bounds, *words), start=Comsel.RANGE_START):
            _csr_write(code, XfidesCSR.COMSEL, what << 16 | cid)
            _csr_write(code, XfidesCSR.COMDATA, value)
    _csr_write(code, XfidesCSR.PARCOMPCSTART, layout.restricted_fluid)
    _csr_write(code, XfidesCSR.ANYCOMPCSTART, layout.fluid)
    _csr_write(code, XfidesCSR.ANYCOMPCEND, layout.fluid_end)
    _csr_write(code, XfidesCSR.FIDESMETADATABASE, METADATA_TABLE)
    _csr_write(code, XfidesCSR.FSTACKBASE, STACK_ZONE[0])
    _csr_write(code, XfidesCSR.FSTACKEND, STACK_ZONE[1])
    for i in range(32):
        code.op("csrrwi", imm=layout.seed >> i & 1, csr=XfidesCSR.COOKIESEED)
    _csr_write(code, XfidesCSR.COMCTL, 1 << Comctl.CEN | 1 << Comctl.FEN | layout.locked << Comctl.LOCK)
    code.constant(GLOBAL, DATA)
    code.constant(MULTIPLIER, 6364136223846793005)
    code.constant(RANDOM, layout.seed)
    _csr_write(code, CSR.MIE, sum(1 << cause for cause in InterruptCause))


def _episode(code: LabelCode, episodes: int) -> None:
    code.label("episode")
    code.op("csrrs", rd=_A, csr=CSR.MINSTRET)
    code.op("ld", rd=_B, rs1=_AREA, imm=_LIMIT)
    code.jump("bgeu", "end", rs1=_A, rs2=_B)
    code.op("ld", rd=_B, rs1=_AREA, imm=_NEXT)
    code.op("addi", rd=_A, rs1=_B, imm=32)
    code.constant(_C, _EPISODES + 32 * episodes)
    code.jump("bne", "more", rs1=_A, rs2=_C)
    code.constant(_A, _EPISODES)
    code.label("more")
    code.op("sd", rs1=_AREA, rs2=_A, imm=_NEXT)
    code.op("csrrw", csr=XfidesCSR.SSDEPTH)
    code.op("csrrw", csr=XfidesCSR.SSBASE)
    for offset, csr in ((0, CSR.MEPC), (8, XfidesCSR.CURRCOM)):
        code.op("ld", rd=_A, rs1=_B, imm=offset)
        if csr is CSR.MEPC:
            code.jump("beq", "end", rs1=_A)
        code.op("csrrw", rs1=_A, csr=csr)
    code.op("ld", rd=_RA, rs1=_B, imm=16)
    code.op("ld", rd=FUEL, rs1=_B, imm=24)
    code.constant(_SP, STACK_TOP)
    code.op("addi", rd=CHAIN)
    _csr_write(code, XfidesCSR.FMARK, STACK_ZONE[0])
    _csr_write(code, CSR.MSTATUS, _MPIE)
    for offset, value in (
        (_INTERRUPTS_LEFT, _INTERRUPTS_OF_AN_EPISODE), (_FAULTS_LEFT, _FAULTS_OF_AN_EPISODE),
    ):  # fmt: skip
        code.constant(_A, value)
        code.op("sd", rs1=_AREA, rs2=_A, imm=offset)
    code.label("back")
    for register, offset in _SAVED.items():
        code.op("ld", rd=register, rs1=_AREA, imm=offset)
    code.op("csrrw", rd=_AREA, rs1=_AREA, csr=CSR.MSCRATCH)
    code.op("mret")
    code.label("end")
    code.constant(_A, EXIT.base)
    code.op("sw", rs1=_A)
    code.label("ended")
    code.jump("jal", "ended")


def _count_down(code: LabelCode, offset: int) -> None:
    """Episode ends when there are none left."""
    code.op("ld", rd=_E, rs1=_AREA, imm=offset)
    code.op("addi", rd=_E, rs1=_E, imm=-1)
    code.op("sd", rs1=_AREA, rs2=_E, imm=offset)
    code.jump("blt", "episode", rs1=_E)


def _store_far(code: LabelCode, offset: int, register: int) -> None:
    """Store a doubleword so many bytes behind the address in _B."""
    code.constant(_D, offset)
    code.op("add", rd=_D, rs1=_D, rs2=_B)
    code.op("sd", rs1=_D, rs2=register)


def _trap(code: LabelCode) -> None:
    code.align(4)
    code.label("trap")
    code.op("csrrw", rd=_AREA, rs1=_AREA, csr=CSR.MSCRATCH)
    for register, offset in _SAVED.items():
        code.op("sd", rs1=_AREA, rs2=register, imm=offset)
    code.op("csrrs", rd=_C, csr=CSR.MCAUSE)
    # A comparison of registers so compares these.
    for csr in (CSR.MTVAL, CSR.MEPC, CSR.MSTATUS, XfidesCSR.CURRCOM, XfidesCSR.SSDEPTH, XfidesCSR.SSBASE,
                XfidesCSR.FMARK, XfidesCSR.COMCAUSE):  # fmt: skip
        code.op("csrrs", rd=_D, csr=csr)
    code.jump("blt", "interrupt", rs1=_C)
    code.op("addi", rd=_E, imm=ExceptionCause.CONTROL_FLOW)
    code.jump("bne", "other", rs1=_C, rs2=_E)
    code.op("addi", rd=_E, imm=ControlFlowFault.SHADOW_OVERFLOW)
    code.jump("beq", "spill", rs1=_D, rs2=_E)
    code.op("addi", rd=_E, imm=ControlFlowFault.SHADOW_UNDERFLOW)
    code.jump("beq", "refill", rs1=_D, rs2=_E)
    _count_down(code, _FAULTS_LEFT)
    code.op("addi", rd=_E, imm=ControlFlowFault.BAD_UNWIND)
    code.jump("beq", "unwound", rs1=_D, rs2=_E)
    # A call that was refused: as if it had returned at once.
    code.op("csrrs", rd=_E, csr=CSR.MEPC)
    code.jump("beq", "episode", rs1=_E, rs2=_RA)
    code.op("csrrw", rs1=_RA, csr=CSR.MEPC)
    code.jump("jal", "back")

    code.label("unwound")  # a pad ends the episode, arm and disarm are passed
    code.op("csrrs", rd=_E, csr=CSR.MEPC)
    code.op("lhu", rd=_D, rs1=_E)
    code.op("srli", rd=_D, rs1=_D, imm=12)
    code.op("andi", rd=_D, rs1=_D, imm=7)
    code.jump("beq", "episode", rs1=_D)
    code.jump("jal", "skip")

    code.label("other")
    code.op("addi", rd=_E, imm=ExceptionCause.MEMORY)
    code.jump("beq", "skip", rs1=_C, rs2=_E)
    code.op("addi", rd=_E, imm=ExceptionCause.ECALL_FROM_U)
    code.jump("beq", "system call", rs1=_C, rs2=_E)
    _count_down(code, _FAULTS_LEFT)
    code.op("addi", rd=_E, imm=ExceptionCause.INSTRUCTION_ACCESS_FAULT)
    code.jump("beq", "episode", rs1=_C, rs2=_E)
    code.label("skip")
    code.op("csrrs", rd=_E, csr=CSR.MEPC)
    code.op("lhu", rd=_D, rs1=_E)
    code.op("andi", rd=_D, rs1=_D, imm=3)
    code.op("sltiu", rd=_D, rs1=_D, imm=3)
    code.op("slli", rd=_D, rs1=_D, imm=1)
    code.op("addi", rd=_E, rs1=_E, imm=4)
    code.op("sub", rd=_E, rs1=_E, rs2=_D)
    code.op("csrrw", rs1=_E, csr=CSR.MEPC)
    code.jump("jal", "back")

    # Nothing is read from a device: the model's clock is not the core's.
    code.label("system call")
    code.op("addi", rd=_D, rs1=SYSTEM_CALL, imm=-SYSTEM_CALLS.start)
    code.op("sltiu", rd=_E, rs1=_D, imm=len(SYSTEM_CALLS))
    code.jump("beq", "episode", rs1=_E)
    code.constant(_B, CLINT.base)
    code.op("andi", rd=_E, rs1=_D, imm=1)
    code.op("sw", rs1=_B, rs2=_E)
    code.op("andi", rd=_E, rs1=_D, imm=2)
    code.jump("beq", "skip", rs1=_E)
    code.op("srli", rd=_E, rs1=RANDOM, imm=56)
    _store_far(code, _MTIME, 0)
    _store_far(code, _MTIMECMP, _E)
    code.jump("jal", "skip")

    code.label("interrupt")
    code.constant(_B, CLINT.base)
    code.op("andi", rd=_D, rs1=_C, imm=15)
    code.op("addi", rd=_E, imm=InterruptCause.SOFTWARE)
    code.jump("bne", "timer", rs1=_D, rs2=_E)
    code.op("sw", rs1=_B)
    code.label("timer")
    code.op("addi", rd=_E, imm=InterruptCause.TIMER)
    code.jump("bne", "interrupted", rs1=_D, rs2=_E)
    code.op("addi", rd=_E, imm=-1)
    _store_far(code, _MTIMECMP, _E)
    code.label("interrupted")
    _count_down(code, _INTERRUPTS_LEFT)
    code.jump("jal", "back")


_ENTRY = ((Comsel.ENTRY_RA, 0), (Comsel.ENTRY_SP, 8), (Comsel.ENTRY_CONTEXT, 16))


def _place_of_entry(code: LabelCode) -> None:
    """_B = where entry number _C is kept."""
    code.op("slli", rd=_B, rs1=_C, imm=5)
    code.constant(_E, _SPILLED)
    code.op("add", rd=_B, rs1=_B, rs2=_E)


def _move_entries(code: LabelCode, layout: Layout) -> None:
    code.label("spill")
    code.op("csrrs", rd=_C, csr=XfidesCSR.SSBASE)
    # The end, when the next ones have no place any more.
    code.constant(_E, _SPILLED_BYTES // 32 - layout.spill)
    code.jump("bgeu", "episode", rs1=_C, rs2=_E)
    code.constant(_D, layout.spill)
    code.label("spill entry")
    _place_of_entry(code)
    for what, offset in _ENTRY:
        _select(code, what, _C, _E)
        code.op("csrrs", rd=_E, csr=XfidesCSR.COMDATA)
        code.op("sd", rs1=_B, rs2=_E, imm=offset)
    code.op("addi", rd=_C, rs1=_C, imm=1)
    code.op("addi", rd=_D, rs1=_D, imm=-1)
    code.jump("bne", "spill entry", rs1=_D)
    code.op("csrrw", rs1=_C, csr=XfidesCSR.SSBASE)
    code.jump("jal", "back")

    code.label("refill")
    code.op("csrrs", rd=_C, csr=XfidesCSR.SSBASE)
    code.constant(_D, layout.refill)
    code.label("refill entry")
    code.op("addi", rd=_C, rs1=_C, imm=-1)
    code.op("csrrw", rs1=_C, csr=XfidesCSR.SSBASE)
    _place_of_entry(code)
    for what, offset in _ENTRY:
        _select(code, what, _C, _E)
        code.op("ld", rd=_E, rs1=_B, imm=offset)
        code.op("csrrw", rs1=_E, csr=XfidesCSR.COMDATA)
    code.op("addi", rd=_D, rs1=_D, imm=-1)
    code.jump("beq", "back", rs1=_D)
    code.jump("bne", "refill entry", rs1=_C)
    code.jump("jal", "back")


def monitor_segments(
    core: CoreConfig, layout: Layout, episodes: list[Episode | None], instructions: int
) -> list[tuple[int, bytes]]:
    """(offset in bytes from the start of the main memory, contents) of the monitor, which starts there, and
    of its data. It begins ``episodes`` in turn until so many ``instructions`` have retired, or the next is
    None."""
    code = LabelCode(MAIN_MEMORY_BASE)
    _start(code, core, layout)
    _episode(code, len(episodes))
    _trap(code)
    _move_entries(code, layout)
    contents = code.contents()
    assert len(contents) <= _KEPT - MAIN_MEMORY_BASE

    def numbers(*values):
        return b"".join(value.to_bytes(8, "little") for value in values)

    kept = {_LIMIT: instructions, _NEXT: _EPISODES}
    records = [
        numbers(one.pc, one.cid << FidesContext.CID, one.ra, one.fuel) if one else bytes(32)
        for one in episodes
    ]
    assert _EPISODES + 32 * len(records) <= MAIN_MEMORY_BASE + _MONITOR_BYTES
    return [
        (0, contents),
        *((_KEPT + offset - MAIN_MEMORY_BASE, numbers(value)) for offset, value in kept.items()),
        (_EPISODES - MAIN_MEMORY_BASE, b"".join(records)),
    ]
