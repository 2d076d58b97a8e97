"""Instruction words from names and operands, by the tables of this package: for tests and ROMs."""

from .instructions import BY_NAME, Format

__all__ = ["encode"]


def _signed(name: str, value: int, bits: int, align: int = 1) -> int:
    if not -(1 << bits - 1) <= value < 1 << bits - 1 or value % align:
        raise ValueError(f"{name}: {value} is not a multiple of {align} in {bits} signed bits")
    return value & (1 << bits) - 1


def _unsigned(name: str, value: int, bits: int) -> int:
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{name}: {value} is not in 0..{(1 << bits) - 1}")
    return value


def encode(
    name: str,
    *,
    rd: int = 0,
    rs1: int = 0,
    rs2: int = 0,
    imm: int = 0,
    csr: int = 0,
    aq: int = 0,
    rl: int = 0,
) -> int:
    """The 32-bit word of instruction ``name``; operands that its format does not have are ignored.

    ``imm``: the immediate as assembly has it: branch and jump offsets in bytes, the upper 20 bits of lui and
    auipc (0..2^20-1), the 5 bits of the immediate CSR forms, all 12 bits (0..4095) of a landing pad.
    ``aq``, ``rl``: the ordering bits of atomic instructions.
    Raises KeyError for an unknown name, ValueError for an operand that does not fit.
    """
    row = BY_NAME[name]
    dest, src1 = _unsigned(name, rd, 5) << 7, _unsigned(name, rs1, 5) << 15
    src2 = _unsigned(name, rs2, 5) << 20
    match row.format:
        case Format.R | Format.VAL:
            fields = dest | src1 | src2
        case Format.UNARY:
            fields = dest | src1
        case Format.LR | Format.AMO:
            fields = dest | src1 | (src2 if row.format is Format.AMO else 0)
            fields |= _unsigned(name, aq, 1) << 26 | _unsigned(name, rl, 1) << 25
        case Format.I | Format.LOAD:
            fields = dest | src1 | _signed(name, imm, 12) << 20
        case Format.VALI:
            fields = src1 | _signed(name, imm, 12) << 20
        case Format.SHAMT6 | Format.SHAMT5:
            fields = dest | src1 | _unsigned(name, imm, 6 if row.format is Format.SHAMT6 else 5) << 20
        case Format.S:
            value = _signed(name, imm, 12)
            fields = src1 | src2 | value >> 5 << 25 | (value & 31) << 7
        case Format.B:
            value = _signed(name, imm, 13, 2)
            fields = src1 | src2 | value >> 12 << 31 | (value >> 5 & 63) << 25
            fields |= (value >> 1 & 15) << 8 | (value >> 11 & 1) << 7
        case Format.U:
            fields = dest | _unsigned(name, imm, 20) << 12
        case Format.J:
            value = _signed(name, imm, 21, 2)
            fields = dest | value >> 20 << 31 | (value >> 1 & 1023) << 21
            fields |= (value >> 11 & 1) << 20 | (value >> 12 & 255) << 12
        case Format.CSR:
            fields = dest | src1 | _unsigned(name, csr, 12) << 20
        case Format.CSRI:
            fields = dest | _unsigned(name, imm, 5) << 15 | _unsigned(name, csr, 12) << 20
        case Format.PAD:
            fields = _unsigned(name, imm, 12) << 20
        case Format.RS1:
            fields = src1
        case Format.FENCE | Format.NONE:
            fields = 0
    return row.match | fields
