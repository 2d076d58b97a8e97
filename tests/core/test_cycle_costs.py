"""What instructions cost in clock cycles: the tables of docs/core.md and docs/security-units.md, measured."""

import re

import pytest

from fides_core.flow.tools import ROOT
from fides_core.isa.causes import ExceptionCause
from fides_core.isa.csrs import Comctl, Comsel, XfidesCSR
from fides_core.isa.encode import encode
from fides_core.isa.xfides import RANGE_ALIGN, PadKind, checkcap

COPIES = 8
MAX_CYCLES = 100_000
A0, A1, A2, S4, S5 = 10, 11, 12, 20, 21
ZONE_START, ZONE_END = 64, 128  # indices of the stack zone


def documented(page: str) -> dict[str, int]:
    """The rows "| case | number |" below the heading "Cycle costs" of a page in docs/."""
    text = (ROOT / "docs" / page).read_text().split("\n## Cycle costs\n")[1].split("\n## ")[0]
    return {case: int(cycles) for case, cycles in re.findall(r"^\| (.+?) \| (\d+) \|$", text, re.MULTILINE)}


def word(name: str, **operands: int) -> str:
    return f" .word {encode(name, **operands):#x}\n"


def pad(cid: int, kind: PadKind = PadKind.ENTRY) -> str:
    return f" .word {checkcap(cid, kind):#x}\n"


def call(function: str) -> str:
    return f" la a0, {function}\n jalr a0\n"


def write(csr: int, value: int | str) -> str:
    return f" {'li' if isinstance(value, int) else 'la'} a0, {value}\n csrw {int(csr):#x}, a0\n"


# Case: instructions, and those among them that do not count. a0 to a2 are free, s4 points to memory.
CORE_CASES = {
    "most instructions": ("add a0, a1, a2\n", ""),
    "load, store": ("ld a0, 0(s4)\n", ""),
    "load and an instruction that needs its datum at once": ("ld a0, 0(s4)\n add a1, a0, a0\n", ""),
    "branch, not taken": ("bne x0, x0, 1f\n1:\n", ""),
    "branch, taken": ("beq x0, x0, 1f\n1:\n", ""),
    "`jal`, `jalr`": ("jal x0, 1f\n1:\n", ""),
    "`mul` and its kin": ("mul a0, s5, s6\n", ""),
    "`mul` and an instruction that needs the product at once": ("mul a0, s5, s6\n add a1, a0, a0\n", ""),
    "`div`, `divu`, `rem`, `remu`": ("div a0, s5, s6\n", ""),
    "their 32-bit forms": ("divw a0, s5, s6\n", ""),
    "CSR instruction": ("csrrw a0, mscratch, a1\n", ""),
    "`fence.i` behind an instruction that does not wait": ("nop\n fence.i\n", "nop\n"),
    "`mret`, up to the instruction it returns to": (
        "csrs mstatus, s7\n la a0, 1f\n csrw mepc, a0\n nop\n mret\n1:\n",
        "csrs mstatus, s7\n la a0, 1f\n csrw mepc, a0\n nop\n1:\n",
    ),
    "instruction that traps, up to the first of the handler": (
        "la a0, 1f\n csrw mtvec, a0\n nop\n ecall\n1:\n",
        "la a0, 1f\n csrw mtvec, a0\n nop\n1:\n",
    ),
}

NOPS = " nop\n nop\n"
ARM, ARM_OTHER, DISARM = word("arm", rs1=A0) + NOPS, word("arm", rs1=A1) + NOPS, word("disarm") + NOPS
ADDRESSES = " la a0, 1f\n la a1, 2f\n2:\n"
HANDLER = "1:\n" + pad(1, PadKind.HANDLER)
NEXT_INDEX = " add s5, s5, s6\n"
MINT = word("mint", rd=A1, rs1=S4, rs2=S5)
MARK, LOWER_MARK = word("mint", rd=A1, rs1=S4, rs2=A2), f" csrw {int(XfidesCSR.FMARK):#x}, s7\n"

