"""A on the hart: values, reservations, faults (unprivileged ISA, chapter 8; Xfides contract, section 9)."""

import random

import pytest

from fides_core.isa.causes import ExceptionCause as Cause
from fides_core.isa.encode import encode
from fides_core.isa.instructions import INSTRUCTIONS
from fides_core.isa.xfides import pack_pointer
from fides_core.model.pmp import READ, WRITE
from fides_core.soc.memory_map import BOOT_ROM, MAIN_MEMORY_BASE

START = MAIN_MEMORY_BASE
DATA = START + 0x4000
M = (1 << 64) - 1
A, B = 0x8765_4321_F0F0_1234, 0x1234_5678_0FF0_8765
# name, memory before, operand, memory after; .w leaves the upper half of memory.
VALUES = [
    ("amoswap.d", A, B, B), ("amoadd.d", A, B, A + B), ("amoadd.d", M, 2, 1), ("amoxor.d", A, B, A ^ B),
    ("amoand.d", A, B, A & B), ("amoor.d", A, B, A | B), ("amomin.d", A, B, A), ("amomin.d", B, A, A),
    ("amomax.d", A, B, B), ("amomax.d", B, A, B), ("amominu.d", A, B, B), ("amomaxu.d", A, B, A),
    ("amomin.d", 5, 7, 5), ("amomaxu.d", 5, 7, 7),
    ("amoswap.w", A, B, 0x8765_4321_0FF0_8765), ("amoadd.w", A, B, 0x8765_4321_00E0_9999),
    ("amoxor.w", A, B, 0x8765_4321_FF00_9551), ("amoand.w", A, B, 0x8765_4321_00F0_0224),
    ("amoor.w", A, B, 0x8765_4321_FFF0_9775), ("amomin.w", A, B, A),
    ("amomax.w", A, B, 0x8765_4321_0FF0_8765), ("amominu.w", A, B, 0x8765_4321_0FF0_8765),
    ("amomaxu.w", A, B, A), ("amomaxu.w", 1, 0x1_0000_0000, 1), ("amomin.w", 1, 0xFFFF_FFFF, 0xFFFF_FFFF),
    ("amominu.w", 0x8000_0000, 0xFFFF_FFFF_0000_0001, 1), ("amomax.w", 0x8000_0000, 0x8000_0001, 0x8000_0001),
]  # fmt: skip
AMOS = sorted({case[0] for case in VALUES})


def sign_extended(value):
    value &= 0xFFFF_FFFF
    return value | 0xFFFF_FFFF_0000_0000 if value >> 31 else value


