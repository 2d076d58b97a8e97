"""Compressed instructions of RV64C without floating point: 16-bit encodings and their 32-bit equivalents.

Source: RISC-V unprivileged ISA 20191213, chapter 16. HINTs are instructions like any others here: their
equivalents write x0 or change nothing. Everything reserved and everything of F and D is illegal.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache

from .encode import encode
from .instructions import BY_NAME, Format

__all__ = [
    "Field", "Immediate", "CompressedInstruction", "COMPRESSED", "COMPRESSED_BY_NAME", "is_compressed",
    "find_compressed", "expand", "encode_compressed",
]  # fmt: skip


class Field(Enum):
    """Where a halfword has a register number: (lowest bit, bits). Three bits name x8 to x15."""

    HIGH = (7, 5)
    LOW = (2, 5)
    HIGH3 = (7, 3)
    LOW3 = (2, 3)

    def read(self, halfword: int) -> int:
        """The register's number."""
        low, bits = self.value
        number = halfword >> low & (1 << bits) - 1
        return number + 8 if bits == 3 else number

    def write(self, number: int) -> int:
        """The field for register ``number``. Raises ValueError when it cannot be named."""
        low, bits = self.value
        first = 8 if bits == 3 else 0
        if not first <= number < first + (1 << bits):
            raise ValueError(f"x{number} is not one of x{first} to x{first + (1 << bits) - 1}")
        return number - first << low


class Immediate:
    """An immediate scattered over a halfword, written as in the manual: ``"12=5 6:2=4:0"`` says that bit 12
    of the halfword is bit 5 of the immediate, and bits 6 to 2 are its bits 4 to 0.

    ``bits``: pairs (bit of the halfword, bit of the immediate); ``signed``: the highest bit is its sign.
    """

    def __init__(self, layout: str, *, signed: bool):
        self.signed = signed
        bits = []
        for part in layout.split():
            here, there = ([int(end) for end in re.split(":", side)] for side in part.split("="))
            bits += zip(range(here[0], here[-1] - 1, -1), range(there[0], there[-1] - 1, -1), strict=True)
        self.bits: tuple[tuple[int, int], ...] = tuple(bits)
        self._width = 1 + max(there for _, there in bits)
        self._holes = (1 << self._width) - 1 - sum(1 << there for _, there in bits)

    def read(self, halfword: int) -> int:
        """The immediate's value."""
        value = sum((halfword >> here & 1) << there for here, there in self.bits)
        return value - (1 << self._width) if self.signed and value >> self._width - 1 else value

    def write(self, value: int) -> int:
        """The fields for ``value``. Raises ValueError when it does not fit."""
        low = -(1 << self._width - 1) if self.signed else 0
        if not low <= value < low + (1 << self._width) or value & self._holes:
            raise ValueError(f"{value} does not fit the immediate")
        return sum((value >> there & 1) << here for here, there in self.bits)


@dataclass(frozen=True)
class CompressedInstruction:
    """One compressed instruction: recognised when ``halfword & mask == match`` and what ``nonzero`` names
    (operands, "imm") is not 0.

    ``base``: the 32-bit instruction that it stands for; ``operands``: its register operands, each a field of
    the halfword or a fixed number; ``immediate``: where its immediate is, None when it has none or 0.
    """

    name: str
    match: int
    mask: int
    base: str
    operands: Mapping[str, Field | int] = field(hash=False)
    immediate: Immediate | None = field(default=None, hash=False)
    nonzero: tuple[str, ...] = ()
    extension: str = "C"

    def values(self, halfword: int) -> dict[str, int]:
        """The operands of the equivalent instruction by name, as ``encode`` takes them (lui: signed)."""
        values = {
            name: place.read(halfword) if isinstance(place, Field) else place
            for name, place in self.operands.items()
        }
        if self.immediate:
            values["imm"] = self.immediate.read(halfword)
        return values

    def matches(self, halfword: int) -> bool:
        """Whether ``halfword`` is this instruction, if none before it in the table is."""
        if halfword & self.mask != self.match:
            return False
        values = self.values(halfword)
        return all(values[name] for name in self.nonzero)

    def expand(self, halfword: int) -> int:
        """The equivalent 32-bit word of a halfword that :meth:`matches`."""
        values = self.values(halfword)
        if BY_NAME[self.base].format is Format.U:
            values["imm"] &= 0xFFFFF
        return encode(self.base, **values)


