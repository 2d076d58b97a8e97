"""Compressed instructions on the hart: length, links, traps, and fetches of halves (unprivileged ISA, chapter
16; privileged ISA, sections 3.1.15, 3.1.16 and 3.7). What they stand for is tested with the table."""

import itertools

import pytest

from fides_core.isa.causes import ExceptionCause as Cause
from fides_core.isa.compressed import COMPRESSED, encode_compressed
from fides_core.isa.csrs import CSR
from fides_core.isa.encode import encode
from fides_core.model.pmp import EXECUTE, READ
from fides_core.soc.memory_map import BOOT_ROM, MAIN_MEMORY_BASE

START = MAIN_MEMORY_BASE
DATA = START + 0x4000
END = START + (1 << 20)
M = (1 << 64) - 1
BIG = 0x8000_0001_FFFF_FFF0
# name, operands, registers before, (register, value) after; values by the manual's descriptions.
COMPUTING = [
    ("c.addi4spn", {"rd": 9, "imm": 1020}, {2: 0x1000}, (9, 0x13FC)),
    ("c.addi16sp", {"imm": -512}, {2: 0x1000}, (2, 0xE00)),
    ("c.addi", {"rd": 31, "imm": -32}, {31: 5}, (31, M - 26)),
    ("c.addiw", {"rd": 5, "imm": 1}, {5: 0x7FFF_FFFF}, (5, 0xFFFF_FFFF_8000_0000)),
    ("c.li", {"rd": 17, "imm": -1}, {}, (17, M)),
    ("c.lui", {"rd": 5, "imm": -32}, {}, (5, 0xFFFF_FFFF_FFFE_0000)),
    ("c.lui", {"rd": 5, "imm": 31}, {}, (5, 0x1_F000)),
    ("c.slli", {"rd": 5, "imm": 63}, {5: 3}, (5, 1 << 63)),
    ("c.srli", {"rd": 8, "imm": 60}, {8: BIG}, (8, 8)),
    ("c.srai", {"rd": 15, "imm": 60}, {15: BIG}, (15, M - 7)),
    ("c.andi", {"rd": 10, "imm": -16}, {10: 0xFF}, (10, 0xF0)),
    ("c.sub", {"rd": 8, "rs2": 9}, {8: 3, 9: 5}, (8, M - 1)),
    ("c.xor", {"rd": 8, "rs2": 9}, {8: 6, 9: 5}, (8, 3)),
    ("c.or", {"rd": 8, "rs2": 9}, {8: 6, 9: 5}, (8, 7)),
    ("c.and", {"rd": 8, "rs2": 9}, {8: 6, 9: 5}, (8, 4)),
    ("c.subw", {"rd": 8, "rs2": 9}, {8: 1 << 32, 9: 1}, (8, M)),
    ("c.addw", {"rd": 8, "rs2": 9}, {8: 0xFFFF_FFFF, 9: 1}, (8, 0)),
    ("c.mv", {"rd": 5, "rs2": 6}, {5: 1, 6: BIG}, (5, BIG)),
    ("c.add", {"rd": 5, "rs2": 6}, {5: 0x10, 6: BIG}, (5, BIG + 0x10)),
]
# name, operands, base register, offset in bytes, size
LOADS = [
    ("c.lw", {"rd": 8, "rs1": 9, "imm": 124}, 9, 124, 4),
    ("c.ld", {"rd": 8, "rs1": 9, "imm": 248}, 9, 248, 8),
    ("c.lwsp", {"rd": 8, "imm": 252}, 2, 252, 4), ("c.ldsp", {"rd": 8, "imm": 504}, 2, 504, 8),
]  # fmt: skip
STORES = [
    ("c.sw", {"rs2": 8, "rs1": 9, "imm": 64}, 9, 64, 4),
    ("c.sd", {"rs2": 8, "rs1": 9, "imm": 192}, 9, 192, 8),
    ("c.swsp", {"rs2": 8, "imm": 128}, 2, 128, 4), ("c.sdsp", {"rs2": 8, "imm": 256}, 2, 256, 8),
]  # fmt: skip


