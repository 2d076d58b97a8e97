"""Instruction table: names, encodings, operand formats, extensions.

Sources: RISC-V unprivileged ISA 20191213 chapter 24, privileged ISA 1.12 chapter 5, and the Xfides contract,
sections 5, 7 and 9.
"""

from dataclasses import dataclass
from enum import Enum

__all__ = ["Format", "Instruction", "INSTRUCTIONS", "BY_NAME", "instructions", "find"]


class Format(Enum):
    """Operand format; the values are the manual's letters, or what distinguishes the special ones."""

    R = "rd, rs1, rs2"
    I = "rd, rs1, imm12"  # noqa: E741 - the manual's name
    SHAMT6 = "rd, rs1, shamt6"
    SHAMT5 = "rd, rs1, shamt5"
    LOAD = "rd, imm12(rs1)"
    S = "rs2, imm12(rs1)"
    B = "rs1, rs2, imm13"
    U = "rd, imm20"
    J = "rd, imm21"
    FENCE = "fence"
    NONE = ""
    CSR = "rd, csr, rs1"
    CSRI = "rd, csr, uimm5"
    PAD = "imm12 (landing pad)"
    RS1 = "rs1"
    VAL = "rd, rs1, rs2, log2 size in funct7[2:0]"
    VALI = "rs1, imm12, log2 size in the rd field"


@dataclass(frozen=True)
class Instruction:
    """One instruction: it is recognised when ``word & mask == match`` (32 bits)."""

    name: str
    match: int
    mask: int
    format: Format
    extension: str

    def __post_init__(self):
        if self.match & ~self.mask:
            raise ValueError(f"{self.name}: match has bits outside its mask")


_OPCODE = 0x7F
_FUNCT3 = 0x707F
_FUNCT7 = 0xFE00707F
_FUNCT6 = 0xFC00707F
_ALL = 0xFFFFFFFF


def _rv64im():
    def row(name, match, mask, fmt, ext="I"):
        return Instruction(name, match, mask, fmt, ext)

    yield row("lui", 0x37, _OPCODE, Format.U)
    yield row("auipc", 0x17, _OPCODE, Format.U)
    yield row("jal", 0x6F, _OPCODE, Format.J)
    yield row("jalr", 0x67, _FUNCT3, Format.I)
    for funct3, name in ((0, "beq"), (1, "bne"), (4, "blt"), (5, "bge"), (6, "bltu"), (7, "bgeu")):
        yield row(name, 0x63 | funct3 << 12, _FUNCT3, Format.B)
    for funct3, name in enumerate(("lb", "lh", "lw", "ld", "lbu", "lhu", "lwu")):
        yield row(name, 0x03 | funct3 << 12, _FUNCT3, Format.LOAD)
    for funct3, name in enumerate(("sb", "sh", "sw", "sd")):
        yield row(name, 0x23 | funct3 << 12, _FUNCT3, Format.S)
    for funct3, name in ((0, "addi"), (2, "slti"), (3, "sltiu"), (4, "xori"), (6, "ori"), (7, "andi")):
        yield row(name, 0x13 | funct3 << 12, _FUNCT3, Format.I)
    yield row("slli", 0x00001013, _FUNCT6, Format.SHAMT6)
    yield row("srli", 0x00005013, _FUNCT6, Format.SHAMT6)
    yield row("srai", 0x40005013, _FUNCT6, Format.SHAMT6)
    arithmetic = (
        ("add", 0, 0x00), ("sub", 0, 0x20), ("sll", 1, 0x00), ("slt", 2, 0x00), ("sltu", 3, 0x00),
        ("xor", 4, 0x00), ("srl", 5, 0x00), ("sra", 5, 0x20), ("or", 6, 0x00), ("and", 7, 0x00),
    )  # fmt: skip
    for name, funct3, funct7 in arithmetic:
        yield row(name, 0x33 | funct3 << 12 | funct7 << 25, _FUNCT7, Format.R)
    yield row("addiw", 0x1B, _FUNCT3, Format.I)
    yield row("slliw", 0x0000101B, _FUNCT7, Format.SHAMT5)
    yield row("srliw", 0x0000501B, _FUNCT7, Format.SHAMT5)
    yield row("sraiw", 0x4000501B, _FUNCT7, Format.SHAMT5)
    for name, funct3, funct7 in (
        ("addw", 0, 0),
        ("subw", 0, 32),
        ("sllw", 1, 0),
        ("srlw", 5, 0),
        ("sraw", 5, 32),
    ):
        yield row(name, 0x3B | funct3 << 12 | funct7 << 25, _FUNCT7, Format.R)
    yield row("fence", 0x0000000F, _FUNCT3, Format.FENCE)
    yield row("ecall", 0x00000073, _ALL, Format.NONE)
    yield row("ebreak", 0x00100073, _ALL, Format.NONE)
    yield row("fence.i", 0x0000100F, _FUNCT3, Format.FENCE, "Zifencei")
    for funct3, name in ((1, "csrrw"), (2, "csrrs"), (3, "csrrc")):
        yield row(name, 0x73 | funct3 << 12, _FUNCT3, Format.CSR, "Zicsr")
        yield row(name + "i", 0x4073 | funct3 << 12, _FUNCT3, Format.CSRI, "Zicsr")
    yield row("mret", 0x30200073, _ALL, Format.NONE, "Privileged")
    yield row("wfi", 0x10500073, _ALL, Format.NONE, "Privileged")
    for funct3, name in enumerate(("mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu")):
        yield row(name, 0x02000033 | funct3 << 12, _FUNCT7, Format.R, "M")
    for funct3, name in ((0, "mulw"), (4, "divw"), (5, "divuw"), (6, "remw"), (7, "remuw")):
        yield row(name, 0x0200003B | funct3 << 12, _FUNCT7, Format.R, "M")


