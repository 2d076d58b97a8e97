"""Every instruction of RV64IM against results computed here, from the wording of the unprivileged ISA
manual."""

import itertools
import struct

import pytest

from fides_core.isa.instructions import Format, instructions

BITS = 64
CORNERS = (
    0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 0x7FF, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF, 0x100000000,
    0x5555555555555555, 0x123456789ABCDEF0, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 1,
    (1 << 64) - 2, (1 << 64) - (1 << 31), (1 << 64) - (1 << 32),
)  # fmt: skip
IMMEDIATES = (0, 1, -1, 5, 2047, -2048, 0x555, -0x556)


def signed(value: int, bits: int = BITS) -> int:
    """The number that ``bits`` bits mean in two's complement."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def truncated_quotient(a: int, b: int) -> int:
    """Division rounds towards zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def divide(a: int, b: int, bits: int) -> int:
    """Division by zero gives all bits set; overflow needs no case, its quotient just wraps around."""
    return -1 if b == 0 else truncated_quotient(a, b)


def remainder(a: int, b: int, bits: int) -> int:
    """The remainder has the sign of the dividend; of a division by zero it is the dividend."""
    return a if b == 0 else a - b * truncated_quotient(a, b)


# Results of two 64-bit register values, before they are cut to 64 bits.
REGISTER = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "sll": lambda a, b: a << b % 64,
    "slt": lambda a, b: signed(a) < signed(b),
    "sltu": lambda a, b: a < b,
    "xor": lambda a, b: a ^ b,
    "srl": lambda a, b: a >> b % 64,
    "sra": lambda a, b: signed(a) >> b % 64,
    "or": lambda a, b: a | b,
    "and": lambda a, b: a & b,
    "mul": lambda a, b: a * b,
    "mulh": lambda a, b: signed(a) * signed(b) >> 64,
    "mulhsu": lambda a, b: signed(a) * b >> 64,
    "mulhu": lambda a, b: a * b >> 64,
    "div": lambda a, b: divide(signed(a), signed(b), 64),
    "divu": lambda a, b: divide(a, b, 64),
    "rem": lambda a, b: remainder(signed(a), signed(b), 64),
    "remu": lambda a, b: remainder(a, b, 64),
    "addw": lambda a, b: signed(a + b, 32),
    "subw": lambda a, b: signed(a - b, 32),
    "sllw": lambda a, b: signed(a << b % 32, 32),
    "srlw": lambda a, b: signed((a & 0xFFFFFFFF) >> b % 32, 32),
    "sraw": lambda a, b: signed(a, 32) >> b % 32,
    "mulw": lambda a, b: signed(a * b, 32),
    "divw": lambda a, b: signed(divide(signed(a, 32), signed(b, 32), 32), 32),
    "divuw": lambda a, b: signed(divide(a & 0xFFFFFFFF, b & 0xFFFFFFFF, 32), 32),
    "remw": lambda a, b: signed(remainder(signed(a, 32), signed(b, 32), 32), 32),
    "remuw": lambda a, b: signed(remainder(a & 0xFFFFFFFF, b & 0xFFFFFFFF, 32), 32),
}

# The same of a register value and a sign-extended immediate or a shift amount.
IMMEDIATE = {
    "addi": REGISTER["add"],
    "slti": lambda a, i: signed(a) < i,
    "sltiu": lambda a, i: a < i % (1 << 64),
    "xori": lambda a, i: a ^ i,
    "ori": lambda a, i: a | i,
    "andi": lambda a, i: a & i,
    "addiw": lambda a, i: signed(a + i, 32),
    "slli": REGISTER["sll"],
    "srli": REGISTER["srl"],
    "srai": REGISTER["sra"],
    "slliw": REGISTER["sllw"],
    "srliw": REGISTER["srlw"],
    "sraiw": REGISTER["sraw"],
}

BRANCH = {
    "beq": lambda a, b: a == b,
    "bne": lambda a, b: a != b,
    "blt": lambda a, b: signed(a) < signed(b),
    "bge": lambda a, b: signed(a) >= signed(b),
    "bltu": lambda a, b: a < b,
    "bgeu": lambda a, b: a >= b,
}


def dwords(values) -> str:
    return "".join(f"  .dword {value % (1 << 64):#x}\n" for value in values)


def table(label: str, rows) -> str:
    return f".data\n.balign 8\n{label}:\n" + dwords(itertools.chain(*rows)) + f"{label}_end:\n.text\n"