@pytest.mark.parametrize("pc", [START, START + 2])
@pytest.mark.parametrize("name, operands, before, after", COMPUTING)
def test_computing(bench, name, operands, before, after, pc):
    for register, value in before.items():
        bench.x[register] = value
    assert bench.do(name, pc, **operands) is None
    assert bench.hart.pc == pc + 2
    assert bench.x[after[0]] == after[1]


@pytest.mark.parametrize("name, operands, base, offset, size", LOADS)
def test_load(bench, name, operands, base, offset, size):
    bench.platform.store(DATA + offset, 8, BIG)
    bench.x[base] = DATA
    assert bench.do(name, **operands) is None
    assert bench.x[8] == (BIG if size == 8 else M - 15)
    bench.x[base] = DATA + 2
    assert bench.do(name, **operands) == (Cause.LOAD_MISALIGNED, DATA + offset + 2)


@pytest.mark.parametrize("name, operands, base, offset, size", STORES)
def test_store(bench, name, operands, base, offset, size):
    bench.x[base], bench.x[8] = DATA, BIG
    assert bench.do(name, **operands) is None
    assert bench.platform.load(DATA + offset, 8) == BIG & (1 << 8 * size) - 1


@pytest.mark.parametrize("name, offset, taken_if", [
    ("c.j", -2048, None), ("c.j", 2046, None), ("c.beqz", -256, 0), ("c.beqz", 254, 0), ("c.bnez", 6, 1),
])  # fmt: skip
def test_jump_and_branch(bench, name, offset, taken_if):
    bench.x[1], pc = 77, DATA + 2
    for value in (0, 1):
        bench.x[8] = value
        assert bench.do(name, pc, imm=offset, rs1=8) is None
        assert bench.hart.pc == pc + (offset if taken_if in (None, value) else 2)
    assert bench.x[1] == 77


def test_register_jumps_link_to_the_next_halfword(bench):
    bench.x[5] = DATA + 7  # bit 0 is cleared
    assert bench.do("c.jalr", START + 2, rs1=5) is None
    assert (bench.hart.pc, bench.x[1]) == (DATA + 6, START + 4)
    assert bench.do("c.jr", START + 2, rs1=5) is None
    assert (bench.hart.pc, bench.x[1]) == (DATA + 6, START + 4)
    bench.x[1] = DATA + 0x22
    assert bench.do("c.jalr", START, rs1=1) is None  # the old x1 is the target
    assert (bench.hart.pc, bench.x[1]) == (DATA + 0x22, START + 2)


def test_full_length_jumps_link_behind_themselves(bench):
    assert bench.do("jal", START + 2, rd=5, imm=10) is None
    assert (bench.hart.pc, bench.x[5]) == (START + 12, START + 6)


def test_every_compressed_instruction_has_a_case():
    tested = {case[0] for case in [*COMPUTING, *LOADS, *STORES]}
    others = {"c.j", "c.beqz", "c.bnez", "c.jr", "c.jalr", "c.ebreak"}
    assert tested | others == {row.name for row in COMPRESSED}


def test_breakpoint(bench):
    assert bench.do("c.ebreak", START + 2) == (Cause.BREAKPOINT, START + 2)


@pytest.mark.parametrize("halfword", [0x0000, 0x8002, 0x2005, 0x6101, 0x2000, 0x8000, 0xFFFC & ~0x6000])
def test_illegal_halfwords(bench, halfword):
    """mtval has the 16 bits only, whatever follows."""
    bench.word(START + 4, 0xFFFF_FFFF)
    assert bench.execute(halfword, START + 2) == (Cause.ILLEGAL_INSTRUCTION, halfword)


def test_illegal_word_between_words(bench):
    assert bench.execute(0xFFFF_FFFF, START + 2) == (Cause.ILLEGAL_INSTRUCTION, 0xFFFF_FFFF)


def test_mepc_has_bit_1(bench):
    bench.csr_write(CSR.MEPC, DATA + 3)
    assert bench.csr_read(CSR.MEPC) == DATA + 2
    assert bench.do("mret") is None
    assert bench.hart.pc == DATA + 2