def _xfides():
    custom0, custom1 = 0x0B, 0x2B
    # Only the fixed fields are matched here: imm[9:8] != 0, kind 11 and a misaligned pad are illegal (section
    # 5).
    yield Instruction("checkcap", custom0, 0x000FFFFF, Format.PAD, "Xfides")
    yield Instruction("arm", custom0 | 1 << 12, 0xFFF07FFF, Format.RS1, "Xfides")
    yield Instruction("disarm", custom0 | 3 << 12, _ALL, Format.NONE, "Xfides")
    for log2 in range(5):
        yield Instruction(f"val.{1 << log2}", custom1 | 2 << 12 | log2 << 25, _FUNCT7, Format.VAL, "Xfides")
    for log2 in range(5):
        yield Instruction(f"vali.{1 << log2}", custom1 | 3 << 12 | log2 << 7, 0x7FFF, Format.VALI, "Xfides")
    yield Instruction("ptradd", custom1 | 2 << 12 | 0x40 << 25, _FUNCT7, Format.R, "Xfides")
    yield Instruction("mint", custom1 | 4 << 12, _FUNCT7, Format.R, "Xfides")
    yield Instruction("revoke", custom1 | 5 << 12, 0xFFF07FFF, Format.RS1, "Xfides")


INSTRUCTIONS: tuple[Instruction, ...] = (*_rv64im(), *_xfides())
BY_NAME: dict[str, Instruction] = {row.name: row for row in INSTRUCTIONS}


def instructions(*, xfides: bool) -> tuple[Instruction, ...]:
    """The instructions of a core with or without the Xfides extension."""
    return tuple(row for row in INSTRUCTIONS if xfides or row.extension != "Xfides")


def find(word: int, *, xfides: bool = True) -> Instruction | None:
    """The instruction that the 32-bit ``word`` encodes, or None. Reserved field values of checkcap are not
    judged."""
    for row in instructions(xfides=xfides):
        if word & row.mask == row.match:
            return row
    return None
