"""The instruction table against the assembler, and against the manual where that is too old."""

import itertools
import random

import pytest

from fides_core.config import CoreConfig
from fides_core.isa.csrs import Event, counted_event
from fides_core.isa.encode import encode
from fides_core.isa.instructions import BY_NAME, INSTRUCTIONS, Format, find, instructions

STATEMENTS = {
    Format.R: "x{rd}, x{rs1}, x{rs2}", Format.UNARY: "x{rd}, x{rs1}", Format.I: "x{rd}, x{rs1}, {imm}",
    Format.SHAMT6: "x{rd}, x{rs1}, {imm}", Format.SHAMT5: "x{rd}, x{rs1}, {imm}", Format.U: "x{rd}, {imm}",
    Format.LOAD: "x{rd}, {imm}(x{rs1})", Format.S: "x{rs2}, {imm}(x{rs1})", Format.LR: "x{rd}, (x{rs1})",
    Format.AMO: "x{rd}, x{rs2}, (x{rs1})", Format.B: "x{rs1}, x{rs2}, . + {imm}",
    Format.J: "x{rd}, . + {imm}", Format.CSR: "x{rd}, {csr}, x{rs1}", Format.CSRI: "x{rd}, {csr}, {imm}",
    Format.NONE: "",
}  # fmt: skip
IMMEDIATES = {
    Format.SHAMT6: range(64), Format.SHAMT5: range(32), Format.U: range(1 << 20), Format.CSRI: range(32),
    Format.B: range(-4096, 4096, 2), Format.J: range(-(1 << 20), 1 << 20, 2),
}  # fmt: skip
# integer conditional operations 1.0, and the fields that GNU as 2.40 does not write (fence).
BY_HAND = {
    ("czero.eqz", 5, 6, 7): 0b0000111_00111_00110_101_00101_0110011,
    ("czero.nez", 31, 1, 16): 0b0000111_10000_00001_111_11111_0110011,
    ("fence", 0, 0, 0): 0b0000000_00000_00000_000_00000_0001111,
    ("fence.i", 0, 0, 0): 0b0000000_00000_00000_001_00000_0001111,
}


def test_every_row_against_the_assembler(assemble_words):
    draw = random.Random(1)
    lines, expected = [], []
    by_hand = {case[0] for case in BY_HAND}
    for row in INSTRUCTIONS:
        if row.extension == "Xfides" or row.name in by_hand:
            continue
        for aq, rl in itertools.product((0, 1), repeat=2):
            operands = {name: draw.randrange(32) for name in ("rd", "rs1", "rs2")}
            operands["imm"] = draw.choice(IMMEDIATES.get(row.format, range(-2048, 2048)))
            operands["csr"] = draw.randrange(4096)
            order = ".aq" * (aq and not rl) + ".rl" * (rl and not aq) + ".aqrl" * (aq and rl)
            atomic = row.format in (Format.LR, Format.AMO)
            statement = STATEMENTS[row.format].format(**operands)
            lines.append(f"{row.name}{order if atomic else ''} {statement}")
            expected.append(encode(row.name, aq=aq, rl=rl, **operands))
            assert find(expected[-1]) is row
    words = assemble_words(lines)
    assert [f"{word:08x} {line}" for word, line in zip(expected, lines, strict=True)] == [
        f"{word:08x} {line}" for word, line in zip(words, lines, strict=True)
    ]


@pytest.mark.parametrize("case", BY_HAND, ids=lambda case: case[0])
def test_rows_that_the_assembler_does_not_have(case):
    name, rd, rs1, rs2 = case
    assert encode(name, rd=rd, rs1=rs1, rs2=rs2) == BY_HAND[case]
    assert find(BY_HAND[case]) is BY_NAME[name]


def test_no_word_is_two_instructions():
    for one, other in itertools.combinations(INSTRUCTIONS, 2):
        assert (one.match ^ other.match) & one.mask & other.mask, (one.name, other.name)
    assert len(BY_NAME) == len(INSTRUCTIONS)


@pytest.mark.parametrize("option, extensions", [
    ("xfides", {"Xfides"}), ("bitmanip", {"Zba", "Zbb", "Zbs"}), ("zicond", {"Zicond"}),
])  # fmt: skip
def test_options_select_extensions(option, extensions):
    everything = {"xfides": True, "bitmanip": True, "zicond": True}
    assert instructions(**everything) == INSTRUCTIONS
    without = instructions(**everything | {option: False})
    assert {row.extension for row in INSTRUCTIONS} - {row.extension for row in without} == extensions
    assert all(row in without for row in INSTRUCTIONS if row.extension not in extensions)
    sample = next(row for row in INSTRUCTIONS if row.extension in extensions)
    assert find(sample.match) is sample and find(sample.match, **{option: False}) is None


def test_operands_that_do_not_fit():
    for operands in ({"rd": 32}, {"rs1": -1}, {"aq": 2}, {"rl": 2}):
        with pytest.raises(ValueError, match=r"amoadd\.w"):
            encode("amoadd.w", **operands)


def test_events_of_the_counters():
    assert [counted_event(counter, 10) for counter in range(3, 13)] == list(Event)
    assert counted_event(13, 13) is None and counted_event(2, 10) is None and counted_event(31, 13) is None
    assert counted_event(5, 3) is Event.DCACHE_MISS and counted_event(6, 3) is None
    assert CoreConfig().hpm_counters == len(Event)
