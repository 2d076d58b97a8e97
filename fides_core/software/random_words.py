"""Instruction words for random programs: single ones by name, constants, and random ones of a kind.

An instruction is an integer, of 16 bits when its lowest two are not 11, else of 32.
"""

import random
from collections.abc import Iterable, Sequence
from functools import cache

from fides_core.config import CoreConfig
from fides_core.isa.compressed import COMPRESSED, CompressedInstruction, encode_compressed, find_compressed
from fides_core.isa.encode import encode
from fides_core.isa.instructions import BY_NAME, INSTRUCTIONS, Format, find, instructions

__all__ = [
    "CORNERS", "MASK", "WordSource", "compressed", "load_constant", "low_part", "size_of", "to_bytes", "word",
]  # fmt: skip

MASK = (1 << 64) - 1
CORNERS = (
    0, 1, 2, 3, 4, 7, 8, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FF, 0x800, 0xFFF, 0x7FFF, 0x8000, 0xFFFF,
    0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF, 0x100000000, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000,
    0x8000000000000001, 0x5555555555555555, 0xAAAAAAAAAAAAAAAA, 0x0123456789ABCDEF,
    MASK, MASK - 1, MASK - 2, MASK - 6, MASK - 63, MASK ^ 0x7FFFFFFF, MASK ^ 0xFFFFFFFF, MASK ^ 0x7FF,
)  # fmt: skip


def low_part(value: int) -> int:
    """The signed lowest 12 bits of ``value``."""
    return (value & 0xFFF) - ((value & 0x800) << 1)


def word(name: str, rd: int = 0, rs1: int = 0, rs2: int = 0, immediate: int = 0) -> int:
    """The word of a 32-bit instruction, as ``isa.encode`` makes it, with 12-bit immediates, shift amounts
    and upper immediates cut to their fields. ``immediate``: also the CSR number, and aq and rl of atomic
    instructions as two bits; ``rs1`` is the 5-bit immediate of CSR instructions that have one."""
    match BY_NAME[name].format:
        case Format.R | Format.NONE | Format.UNARY:
            return encode(name, rd=rd, rs1=rs1, rs2=rs2)
        case Format.I | Format.LOAD | Format.S:
            return encode(name, rd=rd, rs1=rs1, rs2=rs2, imm=low_part(immediate))
        case Format.LR | Format.AMO:
            return encode(name, rd=rd, rs1=rs1, rs2=rs2, aq=immediate >> 1 & 1, rl=immediate & 1)
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


def compressed(name: str, **operands: int) -> int:
    """The halfword of ``c.<name>``; the operands are those of ``isa.encode_compressed``."""
    return encode_compressed(f"c.{name}", **operands)


def size_of(code: int) -> int:
    """Bytes of an instruction: 2 or 4."""
    return 4 if code & 3 == 3 else 2


def to_bytes(codes: Iterable[int]) -> bytes:
    """The instructions in memory, one after the other."""
    return b"".join(code.to_bytes(4 if code & 3 == 3 else 2, "little") for code in codes)


def load_constant(rd: int, value: int) -> list[int]:
    """32-bit instructions that put the 64-bit ``value`` into register ``rd``."""
    value &= MASK
    signed = value - (1 << 64) if value >> 63 else value
    if -2048 <= signed < 2048:
        return [word("addi", rd, 0, immediate=signed)]
    low = low_part(signed)
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


def _shortened(code: int, rd: int) -> int:
    """The compressed instruction for one of ``load_constant``, or ``code`` itself where there is none."""
    opcode, same = code & 0x7F, code >> 15 & 31 == rd
    low = low_part(code >> 20)
    if rd == 0:
        return code
    if opcode == 0x13 and code >> 12 & 7 == 1:
        return compressed("slli", rd=rd, imm=low)
    if opcode == 0x13 and -32 <= low < 32 and low:
        return compressed("addi" if same else "li", rd=rd, imm=low)
    if opcode == 0x1B and -32 <= low < 32:
        return compressed("addiw", rd=rd, imm=low)
    if opcode == 0x37 and rd != 2:
        upper = (code >> 12) - (code >> 31 << 20)
        if -32 <= upper < 32 and upper:
            return compressed("lui", rd=rd, imm=upper)
    return code


_COMPUTING = (Format.R, Format.I, Format.SHAMT6, Format.SHAMT5, Format.U, Format.UNARY)
# Compressed instructions that compute, so that they cannot trap or go elsewhere.
_COMPRESSED_COMPUTING = frozenset(
    f"c.{name}"
    for name in (
        "addi4spn", "addi", "addiw", "li", "lui", "srli", "srai", "andi", "sub", "xor", "or", "and", "subw",
        "addw", "slli", "mv", "add",
    )
)  # fmt: skip