@pytest.mark.parametrize("name", REGISTER)
def test_register_register(run, name):
    rows = [(a, b, REGISTER[name](a, b)) for a, b in itertools.product(CORNERS, CORNERS)]
    run(f"""
  la t0, rows
  la t1, rows_end
1:
  ld a0, 0(t0)
  ld a1, 8(t0)
  ld a2, 16(t0)
  addi gp, gp, 1
  {name} a3, a0, a1
  bne a3, a2, fail
  # The destination is a source too, and the result is used at once.
  mv a3, a0
  {name} a3, a3, a1
  bne a3, a2, fail
  {name} x0, a0, a1
  bne x0, zero, fail
  addi t0, t0, 24
  bltu t0, t1, 1b
  j pass
{table("rows", rows)}""")


@pytest.mark.parametrize("name", IMMEDIATE)
def test_register_immediate(run, name):
    shift = name[:3] in ("sll", "srl", "sra")
    immediates = range(32 if name.endswith("w") else 64) if shift else IMMEDIATES
    code, tables = "", ""
    for number, immediate in enumerate(immediates):
        rows = [(a, IMMEDIATE[name](a, immediate)) for a in CORNERS]
        tables += table(f"rows{number}", rows)
        code += f"""
  la t0, rows{number}
  la t1, rows{number}_end
1:
  ld a0, 0(t0)
  ld a2, 8(t0)
  addi gp, gp, 1
  {name} a3, a0, {immediate}
  bne a3, a2, fail
  addi t0, t0, 16
  bltu t0, t1, 1b
"""
    run(code + "  j pass\n" + tables)


@pytest.mark.parametrize("name", BRANCH)
def test_branch(run, name):
    """Forward and backward, and back to back."""
    rows = [(a, b, BRANCH[name](a, b)) for a, b in itertools.product(CORNERS, CORNERS)]
    run(f"""
  la t0, rows
  la t1, rows_end
1:
  ld a0, 0(t0)
  ld a1, 8(t0)
  ld a2, 16(t0)
  addi gp, gp, 1
  li a3, 0
  {name} a0, a1, 2f
  j 3f
4: # from below
  addi a3, a3, 2
  j 5f
2:
  addi a3, a3, 1
3:
  bne a3, a2, fail
  slli a2, a2, 1
  li a3, 0
  {name} a0, a1, 4b
5:
  bne a3, a2, fail
  addi t0, t0, 24
  bltu t0, t1, 1b
  j pass
{table("rows", rows)}""")


def test_jumps_and_upper_immediates(run):
    run("""
  # lui and auipc sign-extend from bit 31.
  lui a0, 0x80000
  check a0, 0xffffffff80000000
  lui a0, 0x7ffff
  check a0, 0x7ffff000
here:
  auipc a0, 0
  la a1, here
  check_same a0, a1
far:
  auipc a0, 0x80000
  la a1, far
  li a2, -0x80000000
  add a1, a1, a2
  check_same a0, a1

  # jal: link and target, forward and backward.
  jal a0, 2f
1:
  j fail
  j 4f
2:
  la a1, 1b
  check_same a0, a1
  jal a0, 3f
  j fail
3:
  # jalr: bit 0 of the target is cleared; the link register may be the base.
  la a0, 5f
  ori a0, a0, 1
  jalr a0, 0(a0)
4:
  j fail
5:
  la a1, 4b
  check_same a0, a1
  la a0, 6f + 16
  jalr x0, -16(a0)
  j fail
6:
  # A jump's own target computed right before it, and a chain of jumps.
  la a0, 7f
  jr a0
  j fail
7:
  j 8f
9:
  j 10f
8:
  j 9b
10:
  # A call and a return.
  li a0, 0
  call function
  check a0, 1
  call function
  check a0, 2
  j pass
function:
  addi a0, a0, 1
  ret
""")


LOADS = {"lb": (1, True), "lh": (2, True), "lw": (4, True), "ld": (8, True),
         "lbu": (1, False), "lhu": (2, False), "lwu": (4, False)}  # fmt: skip
PATTERN = bytes(
    (0x80, 0x7F, 0x01, 0xFE, 0xFF, 0x00, 0x81, 0x42, 0x92, 0xA4, 0x38, 0xFF, 0x01, 0x02, 0x83, 0xC4)
)


def test_loads(run):
    code = "  la t0, pattern\n  la t1, pattern + 1024\n"
    for name, (size, extends) in LOADS.items():
        for offset in range(0, len(PATTERN), size):
            value = int.from_bytes(PATTERN[offset : offset + size], "little", signed=extends)
            code += f"  {name} a0, {offset}(t0)\n  check a0, {value:#x}\n"
            code += f"  {name} a0, {offset - 1024}(t1)\n  check a0, {value:#x}\n"
    run(f"""{code}
  j pass
.data
.balign 16
pattern: .byte {", ".join(map(str, PATTERN))}
""")


