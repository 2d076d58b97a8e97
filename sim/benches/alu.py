"""Bench of decoder and ALU together: every instruction of the table that the ALU executes, with corner values
and random ones, against definitions in Python, which follow the manual."""

import cocotb

from fides_core.isa.encode import encode
from fides_core.isa.instructions import Format, instructions

from .common import DOUBLE, WORD, Coverage, Unit, differs, seeded, setting

CORNERS = (
    0, 1, 2, 31, 32, 33, 63, 64, 65, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0x7FFF_FFFF, 1 << 31, WORD, 1 << 32,
    WORD << 32, 0x8000_0000_8000_0000, (1 << 63) - 1, 1 << 63, DOUBLE - 1, DOUBLE, 0x0102_0380_0405_FF06,
)  # fmt: skip


def s64(value):
    return (value & DOUBLE) - ((value & 1 << 63) << 1)


def s32(value):
    return (value & WORD) - ((value & 1 << 31) << 1)


def bits(value, width):
    """The bits from the highest down, as text."""
    return f"{value & (1 << width) - 1:0{width}b}"


def rotate_left(value, amount, width):
    text = bits(value, width)
    amount %= width
    return int(text[amount:] + text[:amount], 2)


def leading(value, width):
    return (bits(value, width) + "1").index("1")


def trailing(value, width):
    return (bits(value, width)[::-1] + "1").index("1")


def parts(value):
    return list((value & DOUBLE).to_bytes(8, "little"))


BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "sll": lambda a, b: a << (b & 63),
    "slt": lambda a, b: s64(a) < s64(b),
    "sltu": lambda a, b: a < b,
    "xor": lambda a, b: a ^ b,
    "srl": lambda a, b: a >> (b & 63),
    "sra": lambda a, b: s64(a) >> (b & 63),
    "or": lambda a, b: a | b,
    "and": lambda a, b: a & b,
    "addw": lambda a, b: s32(a + b),
    "subw": lambda a, b: s32(a - b),
    "sllw": lambda a, b: s32(a << (b & 31)),
    "srlw": lambda a, b: s32((a & WORD) >> (b & 31)),
    "sraw": lambda a, b: s32(a) >> (b & 31),
    **{f"sh{n}add": lambda a, b, n=n: b + (a << n) for n in (1, 2, 3)},
    **{f"sh{n}add.uw": lambda a, b, n=n: b + ((a & WORD) << n) for n in (1, 2, 3)},
    "add.uw": lambda a, b: b + (a & WORD),
    "slli.uw": lambda a, b: (a & WORD) << (b & 63),
    "xnor": lambda a, b: ~(a ^ b),
    "orn": lambda a, b: a | ~b,
    "andn": lambda a, b: a & ~b,
    "min": lambda a, b: min(a, b, key=s64),
    "minu": min,
    "max": lambda a, b: max(a, b, key=s64),
    "maxu": max,
    "rol": lambda a, b: rotate_left(a, b & 63, 64),
    "ror": lambda a, b: rotate_left(a, 64 - (b & 63), 64),
    "rolw": lambda a, b: s32(rotate_left(a, b & 31, 32)),
    "rorw": lambda a, b: s32(rotate_left(a, 32 - (b & 31), 32)),
    "bset": lambda a, b: a | 1 << (b & 63),
    "bclr": lambda a, b: a & ~(1 << (b & 63)),
    "binv": lambda a, b: a ^ 1 << (b & 63),
    "bext": lambda a, b: a >> (b & 63) & 1,
    "czero.eqz": lambda a, b: a if b else 0,
    "czero.nez": lambda a, b: 0 if b else a,
}
UNARY = {
    "clz": lambda a: leading(a, 64),
    "ctz": lambda a: trailing(a, 64),
    "cpop": lambda a: bits(a, 64).count("1"),
    "clzw": lambda a: leading(a, 32),
    "ctzw": lambda a: trailing(a, 32),
    "cpopw": lambda a: bits(a, 32).count("1"),
    "sext.b": lambda a: (a & 0xFF) - ((a & 0x80) << 1),
    "sext.h": lambda a: (a & 0xFFFF) - ((a & 0x8000) << 1),
    "zext.h": lambda a: a & 0xFFFF,
    "orc.b": lambda a: sum((0xFF if part else 0) << 8 * at for at, part in enumerate(parts(a))),
    "rev8": lambda a: int.from_bytes(bytes(parts(a)), "big"),
}
ATOMIC = {
    "amoswap": lambda a, b: b,
    **{f"amo{name}": BINARY[name] for name in ("add", "xor", "or", "and", "min", "max", "minu", "maxu")},
}
# The immediate forms whose names do not just add an i.
IMMEDIATE = {"addiw": "addw", "slliw": "sllw", "srliw": "srlw", "sraiw": "sraw", "roriw": "rorw",
             "sltiu": "sltu", "slli.uw": "slli.uw"}  # fmt: skip