@cache
def _halfwords(row: CompressedInstruction) -> tuple[tuple[int, int], ...]:
    """Every encoding of ``row`` with the number of the register that it writes."""
    free = 0xFFFF & ~row.mask
    result = []
    bits = free
    while True:  # all subsets of the free bits
        halfword = row.match | bits
        if row.matches(halfword) and find_compressed(halfword) is row:
            result.append((halfword, row.values(halfword).get("rd", 0)))
        if not bits:
            return tuple(result)
        bits = bits - 1 & free


@cache
def _compressed_pool(targets: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    allowed = frozenset((0, *targets))
    pools = []
    for row in COMPRESSED:
        if row.name in _COMPRESSED_COMPUTING:
            pools.append(tuple(halfword for halfword, rd in _halfwords(row) if rd in allowed))
    return tuple(pool for pool in pools if pool)


class WordSource:
    """Random instructions of a core. ``targets``: the registers that they may write, besides x0.

    Random numbers come from ``draw`` only, so that equal states give equal instructions.
    """

    def __init__(self, draw: random.Random, core: CoreConfig, targets: Sequence[int]):
        self.draw = draw
        self._options = {"xfides": False, "bitmanip": core.bitmanip, "zicond": core.zicond}
        rows = instructions(**self._options)
        self._targets = tuple(targets)
        self._rows = tuple(
            (row.match, ~row.mask & 0xFFFFF000 | 0x1F << 7, row.format is Format.I)
            for row in rows
            if row.format in _COMPUTING and row.name != "jalr"
        )
        self._multiply_divide = tuple(row.match for row in rows if row.extension == "M")
        self._compressed = _compressed_pool(tuple(targets))

    def value(self) -> int:
        """A 64-bit number, often a corner case."""
        draw = self.draw
        pick = draw.random()
        if pick < 0.5:
            return CORNERS[int(draw.random() * len(CORNERS))]
        if pick < 0.7:
            return draw.getrandbits(64)
        if pick < 0.85:
            return draw.getrandbits(1 + int(draw.random() * 63))
        return -draw.getrandbits(1 + int(draw.random() * 63)) & MASK

    def target(self) -> int:
        """A register to write."""
        pick = self.draw.random()
        return 0 if pick > 0.97 else self._targets[int(pick / 0.97 * len(self._targets)) % len(self._targets)]

    def wide(self) -> int:
        """A 32-bit instruction that computes."""
        draw = self.draw
        match, free, immediate = self._rows[int(draw.random() * len(self._rows))]
        code = match | draw.getrandbits(32) & free & ~0xF80 | self.target() << 7
        if immediate and draw.random() < 0.2:
            corner = (0, 1, -1, 2047, -2048)[int(draw.random() * 5)] & 0xFFF
            code = code & 0xFFFFF | corner << 20
        return code

    def narrow(self) -> int:
        """A compressed instruction that computes."""
        draw = self.draw
        pool = self._compressed[int(draw.random() * len(self._compressed))]
        return pool[int(draw.random() * len(pool))]

    def any(self) -> int:
        """An instruction that computes."""
        return self.narrow() if self.draw.random() < 0.5 else self.wide()

    def load(self, rd: int, value: int) -> list[int]:
        """``load_constant``, with compressed instructions where there are and chance has it."""
        if self.draw.random() < 0.2:
            return load_constant(rd, value)
        return [_shortened(code, rd) for code in load_constant(rd, value)]

    def some(self, most: int) -> list[int]:
        """Up to ``most`` instructions that compute, perhaps none."""
        return [self.any() for _ in range(int(self.draw.random() * (most + 1)))]

    def multiply_divide(self, rs1: int, rs2: int) -> int:
        """A multiplication or division of these registers."""
        match = self._multiply_divide[int(self.draw.random() * len(self._multiply_divide))]
        return match | self.target() << 7 | rs1 << 15 | rs2 << 20

    def illegal(self) -> int:
        """A word or halfword that this core does not know; also instructions that other cores have."""
        draw = self.draw
        while True:
            pick = draw.random()
            if pick < 0.4:
                code = draw.choice((0, draw.getrandbits(16)))
                if code & 3 != 3 and find_compressed(code) is None:
                    return code
                continue
            if pick < 0.6:
                code = draw.choice((0xFFFFFFFF, draw.getrandbits(32) | 3))
            elif pick < 0.8:
                code = draw.choice(INSTRUCTIONS).match ^ 1 << draw.randrange(32)
            else:
                row = draw.choice(INSTRUCTIONS)
                code = row.match | draw.getrandbits(32) & ~row.mask
            if code & 3 == 3 and find(code, **self._options) is None:
                return code