class TestFetchOfHalves:
    """A word that crosses a 4-byte boundary; mtval is the half that may not be fetched, mepc the word."""

    BORDER = START + 0x1000

    def protect(self, bench, *, below, above):
        """What U-mode may do below and above ``BORDER``."""
        bench.mode(user=True)
        bench.control.pmp.write_address(0, self.BORDER >> 2)
        bench.control.pmp.write_address(1, (1 << 30) - 1)
        bench.control.pmp.write_config(0, (1 << 3 | below) | (1 << 3 | above) << 8)
        return bench

    def test_second_half_protected(self, bench):
        self.protect(bench, below=READ | EXECUTE, above=READ)
        word = encode("addi", rd=5, imm=1)
        assert bench.execute(word, self.BORDER - 2) == (Cause.INSTRUCTION_ACCESS_FAULT, self.BORDER)

    def test_first_half_protected(self, bench):
        self.protect(bench, below=READ, above=READ | EXECUTE)
        word = encode("addi", rd=5, imm=1)
        assert bench.execute(word, self.BORDER - 2) == (Cause.INSTRUCTION_ACCESS_FAULT, self.BORDER - 2)

    def test_compressed_needs_no_second_half(self, bench):
        self.protect(bench, below=READ | EXECUTE, above=READ)
        assert bench.do("c.li", self.BORDER - 2, rd=5, imm=1) is None

    def test_end_of_memory(self, bench):
        bench.word(END - 2, encode_compressed("c.li", rd=5, imm=3), 2)
        assert bench.execute(None, END - 2) is None and bench.x[5] == 3
        assert bench.execute(None, END) == (Cause.INSTRUCTION_ACCESS_FAULT, END)
        bench.word(END - 2, 0x0013, 2)
        assert bench.execute(None, END - 2) == (Cause.INSTRUCTION_ACCESS_FAULT, END)

    def test_permission_is_forgotten_with_the_pmp(self, bench):
        """Both halves of a decoded instruction are checked anew."""
        self.protect(bench, below=READ | EXECUTE, above=READ | EXECUTE)
        word = encode("addi", rd=5, imm=1)
        assert bench.execute(word, self.BORDER - 2) is None
        bench.control.privilege = 3
        bench.hart.refresh()
        bench.x[30] = (1 << 3 | READ | EXECUTE) | (1 << 3 | READ) << 8
        bench.word(START, encode("csrrw", rs1=30, csr=CSR.PMPCFG0))
        for pc in (START, self.BORDER - 2):
            bench.hart.pc = pc
            bench.hart.step()
            bench.control.privilege = 0
            bench.hart.refresh()
        assert (bench.control.mcause, bench.control.mtval) == (Cause.INSTRUCTION_ACCESS_FAULT, self.BORDER)


@pytest.mark.parametrize("name, size", [("sb", 1), ("sh", 2), ("sw", 4), ("sd", 8)])
@pytest.mark.parametrize("block", [0x100, 0x140])
def test_stores_reach_instructions_that_they_overlap(bench, name, size, block):
    """Word instructions at every halfword around a store, decoded before it, also across 64-byte borders."""
    target = START + block
    for start, stored in itertools.product(range(target - 8, target + 16, 2), (0, 2)):
        for at in range(target - 8, target + 20, 4):
            bench.platform.store(at, 4, encode("addi"))
        bench.hart.flush()
        bench.platform.store(start, 4, encode("addi", rd=7, imm=1))
        # The store replaces the bytes of the instruction by those of another.
        at = (start + stored) // size * size  # to its first half, or its second
        old = bench.platform.load(at, size)
        other = encode("addi", rd=6, imm=2).to_bytes(4, "little")
        image = bytearray(old.to_bytes(size, "little"))
        for offset in range(size):
            if 0 <= at + offset - start < 4:
                image[offset] = other[at + offset - start]
        bench.word(START, encode(name, rs1=5, rs2=8))
        bench.x[5], bench.x[8] = at, int.from_bytes(image, "little")
        for pc in (start, START, start):
            bench.hart.pc, bench.x[6], bench.x[7] = pc, 0, 0
            bench.hart.step()
        word = int.from_bytes(bench.platform.memory[start - START : start - START + 4], "little")
        assert bench.x[word >> 7 & 31] == word >> 20, f"{name} to {at:#x}, instruction at {start:#x}"


def test_boot_rom_halfwords(bench):
    assert bench.platform.fetch(BOOT_ROM.base) | bench.platform.fetch(BOOT_ROM.base + 2) << 16 == encode(
        "addi", rd=10, imm=0
    )