# In U-mode, with the checks on; a2 is a size, s5 + s6 a size and the next index of the heap.
UNIT_CASES = {
    "landing pad at home": (pad(1), ""),
    "crossing call and its return, more than the same inside": (call("across_late"), call("inside_late")),
    "the same, the return right behind the pad": (call("across_soon"), call("inside_soon")),
    "`arm`": (ARM, NOPS),
    "`arm` and `disarm`": (ARM + DISARM, NOPS + NOPS),
    "the two, one right behind the other": (word("arm", rs1=A0) + DISARM, NOPS),
    "handler pad, its entry on top": (ADDRESSES + ARM + HANDLER, ADDRESSES + ARM + "1:\n"),
    "each entry more that it passes over": (
        ADDRESSES + ARM + ARM_OTHER + HANDLER,
        ADDRESSES + ARM_OTHER + ARM + HANDLER,
    ),
    "`val`, `vali`, `ptradd`": (word("val.8", rd=A0, rs1=S4), ""),
    "`val` and an instruction that needs its result at once": (
        word("val.8", rd=A0, rs1=S4) + " ld a1, 0(a0)\n",
        "",
    ),
    "`mint`, next index of the stack zone": (" nop\n" + MARK + LOWER_MARK, " nop\n" + LOWER_MARK),
    "`mint`, index given": (NEXT_INDEX + MINT, NEXT_INDEX),
    "`revoke`": (NEXT_INDEX + MINT + " nop\n" + word("revoke", rs1=A1), NEXT_INDEX + MINT + " nop\n"),
}


def core_program(body: str) -> str:
    return f"""
  la s4, stack_end
  addi s4, s4, -64
  li s5, 1000003
  li s6, -17
  li s7, 0x1800
{body}
  j pass
"""


def unit_program(body: str) -> str:
    selections = "".join(
        write(XfidesCSR.COMSEL, item << 16 | cid) + write(XfidesCSR.COMDATA, value)
        for cid, start, end in ((1, "one", "two"), (2, "two", "three"))
        for item, value in ((Comsel.RANGE_START, start), (Comsel.RANGE_END, end))
    )
    empty = "".join(
        write(csr, 0) for csr in (XfidesCSR.PARCOMPCSTART, XfidesCSR.ANYCOMPCSTART, XfidesCSR.ANYCOMPCEND)
    )
    return f"""
  li t0, -1
  csrw pmpaddr0, t0
  li t0, 0x1f
  csrw pmpcfg0, t0
{selections}{empty}
{write(XfidesCSR.COMSEL, Comsel.MATRIX_WORD0 << 16 | 1)}
{write(XfidesCSR.COMDATA, 1 << 2)}
{write(XfidesCSR.FIDESMETADATABASE, "table")}
{write(XfidesCSR.FSTACKBASE, ZONE_START)}
{write(XfidesCSR.FSTACKEND, ZONE_END)}
{write(XfidesCSR.FMARK, ZONE_START)}
{write(XfidesCSR.CURRCOM, 1)}
{write(XfidesCSR.COMCTL, 1 << Comctl.CEN | 1 << Comctl.FEN)}
{write(0x341, "one")}
  csrw mstatus, x0
  la s10, ended
  mret
ended:
  check s0, {int(ExceptionCause.ECALL_FROM_U)}
  j pass

.balign {RANGE_ALIGN}
one:
  la s4, object
  li a2, 8
  li s5, 1 << 32 | 8
  li s6, 1 << 32
  li s7, {ZONE_START}
{word("mint", rd=S4, rs1=S4, rs2=S5)}
{body}
  ecall
inside_late:
{pad(1)}
  nop
  ret
inside_soon:
{pad(1)}
  ret
.balign {RANGE_ALIGN}
two:
across_late:
{pad(2)}
  nop
  ret
across_soon:
{pad(2)}
  ret
.balign {RANGE_ALIGN}
three:
.data
.balign 8
object: .dword 0
table: .space {8 * ZONE_END}
"""


@pytest.fixture
def cost(assemble, simulators):
    """The clock cycles of a case: what more copies of its instructions take, less those of the rest."""

    def cycles(name: str, program, body: str) -> int:
        outcome = simulators(name).run(assemble(program(body)), MAX_CYCLES, require_policy=False)
        assert outcome.exit_code == 0, outcome.message
        return outcome.cycles

    def measure(name: str, program, sequence: str, rest: str) -> float:
        totals = [
            cycles(name, program, body * (2 * COPIES)) - cycles(name, program, body * COPIES)
            for body in (sequence, rest)
        ]
        return (totals[0] - totals[1]) / COPIES

    return measure


@pytest.mark.parametrize("name", ["base", "fides"])
def test_core(cost, name):
    measured = {case: cost(name, core_program, *sequences) for case, sequences in CORE_CASES.items()}
    assert measured == documented("core.md")


def test_security_units(cost):
    measured = {case: cost("fides", unit_program, *sequences) for case, sequences in UNIT_CASES.items()}
    assert measured == documented("security-units.md")
