"""The blocks of which random programs are made.

A block is a short sequence that only makes sense as a whole; branches go to the start of a block. A trap
anywhere in a block, and leaving out any of its instructions, must do no harm: U-mode may not do all of it.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from fides_core.config import CoreConfig
from fides_core.isa.csrs import CSR
from fides_core.isa.instructions import INSTRUCTIONS, Format
from fides_core.soc.memory_map import CLINT, EXIT, MAIN_MEMORY_BASE, UART

from .random_layout import (
    ALTERNATE_LINK, ARENA_END, BASE, CLIFF_BYTES, COUNTER, DATA, INNER_COUNTER, KEPT, LINK, POINTER, RESUME,
    SECOND, STACK, STACK_POINTER, TABLE, TABLE_ENTRIES, TARGETS, TEMPORARY, VECTORS, VICTIMS, WINDOW,
    WINDOW_BYTES,
)  # fmt: skip
from .random_words import MASK, WordSource, compressed, low_part, size_of, word

__all__ = ["Address", "Blocks", "Jump", "item_bytes"]


@dataclass(frozen=True)
class Jump:
    """A placeholder for a jump or branch to a block; with a compressed ``name`` ("c.j", "c.beqz", "c.bnez")
    to the farthest block in its range, and not farther than ``block``."""

    name: str
    block: int
    rd: int = 0
    rs1: int = 0
    rs2: int = 0


@dataclass(frozen=True)
class Address:
    """A placeholder for auipc and addi, which put the address of a block into a register."""

    rd: int
    block: int


def item_bytes(item) -> int:
    """Bytes of an instruction or placeholder."""
    if isinstance(item, int):
        return size_of(item)
    if isinstance(item, Address):
        return 8
    return 2 if item.name.startswith("c.") else 4


def _bytes(items) -> int:
    return sum(item_bytes(item) for item in items)


_LOADS = tuple(row.name for row in INSTRUCTIONS if row.format is Format.LOAD)
_STORES = tuple(row.name for row in INSTRUCTIONS if row.format is Format.S)
_BRANCHES = tuple(row.name for row in INSTRUCTIONS if row.format is Format.B)
_AMOS = tuple(row.name for row in INSTRUCTIONS if row.format is Format.AMO and not row.name.startswith("sc"))
_MATCH = {row.name: row.match for row in INSTRUCTIONS}
_SIZES = {"b": 1, "h": 2, "w": 4, "d": 8}
_SHORT = tuple(range(8, 16))  # what three bits can name

# Nothing answers there, or nothing that can be executed; the last ones lie above 32 bits.
_NOWHERE = (
    0x0, 0x4, 0x800, 0x2000, 0x1_1400, 0x10_1000, 0x201_0000, 0x4000_0000, 0x7FFF_FFF8, 0xC000_0000,
    0xFFFF_FFF8, 0x1_0000_0000, 0x1_8000_0000, 0x8000_0000_8000_0000, 0xFFFF_FFFF_8000_0000, MASK - 7,
)  # fmt: skip
_NOT_EXECUTABLE = (*_NOWHERE, CLINT.base, CLINT.base + 0xBFF8, UART.base, UART.base + 8, EXIT.base)

# CSRs that a program may read at any time, from U-mode too (where most are illegal).
_READABLE = (
    CSR.CYCLE, CSR.TIME, CSR.INSTRET, CSR.MSTATUS, CSR.MISA, CSR.MIE, CSR.MTVEC, CSR.MCOUNTEREN, CSR.MENVCFG,
    CSR.MCOUNTINHIBIT, CSR.MSCRATCH, CSR.MEPC, CSR.MCAUSE, CSR.MTVAL, CSR.MIP, CSR.PMPCFG0, CSR.PMPCFG2,
    CSR.MCYCLE, CSR.MINSTRET, CSR.MVENDORID, CSR.MARCHID, CSR.MIMPID, CSR.MHARTID, CSR.MCONFIGPTR,
    *(CSR.PMPADDR0 + i for i in range(16)), *(CSR.PMPADDR0 + i for i in range(4)),
)  # fmt: skip
# Of no implementation with M and U mode only; read-only ones, when written.
_MISSING = (0x000, 0x100, 0x180, 0x200, 0x302, 0x303, 0x5A0, 0x7C0, 0x801, 0x9C0, 0xBFF, 0xCC0, 0xDFF, 0xFC0)

_MIE, _MPIE, _MPP, _MPRV, _TW = 1 << 3, 1 << 7, 3 << 11, 1 << 17, 1 << 21
_EXTERNAL = 1 << 11


class Blocks:
    """Makes blocks from the random numbers of ``draw``, for ``core`` with ``memory_bytes`` of main memory.

    ``victims``: addresses of instructions in VICTIMS that may be jumped to; ``functions``: the addresses in
    TABLE; ``recursive``: the address of a function that calls itself INNER_COUNTER times;
    ``cliff_entries``: offsets of instructions in the last CLIFF_BYTES of the main memory. All these are to be
    filled in before the first block that uses them is made. ``last``: the number of
    the last block that a block may jump to.
    """

    def __init__(self, draw: random.Random, core: CoreConfig, memory_bytes: int):
        self.draw = draw
        self.core = core
        self.memory_end = MAIN_MEMORY_BASE + memory_bytes
        self.words = WordSource(draw, core, TARGETS)
        #: Instructions that leave the link registers alone.
        self.inner = WordSource(draw, core, tuple(set(TARGETS) - {LINK, ALTERNATE_LINK}))
        self.victims: list[int] = []
        self.cliff_entries: list[int] = []
        self.functions: list[int] = []
        self.recursive = 0
        self.last = 0
        mix = [(weight, maker) for maker, weight in self.MIX if weight]
        if not core.pmp_entries:
            mix = [(weight, maker) for weight, maker in mix if maker is not Blocks.pmp]
        self._weights = [weight for weight, _ in mix]
        self._makers = [maker for _, maker in mix]

    def choose(self, count: int) -> list[Callable]:
        """Makers of ``count`` blocks; ``maker(blocks, number of the block)`` makes one."""
        return self.draw.choices(self._makers, self._weights, k=count)

    # Pieces

    def chance(self, probability: float) -> bool:
        return self.draw.random() < probability

    def below(self, bound: int) -> int:
        return int(self.draw.random() * bound)

    def register(self) -> int:
        """A register to read."""
        return self.below(32)

    def nearby(self, here: int) -> int:
        """A block behind this one."""
        return min(self.last, here + 1 + min(1 + self.below(11), 1 + self.below(11)))

    def from_base(self, rd: int, address: int) -> tuple[list[int], int]:
        """Instructions that put an address into ``rd``, but for the offset that is returned, too."""
        distance = address - BASE
        low = low_part(distance)
        if distance == low:
            return [compressed("mv", rd=rd, rs2=DATA)], low
        high = distance - low >> 12
        first = compressed("lui", rd=rd, imm=high) if -32 <= high < 32 and self.chance(0.7) else None
        return [first or word("lui", rd, immediate=high), compressed("add", rd=rd, rs2=DATA)], low

    def resume_behind(self, items: list) -> list:
        """``items``, with RESUME set to the address behind them."""
        return [
            word("auipc", RESUME),
            word("addi", RESUME, RESUME, immediate=_bytes(items) + 8),
            *items,
        ]

    def skip(self, items: list) -> list:
        """``items`` behind a branch that jumps over them now and then."""
        if self.chance(0.3):
            return [compressed(self.draw.choice(("beqz", "bnez")), rs1=self.draw.choice(_SHORT),
                               imm=2 + _bytes(items)), *items]  # fmt: skip
        name = self.draw.choice(_BRANCHES)
        return [word(name, rs1=self.register(), rs2=self.register(), immediate=4 + _bytes(items)), *items]

    def pick_offset(self, size: int) -> int:
        """Of an access in the window: some close together, so that loads meet stores; few misaligned."""
        offset = self.below(128) - 64 if self.chance(0.5) else self.below(WINDOW_BYTES) - WINDOW_BYTES // 2
        return offset & -size if self.chance(0.95) else offset

    def access(self, rs1: int, offset: int, name: str | None = None) -> list[int]:
        """A load or store at ``offset``, aligned if that is; the loaded value may be used at once."""
        store = self.chance(0.45)
        if name is None:
            name = self.draw.choice(_STORES if store else _LOADS)
        if name in _STORES:
            return [word(name, rs1=rs1, rs2=self.register(), immediate=offset)]
        rd = self.words.target()
        items = [word(name, rd, rs1, immediate=offset)]
        if self.chance(0.4):
            items.append(word("add", self.words.target(), rd, self.register()))
        return items

    # Computing

    def arithmetic(self, here: int) -> list:
        return [self.words.any() for _ in range(1 + self.below(8))]

    def chain(self, here: int) -> list:
        """Each instruction needs the result of the one before."""
        rd = self.draw.choice(TARGETS)
        items = []
        for _ in range(2 + self.below(6)):
            code = self.words.wide()
            rs1 = rd if self.chance(0.6) else code >> 15 & 31
            rows = code & ~(31 << 15 | 31 << 7) | rs1 << 15 | rd << 7
            if code & 0x7F in (0x37, 0x17):  # upper immediates have no sources
                rows = code & ~(31 << 7) | rd << 7
            elif code & 0x7F in (0x33, 0x3B) and self.chance(0.5) and code >> 25 != 4:
                rows = rows & ~(31 << 20) | rd << 20
            items.append(rows)
        return items

    def constant(self, here: int) -> list:
        return self.words.load(self.draw.choice(TARGETS), self.words.value())

    def divide(self, here: int) -> list:
        a, b = self.draw.sample(TARGETS, 2)
        value = self.words.value
        pairs = ((1 << 63, MASK), (1 << 31, 0xFFFFFFFF), (MASK ^ 0x7FFFFFFF, MASK), (value(), 0))
        pair = self.draw.choice(pairs) if self.chance(0.5) else (value(), value())
        items = self.words.load(a, pair[0]) + self.words.load(b, pair[1])
        for _ in range(1 + self.below(4)):
            items.append(self.words.multiply_divide(a, b) if self.chance(0.8) else self.words.any())
        return items

    # Memory

    def memory(self, here: int) -> list:
        """Loads and stores in the window, some with results that are used at once, some misaligned."""
        items = []
        for _ in range(1 + self.below(7)):
            name = self.draw.choice(_STORES if self.chance(0.45) else _LOADS)
            items += self.access(DATA, self.pick_offset(_SIZES[name[1]]), name)
        return items

    def narrow_memory(self, here: int) -> list:
        """Compressed loads and stores, also by the stack pointer."""
        base, other = self.draw.sample(_SHORT, 2)
        offset = (self.below(0x700) - 0x400) & -8 | (4 if self.chance(0.2) else 0) | (self.chance(0.03))
        if self.chance(0.4):
            items = [word("addi", STACK_POINTER, DATA, immediate=offset)]
            for _ in range(1 + self.below(5)):
                name = self.draw.choice(("lwsp", "ldsp", "swsp", "sdsp"))
                near = 8 * self.below(8) if self.chance(0.5) else 4 * self.below(64) & -8
                rd = self.draw.choice(TARGETS)
                items.append(compressed(name, rd=rd, rs2=self.register(), imm=near))
                if self.chance(0.2):
                    items.append(compressed("addi16sp", imm=16 * self.draw.choice((-3, -2, -1, 1, 2, 3))))
                if self.chance(0.2):
                    items.append(compressed("addi4spn", rd=other, imm=4 * (1 + self.below(255))))
            return [*items, word("addi", STACK_POINTER, POINTER, immediate=STACK - KEPT)]
        items = [word("addi", base, DATA, immediate=offset)]
        for _ in range(1 + self.below(5)):
            name = self.draw.choice(("lw", "ld", "sw", "sd"))
            rd = self.draw.choice([number for number in _SHORT if number != base])
            near = (8 if name[1] == "d" else 4) * self.below(16)
            items.append(compressed(name, rd=rd, rs1=base, rs2=self.draw.choice(_SHORT), imm=near))
            if self.chance(0.3):
                items.append(compressed("addi", rd=other, imm=self.below(64) - 32))
        return items

    def far(self, here: int) -> list:
        """Accesses all over the main memory, some in the same sets of the caches."""
        pages = self.memory_end - BASE >> 12
        offset = (self.below(WINDOW_BYTES) - WINDOW_BYTES // 2) & -8
        stride = self.draw.choice((1, 1, 2, 4, 8))
        first = self.below(max(1, min(pages, 64) - 8 * stride))
        items = []
        for _ in range(2 + self.below(5)):
            page = 1 + first + stride * self.below(8) if self.chance(0.8) else 1 + self.below(pages)
            if page > pages:
                page = 1 + self.below(pages)
            # The last bytes of the memory are code.
            if page == pages:
                offset = min(offset, WINDOW_BYTES // 2 - CLIFF_BYTES - 8)
            narrow = page < 32 and self.chance(0.7)
            items.append(
                compressed("lui", rd=TEMPORARY, imm=page) if narrow else word("lui", TEMPORARY, immediate=page)
            )
            items.append(compressed("add", rd=TEMPORARY, rs2=DATA))
            for _ in range(1 + self.below(2)):
                near = offset + self.below(8)
                name = self.draw.choice(_STORES if self.chance(0.5) else _LOADS)
                near &= -_SIZES[name[1]]
                items += self.access(TEMPORARY, min(near, 0x7F8), name)
        return items

    def outside(self, here: int) -> list:
        """Accesses where nothing answers, or of any register's value, or of a device."""
        pick = self.draw.random()
        if pick < 0.3:
            address = self.draw.choice(_NOWHERE) + self.draw.choice((0, 0, 0, 1, 2, 4))
            items = self.words.load(TEMPORARY, address)
            if self.chance(0.2):
                return [*items, self.atomic_word(self.draw.choice(_AMOS), TEMPORARY)]
            return items + self.access(TEMPORARY, 0)
        if pick < 0.55:
            # At the window's edges, and at those of the main memory.
            last = self.memory_end
            address = self.draw.choice((WINDOW, WINDOW + WINDOW_BYTES, MAIN_MEMORY_BASE, last, last))
            items = self.words.load(TEMPORARY, address)
            offset = self.below(32) - 16
            if address == last and self.chance(0.3):
                return [*items, word(self.draw.choice(_STORES), rs1=TEMPORARY, rs2=self.register())]
            return [*items, word(self.draw.choice(_LOADS), self.words.target(), TEMPORARY, immediate=offset)]
        if pick < 0.75:
            name = self.draw.choice(_LOADS)
            return [word(name, self.words.target(), self.register(), immediate=self.draw.getrandbits(12))]
        register, names = self.draw.choice(
            ((0, ("lw", "lwu", "ld")), (0x4000, ("lw", "ld")), (0xBFF8, ("ld",)), (0xBFF8, ("ld",)))
        )
        items = self.words.load(TEMPORARY, CLINT.base + register)
        for _ in range(1 + self.below(3)):
            items.append(word(self.draw.choice(names), self.words.target(), TEMPORARY))
            if self.chance(0.5):
                items += self.access(DATA, self.pick_offset(8))
        return items

    # Atomics

    def atomic_word(self, name: str, rs1: int, rd: int | None = None) -> int:
        rd = self.words.target() if rd is None else rd
        rs2 = 0 if name.startswith("lr") else self.register()
        return _MATCH[name] | rd << 7 | rs1 << 15 | rs2 << 20 | self.below(4) << 25

    def atomic(self, here: int) -> list:
        """Atomic operations in the window, also misaligned and between other accesses."""
        size = self.draw.choice((4, 8))
        offset = self.pick_offset(size)
        items = [word("addi", TEMPORARY, DATA, immediate=offset)]
        for _ in range(1 + self.below(4)):
            names = _AMOS if size == 8 or self.chance(0.2) else tuple(n for n in _AMOS if n.endswith(".w"))
            rd = self.words.target()
            items.append(self.atomic_word(self.draw.choice(names), TEMPORARY, rd))
            if self.chance(0.4):
                items.append(word("xor", self.words.target(), rd, self.register()))
            if self.chance(0.4):
                name = self.draw.choice(("sd", "ld", "sw", "lw", "sb", "lbu"))
                items += self.access(DATA, offset & -_SIZES[name[1]], name)
        return items

    def reserved(self, here: int) -> list:
        """lr and sc: pairs that succeed, and what makes sc fail."""
        suffix = self.draw.choice((".w", ".d"))
        size = _SIZES[suffix[1]]
        offset = self.pick_offset(size)
        items = [word("addi", TEMPORARY, DATA, immediate=offset)]
        other = self.draw.choice((".w", ".d"))
        kind = self.draw.random()
        load, store = self.atomic_word("lr" + suffix, TEMPORARY), self.atomic_word("sc" + suffix, TEMPORARY)
        if kind < 0.15:  # a loop until it has succeeded, which it need not in U-mode
            flag = self.draw.choice(_SHORT)
            body = [load, self.words.any(), self.atomic_word("sc" + suffix, TEMPORARY, flag)]
            body += [compressed("addi", rd=INNER_COUNTER, imm=-1)]
            body += [word("bge", rs1=0, rs2=INNER_COUNTER, immediate=6)]
            body += [compressed("bnez", rs1=flag, imm=-_bytes(body))]
            return [*items, word("addi", INNER_COUNTER, 0, immediate=4), *body]
        if kind < 0.5:
            between = self.words.some(4)
        elif kind < 0.6:  # another address
            store = self.atomic_word("sc" + suffix, SECOND)
            between = [word("addi", SECOND, TEMPORARY, immediate=self.draw.choice((-64, -8, -4, 4, 8, 64)))]
        elif kind < 0.7:  # another size
            between, store = self.words.some(1), self.atomic_word("sc" + other, TEMPORARY)
        elif kind < 0.8:  # another sc before
            between = [store, *self.words.some(1)]
        elif kind < 0.87:
            between = [self.draw.choice((word("ecall"), word("ebreak"), self.words.illegal()))]
        elif kind < 0.94:
            name = self.draw.choice(("sd", "sw", "sb", "ld", "lw"))
            between = self.access(DATA, offset & -_SIZES[name[1]], name)
        elif kind < 0.97:
            between = [self.atomic_word(self.draw.choice(_AMOS), TEMPORARY)]
        else:
            return [*items, store]
        return [*items, load, *between, store, *self.words.some(1)]

    # Control flow

    def branch(self, here: int) -> list:
        """Forward, over some blocks; by chance, by the round of the section, or the same way always."""
        items = self.words.some(1)
        target = self.nearby(here)
        pick = self.draw.random()
        if pick < 0.35:
            rs1 = self.draw.choice(_SHORT)
            if self.chance(0.6):
                items.append(word("andi", rs1, COUNTER, immediate=self.draw.choice((1, 1, 2, 3, 4, 7))))
            return [*items, Jump(self.draw.choice(("c.beqz", "c.bnez")), target, rs1=rs1)]
        operands = self.register(), self.register()
        if pick < 0.45:
            operands = operands[0], operands[0]
        elif pick < 0.65:
            items.append(word("andi", TEMPORARY, COUNTER, immediate=self.draw.choice((1, 2, 3, 5, 6))))
            operands = TEMPORARY, 0
        return [*items, Jump(self.draw.choice(_BRANCHES), target, rs1=operands[0], rs2=operands[1])]

    def jump(self, here: int) -> list:
        block = self.nearby(here)
        pick = self.draw.random()
        if pick < 0.3:
            return [Jump("jal", block, rd=self.words.target())]
        if pick < 0.6:
            return [Jump("c.j", block)]
        if pick < 0.75:
            name = self.draw.choice(("jr", "jalr"))
            return [Address(TEMPORARY, block), compressed(name, rs1=TEMPORARY)]
        offset = self.below(4095) - 2047
        rd = self.draw.choice((0, LINK, ALTERNATE_LINK, self.words.target()))
        # The lowest bit of a jump's target is ignored.
        odd = word("addi", TEMPORARY, TEMPORARY, immediate=-offset | 1 if -offset < 2047 else -offset)
        even = word("addi", TEMPORARY, TEMPORARY, immediate=-offset)
        fix = odd if self.chance(0.3) and not offset & 1 else even
        return [Address(TEMPORARY, block), fix, word("jalr", rd, TEMPORARY, immediate=offset)]

    def local_call(self, here: int) -> list:
        """A call to a function of a few instructions in the same block, which returns through the link
        register, sometimes to an instruction behind the usual one."""
        link = self.draw.choice((LINK, LINK, ALTERNATE_LINK))
        body = self.inner.some(4)
        tail = [self.words.any() for _ in range(2)]
        kind = self.draw.random()
        if kind < 0.2:
            body.append(word("addi", link, link, immediate=size_of(tail[0])))
            back = word("jalr", 0, link)
        elif kind < 0.3:  # a coroutine: return and call at once
            back = word("jalr", LINK + ALTERNATE_LINK - link, link)
        else:
            back = compressed("jr", rs1=link) if self.chance(0.6) else word("jalr", 0, link)
        body.append(back)
        size = _bytes(body)
        call = word("jal", link, immediate=-size)
        over = compressed("j", imm=2 + size) if self.chance(0.5) else word("jal", immediate=4 + size)
        return [over, *body, call, *tail]

    def call(self, here: int) -> list:
        """A function that calls others, directly or by its address in a table; or one that calls itself."""
        pick = self.draw.random()
        if pick < 0.25:
            items, offset = self.from_base(TEMPORARY, self.recursive)
            rounds = self.draw.choice((1, 2, 3, 7, 8, 9, 12, 17, 33))
            return [word("addi", INNER_COUNTER, 0, immediate=rounds), *items,
                    word("jalr", LINK, TEMPORARY, immediate=offset)]  # fmt: skip
        link = [compressed("jalr", rs1=TEMPORARY)]
        if pick < 0.6:
            at = TABLE - KEPT + 8 * self.below(TABLE_ENTRIES)
            return [word("ld", TEMPORARY, POINTER, immediate=at), *link]
        source = COUNTER if self.chance(0.7) else self.register()
        mask = self.draw.choice((1, 3, 15)) << 3
        return [
            word("slli", TEMPORARY, source, immediate=3),
            word("andi", TEMPORARY, TEMPORARY, immediate=mask),
            compressed("add", rd=TEMPORARY, rs2=POINTER),
            word("ld", TEMPORARY, TEMPORARY, immediate=TABLE - KEPT),
            *link,
        ]

    def victim(self, here: int) -> list:
        """Into code that PMP regions may cut."""
        items, offset = self.from_base(TEMPORARY, self.draw.choice(self.victims))
        return self.resume_behind([*items, word("jalr", self.words.target(), TEMPORARY, immediate=offset)])

    def cliff(self, here: int) -> list:
        """To the last instructions of the main memory."""
        items = self.words.load(TEMPORARY, self.memory_end)
        near = word("jalr", 0, TEMPORARY, immediate=self.draw.choice(self.cliff_entries) - CLIFF_BYTES)
        return self.resume_behind([*items, near])

    def loop(self, here: int) -> list:
        """A backward branch of few rounds."""
        body = []
        for _ in range(1 + self.below(3)):
            maker = self.draw.choice((Blocks.arithmetic, Blocks.memory, Blocks.chain, Blocks.narrow_memory,
                                      Blocks.far, Blocks.atomic))  # fmt: skip
            body += maker(self, here)
        if self.chance(0.4):
            body += self.skip([self.words.any() for _ in range(1 + self.below(3))])
        body.append(compressed("addi", rd=INNER_COUNTER, imm=-1))
        back = word("blt", rs1=0, rs2=INNER_COUNTER, immediate=-_bytes(body))
        return [word("addi", INNER_COUNTER, 0, immediate=1 + self.below(12)), *body, back]

    def wild_jump(self, here: int) -> list:
        """Jumps into the middle of a doubleword, and to where nothing can be fetched."""
        pick = self.draw.random()
        if pick < 0.3:
            # Lands on the second or third of three halfwords behind it.
            target = self.draw.choice((6, 8))
            name = self.draw.choice(_BRANCHES)
            return [word(name, rs1=self.register(), rs2=self.register(), immediate=target),
                    *(self.words.narrow() for _ in range(3))]  # fmt: skip
        if pick < 0.5:
            return [
                word("auipc", TEMPORARY),
                word("jalr", self.words.target(), TEMPORARY, immediate=self.draw.choice((8, 9, 10, 11))),
                self.words.narrow(),
            ]
        address = self.draw.choice(_NOT_EXECUTABLE)
        if self.chance(0.3):
            address = self.memory_end
        items = self.words.load(TEMPORARY, address)
        return [*items, word("jalr", RESUME, TEMPORARY, immediate=self.below(4))]

    def wild_return(self, here: int) -> list:
        """mret to where nothing can be fetched."""
        items = self.words.load(TEMPORARY, self.draw.choice(_NOT_EXECUTABLE))
        items += [word("csrrw", 0, TEMPORARY, immediate=CSR.MEPC), word("mret")]
        return self.resume_behind(items)

    # Traps, CSRs, modes

    def trap(self, here: int) -> list:
        pick = self.draw.random()
        if pick < 0.25:
            return [word("ecall")]
        if pick < 0.4:
            return [self.draw.choice((word("ebreak"), compressed("ebreak")))]
        if pick < 0.45:
            return [word("wfi"), word("ecall")]
        return [self.words.illegal()]

    def counter(self, here: int) -> list:
        """Time, cycles and instructions, which U-mode may read when mcounteren says so; event counters."""
        if self.chance(0.3):
            first = self.draw.choice((CSR.MHPMCOUNTER3, CSR.HPMCOUNTER3, CSR.MHPMEVENT3))
            return [word("csrrs", self.words.target(), 0, immediate=first + self.below(29))]
        counter = self.draw.choice((CSR.CYCLE, CSR.TIME, CSR.INSTRET))
        items = [word("csrrs", self.words.target(), 0, immediate=counter)]
        if self.chance(0.5):
            items.insert(0, word("csrrwi", self.words.target(), self.below(8), immediate=CSR.MCOUNTEREN))
        if self.chance(0.2):
            number = self.draw.choice((CSR.MINSTRET, CSR.MCYCLE))
            items.insert(0, word("csrrw", self.words.target(), self.register(), immediate=number))
        return items

    def csr_read(self, here: int) -> list:
        number = self.draw.choice(_READABLE)
        if self.chance(0.1):
            number = self.draw.choice(_MISSING)
        if self.chance(0.1) and number >> 10 == 3:
            return [word(self.draw.choice(("csrrw", "csrrs", "csrrwi")), self.words.target(), 5, immediate=number)]
        name = self.draw.choice(("csrrs", "csrrc", "csrrsi", "csrrci"))
        items = [word(name, self.words.target(), 0, immediate=number)]
        return items + self.words.some(1)

    def csr_write(self, here: int) -> list:
        name = self.draw.choice(("csrrw", "csrrs", "csrrc"))
        value = self.words.value
        pick = self.draw.random()
        if pick < 0.25:
            number, operand = CSR.MSCRATCH, value()
        elif pick < 0.3:
            # No address of code: only sequences that set it themselves may return through it.
            number, operand = CSR.MEPC, value() | 1 << 40
            name = "csrrs" if name == "csrrc" else name
        elif pick < 0.35:
            number, operand = CSR.MTVAL, value()
        elif pick < 0.4:
            name, number = "csrrw", CSR.MCAUSE
            operand = self.draw.choice((0, 1, 63, 1 << 63 | 7, 1 << 63 | 11))
        elif pick < 0.5:
            number, operand = CSR.MCOUNTEREN, self.below(8)
        elif pick < 0.6:
            name, number, operand = "csrrw", CSR.MTVEC, VECTORS + self.below(2)
        elif pick < 0.75:
            # The external interrupt stays enabled: it is what ends a wfi.
            number, operand = CSR.MIE, self.draw.getrandbits(64) | _EXTERNAL
            if name == "csrrc":
                operand = self.draw.getrandbits(64) & ~_EXTERNAL
        elif pick < 0.8:
            number, operand = CSR.MIP, value()
        else:
            number = CSR.MSTATUS
            bits = self.draw.choice(
                (_MIE, _MPIE, _MPRV, _TW, _MPP, _MIE | _MPIE, self.draw.getrandbits(64))
            )
            operand = bits & ~_MPRV if self.chance(0.7) else bits
        # Immediates are for mstatus.MIE and for registers whose every value is harmless.
        if self.chance(0.3) and number in (CSR.MSCRATCH, CSR.MSTATUS, CSR.MTVAL):
            return [word(name + "i", self.words.target(), operand & 31, immediate=number)]
        items = self.words.load(TEMPORARY, operand)
        return [*items, word(name, self.words.target(), TEMPORARY, immediate=number)]

    def pmp(self, here: int) -> list:
        """The last entry allows everything and stays as it is; those before it protect parts of the arena."""
        entries = self.core.pmp_entries
        if self.chance(0.55):
            number = CSR.PMPADDR0 + self.below(entries - 1)
            items = self.words.load(TEMPORARY, self.pmp_address())
        else:
            first = 8 * self.below((entries + 7) // 8)
            number = CSR.PMPCFG0 + first // 4
            items = self.words.load(TEMPORARY, self.pmp_configuration(first))
        return [*items, word("csrrw", self.words.target(), TEMPORARY, immediate=number)]

    def pmp_address(self) -> int:
        """The value of an address register: a NAPOT region or a bound in the arena."""
        pick = self.draw.random()
        if pick < 0.5:
            address = self.draw.choice(self.victims) + 4 * self.below(2)
        elif pick < 0.7:
            address = WINDOW + self.below(WINDOW_BYTES)
        elif pick < 0.9:
            address = BASE + self.below(128) - 64
        else:
            address = VICTIMS + self.below(ARENA_END - VICTIMS)
        ones = (1 << (self.below(9) if self.chance(0.5) else self.below(4))) - 1
        return address >> 2 | ones

    def pmp_configuration(self, first: int, off: float = 0.3) -> int:
        """The value of the configuration register of entries ``first`` to ``first`` + 7. ``off``: the
        probability that an entry is switched off."""
        entries = self.core.pmp_entries
        value = 0
        for i in range(first, min(first + 8, entries)):
            if i == entries - 1:
                entry = 0x1F  # R, W, X, NAPOT
            else:
                # The entry below entry 0 is address 0: a region from there would contain the main code.
                mode = 0 if self.chance(off) else self.draw.choice((2, 3) if i == 0 else (1, 1, 2, 3))
                entry = self.draw.choice((0, 1, 2, 3, 4, 5, 7)) | mode << 3
                entry |= self.chance(0.06 / entries) << 7
            value |= entry << 8 * (i - first)
        return value

    def to_user(self, here: int) -> list:
        """On to the next block in U-mode; the handler brings the program back to M-mode now and then."""
        user = [*self.words.load(TEMPORARY, _MPP), word("csrrc", 0, TEMPORARY, immediate=CSR.MSTATUS)]
        return [
            *(user if self.chance(0.7) else ()),  # else in whatever mode mstatus.MPP says
            word("auipc", TEMPORARY),
            word("addi", TEMPORARY, TEMPORARY, immediate=16 + self.below(2)),
            word("csrrw", 0, TEMPORARY, immediate=CSR.MEPC),
            word("mret"),
        ]

    def interrupt(self, here: int) -> list:
        """Raise a software interrupt, or set the timer to go off soon."""
        if self.chance(0.5):
            return [
                word("lui", TEMPORARY, immediate=CLINT.base >> 12),
                word("addi", SECOND, 0, immediate=1),
                word("sw", rs1=TEMPORARY, rs2=SECOND),
            ]
        return [
            word("lui", TEMPORARY, immediate=CLINT.base + 0xC000 >> 12),
            word("ld", SECOND, TEMPORARY, immediate=-8),  # mtime
            word("addi", SECOND, SECOND, immediate=self.below(200)),
            word("lui", TEMPORARY, immediate=CLINT.base + 0x4000 >> 12),
            word("sd", rs1=TEMPORARY, rs2=SECOND),
        ]

    def wait(self, here: int) -> list:
        return [word("wfi")]

    # Code that changes

    def modify(self, here: int) -> list:
        """Writes one of its own instructions, another one in every round of the section. Between the store
        and the new instruction is a fence.i; others lie on paths that are not taken."""
        fence = word("fence.i")
        between = self.words.some(2)
        for _ in range(self.below(3)):
            between += self.skip([fence, *self.words.some(1)])
        before = self.skip([fence]) if self.chance(0.3) else []
        last = [] if self.chance(0.7) else [compressed("addi", rd=0, imm=0)] * self.below(4)
        behind = [*between, fence, *last]
        if self.chance(0.4):
            # A compressed instruction: c.li or c.addi with another immediate.
            rd = self.draw.choice(TARGETS)
            target = compressed(self.draw.choice(("li", "addi", "andi" if rd in _SHORT else "li")), rd=rd, imm=1)
            items = [*self.words.load(SECOND, target & ~(31 << 2)),
                     word("andi", TEMPORARY, COUNTER, immediate=15),
                     compressed("slli", rd=TEMPORARY, imm=2)]  # fmt: skip
            stores = ["sh"]
        else:
            name = self.draw.choice(("addi", "xori", "ori", "andi", "slti", "addiw"))
            target = word(name, self.words.target(), self.register(), immediate=self.draw.getrandbits(12))
            items = [*self.words.load(SECOND, target), word("slli", TEMPORARY, COUNTER, immediate=20)]
            # sw is refused where the instruction lies across two words: it stays as it is then.
            stores = ["sw"] if self.chance(0.4) else ["sh", "sh"]
        items.append(compressed("add", rd=SECOND, rs2=TEMPORARY))
        size = 4 * len(stores) if len(stores) == 1 else 12
        # auipc, the stores and what is between them and the target.
        distance = 4 + size + _bytes(before) + _bytes(behind)
        items.append(word("auipc", TEMPORARY))
        items += before
        items.append(word(stores[0], rs1=TEMPORARY, rs2=SECOND, immediate=distance))
        if len(stores) == 2:
            items.append(word("srli", SECOND, SECOND, immediate=16))
            items.append(word("sh", rs1=TEMPORARY, rs2=SECOND, immediate=distance + 2))
        return [*items, *behind, target]

    def fence(self, here: int) -> list:
        name = self.draw.choice(("fence", "fence", "fence.i"))
        code = word(name, self.draw.choice((0, 0, 3)), 0, immediate=self.draw.choice((0, 0xFF, 0x33)))
        return self.skip([code]) if self.chance(0.3) else [code]

    #: Makers and how often they are chosen.
    MIX = (
        (arithmetic, 24), (chain, 8), (constant, 8), (divide, 5), (memory, 20), (narrow_memory, 10), (far, 8),
        (outside, 2), (atomic, 5), (reserved, 4), (branch, 22), (jump, 8), (local_call, 5), (call, 3),
        (victim, 4), (cliff, 0.3), (loop, 5), (wild_jump, 1.5), (wild_return, 0.3), (trap, 2), (counter, 2),
        (csr_read, 4), (csr_write, 5), (pmp, 3), (to_user, 2), (interrupt, 0.8), (modify, 1.5), (fence, 1),
        (wait, 0.1),
    )  # fmt: skip

    # Functions

    def function(self, at: int, others: list[int]) -> list[int]:
        """A function to be placed at address ``at``, which may call ``others``, which lie before it."""
        body: list[int] = []
        frame = bool(others) and self.chance(0.6)
        if frame:
            body += [compressed("addi16sp", imm=-16), compressed("sdsp", rs2=LINK, imm=8)]
        for _ in range(1 + self.below(3)):
            body += [self.inner.any() for _ in range(self.below(4))]
            if self.chance(0.5):
                body += self.skip([self.inner.any() for _ in range(1 + self.below(3))])
            if frame:
                target = self.draw.choice(others)
                if self.chance(0.5):
                    body.append(word("jal", LINK, immediate=target - at - _bytes(body)))
                else:
                    items, offset = self.from_base(TEMPORARY, target)
                    body += [*items, word("jalr", LINK, TEMPORARY, immediate=offset)]
        if frame:
            body += [compressed("ldsp", rd=LINK, imm=8), compressed("addi16sp", imm=16)]
        return [*body, compressed("jr", rs1=LINK) if self.chance(0.7) else word("jalr", 0, LINK)]

    def recursion(self) -> list[int]:
        """A function that calls itself INNER_COUNTER times."""
        inner = self.inner.some(3)
        head = [
            compressed("addi16sp", imm=-16),
            compressed("sdsp", rs2=LINK, imm=8),
            *inner,
            compressed("addi", rd=INNER_COUNTER, imm=-1),
        ]
        call = [word("bge", rs1=0, rs2=INNER_COUNTER, immediate=8), word("jal", LINK, immediate=-_bytes(head) - 4)]
        tail = [*self.inner.some(2), compressed("ldsp", rd=LINK, imm=8), compressed("addi16sp", imm=16)]
        return [*head, *call, *tail, compressed("jr", rs1=LINK)]

    def victim_function(self) -> list[int]:
        """Instructions without loops that end with a jump to RESUME."""
        items = []
        for _ in range(2 + self.below(5)):
            pick = self.draw.random()
            if pick < 0.2:
                items += self.memory(0)
            elif pick < 0.3:
                items += self.atomic(0)
            elif pick < 0.5:
                items += self.skip([self.words.any()])
            else:
                items += self.arithmetic(0)
        return [*items, compressed("jr", rs1=RESUME) if self.chance(0.6) else word("jalr", 0, RESUME)]

    def cliff_code(self) -> list[int]:
        """At least CLIFF_BYTES of instructions; half of one may lie behind."""
        items = [self.words.narrow()] if self.chance(0.5) else []
        left = CLIFF_BYTES - 2 * len(items)
        while left > 0:
            items.append(self.words.wide() if self.chance(0.6) else self.words.narrow())
            left -= size_of(items[-1])
        return items
