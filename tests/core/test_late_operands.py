"""Operands that come late: every kind of producer right in front of every kind of consumer, and late branches
whose prediction is of another instruction."""

import pytest

from fides_core.core.late_alu import DEFERRABLE
from fides_core.isa.encode import encode
from fides_core.isa.instructions import BY_NAME, Format
from fides_core.model.arithmetic import BRANCHES, MASK64, REGISTER, register_form

A, B, SHORT = 0x8000_0001_8765_4321, 0x7FFF_FFFE_F00F_1248, 21
# Instructions that put a value into a0, and that value. s4 points to A, a1 is A, a2 is B, a4 is 1.
PRODUCERS = {
    "ld a0, 0(s4)": A,
    "lw a0, 0(s4)": (A & 0xFFFFFFFF ^ 1 << 31) - (1 << 31),
    "lbu a0, 1(s4)": A >> 8 & 0xFF,
    "lr.d a0, (s4)": A,
    "mul a0, a1, a2": REGISTER["mul"](A, B),
    "mulw a0, a1, a2": REGISTER["mulw"](A, B),
    "mulh a0, a1, a2": REGISTER["mulh"](A, B),
    "mulhu a0, a1, a2": REGISTER["mulhu"](A, B),
    "divu a0, a1, a2": REGISTER["divu"](A, B),
    "amoor.d a0, x0, (s4)": A,
    "csrrw a0, mscratch, a1": A,
    "sc.d a0, a1, (s4)": 1,  # without a reservation
    "ld a0, 0(s4)\n add a0, a0, a4": A + 1,
    "ld a0, 0(s4)\n sub a0, a4, a0\n addi a0, a0, -1": -A,
    "add a0, a1, x0": A,
}
COMPUTING = sorted(
    {name for name in DEFERRABLE if BY_NAME[name].format is not Format.B} | {"xor", "slli", "sltu", "mul"}
)


def computed(name: str, value: int, late: int) -> tuple[str, int]:
    """Operands of a computation with a0, which holds ``value``, in that place (1, 2, or 3: both), and what it
    gives."""
    if BY_NAME[name].format is not Format.R:
        return f"a0, {SHORT}", REGISTER[register_form(name)](value, SHORT) & MASK64
    return registers(late), REGISTER[name](*values(value, late)) & MASK64


def registers(late: int) -> str:
    return ", ".join("a0" if late & place else "a2" for place in (1, 2))


def values(value: int, late: int) -> list[int]:
    return [value if late & place else B for place in (1, 2)]


@pytest.mark.parametrize("late", [1, 2, 3], ids=["first", "second", "both"])
def test_every_producer_and_consumer(run, late):
    body = f"""
  la s4, datum
  li a1, {A:#x}
  li a2, {B:#x}
  li a4, 1
  csrw mscratch, a1
"""
    for producer, value in PRODUCERS.items():
        value &= MASK64
        for name in COMPUTING:
            if late > 1 and BY_NAME[name].format is not Format.R:
                continue
            operands, expected = computed(name, value, late)
            prepare = " csrw mscratch, a1\n" if "csr" in producer else ""
            prepare += " sc.d x0, a1, (s4)\n sd a1, 0(s4)\n" if "sc.d" in producer else ""
            body += f"{prepare} {producer}\n {name} a3, {operands}\n check a3, {expected:#x}\n"
        for name, condition in BRANCHES.items():
            body += f""" li a3, 0
 {producer}
 {name} {registers(late)}, 1f
 addi a3, a3, 1
1:
 addi a3, a3, 2
 check a3, {2 if condition(*values(value, late)) else 3}
"""
    run(f"""{body}
  j pass
.data
.balign 8
datum: .dword {A:#x}
.text
""")


def test_a_late_branch_that_became_another(run):
    """Fetch follows neither of its two ways, but that of the branch that stood there before. Every round has
    the same branches, so that in the first one with another branch the old one is expected to be taken."""
    rounds = []
    for number in range(96):
        offset = 20 if number // 24 % 2 else 12
        taken = number % 24 != 0
        rounds.append((encode("beq", rs1=10, rs2=0, imm=offset), not taken, taken * offset // 10))
    assert {reached for _, _, reached in rounds} == {0, 1, 2}
    table = "\n".join(f" .dword {word:#x}, {datum:d}, {reached}" for word, datum, reached in rounds)
    run(f"""
  la s4, rounds
  la s5, changed
  la s6, rounds_end
1:
  lw t0, 0(s4)
  sw t0, 0(s5)
  fence.i
  call probe
  ld t1, 16(s4)
  check_same a1, t1
  addi s4, s4, 24
  bne s4, s6, 1b
  j pass

.balign 8
probe:
  ld a0, 8(s4)
changed:
  beqz a0, .+12
  li a1, 0
  ret
  li a1, 1
  ret
  li a1, 2
  ret
.data
.balign 8
rounds:
{table}
rounds_end:
.text
""")
