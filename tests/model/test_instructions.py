"""RV64IM, Zicsr and Zifencei: results by the unprivileged ISA, chapters 2, 5, 7 and 9."""

import random

import pytest

from fides_core.isa.causes import ExceptionCause as Cause
from fides_core.isa.csrs import CSR
from fides_core.isa.encode import encode
from fides_core.isa.instructions import instructions
from fides_core.soc.memory_map import MAIN_MEMORY_BASE

M = (1 << 64) - 1
MIN, MIN32 = 1 << 63, M - (1 << 31) + 1  # most negative, as unsigned 64-bit
A, B = 0x1234_5678_9ABC_DEF0, 0xFEDC_BA98_7654_3210
DATA = MAIN_MEMORY_BASE + 0x4000

REGISTER = [
    ("add", M, 1, 0), ("add", A, B, 0x1111_1111_1111_1100), ("sub", 0, 1, M),
    ("sub", A, B, 0x1357_9BE0_2468_ACE0), ("sll", 1, 63, MIN), ("sll", 1, 64, 1), ("srl", MIN, 63, 1),
    ("srl", MIN, 127, 1), ("sra", MIN, 63, M), ("sra", A, 4, A >> 4), ("slt", M, 0, 1), ("slt", 0, M, 0),
    ("slt", MIN, MIN - 1, 1), ("sltu", M, 0, 0), ("sltu", 0, M, 1), ("xor", A, M, A ^ M),
    ("or", 0xF0, 0x0F, 0xFF), ("and", 0xF0, 0x3C, 0x30), ("addw", 0x7FFF_FFFF, 1, MIN32),
    ("addw", 0xFFFF_FFFF, 1, 0), ("subw", 0, 1, M), ("subw", MIN32, 1, 0x7FFF_FFFF), ("sllw", 1, 31, MIN32),
    ("sllw", 1, 32, 1), ("srlw", 0xFFFF_FFFF_8000_0000, 31, 1), ("srlw", M, 32, M),
    ("sraw", 0x8000_0000, 31, M), ("sraw", 0x1_7FFF_FFFF, 4, 0x07FF_FFFF), ("mul", B, B, B * B & M),
    ("mul", M, M, 1), ("mulh", M, M, 0), ("mulh", MIN, MIN, 1 << 62), ("mulh", MIN, 1, M),
    ("mulhsu", M, M, M), ("mulhsu", 1, M, 0), ("mulhu", M, M, M - 1), ("mulhu", MIN, 2, 1),
    ("div", M - 6, 2, M - 2), ("div", 7, M - 1, M - 2), ("div", A, 0, M), ("div", MIN, M, MIN),
    ("divu", M, 2, M >> 1), ("divu", A, 0, M), ("rem", M - 6, 2, M), ("rem", 7, M - 1, 1), ("rem", A, 0, A),
    ("rem", MIN, M, 0), ("remu", M, 10, 5), ("remu", A, 0, A), ("mulw", 0x1_0001, 0x1_0000, 0x1_0000),
    ("mulw", 0xFFFF, 0x1_0001, M), ("divw", MIN32, M, MIN32), ("divw", 0xFFFF_FFF9, 2, M - 2),
    ("divw", 5, 1 << 32, M), ("divuw", 0xFFFF_FFFF, 1, M), ("divuw", 0x1_0000_0008, 2, 4), ("divuw", 5, 0, M),
    ("remw", 0xFFFF_FFF9, 2, M), ("remw", MIN32, M, 0), ("remw", 0x8000_0000, 0, MIN32),
    ("remuw", 0xFFFF_FFFF, 0, M), ("remuw", 0x1_0000_0007, 4, 3),
]  # fmt: skip
IMMEDIATE = [
    ("addi", 5, -7, M - 1), ("slti", M, 0, 1), ("slti", 3, -1, 0), ("sltiu", 3, -1, 1),
    ("xori", A, -1, A ^ M), ("ori", 0, -2048, M - 2047), ("andi", A, 0xF0, 0xF0), ("slli", 1, 63, MIN),
    ("srli", MIN, 32, 0x8000_0000), ("srai", MIN, 63, M), ("addiw", 0x7FFF_FFFF, 1, MIN32),
    ("addiw", 1 << 32, 0, 0), ("slliw", 1, 31, MIN32), ("srliw", M, 28, 15),
    ("sraiw", 0x8000_0000, 28, M - 7),
]  # fmt: skip
BRANCHES = [
    ("beq", A, A, True), ("beq", A, B, False), ("bne", A, B, True), ("bne", A, A, False), ("blt", M, 0, True),
    ("blt", 0, 0, False), ("bge", 0, M, True), ("bge", 0, 0, True), ("bge", MIN, 0, False),
    ("bltu", M, 0, False), ("bltu", 0, M, True), ("bgeu", M, 0, True), ("bgeu", 0, 0, True),
    ("bgeu", 0, 1, False),
]  # fmt: skip


