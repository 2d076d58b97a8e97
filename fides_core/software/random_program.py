"""Random RV64IM programs for lockstep runs, as binary words, from a seed.

A program is a prologue (trap handler, PMP, register values), a body of blocks, and a store to the exit
device. A block is a short sequence that only makes sense as a whole; branches go to the start of a block. The
trap handler reads the trap CSRs, so that a comparison of registers compares them, steps over what trapped and
goes on.

Memory, from the start of the main memory on: code, then at ``WINDOW`` 4 KiB of data around the base register,
with 8 KiB of nothing on either side, then what the handler keeps.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from fides_core.isa.csrs import CSR
from fides_core.isa.encode import encode
from fides_core.isa.instructions import BY_NAME, INSTRUCTIONS, Format, find
from fides_core.soc.memory_map import CLINT, EXIT, MAIN_MEMORY_BASE

__all__ = ["RandomProgram", "generate", "load_constant", "CODE_BYTES", "WINDOW", "CORNERS"]

CODE_BYTES = 0x3_0000
#: Start of the data window: 4 KiB that loads and stores mean to hit.
WINDOW = MAIN_MEMORY_BASE + 0x3_4000
_BASE = WINDOW + 0x800  # an immediate of 12 bits reaches the whole window
_KEPT = MAIN_MEMORY_BASE + 0x3_8000  # the handler's counter

# Registers with a fixed use; random instructions do not write them.
_RESUME = 31  # where the handler goes on after a fetch that failed
_DATA = 30  # _BASE
_TEMPORARY, _SECOND, _COUNTER, _INNER_COUNTER = 24, 25, 26, 27  # of blocks
_HANDLER, _HANDLER_SECOND = 29, 28  # the handler overwrites these at any time
_FIXED = frozenset({_RESUME, _DATA, _TEMPORARY, _SECOND, _COUNTER, _INNER_COUNTER})
_RANDOM = tuple(number for number in range(1, 32) if number not in _FIXED)
_LINK = 1  # of functions

_MASK = (1 << 64) - 1
CORNERS = (
    0, 1, 2, 3, 4, 7, 8, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FF, 0x800, 0xFFF, 0x7FFF, 0x8000, 0xFFFF,
    0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF, 0x100000000, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000,
    0x8000000000000001, 0x5555555555555555, 0xAAAAAAAAAAAAAAAA, 0x0123456789ABCDEF,
    _MASK, _MASK - 1, _MASK - 2, _MASK - 6, _MASK - 63, _MASK ^ 0x7FFFFFFF, _MASK ^ 0xFFFFFFFF, _MASK ^ 0x7FF,
)  # fmt: skip

# Nothing answers there; the last ones lie above 32 bits.
_NOWHERE = (
    0x0, 0x4, 0x800, 0x2000, 0x1_1400, 0x10_1000, 0x201_0000, 0x4000_0000, 0x7FFF_FFF8, 0xC000_0000,
    0xFFFF_FFF8, 0x1_0000_0000, 0x1_8000_0000, 0x8000_0000_8000_0000, 0xFFFF_FFFF_8000_0000, _MASK - 7,
)  # fmt: skip


def word(name: str, rd: int = 0, rs1: int = 0, rs2: int = 0, immediate: int = 0) -> int:
    """The word of an RV64IM instruction, as ``isa.encode`` makes it, with 12-bit immediates, shift amounts
    and upper immediates cut to their fields. ``immediate``: also the CSR number; ``rs1`` is the 5-bit
    immediate of CSR instructions that have one."""
    match BY_NAME[name].format:
        case Format.R | Format.NONE:
            return encode(name, rd=rd, rs1=rs1, rs2=rs2)
        case Format.I | Format.LOAD | Format.S:
            low = (immediate & 0xFFF) - ((immediate & 0x800) << 1)
            return encode(name, rd=rd, rs1=rs1, rs2=rs2, imm=low)
        case Format.SHAMT6:
            return encode(name, rd=rd, rs1=rs1, imm=immediate & 63)
        case Format.SHAMT5:
            return encode(name, rd=rd, rs1=rs1, imm=immediate & 31)
        case Format.U:
            return encode(name, rd=rd, imm=immediate & 0xFFFFF)
        case Format.CSR:
            return encode(name, rd=rd, rs1=rs1, csr=immediate)
        case Format.CSRI:
            return encode(name, rd=rd, imm=rs1, csr=immediate)
        case Format.FENCE:
            # The fields that a core ignores.
            return encode(name) | rd << 7 | rs1 << 15 | immediate << 20
    return encode(name, rd=rd, rs1=rs1, rs2=rs2, imm=immediate)


def load_constant(rd: int, value: int) -> list[int]:
    """Instructions that put the 64-bit ``value`` into register ``rd``."""
    value &= _MASK
    signed = value - (1 << 64) if value >> 63 else value
    if -2048 <= signed < 2048:
        return [word("addi", rd, 0, immediate=signed)]
    low = (signed & 0xFFF) - ((signed & 0x800) << 1)
    if -(1 << 31) <= signed < 1 << 31:
        # addiw wraps around at 32 bits, which is what a value just below 2^31 needs.
        words = [word("lui", rd, immediate=signed - low >> 12)]
        return words + ([word("addiw", rd, rd, immediate=low)] if low else [])
    rest = signed - low >> 12
    shift = 12
    while not rest & 1:
        rest >>= 1
        shift += 1
    words = [*load_constant(rd, rest), word("slli", rd, rd, immediate=shift)]
    return words + ([word("addi", rd, rd, immediate=low)] if low else [])


@dataclass(frozen=True)
class RandomProgram:
    """``words``: the code, 32-bit instructions from the start of the main memory on. ``window``: contents of
    the data window at ``WINDOW``."""

    seed: int
    words: tuple[int, ...]
    window: bytes

    @property
    def segments(self) -> tuple[tuple[int, bytes], ...]:
        """(offset in bytes from the start of the main memory, contents)."""
        code = b"".join(word.to_bytes(4, "little") for word in self.words)
        return ((0, code), (WINDOW - MAIN_MEMORY_BASE, self.window))


@dataclass(frozen=True)
class _Jump:
    """A placeholder for a jump or branch to a block."""

    name: str
    block: int
    rd: int = 0
    rs1: int = 0
    rs2: int = 0


@dataclass(frozen=True)
class _Address:
    """A placeholder for auipc and addi, which put the address of a block into a register."""

    rd: int
    block: int


def _words_of(item) -> int:
    return 2 if isinstance(item, _Address) else 1


_ARITHMETIC = tuple(
    row for row in INSTRUCTIONS
    if row.extension in ("I", "M") and row.name != "jalr"
    and row.format in (Format.R, Format.I, Format.SHAMT6, Format.SHAMT5, Format.U)
)  # fmt: skip
_MULTIPLY_DIVIDE = tuple(row for row in INSTRUCTIONS if row.extension == "M")
_LOADS = tuple(row.name for row in INSTRUCTIONS if row.format is Format.LOAD)
_STORES = tuple(row.name for row in INSTRUCTIONS if row.format is Format.S)
_BRANCHES = tuple(row.name for row in INSTRUCTIONS if row.format is Format.B)
_SIZES = {"b": 1, "h": 2, "w": 4, "d": 8}

# CSRs that a program may read at any time, from U-mode too (where most are illegal).
_READABLE = (
    CSR.CYCLE, CSR.TIME, CSR.INSTRET, CSR.MSTATUS, CSR.MISA, CSR.MIE, CSR.MTVEC, CSR.MCOUNTEREN, CSR.MENVCFG,
    CSR.MCOUNTINHIBIT, CSR.MHPMEVENT3, CSR.MSCRATCH, CSR.MEPC, CSR.MCAUSE, CSR.MTVAL, CSR.MIP, CSR.PMPCFG0,
    CSR.PMPADDR0, CSR.PMPADDR0 + 1, CSR.PMPADDR0 + 2, CSR.PMPADDR0 + 3, CSR.MCYCLE, CSR.MINSTRET,
    CSR.MHPMCOUNTER3, CSR.HPMCOUNTER3, CSR.MVENDORID, CSR.MARCHID, CSR.MIMPID, CSR.MHARTID, CSR.MCONFIGPTR,
)  # fmt: skip
# Of no implementation with M and U mode only; read-only ones, when written.
_MISSING = (0x000, 0x100, 0x180, 0x200, 0x302, 0x303, 0x5A0, 0x7C0, 0x801, 0x9C0, 0xBFF, 0xCC0, 0xDFF, 0xFC0)

_MIE, _MPIE, _MPP, _MPRV, _TW = 1 << 3, 1 << 7, 3 << 11, 1 << 17, 1 << 21
_INTERRUPTS = 1 << 3 | 1 << 7 | 1 << 11
_EXTERNAL = 1 << 11


class _Generator:
    def __init__(self, seed: int, blocks: int):
        self.random = random.Random(seed)
        self.count = blocks
        self.blocks: list[list] = []

    # Pieces

    def register(self) -> int:
        """A register to read."""
        return self.random.randrange(32)

    def target(self) -> int:
        """A register to write."""
        return self.random.choice(_RANDOM) if self.random.random() < 0.95 else 0

    def value(self) -> int:
        pick = self.random.random()
        if pick < 0.5:
            return self.random.choice(CORNERS)
        if pick < 0.7:
            return self.random.getrandbits(64)
        if pick < 0.85:
            return self.random.getrandbits(self.random.randrange(1, 64))
        return -self.random.getrandbits(self.random.randrange(1, 64)) & _MASK

    def arithmetic(self, rows=_ARITHMETIC, avoid: Sequence[int] = ()) -> int:
        row = self.random.choice(rows)
        rd = self.target()
        while rd in avoid:
            rd = self.target()
        immediate = self.random.getrandbits(20)
        if row.format is Format.I and self.random.random() < 0.3:
            immediate = self.random.choice((0, 1, -1, 2047, -2048))
        return word(row.name, rd, self.register(), self.register(), immediate)

    def nearby_block(self, here: int) -> int:
        return min(self.count, here + 1 + min(self.random.randrange(1, 12), self.random.randrange(1, 12)))

    # Blocks: each returns words and placeholders.

    def arithmetic_block(self, here):
        return [self.arithmetic() for _ in range(self.random.randrange(1, 8))]

    def chain_block(self, here):
        """Each instruction needs the result of the one before."""
        rd = self.random.choice(_RANDOM)
        words = []
        for _ in range(self.random.randrange(2, 8)):
            row = self.random.choice(_ARITHMETIC)
            operands = (rd, self.register()) if self.random.random() < 0.5 else (self.register(), rd)
            words.append(word(row.name, rd, *operands, self.random.getrandbits(12)))
        return words

    def constant_block(self, here):
        return load_constant(self.random.choice(_RANDOM), self.value())

    def divide_block(self, here):
        a, b = self.random.sample(_RANDOM, 2)
        pairs = ((1 << 63, _MASK), (1 << 31, 0xFFFFFFFF), (_MASK ^ 0x7FFFFFFF, _MASK), (self.value(), 0))
        pair = self.random.choice(pairs) if self.random.random() < 0.5 else (self.value(), self.value())
        words = load_constant(a, pair[0]) + load_constant(b, pair[1])
        for _ in range(self.random.randrange(1, 5)):
            name = self.random.choice(_MULTIPLY_DIVIDE).name
            words.append(word(name, self.target(), a, b) if self.random.random() < 0.8 else self.arithmetic())
        return words

    def memory_block(self, here):
        """Loads and stores in the window, some with results that are used at once, some misaligned."""
        words = []
        for _ in range(self.random.randrange(1, 8)):
            store = self.random.random() < 0.45
            name = self.random.choice(_STORES if store else _LOADS)
            size = _SIZES[name[1]]
            offset = self.random.randrange(-2048, 2048)
            if self.random.random() < 0.5:
                offset = self.random.randrange(-64, 64)  # so that loads meet stores
            if self.random.random() < 0.95:
                offset &= -size
            if store:
                words.append(word(name, rs1=_DATA, rs2=self.register(), immediate=offset))
            else:
                rd = self.target()
                words.append(word(name, rd, _DATA, immediate=offset))
                if self.random.random() < 0.4:
                    words.append(word("add", self.target(), rd, self.register()))
                if self.random.random() < 0.2:
                    words.append(
                        word("sd", rs1=_DATA, rs2=rd, immediate=self.random.randrange(-256, 256) * 8)
                    )
        return words

    def far_memory_block(self, here):
        """Accesses where nothing answers, or of any register's value, or of a device."""
        pick = self.random.random()
        if pick < 0.4:
            address = self.random.choice(_NOWHERE) + self.random.choice((0, 0, 0, 1, 2, 4))
            words = load_constant(_TEMPORARY, address)
            if self.random.random() < 0.5:
                return [*words, word(self.random.choice(_STORES), rs1=_TEMPORARY, rs2=self.register())]
            return [*words, word(self.random.choice(_LOADS), self.target(), _TEMPORARY)]
        if pick < 0.6:
            # At the window's edges, and at those of the main memory.
            address = self.random.choice((WINDOW, WINDOW + 0x1000, MAIN_MEMORY_BASE))
            words = load_constant(_TEMPORARY, address)
            offset = self.random.randrange(-16, 16)
            return [*words, word(self.random.choice(_LOADS), self.target(), _TEMPORARY, immediate=offset)]
        if pick < 0.8:
            name = self.random.choice(_LOADS)
            return [word(name, self.target(), self.register(), immediate=self.random.getrandbits(12))]
        register, names = self.random.choice(
            ((0, ("lw", "lwu", "ld")), (0x4000, ("lw", "ld")), (0xBFF8, ("ld",)))
        )
        words = load_constant(_TEMPORARY, CLINT.base + register)
        return [*words, word(self.random.choice(names), self.target(), _TEMPORARY)]

    def branch_block(self, here):
        """Forward, over some blocks."""
        operands = self.register(), self.register()
        if self.random.random() < 0.2:
            operands = operands[0], operands[0]
        words = [self.arithmetic()] if self.random.random() < 0.5 else []
        name = self.random.choice(_BRANCHES)
        return [*words, _Jump(name, self.nearby_block(here), rs1=operands[0], rs2=operands[1])]

    def jump_block(self, here):
        block = self.nearby_block(here)
        if self.random.random() < 0.5:
            return [_Jump("jal", block, rd=self.target())]
        offset = self.random.randrange(-2048, 2048)
        words = [
            _Address(_TEMPORARY, block),
            word("addi", _TEMPORARY, _TEMPORARY, immediate=-offset & 0xFFF),
        ]
        if not -2048 <= -offset < 2048:
            offset, words = 0, words[:1]
        return [*words, word("jalr", self.target(), _TEMPORARY, immediate=offset)]

    def call_block(self, here):
        """A call to a function of a few instructions in the same block, which returns through the link
        register."""
        body = [self.arithmetic(avoid=(_LINK,)) for _ in range(self.random.randrange(0, 4))]
        ret = word("jalr", 0, _LINK)
        over = word("jal", immediate=4 * (len(body) + 2))
        call = word("jal", _LINK, immediate=-4 * (len(body) + 1))
        return [over, *body, ret, call]

    def loop_block(self, here):
        """A backward branch of few rounds."""
        counter = self.random.choice((_COUNTER, _INNER_COUNTER))
        body = []
        for _ in range(self.random.randrange(1, 4)):
            body += self.random.choice((self.arithmetic_block, self.memory_block, self.chain_block))(here)
        body.append(word("addi", counter, counter, immediate=-1))
        back = word("blt", rs1=0, rs2=counter, immediate=-4 * len(body))
        return [word("addi", counter, 0, immediate=self.random.randrange(1, 8)), *body, back]

    def wild_jump_block(self, here):
        """Jumps to misaligned addresses, and to where nothing can be fetched."""
        pick = self.random.random()
        if pick < 0.3:
            return [
                word(self.random.choice(_BRANCHES), rs1=self.register(), rs2=self.register(), immediate=6)
            ]
        if pick < 0.4:
            return [word("jal", self.target(), immediate=self.random.choice((6, 10, -2, -6)))]
        if pick < 0.55:
            return [
                word("auipc", _TEMPORARY),
                word("jalr", self.target(), _TEMPORARY, immediate=self.random.choice((2, 3, 10, 11, 14))),
            ]
        words = load_constant(_TEMPORARY, self.random.choice(_NOWHERE))
        return [*words, word("jalr", _RESUME, _TEMPORARY, immediate=self.random.randrange(4))]

    def wild_return_block(self, here):
        """mret to where nothing can be fetched."""
        words = load_constant(_TEMPORARY, self.random.choice(_NOWHERE))
        words += [word("csrrw", 0, _TEMPORARY, immediate=CSR.MEPC)]
        return [word("auipc", _RESUME), word("addi", _RESUME, _RESUME, immediate=4 * (len(words) + 3)),
                *words, word("mret")]  # fmt: skip

    def trap_block(self, here):
        pick = self.random.random()
        if pick < 0.25:
            return [word("ecall")]
        if pick < 0.4:
            return [word("ebreak")]
        if pick < 0.5:
            return [word("wfi"), word("ecall")]
        while True:
            illegal = self.random.choice(
                (0, _MASK, self.random.getrandbits(32), self.random.getrandbits(32) | 3)
            )
            illegal &= 0xFFFFFFFF
            if self.random.random() < 0.5:
                illegal = self.random.choice(INSTRUCTIONS).match ^ 1 << self.random.randrange(32)
            if find(illegal, xfides=False) is None:
                return [illegal]

    def counter_block(self, here):
        """Time, cycles and instructions, which U-mode may read when mcounteren says so."""
        counter = self.random.choice((CSR.CYCLE, CSR.TIME, CSR.INSTRET, CSR.HPMCOUNTER3))
        words = [word("csrrs", self.target(), 0, immediate=counter)]
        if self.random.random() < 0.5:
            words.insert(0, word("csrrwi", self.target(), self.random.randrange(8), immediate=CSR.MCOUNTEREN))
        return words

    def csr_read_block(self, here):
        number = self.random.choice(_READABLE)
        if self.random.random() < 0.1:
            number = self.random.choice(_MISSING)
        if self.random.random() < 0.1 and number >> 10 == 3:
            return [
                word(self.random.choice(("csrrw", "csrrs", "csrrwi")), self.target(), 5, immediate=number)
            ]
        name = self.random.choice(("csrrs", "csrrc", "csrrsi", "csrrci"))
        words = [word(name, self.target(), 0, immediate=number)]
        if self.random.random() < 0.3:
            words.append(self.arithmetic())
        return words

    def csr_write_block(self, here):
        name = self.random.choice(("csrrw", "csrrs", "csrrc"))
        pick = self.random.random()
        if pick < 0.25:
            number, value = CSR.MSCRATCH, self.value()
        elif pick < 0.3:
            # No address of code: only sequences that set it themselves may return through it.
            number, value = CSR.MEPC, self.value() | 1 << 40
        elif pick < 0.35:
            number, value = CSR.MTVAL, self.value()
        elif pick < 0.4:
            name, number, value = (
                "csrrw",
                CSR.MCAUSE,
                self.random.choice((0, 1, 63, 1 << 63 | 7, 1 << 63 | 11)),
            )
        elif pick < 0.5:
            number, value = CSR.MCOUNTEREN, self.random.randrange(8)
        elif pick < 0.6:
            name, number = "csrrw", CSR.MTVEC
            value = MAIN_MEMORY_BASE + 4 * _VECTORS + self.random.randrange(2)
        elif pick < 0.75:
            # The external interrupt stays enabled: it is what ends a wfi.
            number = CSR.MIE
            value = self.random.getrandbits(64) | _EXTERNAL
            if name == "csrrc":
                value = self.random.getrandbits(64) & ~_EXTERNAL
        elif pick < 0.8:
            number, value = CSR.MIP, self.value()
        else:
            number = CSR.MSTATUS
            bits = self.random.choice(
                (_MIE, _MPIE, _MPRV, _TW, _MPP, _MIE | _MPIE, self.random.getrandbits(64))
            )
            value = bits & ~_MPRV if self.random.random() < 0.7 else bits
        # Immediates are for mstatus.MIE and for registers whose every value is harmless.
        if self.random.random() < 0.3 and number in (CSR.MSCRATCH, CSR.MSTATUS, CSR.MTVAL):
            return [word(name + "i", self.target(), value & 31, immediate=number)]
        return [*load_constant(_TEMPORARY, value), word(name, self.target(), _TEMPORARY, immediate=number)]

    def pmp_block(self, here):
        """Entries 0 to 2 protect parts of the window; entry 3 allows everything and stays as it is."""
        if self.random.random() < 0.5:
            words = load_constant(_TEMPORARY, self.pmp_address())
            number = CSR.PMPADDR0 + self.random.randrange(3)
            return [*words, word("csrrw", self.target(), _TEMPORARY, immediate=number)]
        words = load_constant(_TEMPORARY, self.pmp_configuration())
        return [*words, word("csrrw", self.target(), _TEMPORARY, immediate=CSR.PMPCFG0)]

    def pmp_address(self) -> int:
        address = WINDOW + self.random.randrange(0x1000) if self.random.random() < 0.5 else _BASE
        if self.random.random() < 0.3:
            address = _BASE + self.random.randrange(-64, 64)
        ones = (1 << self.random.randrange(0, 9)) - 1
        return address >> 2 | ones

    def pmp_configuration(self) -> int:
        value = 0x1F << 24  # R, W, X, NAPOT
        for i in range(3):
            permission = self.random.choice((0, 1, 3, 4, 5, 7))
            # The entry below entry 0 is address 0: a region up to the window would contain the code.
            mode = self.random.choice((0, 2, 3) if i == 0 else (0, 1, 1, 2, 3))
            lock = self.random.random() < 0.02
            value |= (permission | mode << 3 | lock << 7) << 8 * i
        return value

    def to_user_block(self, here):
        """On to the next block in U-mode; the handler brings the program back to M-mode now and then."""
        user = [*load_constant(_TEMPORARY, _MPP), word("csrrc", 0, _TEMPORARY, immediate=CSR.MSTATUS)]
        return [
            *(user if self.random.random() < 0.7 else ()),  # else in whatever mode mstatus.MPP says
            word("auipc", _TEMPORARY),
            word("addi", _TEMPORARY, _TEMPORARY, immediate=16),
            word("csrrw", 0, _TEMPORARY, immediate=CSR.MEPC),
            word("mret"),
        ]

    def interrupt_block(self, here):
        """Raise a software interrupt, or set the timer to go off soon."""
        if self.random.random() < 0.5:
            return [
                word("lui", _TEMPORARY, immediate=CLINT.base >> 12),
                word("addi", _SECOND, 0, immediate=1),
                word("sw", rs1=_TEMPORARY, rs2=_SECOND),
            ]
        return [
            word("lui", _TEMPORARY, immediate=CLINT.base + 0xC000 >> 12),
            word("ld", _SECOND, _TEMPORARY, immediate=-8),  # mtime
            word("addi", _SECOND, _SECOND, immediate=self.random.randrange(0, 200)),
            word("lui", _TEMPORARY, immediate=CLINT.base + 0x4000 >> 12),
            word("sd", rs1=_TEMPORARY, rs2=_SECOND),
        ]

    def modify_block(self, here):
        """Writes one of its own instructions."""
        words = load_constant(_SECOND, self.arithmetic())
        between = [self.arithmetic() for _ in range(self.random.randrange(3))]
        return [
            *words,
            word("auipc", _TEMPORARY),
            word("sw", rs1=_TEMPORARY, rs2=_SECOND, immediate=4 * (len(between) + 3)),
            *between,
            word("fence.i"),
            self.arithmetic(),  # replaced before it is reached
        ]

    def fence_block(self, here):
        name = self.random.choice(("fence", "fence", "fence.i"))
        return [word(name, self.random.choice((0, 0, 3)), 0, immediate=self.random.choice((0, 0xFF, 0x33)))]

    def wait_block(self, here):
        return [word("wfi")]

    MIX = (
        (arithmetic_block, 24), (chain_block, 8), (constant_block, 8), (divide_block, 6), (memory_block, 24),
        (far_memory_block, 4), (branch_block, 16), (jump_block, 6), (call_block, 5), (loop_block, 5),
        (wild_jump_block, 2), (wild_return_block, 0.5), (trap_block, 3), (counter_block, 2),
        (csr_read_block, 5), (csr_write_block, 6), (pmp_block, 3), (to_user_block, 2), (interrupt_block, 1.5),
        (modify_block, 1), (fence_block, 1), (wait_block, 0.5),
    )  # fmt: skip

    # Program

    def prologue(self) -> list[int]:
        words = []

        def csr(number, value):
            words.extend(load_constant(_TEMPORARY, value))
            words.append(word("csrrw", 0, _TEMPORARY, immediate=number))

        csr(CSR.MTVEC, MAIN_MEMORY_BASE + 4 * _VECTORS + self.random.randrange(2))
        csr(CSR.MSTATUS, self.random.choice((0, _MPP, _MIE | _MPIE)))
        csr(CSR.MIE, _INTERRUPTS)
        csr(CSR.MCOUNTEREN, self.random.randrange(8))
        for number in (CSR.MSCRATCH, CSR.MEPC, CSR.MCAUSE, CSR.MTVAL):
            csr(number, 0)
        for i in range(3):
            csr(CSR.PMPADDR0 + i, self.pmp_address())
        csr(CSR.PMPADDR0 + 3, (1 << 29) - 1)  # NAPOT: all 4 GiB
        csr(CSR.PMPCFG0, self.pmp_configuration() if self.random.random() < 0.5 else 0x1F << 24)
        for number in _RANDOM:
            words.extend(load_constant(number, self.value()))
        for number in (_TEMPORARY, _SECOND, _COUNTER, _INNER_COUNTER):
            words.extend(load_constant(number, 1))
        words.extend(load_constant(_DATA, _BASE))
        words.extend([word("auipc", _RESUME), word("addi", _RESUME, _RESUME, immediate=8)])
        return words

    def program(self) -> list[int]:
        weights = [weight for _, weight in self.MIX]
        makers = [maker for maker, _ in self.MIX]
        self.blocks = [
            maker(self, here) for here, maker in enumerate(self.random.choices(makers, weights, k=self.count))
        ]
        self.blocks.append(self.epilogue())
        words = _handler() + self.prologue()
        starts = []
        at = len(words)
        for block in self.blocks:
            starts.append(at)
            at += sum(_words_of(item) for item in block)
        for block in self.blocks:
            for item in block:
                words += self.place(item, len(words), starts)
        return words

    def place(self, item, here: int, starts: list[int]) -> list[int]:
        if isinstance(item, int):
            return [item]
        distance = 4 * (starts[item.block] - here)
        if isinstance(item, _Jump):
            return [word(item.name, item.rd, item.rs1, item.rs2, distance)]
        low = (distance & 0xFFF) - ((distance & 0x800) << 1)
        return [
            word("auipc", item.rd, immediate=distance - low >> 12),
            word("addi", item.rd, item.rd, immediate=low),
        ]

    def epilogue(self) -> list[int]:
        return [*load_constant(_TEMPORARY, EXIT.base), word("sw", rs1=_TEMPORARY), word("jal")]