BRANCHES = {
    "beq": lambda a, b: a == b,
    "bne": lambda a, b: a != b,
    "blt": lambda a, b: s64(a) < s64(b),
    "bge": lambda a, b: s64(a) >= s64(b),
    "bltu": lambda a, b: a < b,
    "bgeu": lambda a, b: a >= b,
}
ALU_EXTENSIONS = ("I", "Zba", "Zbb", "Zbs", "Zicond")
OTHER_FORMATS = (Format.LOAD, Format.S, Format.B, Format.U, Format.J, Format.FENCE, Format.NONE)


def rows():
    """The rows of this configuration that the ALU executes, but branches and AMOs."""
    table = instructions(
        xfides=False, bitmanip=bool(setting("BITMANIP", 1)), zicond=bool(setting("ZICOND", 1))
    )
    return [
        row
        for row in table
        if row.extension in ALU_EXTENSIONS and row.format not in OTHER_FORMATS and row.name != "jalr"
    ]


class Bench:
    def __init__(self, dut):
        self.unit = Unit(dut)
        self.random = seeded()

    def operands(self):
        rnd = self.random
        a, b = (
            rnd.choice([rnd.choice(CORNERS), rnd.getrandbits(64), rnd.getrandbits(64) >> rnd.randrange(64),
                        s32(rnd.getrandbits(32)) & DOUBLE])
            for _ in range(2)
        )  # fmt: skip
        if rnd.random() < 0.2:
            b = a ^ rnd.choice([0, 1 << rnd.randrange(64)])
        return a, b

    async def execute(self, word, a, b):
        self.unit.set(insn=word, a=a, b=b)
        await self.unit.settle()
        assert self.unit.get("legal"), f"{word:#010x} is legal"

    def registers(self):
        rnd = self.random
        return {"rd": rnd.randrange(1, 32), "rs1": rnd.randrange(32)}


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def instructions_of_the_table(dut):
    """Every row, by its name."""
    bench = Bench(dut)
    rnd, unit = bench.random, bench.unit
    table = rows()
    coverage = Coverage(row.name for row in table)
    assert len(table) >= 28  # those of RV64I
    for row in table:
        for number in range(setting("ROUNDS", 200)):
            a, b = bench.operands()
            if number < len(CORNERS):
                a = CORNERS[number]
            if row.format is Format.R:
                word = encode(row.name, rs2=rnd.randrange(32), **bench.registers())
                expected = BINARY[row.name](a, b)
            elif row.format is Format.UNARY:
                word = encode(row.name, **bench.registers())
                expected = UNARY[row.name](a)
            else:
                width = {Format.I: 12, Format.SHAMT5: 5, Format.SHAMT6: 6}[row.format]
                imm = rnd.getrandbits(width)
                if row.format is Format.I:
                    imm -= (imm & 0x800) << 1
                word = encode(row.name, imm=imm, **bench.registers())
                operation = IMMEDIATE.get(row.name) or row.name[:-1]
                expected = BINARY[operation](a, imm & DOUBLE)
                b = rnd.getrandbits(64)
            await bench.execute(word, a, b)
            differs(f"{row.name} {word:#010x} {a:#x} {b:#x}", expected & DOUBLE, unit.get("alu_result"))
            coverage.hit(row.name)
    coverage.check(dut._log)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def atomics(dut):
    """Operands are sign-extended words for .w, and of the result the word counts."""
    bench = Bench(dut)
    coverage = Coverage(ATOMIC)
    for name, operation in ATOMIC.items():
        for number in range(setting("ROUNDS", 200)):
            a, b = bench.operands()
            width = "wd"[number & 1]
            mask = DOUBLE
            if width == "w":
                a, b, mask = s32(a) & DOUBLE, s32(b) & DOUBLE, WORD
            await bench.execute(encode(f"{name}.{width}", rs2=3, **bench.registers()), a, b)
            differs(f"{name}.{width} {a:#x} {b:#x}", operation(a, b) & mask,
                    bench.unit.get("alu_result") & mask)  # fmt: skip
            coverage.hit(name)
    coverage.check(dut._log)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def branches_and_sums(dut):
    """The comparison of branches; total without control is the sum."""
    bench = Bench(dut)
    unit = bench.unit
    coverage = Coverage((name, taken) for name in BRANCHES for taken in (False, True))
    for name, condition in BRANCHES.items():
        for _ in range(setting("ROUNDS", 200)):
            a, b = bench.operands()
            await bench.execute(encode(name, rs1=1, rs2=2, imm=8), a, b)
            decided = unit.get("less") if name[1:3] in ("lt", "ge") else unit.get("equal")
            expected = condition(a, b)
            differs(f"{name} {a:#x} {b:#x}", expected, bool(decided) ^ (name in ("bne", "bge", "bgeu")))
            coverage.hit(name, expected)
            await bench.execute(encode("sub", rd=1, rs1=1, rs2=2), a, b)
            differs(f"difference {a:#x} {b:#x}", a - b & DOUBLE, unit.get("total"))
            await bench.execute(encode("ld", rd=1, rs1=1, imm=8), a, b)
            differs(f"sum {a:#x} {b:#x}", a + b & DOUBLE, unit.get("total"))
    coverage.check(dut._log)