@pytest.mark.parametrize("name, size", [("sb", 1), ("sh", 2), ("sw", 4), ("sd", 8)])
def test_stores(run, name, size):
    """A store changes its own bytes and no others; a load right behind it sees it."""
    value = 0x8899AABBCCDDEEFF
    code = "  la t0, cell + 8\n"
    for offset in range(-8, 16, size):
        memory = bytearray(PATTERN[:8] + PATTERN + PATTERN[:8])[:32]
        start = 8 + offset
        memory[start : start + size] = struct.pack("<Q", value)[:size]
        for at in range(0, 32, 8):
            old = (PATTERN[:8] + PATTERN + PATTERN[:8])[at : at + 8]
            code += f"  li a0, {int.from_bytes(old, 'little'):#x}\n  sd a0, {at - 8}(t0)\n"
        code += f"  li a0, {value:#x}\n  {name} a0, {offset}(t0)\n"
        at = start & ~7
        code += f"  ld a1, {at - 8}(t0)\n  check a1, {int.from_bytes(memory[at : at + 8], 'little'):#x}\n"
        for at in range(0, 32, 8):
            code += f"  ld a1, {at - 8}(t0)\n  check a1, {int.from_bytes(memory[at : at + 8], 'little'):#x}\n"
    run(code + "  j pass\n.data\n.balign 16\ncell: .space 32\n")


# What gives a1 the value of a0 (a small number), and what turns a1 into a2 = a1 + 1 by way of different
# units.
PRODUCERS = {
    "alu": "addi a1, a0, 0",
    "load": "ld a1, 0(s4)",
    "multiply": "mul a1, a0, s5",
    "divide": "div a1, a0, s5",
    "csr": "csrr a1, mscratch",
    "link": "jal a1, 77f\n77:",
}
CONSUMERS = {
    "alu rs1": "addi a2, a1, 1",
    "alu rs2": "add a2, s5, a1",
    "both": "add a2, a1, a1\n sub a2, a2, a1\n addi a2, a2, 1",
    "store data": "sd a1, 8(s4)\n ld a2, 8(s4)\n addi a2, a2, 1",
    "multiply": "mul a2, s5, a1\n addi a2, a2, 1",
    "divide": "divu a2, a1, s5\n addi a2, a2, 1",
    "csr": "csrw mscratch, a1\n csrr a2, mscratch\n addi a2, a2, 1",
    "branch": "li a2, 0\n beq a1, a0, 78f\n j fail\n78: addi a2, a1, 1",
    "jalr": "sub a3, a1, a0\n add a3, a3, s6\n la s6, 79f\n sub a1, a1, a0\n add a1, a1, s6\n jr a1\n"
            " j fail\n79: addi a2, a0, 1",
    "load address": "sub a1, a1, a0\n add a1, a1, s4\n ld a2, 0(a1)\n addi a2, a2, 1",
}  # fmt: skip


@pytest.mark.parametrize("producer", PRODUCERS)
def test_hazards(run, producer):
    """A result is used by each kind of instruction, right behind its producer and one to three instructions
    later."""
    code = "  la s4, cell\n  li s5, 1\n"
    for consumer, distance in itertools.product(CONSUMERS, range(4)):
        value = 1000 + 8 * distance
        start = f"  li a0, {value}\n" if producer != "link" else "  la a0, 77f\n"
        code += start + "  sd a0, 0(s4)\n  csrw mscratch, a0\n  mv s6, zero\n  li a1, 5\n"
        code += f"  {PRODUCERS[producer]}\n" + "  nop\n" * distance + f"  {CONSUMERS[consumer]}\n"
        code += "  addi a3, a0, 1\n  check_same a2, a3\n"
    run(code + "  j pass\n.data\n.balign 16\ncell: .space 16\n")


def test_fence_i(run):
    """An instruction that was executed before is replaced, and so is one that fetch has seen already."""
    run("""
  li s0, 0
  la t0, changed
  lw t1, 0(t0)
  li t2, 0x00100000  # one more in addi's immediate
1:
  add t1, t1, t2
  sw t1, 0(t0)
  fence.i
changed:
  addi a0, zero, 0
  addi s0, s0, 1
  check_same a0, s0
  li t3, 50
  blt s0, t3, 1b
  fence
  fence rw, w
  j pass
""")


def test_this_file_covers_every_computing_instruction():
    """Of the base and M; the others are in test_alu.py, and all of them in lockstep."""
    computing = (Format.R, Format.I, Format.SHAMT5, Format.SHAMT6, Format.LOAD, Format.S, Format.B)
    rows = instructions(xfides=False, bitmanip=False, zicond=False)
    names = {row.name for row in rows if row.format in computing}
    tested = {*REGISTER, *IMMEDIATE, *BRANCH, *LOADS, "sb", "sh", "sw", "sd", "jalr"}
    assert names == tested
