"""Text of instruction words, for listings: the table's names, registers as x0 to x31, offsets in bytes."""

from .compressed import find_compressed, is_compressed
from .csrs import CSR_NAMES
from .instructions import Format, find
from .xfides import pad_fields

__all__ = ["disassemble"]


def _signed(value: int, bits: int) -> int:
    return value - (value >> bits - 1 << bits)


def _operands(word: int, fmt: Format) -> list[str]:
    rd, rs1, rs2 = (f"x{word >> low & 31}" for low in (7, 15, 20))
    immediate = _signed(word >> 20, 12)
    csr = CSR_NAMES.get(word >> 20, f"{word >> 20:#x}")
    match fmt:
        case Format.R | Format.VAL:
            return [rd, rs1, rs2]
        case Format.UNARY:
            return [rd, rs1]
        case Format.I:
            return [rd, rs1, str(immediate)]
        case Format.SHAMT6:
            return [rd, rs1, str(word >> 20 & 63)]
        case Format.SHAMT5:
            return [rd, rs1, str(word >> 20 & 31)]
        case Format.LOAD:
            return [rd, f"{immediate}({rs1})"]
        case Format.S:
            return [rs2, f"{_signed(word >> 25 << 5 | word >> 7 & 31, 12)}({rs1})"]
        case Format.LR:
            return [rd, f"({rs1})"]
        case Format.AMO:
            return [rd, rs2, f"({rs1})"]
        case Format.B:
            offset = word >> 31 << 12 | (word >> 7 & 1) << 11 | (word >> 25 & 63) << 5 | (word >> 8 & 15) << 1
            return [rs1, rs2, f"{_signed(offset, 13):+}"]
        case Format.J:
            offset = word >> 31 << 20 | word & 255 << 12 | (word >> 20 & 1) << 11 | (word >> 21 & 1023) << 1
            return [rd, f"{_signed(offset, 21):+}"]
        case Format.U:
            return [rd, f"{word >> 12:#x}"]
        case Format.CSR:
            return [rd, csr, rs1]
        case Format.CSRI:
            return [rd, csr, str(word >> 15 & 31)]
        case Format.PAD:
            cid, kind = pad_fields(word) or ("?", None)
            return [str(cid), kind.name.lower() if kind is not None else "?"]
        case Format.RS1:
            return [rs1]
        case Format.VALI:
            return [rs1, str(immediate)]
        case Format.FENCE | Format.NONE:
            return []
    raise AssertionError(fmt)


def disassemble(word: int) -> str:
    """One instruction in assembly; of a compressed one, the lower halfword of ``word``, also what it stands
    for. Offsets of jumps count from the instruction. What is no instruction of any configuration is its
    number in hexadecimal."""
    if is_compressed(word):
        row = find_compressed(word & 0xFFFF)
        return f"{row.name} = {disassemble(row.expand(word & 0xFFFF))}" if row else f"{word & 0xFFFF:#06x}"
    row = find(word)
    if row is None:
        return f"{word:#010x}"
    # The ordering bits of atomic instructions.
    order = ("", ".rl", ".aq", ".aqrl")[word >> 25 & 3] if row.format in (Format.LR, Format.AMO) else ""
    return f"{row.name}{order} {', '.join(_operands(word, row.format))}".rstrip()