@pytest.mark.parametrize("aq, rl", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("name, before, operand, after", VALUES)
def test_values(bench, name, before, operand, after, aq, rl):
    bench.platform.store(DATA, 8, before)
    bench.x[5], bench.x[6] = DATA, operand
    assert bench.do(name, rd=7, rs1=5, rs2=6, aq=aq, rl=rl) is None
    assert bench.platform.load(DATA, 8) == after & M
    assert bench.x[7] == (before if name.endswith(".d") else sign_extended(before))
    assert bench.hart.pc == START + 4


def test_every_atomic_has_a_case():
    names = {row.name for row in INSTRUCTIONS if row.extension == "A"}
    assert {*AMOS, "lr.w", "lr.d", "sc.w", "sc.d"} == names and len(names) == 22


def test_source_and_destination_may_be_the_same(bench):
    bench.platform.store(DATA, 8, A)
    bench.x[5] = DATA
    assert bench.do("amoadd.d", rd=5, rs1=5, rs2=5) is None
    assert bench.x[5] == A and bench.platform.load(DATA, 8) == (A + DATA) & M


def test_upper_word(bench):
    bench.platform.store(DATA, 8, A)
    bench.x[5], bench.x[6] = DATA + 4, 1
    assert bench.do("amoadd.w", rs1=5, rs2=6) is None
    assert bench.platform.load(DATA, 8) == A + (1 << 32) and bench.x[0] == 0


class TestReservation:
    @pytest.fixture
    def reserved(self, bench):
        bench.platform.store(DATA, 8, A)
        bench.x[5], bench.x[6], bench.x[8] = DATA, B, DATA + 8
        assert bench.do("lr.d", rd=7, rs1=5) is None
        assert bench.x[7] == A
        return bench

    def sc(self, bench, name="sc.d", base=5):
        """Whether an sc to the address in register ``base`` stores; memory must agree."""
        address = bench.x[base]
        before = bench.platform.load(address, 8)
        assert bench.do(name, rd=9, rs1=base, rs2=6) is None
        assert bench.x[9] in (0, 1)
        stored = B if name == "sc.d" else before >> 32 << 32 | B & 0xFFFF_FFFF
        assert bench.platform.load(address, 8) == (before if bench.x[9] else stored)
        return not bench.x[9]

    def test_success_uses_it_up(self, reserved):
        assert self.sc(reserved)
        assert not self.sc(reserved)

    def test_words(self, bench):
        bench.platform.store(DATA, 8, A)
        bench.x[5], bench.x[6] = DATA, B
        assert bench.do("lr.w", rd=7, rs1=5) is None
        assert bench.x[7] == sign_extended(A)
        assert self.sc(bench, "sc.w")

    def test_none_at_first(self, bench):
        bench.x[5], bench.x[6] = DATA, B
        assert not self.sc(bench)

    def test_another_address_fails_and_loses_it(self, reserved):
        assert not self.sc(reserved, base=8)
        assert not self.sc(reserved)

    def test_the_last_one_counts(self, reserved):
        reserved.do("lr.d", rd=7, rs1=8)
        assert not self.sc(reserved)
        reserved.do("lr.d", rd=7, rs1=5)
        reserved.do("lr.d", rd=7, rs1=8)
        assert self.sc(reserved, base=8)

    def test_own_accesses_and_traps_keep_it(self, reserved):
        reserved.do("sd", rs1=5, rs2=5)
        reserved.do("amoadd.d", rs1=5, rs2=5)
        reserved.do("ecall")
        reserved.do("mret")
        assert self.sc(reserved)

    def test_faults_keep_it(self, reserved):
        reserved.x[10] = DATA + 1
        assert reserved.do("sc.d", rd=9, rs1=10, rs2=6) == (Cause.STORE_MISALIGNED, DATA + 1)
        assert reserved.do("lr.d", rd=9, rs1=10) == (Cause.LOAD_MISALIGNED, DATA + 1)
        assert self.sc(reserved)


@pytest.mark.parametrize("name", [*AMOS, "lr.w", "lr.d", "sc.w", "sc.d"])
def test_misaligned(bench, name):
    bench.platform.store(DATA, 8, A)
    cause = Cause.LOAD_MISALIGNED if name.startswith("lr") else Cause.STORE_MISALIGNED
    for offset in range(1, 4 if name.endswith("w") else 8):
        for base in (DATA, 0):  # where nothing answers, too: misaligned comes first
            bench.x[5] = base + offset
            assert bench.do(name, START, rd=7, rs1=5, rs2=6) == (cause, base + offset)
    assert bench.platform.load(DATA, 8) == A


@pytest.mark.parametrize("address", [0, BOOT_ROM.base - 8, 0x0C00_0000, 1 << 32, 1 << 32 | DATA])
def test_nothing_there(bench, address):
    bench.x[5] = address
    for name in ("amoadd.w", "amoswap.d"):
        assert bench.do(name, START, rd=7, rs1=5) == (Cause.STORE_ACCESS_FAULT, address)
    assert bench.do("lr.d", START, rd=7, rs1=5) == (Cause.LOAD_ACCESS_FAULT, address)


def test_amo_to_read_only_memory(bench):
    bench.x[5] = BOOT_ROM.base
    assert bench.do("amoadd.w", rd=7, rs1=5) == (Cause.STORE_ACCESS_FAULT, BOOT_ROM.base)


@pytest.mark.parametrize("rights", [0, READ, READ | WRITE])
def test_protection(bench, rights):
    """PMP: lr needs R, sc needs W even without a reservation, AMOs need both and raise store faults."""
    def do(name, base=5):
        bench.mode(user=True)
        bench.control.pmp.write_address(0, DATA >> 2)
        bench.control.pmp.write_address(1, (1 << 30) - 1)
        bench.control.pmp.write_config(0, (1 << 3 | 7) | (1 << 3 | rights) << 8)
        return bench.do(name, START, rd=7, rs1=base, rs2=6)

    bench.x[5], bench.x[6] = DATA, B
    bench.platform.store(DATA, 8, A)
    store = None if rights & WRITE else (Cause.STORE_ACCESS_FAULT, DATA)
    assert do("lr.d") == (None if rights & READ else (Cause.LOAD_ACCESS_FAULT, DATA))
    bench.hart.reservation = None
    assert do("sc.d") == store
    assert do("amoor.d") == store
    assert bench.platform.load(DATA, 8) == (A | B if rights & WRITE else A)


@pytest.mark.parametrize("fen", [False, True])
def test_tagged_addresses(bench, fen):
    """Masked with FEN in U-mode: access, reservation and mtval; without it they are out of range."""
    bench.mode(user=True, fen=fen)
    bench.platform.store(DATA, 8, A)
    bench.x[5], bench.x[6] = pack_pointer(DATA, 7, 9), B
    results = []
    for name in ("amoswap.d", "lr.d", "sc.d"):
        results.append(bench.do(name, START, rd=7, rs1=5, rs2=6))
        bench.mode(user=True, fen=fen)
        bench.x[5] ^= 1 << 45  # another tag of the same address
    if fen:
        assert results == [None] * 3 and bench.x[7] == 0
        assert bench.platform.load(DATA, 8) == B
        bench.x[5] |= 4
        assert bench.do("amoswap.d", START, rs1=5) == (Cause.STORE_MISALIGNED, DATA | 4)
    else:
        causes = [Cause.STORE_ACCESS_FAULT, Cause.LOAD_ACCESS_FAULT, Cause.STORE_ACCESS_FAULT]
        assert [result[0] for result in results] == causes


def test_lr_has_no_second_source(bench):
    word = encode("lr.d", rs1=5) | 1 << 20
    assert bench.execute(word) == (Cause.ILLEGAL_INSTRUCTION, word)


def test_amos_are_stores_to_text_too(bench):
    target = START + 0x100
    for value in (1, 2):
        bench.x[5], bench.x[6] = target, encode("addi", rd=7, imm=value)
        bench.word(START, encode("amoswap.w", rs1=5, rs2=6))
        for pc in (START, target):
            bench.hart.pc = pc
            bench.hart.step()
        assert bench.x[7] == value


def test_random_sums(bench):
    """amoadd on one word, in both widths, against one sum."""
    draw = random.Random(3)
    total = draw.getrandbits(64)
    bench.platform.store(DATA, 8, total)
    bench.x[5] = DATA
    for _ in range(300):
        bench.x[6] = draw.getrandbits(64)
        if draw.getrandbits(1):
            total = (total + bench.x[6]) % (1 << 64)
            assert bench.do("amoadd.d", START, rs1=5, rs2=6) is None
        else:
            total = total - total % (1 << 32) + (total + bench.x[6]) % (1 << 32)
            assert bench.do("amoadd.w", START, rs1=5, rs2=6) is None
    assert bench.platform.load(DATA, 8) == total
