"""Instruction table: names, encodings, operand formats, extensions. ``compressed`` has the 16-bit ones.

Sources: RISC-V unprivileged ISA 20191213 chapter 24, bit-manipulation ISA extensions 1.0.0, integer
conditional operations 1.0, privileged ISA 1.12 chapter 5, and the Xfides contract, sections 5, 7 and 9.
"""

from dataclasses import dataclass
from enum import Enum
from functools import cache

__all__ = ["Format", "Instruction", "INSTRUCTIONS", "BY_NAME", "instructions", "find"]


class Format(Enum):
    """Operand format; the values are the manual's letters, or what distinguishes the special ones."""

    R = "rd, rs1, rs2"
    UNARY = "rd, rs1"
    I = "rd, rs1, imm12"  # noqa: E741 - the manual's name
    SHAMT6 = "rd, rs1, shamt6"
    SHAMT5 = "rd, rs1, shamt5"
    LOAD = "rd, imm12(rs1)"
    S = "rs2, imm12(rs1)"
    LR = "rd, (rs1); aq, rl"
    AMO = "rd, rs2, (rs1); aq, rl"
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
_FUNCT5 = 0xF800707F  # aq and rl are free
_UNARY = 0xFFF0707F  # all but rd and rs1 is fixed
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


def _atomic():
    operations = (
        ("amoadd", 0x00), ("amoswap", 0x01), ("lr", 0x02), ("sc", 0x03), ("amoxor", 0x04), ("amoor", 0x08),
        ("amoand", 0x0C), ("amomin", 0x10), ("amomax", 0x14), ("amominu", 0x18), ("amomaxu", 0x1C),
    )  # fmt: skip
    for width, funct3 in (("w", 2), ("d", 3)):
        for operation, funct5 in operations:
            match = 0x2F | funct3 << 12 | funct5 << 27
            if operation == "lr":
                yield Instruction(f"lr.{width}", match, _FUNCT5 | 0x1F << 20, Format.LR, "A")
            else:
                yield Instruction(f"{operation}.{width}", match, _FUNCT5, Format.AMO, "A")


def _bit_manipulation():
    """Zba, Zbb and Zbs as RV64 has them."""

    def register(ext, name, funct7, funct3, opcode=0x33):
        return Instruction(name, opcode | funct3 << 12 | funct7 << 25, _FUNCT7, Format.R, ext)

    def immediate(ext, name, funct6, funct3, opcode=0x13):
        return Instruction(name, opcode | funct3 << 12 | funct6 << 26, _FUNCT6, Format.SHAMT6, ext)

    def unary(name, funct12, funct3, opcode=0x13):
        return Instruction(name, opcode | funct3 << 12 | funct12 << 20, _UNARY, Format.UNARY, "Zbb")

    for funct3, name in ((2, "sh1add"), (4, "sh2add"), (6, "sh3add")):
        yield register("Zba", name, 0x10, funct3)
        yield register("Zba", f"{name}.uw", 0x10, funct3, 0x3B)
    yield register("Zba", "add.uw", 0x04, 0, 0x3B)
    yield immediate("Zba", "slli.uw", 0x02, 1, 0x1B)
    for funct3, name in ((4, "xnor"), (6, "orn"), (7, "andn")):
        yield register("Zbb", name, 0x20, funct3)
    for funct3, name in ((4, "min"), (5, "minu"), (6, "max"), (7, "maxu")):
        yield register("Zbb", name, 0x05, funct3)
    for funct3, name in ((1, "rol"), (5, "ror")):
        yield register("Zbb", name, 0x30, funct3)
        yield register("Zbb", f"{name}w", 0x30, funct3, 0x3B)
    yield immediate("Zbb", "rori", 0x18, 5)
    yield Instruction("roriw", 0x6000501B, _FUNCT7, Format.SHAMT5, "Zbb")
    for rs2, name in enumerate(("clz", "ctz", "cpop")):
        yield unary(name, 0x600 | rs2, 1)
        yield unary(f"{name}w", 0x600 | rs2, 1, 0x1B)
    yield unary("sext.b", 0x604, 1)
    yield unary("sext.h", 0x605, 1)
    yield unary("zext.h", 0x080, 4, 0x3B)
    yield unary("orc.b", 0x287, 5)
    yield unary("rev8", 0x6B8, 5)
    for funct3, name, funct7 in ((1, "bset", 0x14), (1, "bclr", 0x24), (1, "binv", 0x34), (5, "bext", 0x24)):
        yield register("Zbs", name, funct7, funct3)
        yield immediate("Zbs", f"{name}i", funct7 >> 1, funct3)


def _conditional():
    for funct3, name in ((5, "czero.eqz"), (7, "czero.nez")):
        yield Instruction(name, 0x33 | funct3 << 12 | 0x07 << 25, _FUNCT7, Format.R, "Zicond")


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


INSTRUCTIONS: tuple[Instruction, ...] = (
    *_rv64im(), *_atomic(), *_bit_manipulation(), *_conditional(), *_xfides(),
)  # fmt: skip
BY_NAME: dict[str, Instruction] = {row.name: row for row in INSTRUCTIONS}

_BIT_MANIPULATION = ("Zba", "Zbb", "Zbs")


@cache
def instructions(*, xfides: bool, bitmanip: bool = True, zicond: bool = True) -> tuple[Instruction, ...]:
    """The 32-bit instructions of a core: RV64IMA_Zicsr_Zifencei, and what the options add, which are those of
    ``CoreConfig``. Every core has the compressed instructions, too (see ``compressed``)."""
    left_out = {
        *(() if xfides else ("Xfides",)),
        *(() if bitmanip else _BIT_MANIPULATION),
        *(() if zicond else ("Zicond",)),
    }
    return tuple(row for row in INSTRUCTIONS if row.extension not in left_out)


def find(
    word: int, *, xfides: bool = True, bitmanip: bool = True, zicond: bool = True
) -> Instruction | None:
    """The instruction that the 32-bit ``word`` encodes on a core with these options, or None. Reserved field
    values of checkcap are not judged."""
    for row in instructions(xfides=xfides, bitmanip=bitmanip, zicond=zicond):
        if word & row.mask == row.match:
            return row
    return None