@pytest.mark.parametrize("name, a, b, result", REGISTER)
def test_register(bench, name, a, b, result):
    bench.x[5], bench.x[6] = a, b
    assert bench.do(name, rd=7, rs1=5, rs2=6) is None
    assert bench.x[7] == result and bench.hart.pc == MAIN_MEMORY_BASE + 4


@pytest.mark.parametrize("name, a, imm, result", IMMEDIATE)
def test_immediate(bench, name, a, imm, result):
    bench.x[5] = a
    assert bench.do(name, rd=7, rs1=5, imm=imm) is None
    assert bench.x[7] == result


@pytest.mark.parametrize("name, a, b, taken", BRANCHES)
def test_branch(bench, name, a, b, taken):
    bench.x[5], bench.x[6] = a, b
    for offset in (-4096, 4094, 2048, -2048, 1024, 32, 30 * 4, 2, -2):
        assert bench.do(name, MAIN_MEMORY_BASE + 0x4000, rs1=5, rs2=6, imm=offset) is None
        assert bench.hart.pc == MAIN_MEMORY_BASE + 0x4000 + (offset if taken else 4)


def test_every_instruction_has_a_case():
    cases = {case[0] for case in REGISTER + IMMEDIATE + BRANCHES}
    others = {"lui", "auipc", "jal", "jalr", "fence", "fence.i", "ecall", "ebreak", "mret", "wfi"}
    others |= {"lb", "lh", "lw", "ld", "lbu", "lhu", "lwu", "sb", "sh", "sw", "sd"}
    others |= {f"csrr{kind}{form}" for kind in "wsc" for form in ("", "i")}
    base = ("I", "M", "Zicsr", "Zifencei", "Privileged")
    assert cases | others == {row.name for row in instructions(xfides=False) if row.extension in base}


def test_upper_immediates(bench):
    bench.do("lui", rd=5, imm=0x80000)
    assert bench.x[5] == MIN32
    bench.do("auipc", rd=5, imm=0xFFFFF)
    assert bench.x[5] == MAIN_MEMORY_BASE + 4 - 0x1000


@pytest.mark.parametrize("offset", [-(1 << 20), (1 << 20) - 2, 0x800, 0x7FE, 0x1000, -4, 2])
def test_jal(bench, offset):
    pc = MAIN_MEMORY_BASE + 0x4000
    assert bench.do("jal", pc, rd=1, imm=offset) is None
    assert bench.hart.pc == pc + offset and bench.x[1] == pc + 4


def test_jalr(bench):
    bench.x[1] = DATA + 0x11
    assert bench.do("jalr", rd=1, rs1=1, imm=-16) is None  # bit 0 of the sum is cleared, rd = rs1 works
    assert bench.hart.pc == DATA and bench.x[1] == MAIN_MEMORY_BASE + 4


@pytest.mark.parametrize("name, operands, target", [
    ("jal", {"imm": 6}, MAIN_MEMORY_BASE + 6), ("jalr", {"rs1": 5, "imm": 3}, DATA + 2),
    ("beq", {"imm": -2}, MAIN_MEMORY_BASE - 2), ("jalr", {"rs1": 1}, DATA + 2),
])  # fmt: skip
def test_no_target_is_misaligned(bench, name, operands, target):
    """Instructions are aligned to two bytes (unprivileged ISA, section 16.1)."""
    bench.x[5], bench.x[1] = DATA, DATA + 2
    rd = 7 if name == "jal" else 0
    assert bench.do(name, rd=rd, **operands) is None
    assert bench.hart.pc == target


@pytest.mark.parametrize("name, size, result", [
    ("lb", 1, M - 0x7F), ("lbu", 1, 0x80), ("lh", 2, M - 0x7E7F), ("lhu", 2, 0x8180),
    ("lw", 4, 0xFFFF_FFFF_8382_8180), ("lwu", 4, 0x8382_8180), ("ld", 8, 0x8786_8584_8382_8180),
])  # fmt: skip
def test_load(bench, name, size, result):
    bench.platform.store(DATA + 8, 8, 0x8786_8584_8382_8180)
    bench.x[5] = DATA
    assert bench.do(name, rd=7, rs1=5, imm=8) is None
    assert bench.x[7] == result
    bench.x[5] = M  # the sum wraps
    assert bench.do(name, rd=7, rs1=5, imm=1) == (Cause.LOAD_ACCESS_FAULT, 0)


@pytest.mark.parametrize("name, size", [("sb", 1), ("sh", 2), ("sw", 4), ("sd", 8)])
def test_store(bench, name, size):
    bench.platform.store(DATA - 8, 8, M)
    bench.x[5], bench.x[6] = DATA, A
    assert bench.do(name, rs1=5, rs2=6, imm=-8) is None
    keep = M << 8 * size & M
    assert bench.platform.load(DATA - 8, 8) == keep | A & ~keep


@pytest.mark.parametrize("name, size", [
    ("lh", 2), ("lhu", 2), ("lw", 4), ("lwu", 4), ("ld", 8), ("sh", 2), ("sw", 4), ("sd", 8),
])  # fmt: skip
def test_misaligned_data(bench, name, size):
    cause = Cause.LOAD_MISALIGNED if name[0] == "l" else Cause.STORE_MISALIGNED
    for offset in range(1, size):
        bench.x[5] = DATA + offset
        assert bench.do(name, MAIN_MEMORY_BASE, rs1=5) == (cause, DATA + offset)
    bench.x[5] = 3  # nothing there: misaligned comes first
    assert bench.do(name, MAIN_MEMORY_BASE, rs1=5) == (cause, 3)


