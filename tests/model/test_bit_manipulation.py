"""Zba, Zbb, Zbs and Zicond on the hart, against definitions on strings of bits (bit-manipulation ISA
extensions 1.0.0, integer conditional operations 1.0)."""

import random
from dataclasses import replace

import pytest

from fides_core.config import preset
from fides_core.isa.causes import ExceptionCause as Cause
from fides_core.isa.encode import encode
from fides_core.isa.instructions import INSTRUCTIONS, Format
from fides_core.soc.memory_map import MAIN_MEMORY_BASE

M = (1 << 64) - 1
EXTENSIONS = ("Zba", "Zbb", "Zbs", "Zicond")
ROWS = [row for row in INSTRUCTIONS if row.extension in EXTENSIONS]
CORNERS = [
    0, 1, M, 1 << 63, 1 << 31, (1 << 31) - 1, 0xFFFF_FFFF, 1 << 32, 0x80, 0x8000, 0x00FF_0000_1200_0001
]  # fmt: skip


def bits(value, width=64):
    """A string of bits, the highest first."""
    return f"{value % (1 << width):0{width}b}"


def number(text, *, extend=None):
    """The value of a string of bits; ``extend``: "0" or "s" to 64 bits."""
    fill = text[0] if extend == "s" else "0"
    return int(text.rjust(64, fill), 2)


def integer(value):
    """As a signed number."""
    return int(value) - (1 << 64) * int(bits(value)[0])


def low_word(value):
    return int(bits(value)[32:], 2)


def rotated_left(text, amount):
    amount %= len(text)
    return text[amount:] + text[:amount]


def in_bytes(value):
    """Eight strings of bits, the highest byte first."""
    return [bits(value)[at : at + 8] for at in range(0, 64, 8)]


def run_length(text, digit):
    return len(text) - len(text.lstrip(digit))


def with_bit(value, index, digit):
    text = list(bits(value))
    text[63 - index % 64] = digit(text[63 - index % 64])
    return number("".join(text))


def digits(a, b, function):
    return number("".join(function(x, y) for x, y in zip(bits(a), bits(b), strict=True)))


REGISTER = {
    "sh1add": lambda a, b: 2 * a + b, "sh2add": lambda a, b: 4 * a + b, "sh3add": lambda a, b: 8 * a + b,
    "sh1add.uw": lambda a, b: 2 * low_word(a) + b, "sh2add.uw": lambda a, b: 4 * low_word(a) + b,
    "sh3add.uw": lambda a, b: 8 * low_word(a) + b, "add.uw": lambda a, b: low_word(a) + b,
    "andn": lambda a, b: digits(a, b, lambda x, y: "1" if (x, y) == ("1", "0") else "0"),
    "orn": lambda a, b: digits(a, b, lambda x, y: "0" if (x, y) == ("0", "1") else "1"),
    "xnor": lambda a, b: digits(a, b, lambda x, y: "1" if x == y else "0"),
    "min": lambda a, b: sorted((a, b), key=integer)[0], "max": lambda a, b: sorted((a, b), key=integer)[1],
    "minu": lambda a, b: sorted((a, b))[0], "maxu": lambda a, b: sorted((a, b))[1],
    "rol": lambda a, b: number(rotated_left(bits(a), b % 64)),
    "ror": lambda a, b: number(rotated_left(bits(a), 64 - b % 64)),
    "rolw": lambda a, b: number(rotated_left(bits(a)[32:], b % 32), extend="s"),
    "rorw": lambda a, b: number(rotated_left(bits(a)[32:], 32 - b % 32), extend="s"),
    "bset": lambda a, b: with_bit(a, b, lambda _: "1"),
    "bclr": lambda a, b: with_bit(a, b, lambda _: "0"),
    "binv": lambda a, b: with_bit(a, b, lambda digit: "10"[int(digit)]),
    "bext": lambda a, b: int(bits(a)[63 - b % 64]),
    "czero.eqz": lambda a, b: 0 if b == 0 else a, "czero.nez": lambda a, b: 0 if b != 0 else a,
}  # fmt: skip
IMMEDIATE = {
    "slli.uw": lambda a, n: low_word(a) * 2**n, "rori": REGISTER["ror"], "roriw": REGISTER["rorw"],
    "bseti": REGISTER["bset"], "bclri": REGISTER["bclr"], "binvi": REGISTER["binv"],
    "bexti": REGISTER["bext"],
}  # fmt: skip
UNARY = {
    "clz": lambda a: run_length(bits(a), "0"), "ctz": lambda a: run_length(bits(a)[::-1], "0"),
    "clzw": lambda a: run_length(bits(a)[32:], "0"), "ctzw": lambda a: run_length(bits(a)[:31:-1], "0"),
    "cpop": lambda a: bits(a).count("1"), "cpopw": lambda a: bits(a)[32:].count("1"),
    "sext.b": lambda a: number(bits(a)[56:], extend="s"),
    "sext.h": lambda a: number(bits(a)[48:], extend="s"), "zext.h": lambda a: number(bits(a)[48:]),
    "orc.b": lambda a: number("".join(("1" if "1" in byte else "0") * 8 for byte in in_bytes(a))),
    "rev8": lambda a: number("".join(reversed(in_bytes(a)))),
}  # fmt: skip
# Worked by hand.
EXAMPLES = [
    ("rol", 0x8000_0000_0000_0001, 1, 3), ("ror", 1, 65, 1 << 63), ("rorw", 1, 1, 0xFFFF_FFFF_8000_0000),
    ("rolw", 0x1_8000_0000, 33, 1), ("max", M, 1, 1), ("maxu", M, 1, M), ("min", M, 1, M), ("minu", M, 1, 1),
    ("bext", 4, 66, 1), ("bset", 0, 127, 1 << 63), ("sh3add", 3, 5, 29), ("add.uw", M, 1, 1 << 32),
    ("czero.eqz", 7, 0, 0), ("czero.eqz", 7, 1 << 40, 7), ("czero.nez", 7, 0, 7),
    ("czero.nez", 7, 1 << 40, 0),
]  # fmt: skip