def _table():
    high, low, high3, low3 = Field.HIGH, Field.LOW, Field.HIGH3, Field.LOW3
    six = Immediate("12=5 6:2=4:0", signed=True)
    shift = Immediate("12=5 6:2=4:0", signed=False)
    word = Immediate("12:10=5:3 6=2 5=6", signed=False)
    double = Immediate("12:10=5:3 6:5=7:6", signed=False)
    jump = Immediate("12=11 11=4 10:9=9:8 8=10 7=6 6=7 5:3=3:1 2=5", signed=True)
    branch = Immediate("12=8 11:10=4:3 6:5=7:6 4:3=2:1 2=5", signed=True)

    def row(name, quadrant, funct3, base, operands, immediate=None, nonzero=(), fixed=0, mask=0):
        """``fixed``, ``mask``: fixed bits beside the quadrant in [1:0] and funct3 in [15:13]."""
        match = funct3 << 13 | quadrant | fixed
        return CompressedInstruction(f"c.{name}", match, 0xE003 | mask, base, operands, immediate, nonzero)

    scaled = Immediate("12:11=5:4 10:7=9:6 6=2 5=3", signed=False)
    yield row("addi4spn", 0, 0, "addi", {"rd": low3, "rs1": 2}, scaled, ("imm",))
    yield row("lw", 0, 2, "lw", {"rd": low3, "rs1": high3}, word)
    yield row("ld", 0, 3, "ld", {"rd": low3, "rs1": high3}, double)
    yield row("sw", 0, 6, "sw", {"rs2": low3, "rs1": high3}, word)
    yield row("sd", 0, 7, "sd", {"rs2": low3, "rs1": high3}, double)

    yield row("addi", 1, 0, "addi", {"rd": high, "rs1": high}, six)  # c.nop with rd = 0
    yield row("addiw", 1, 1, "addiw", {"rd": high, "rs1": high}, six, ("rd",))
    yield row("li", 1, 2, "addi", {"rd": high, "rs1": 0}, six)
    # Before c.lui, whose destination may not be x2.
    stack = Immediate("12=9 6=4 5=6 4:3=8:7 2=5", signed=True)
    yield row("addi16sp", 1, 3, "addi", {"rd": 2, "rs1": 2}, stack, ("imm",), fixed=2 << 7, mask=31 << 7)
    yield row("lui", 1, 3, "lui", {"rd": high}, six, ("imm",))
    for kind, name in enumerate(("srli", "srai")):
        yield row(name, 1, 4, name, {"rd": high3, "rs1": high3}, shift, fixed=kind << 10, mask=3 << 10)
    yield row("andi", 1, 4, "andi", {"rd": high3, "rs1": high3}, six, fixed=2 << 10, mask=3 << 10)
    arithmetic = {"rd": high3, "rs1": high3, "rs2": low3}
    for kind, name in enumerate(("sub", "xor", "or", "and", "subw", "addw")):
        fixed = 3 << 10 | (kind >> 2) << 12 | (kind & 3) << 5
        yield row(name, 1, 4, name, arithmetic, fixed=fixed, mask=7 << 10 | 3 << 5)
    yield row("j", 1, 5, "jal", {"rd": 0}, jump)
    yield row("beqz", 1, 6, "beq", {"rs1": high3, "rs2": 0}, branch)
    yield row("bnez", 1, 7, "bne", {"rs1": high3, "rs2": 0}, branch)

    yield row("slli", 2, 0, "slli", {"rd": high, "rs1": high}, shift)
    stack = Immediate("12=5 6:4=4:2 3:2=7:6", signed=False)
    yield row("lwsp", 2, 2, "lw", {"rd": high, "rs1": 2}, stack, ("rd",))
    stack = Immediate("12=5 6:5=4:3 4:2=8:6", signed=False)
    yield row("ldsp", 2, 3, "ld", {"rd": high, "rs1": 2}, stack, ("rd",))
    alone = {"mask": 0x1000 | 31 << 2}  # no second register
    yield row("jr", 2, 4, "jalr", {"rd": 0, "rs1": high}, None, ("rs1",), **alone)
    yield row("jalr", 2, 4, "jalr", {"rd": 1, "rs1": high}, None, ("rs1",), fixed=0x1000, **alone)
    yield row("ebreak", 2, 4, "ebreak", {}, fixed=0x1000, mask=0x1FFC)
    yield row("mv", 2, 4, "add", {"rd": high, "rs1": 0, "rs2": low}, None, ("rs2",), mask=0x1000)
    yield row("add", 2, 4, "add", {"rd": high, "rs1": high, "rs2": low}, None, ("rs2",), 0x1000, 0x1000)
    stack = Immediate("12:9=5:2 8:7=7:6", signed=False)
    yield row("swsp", 2, 6, "sw", {"rs2": low, "rs1": 2}, stack)
    stack = Immediate("12:10=5:3 9:7=8:6", signed=False)
    yield row("sdsp", 2, 7, "sd", {"rs2": low, "rs1": 2}, stack)


COMPRESSED: tuple[CompressedInstruction, ...] = tuple(_table())
COMPRESSED_BY_NAME: dict[str, CompressedInstruction] = {row.name: row for row in COMPRESSED}


def is_compressed(bits: int) -> bool:
    """Whether an instruction that begins with ``bits``, its lowest halfword or more, has 16 bits."""
    return bits & 3 != 3


def find_compressed(halfword: int) -> CompressedInstruction | None:
    """The compressed instruction that the 16-bit ``halfword`` encodes, or None."""
    return next((row for row in COMPRESSED if row.matches(halfword)), None)


@cache
def expand(halfword: int) -> int | None:
    """The 32-bit word equivalent to the 16-bit ``halfword``, None when it is illegal or reserved, or when it
    is not compressed."""
    row = find_compressed(halfword)
    return None if row is None else row.expand(halfword)


def encode_compressed(name: str, *, rd: int = 0, rs1: int = 0, rs2: int = 0, imm: int = 0) -> int:
    """The halfword of compressed instruction ``name``; operands that it does not have are ignored.

    Operands are those of the 32-bit equivalent: ``imm`` in bytes for accesses, jumps and c.addi16sp, but
    -32..31 for c.lui. A register that is source and destination in one field is given as ``rd``. Raises
    KeyError for an unknown name, ValueError for operands that do not fit or that are reserved.
    """
    row = COMPRESSED_BY_NAME[name]
    numbers = {}
    for operand, number in (("rs1", rs1), ("rs2", rs2), ("rd", rd)):
        if isinstance(place := row.operands.get(operand), Field):
            numbers[place] = number  # rd last: it counts where it shares its field
    halfword = row.match
    try:
        for place, number in numbers.items():
            halfword |= place.write(number)
        if row.immediate:
            halfword |= row.immediate.write(imm)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if find_compressed(halfword) is not row:
        raise ValueError(f"{name}: these operands are reserved")
    return halfword