@pytest.mark.parametrize("address", [0, 0x8010_0000, 0x0C00_0000, 1 << 32, 1 << 32 | MAIN_MEMORY_BASE])
def test_data_access_fault(bench, address):
    bench.x[5] = address
    assert bench.do("ld", MAIN_MEMORY_BASE, rd=6, rs1=5) == (Cause.LOAD_ACCESS_FAULT, address)
    assert bench.do("sb", MAIN_MEMORY_BASE, rs1=5) == (Cause.STORE_ACCESS_FAULT, address)


@pytest.mark.parametrize("pc", [0, 0x8010_0000, 0x0200_0002, 1 << 32, M - 3, M - 1])
def test_fetch_access_fault(bench, pc):
    bench.x[5] = pc
    assert bench.do("jalr", rs1=5) is None
    assert bench.execute(None) == (Cause.INSTRUCTION_ACCESS_FAULT, pc)


def test_x0_stays_0(bench):
    bench.x[5] = A
    for name in ("add", "mul"):
        bench.do(name, rs1=5, rs2=5)
    bench.do("lui", imm=1)
    bench.do("jal", imm=4)
    bench.x[5] = DATA
    bench.platform.store(DATA, 8, A)
    bench.do("ld", rs1=5)
    bench.do("csrrs", csr=CSR.MISA)
    bench.do("add", rd=7)
    assert bench.x[0] == 0 and bench.x[7] == 0


def test_csr_forms(bench):
    bench.x[5], bench.x[6] = 0b1100, 0b1010
    steps = [
        ("csrrw", {"rs1": 5}, 0, 0b1100), ("csrrs", {"rs1": 6}, 0b1100, 0b1110),
        ("csrrc", {"rs1": 5}, 0b1110, 0b0010), ("csrrwi", {"imm": 21}, 0b0010, 21),
        ("csrrsi", {"imm": 10}, 21, 31), ("csrrci", {"imm": 1}, 31, 30), ("csrrs", {}, 30, 30),
        ("csrrci", {}, 30, 30), ("csrrwi", {}, 30, 0),
    ]  # fmt: skip
    for name, operands, old, new in steps:
        assert bench.do(name, rd=7, csr=CSR.MSCRATCH, **operands) is None
        assert (bench.x[7], bench.control.mscratch) == (old, new), name


@pytest.mark.parametrize("name, offset", [("sw", 0), ("sd", 0), ("sd", 4)])
def test_store_to_text_is_seen_by_the_next_fetch(bench, name, offset):
    target = MAIN_MEMORY_BASE + 0x100 + offset
    bench.word(MAIN_MEMORY_BASE, encode(name, rs1=5, rs2=6))
    for value in (1, 2, 3):
        word = encode("addi", rd=7, imm=value)
        bench.x[5], bench.x[6] = target - offset, word << 8 * offset
        for pc in (MAIN_MEMORY_BASE, target):
            bench.hart.pc = pc
            bench.hart.step()
        assert bench.x[7] == value


def test_fences_do_nothing_visible(bench):
    before = list(bench.x)
    assert bench.do("fence") is None and bench.do("fence.i") is None
    assert list(bench.x) == before


@pytest.mark.parametrize(
    "word", [0, 0xFFFF_FFFF, 0x0000_0057, 0x0000_1067, encode("sub") | 1 << 26, encode("slliw") | 1 << 25]
)
def test_illegal_words(bench, word):
    assert bench.execute(word) == (Cause.ILLEGAL_INSTRUCTION, word)


def test_random_arithmetic_by_definition(bench):
    """Division and remainder by a = q b + r, high products by the full product."""
    pick = random.Random(1)
    for _ in range(2000):
        wide, small = pick.getrandbits(64), pick.getrandbits(8)
        a, b = (pick.choice([wide, ~wide & M, small, M - small, MIN]) for _ in "ab")
        results = {}
        for name in ("mul", "mulhu", "mulh", "divu", "remu", "div", "rem"):
            bench.x[5], bench.x[6] = a, b
            bench.do(name, MAIN_MEMORY_BASE, rd=7, rs1=5, rs2=6)
            results[name] = bench.x[7]
        sa, sb = (value - (1 << 64) if value >> 63 else value for value in (a, b))
        assert results["mulhu"] << 64 | results["mul"] == a * b
        assert (results["mulh"] << 64 | results["mul"]) == sa * sb % (1 << 128)
        assert (results["divu"] * b + results["remu"]) & M == a
        assert (results["div"] * b + results["rem"]) & M == a
        if b:
            assert results["remu"] < b
            remainder = results["rem"] - (1 << 64) if results["rem"] >> 63 else results["rem"]
            assert abs(remainder) < abs(sb) and remainder * sa >= 0