@pytest.mark.parametrize("name, a, b, result", EXAMPLES)
def test_examples(bench, name, a, b, result):
    bench.x[5], bench.x[6] = a, b
    assert bench.do(name, rd=7, rs1=5, rs2=6) is None
    assert bench.x[7] == result


@pytest.mark.parametrize("name, a, result", [
    ("clz", 0, 64), ("clz", 1, 63), ("ctz", 0, 64), ("ctz", 1 << 63, 63), ("clzw", 0, 32),
    ("clzw", 1 << 32, 32), ("ctzw", 1 << 32, 32), ("ctzw", 1 << 31, 31), ("cpop", M, 64), ("cpopw", M, 32),
    ("sext.b", 0x80, M - 127), ("sext.h", 0x1_7FFF, 0x7FFF), ("zext.h", M, 0xFFFF),
    ("orc.b", 0x0100_0000_8000_0010, 0xFF00_0000_FF00_00FF),
    ("rev8", 0x0102_0304_0506_0708, 0x0807_0605_0403_0201),
])  # fmt: skip
def test_unary_examples(bench, name, a, result):
    bench.x[5] = a
    assert bench.do(name, rd=7, rs1=5) is None
    assert bench.x[7] == result


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_random_operands(bench, row):
    draw = random.Random(row.match)
    cases = [(a, b) for a in CORNERS for b in CORNERS]
    cases += [(draw.getrandbits(64) >> draw.randrange(64), draw.getrandbits(64)) for _ in range(100)]
    word = {}
    for a, b in cases:
        bench.x[5], bench.x[6], bench.x[7] = a, b, 0xDEAD
        imm = b % (32 if row.format is Format.SHAMT5 else 64)
        if imm not in word:
            word[imm] = encode(row.name, rd=7, rs1=5, rs2=6, imm=imm)
        assert bench.execute(word[imm], MAIN_MEMORY_BASE) is None
        if row.format is Format.R:
            expected = REGISTER[row.name](a, b)
        elif row.format is Format.UNARY:
            expected = UNARY[row.name](a)
        else:
            expected = IMMEDIATE[row.name](a, imm)
        assert bench.x[7] == expected % (1 << 64), f"{row.name} {a:#x} {b:#x}"


def test_every_row_has_a_definition():
    assert {*REGISTER, *IMMEDIATE, *UNARY} == {row.name for row in ROWS}


@pytest.mark.parametrize("option, extensions", [("bitmanip", ("Zba", "Zbb", "Zbs")), ("zicond", ("Zicond",))])
def test_left_out(make_bench, option, extensions):
    """Without the option its instructions are illegal, and only they are."""
    config = preset("base")
    bench = make_bench(replace(config, core=replace(config.core, **{option: False})))
    for row in ROWS:
        word = encode(row.name, rd=7, rs1=5, rs2=6, imm=3)
        illegal = row.extension in extensions
        expected = (Cause.ILLEGAL_INSTRUCTION, word) if illegal else None
        assert bench.execute(word, MAIN_MEMORY_BASE) == expected
