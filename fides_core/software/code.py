"""Machine code of an image, instruction by instruction: what is where, and where it jumps to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from fides_core.isa.compressed import expand, is_compressed
from fides_core.isa.instructions import BY_NAME, Instruction, instructions

__all__ = ["Jump", "Step", "identify", "jumps", "sweep"]


@dataclass(frozen=True, slots=True)
class Step:
    """What stands at ``address``: ``bits`` of ``length`` 2 or 4 bytes; ``word``: the 32-bit instruction that
    it is, or stands for; None for a halfword that is no instruction."""

    address: int
    bits: int
    length: int
    word: int | None

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + self.length


@dataclass(frozen=True, slots=True)
class Jump:
    """A jump or branch with a known target. ``link``: the register that gets the return address, or 0."""

    address: int
    target: int
    link: int


def sweep(code: bytes, start: int, starts: Iterable[int] = ()) -> Iterator[Step]:
    """Decodes ``code``, which lies at ``start``, from its first byte on, anew at each address of ``starts``,
    where functions begin. An instruction that would run over such an address is 2 bytes that are none."""
    end = start + len(code)
    boundaries = sorted({address for address in starts if start < address < end} | {end})
    at = start
    for boundary in boundaries:
        while at + 2 <= boundary:
            offset = at - start
            half = code[offset] | code[offset + 1] << 8
            if is_compressed(half):
                yield Step(at, half, 2, expand(half))
                at += 2
            elif at + 4 <= boundary:
                word = half | code[offset + 2] << 16 | code[offset + 3] << 24
                yield Step(at, word, 4, word)
                at += 4
            else:
                yield Step(at, half, 2, None)
                at += 2
        at = boundary


@cache
def _rows(low: int, xfides: bool, bitmanip: bool, zicond: bool) -> tuple[Instruction, ...]:
    """The instructions whose opcode and funct3, bits [6:0] and [14:12], ``low`` can be."""
    return tuple(
        row
        for row in instructions(xfides=xfides, bitmanip=bitmanip, zicond=zicond)
        if low & row.mask & 0x707F == row.match & 0x707F
    )


def identify(
    word: int, *, xfides: bool = True, bitmanip: bool = True, zicond: bool = True
) -> Instruction | None:
    """As ``isa.instructions.find``, for many words."""
    for row in _rows(word & 0x707F, xfides, bitmanip, zicond):
        if word & row.mask == row.match:
            return row
    return None


def _signed(value: int, bits: int) -> int:
    return value - (value >> bits - 1 << bits)


def _branch_offset(word: int) -> int:
    high = word >> 31 << 12 | (word >> 7 & 1) << 11
    return _signed(high | (word >> 25 & 63) << 5 | (word >> 8 & 15) << 1, 13)


def _jal_offset(word: int) -> int:
    high = word >> 31 << 20 | word & 255 << 12
    return _signed(high | (word >> 20 & 1) << 11 | (word >> 21 & 1023) << 1, 21)


_JAL, _JALR, _AUIPC, _BRANCH = (BY_NAME[name].match & 0x7F for name in ("jal", "jalr", "auipc", "beq"))


def jumps(steps: Iterable[Step]) -> Iterator[Jump]:
    """Jumps with a target that the code itself says: jal, branches, and auipc with jalr right after it."""
    upper: tuple[int, int] | None = None  # register and value of the auipc before
    for step in steps:
        word = step.word
        if word is None:
            upper = None
            continue
        opcode, rd = word & 0x7F, word >> 7 & 31
        if opcode == _JAL:
            yield Jump(step.address, step.address + _jal_offset(word), rd)
        elif opcode == _BRANCH:
            yield Jump(step.address, step.address + _branch_offset(word), 0)
        elif opcode == _JALR and upper is not None and word >> 15 & 31 == upper[0]:
            yield Jump(step.address, upper[1] + _signed(word >> 20, 12), rd)
        upper = None
        if opcode == _AUIPC:
            upper = rd, step.address + _signed(word & 0xFFFFF000, 32)