_VECTORS = 64  # index of the first word of the vector table
_VECTOR_COUNT = 12


def _handler() -> list[int]:
    """A jump over the handler, the vector table, the handler."""
    a, b = _HANDLER, _HANDLER_SECOND
    save = _KEPT
    exception = [
        word("csrrs", b, 0, immediate=CSR.MTVAL),
        word("csrrs", b, 0, immediate=CSR.MEPC),
        word("addi", a, a, immediate=-1),
        word("bne", rs1=a, rs2=0, immediate=12),
        word(
            "csrrw", 0, _RESUME, immediate=CSR.MEPC
        ),  # an instruction access fault: there is nothing behind it
        word("jal", immediate=12),
        word("addi", b, b, immediate=4),
        word("csrrw", 0, b, immediate=CSR.MEPC),
        # Every fourth trap returns to M-mode.
        word("csrrs", b, 0, immediate=CSR.MSTATUS),
        *load_constant(a, save),
        word("ld", b, a),
        word("addi", b, b, immediate=1),
        word("sd", rs1=a, rs2=b),
        word("andi", b, b, immediate=3),
        word("bne", rs1=b, rs2=0, immediate=4 * (len(load_constant(b, _MPP)) + 2)),
        *load_constant(b, _MPP),
        word("csrrs", 0, b, immediate=CSR.MSTATUS),
        word("mret"),
    ]
    software = [word("lui", b, immediate=CLINT.base >> 12), word("sw", rs1=b), word("mret")]
    timer = [
        word("lui", b, immediate=CLINT.base + 0x4000 >> 12),
        word("addi", a, 0, immediate=-1),
        word("sd", rs1=b, rs2=a),
        word("mret"),
    ]
    interrupt = [
        word("csrrs", b, 0, immediate=CSR.MEPC),
        word("andi", a, a, immediate=15),
        word("addi", b, 0, immediate=3),
        word("beq", rs1=a, rs2=b, immediate=16),
        word("addi", b, 0, immediate=7),
        word("beq", rs1=a, rs2=b, immediate=4 * (2 + len(software))),
        word("mret"),
        *software,
        *timer,
    ]
    first = [
        word("csrrs", a, 0, immediate=CSR.MCAUSE),
        word("blt", rs1=a, rs2=0, immediate=4 * (1 + len(exception))),
    ]
    body = [*first, *exception, *interrupt]
    start = _VECTORS + _VECTOR_COUNT
    vectors = [word("jal", immediate=4 * (start - at)) for at in range(_VECTORS, start)]
    skipped = [0] * (_VECTORS - 1)
    return [word("jal", immediate=4 * (start + len(body))), *skipped, *vectors, *body]


def generate(seed: int, blocks: int = 1200) -> RandomProgram:
    """A program of ``blocks`` blocks of about seven instructions each; the same one for the same arguments.

    Raises ValueError when the code would not fit ``CODE_BYTES``.
    """
    generator = _Generator(seed, blocks)
    words = generator.program()
    if 4 * len(words) > CODE_BYTES:
        raise ValueError(f"{blocks} blocks are more than fit {CODE_BYTES} bytes of code")
    window = b"".join(generator.value().to_bytes(8, "little") for _ in range(512))
    return RandomProgram(seed, tuple(words), window)
