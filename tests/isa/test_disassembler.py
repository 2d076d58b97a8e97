"""The disassembler: GNU binutils assembles its text to the word it came from."""

import os
import random
import re

import pytest

from fides_core.isa.compressed import COMPRESSED, find_compressed
from fides_core.isa.csrs import CSR, CSR_NAMES, MonitorCSR, XfidesCSR
from fides_core.isa.disassembler import disassemble
from fides_core.isa.encode import encode
from fides_core.isa.instructions import INSTRUCTIONS, Format
from fides_core.isa.xfides import PadKind, checkcap

WORDS_PER_ROW = 20

#: Registers whose names binutils cannot know, and their numbers.
OURS = {csr.name.lower(): f"{csr:#x}" for csr in (*XfidesCSR, *MonitorCSR)}


def for_binutils(word: int) -> str:
    # The assembler counts offsets of jumps from the section's begin.
    text = re.sub(r"^(jal|b[a-z]+) (.*)([+-]\d+)$", r"\1 \2. \3", disassemble(word))
    return re.sub(r"\w+", lambda name: OURS.get(name[0], name[0]), text)


def test_binutils_reads_it(assemble_words):
    seed = int(os.environ.get("FIDES_SEED") or random.SystemRandom().getrandbits(32))
    print(f"FIDES_SEED={seed}")
    rng = random.Random(seed)
    words = [
        row.match | rng.getrandbits(32) & ~row.mask
        for row in INSTRUCTIONS
        if row.extension not in ("Xfides", "Zicond") and row.format is not Format.FENCE
        for _ in range(WORDS_PER_ROW)
    ]
    # Chance seldom finds a register that has a name: all of them.
    words += [encode("csrrw", rd=1, rs1=2, csr=number) for number in CSR_NAMES]
    texts = [for_binutils(word) for word in words]
    assert len({text.split()[0].split(".")[0] for text in texts}) > 100
    assembled = assemble_words(texts)
    wrong = [(f"{w:08x}", text) for w, text, back in zip(words, texts, assembled, strict=True) if w != back]
    assert not wrong


@pytest.mark.parametrize(
    "word, text",
    [
        (encode("csrrw", rd=10, rs1=11, csr=CSR.MSCRATCH), "csrrw x10, mscratch, x11"),
        (encode("csrrsi", rd=0, imm=8, csr=0x123), "csrrsi x0, 0x123, 8"),
        (encode("fence.i"), "fence.i"),
        (encode("beq", rs1=1, rs2=2, imm=8), "beq x1, x2, +8"),
        (encode("czero.eqz", rd=1, rs1=2, rs2=3), "czero.eqz x1, x2, x3"),
        (encode("val.8", rd=1, rs1=2, rs2=3), "val.8 x1, x2, x3"),
        (encode("vali.4", rs1=2, imm=-4), "vali.4 x2, -4"),
        (encode("arm", rs1=10), "arm x10"),
        (checkcap(7, PadKind.HANDLER), "checkcap 7, handler"),
        (checkcap(7) | 1 << 28, "checkcap ?, ?"),
        (0xFFFFFFFF, "0xffffffff"),
        (0x0000, "0x0000"),
        (0xABCD8082, "c.jr = jalr x0, x1, 0"),
    ],
)
def test_text(word, text):
    assert disassemble(word) == text


def test_every_compressed_instruction():
    for row in COMPRESSED:
        halfword = row.match | ~row.mask & 0xFFFF
        found = find_compressed(halfword)
        assert disassemble(halfword).startswith(f"{found.name} = {found.base} ".rstrip())
