"""What instructions cost in clock cycles: the tables of docs/core.md and docs/security-units.md, measured."""

import re
from functools import cache

import pytest

from fides_core.flow.tools import ROOT
from fides_core.isa.causes import ExceptionCause
from fides_core.isa.csrs import Comctl, Comsel, XfidesCSR
from fides_core.isa.encode import encode
from fides_core.isa.xfides import RANGE_ALIGN, PadKind, checkcap

COPIES = 4
ROUNDS = 16  # after which caches and predictor have settled; even, for jumps that alternate
MAX_CYCLES = 500_000
A0, A1, A2, S4, S5 = 10, 11, 12, 20, 21
ZONE_START, ZONE_END = 512, 576  # indices of the stack zone


def documented(page: str) -> dict[str, dict[str, float]]:
    """By preset, the cycles of each case in the table below the heading "Cycle costs" of a page in docs/. The
    table's head is "| case | preset | ... |"."""
    text = (ROOT / "docs" / page).read_text().split("\n## Cycle costs\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\|.+", text, re.MULTILINE)
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    assert head[0] == "case"
    return {
        name: {case: float(cells[column]) for case, *cells in rows} for column, name in enumerate(head[1:])
    }


def word(name: str, **operands: int) -> str:
    return f" .word {encode(name, **operands):#x}\n"


def pad(cid: int, kind: PadKind = PadKind.ENTRY) -> str:
    return f" .word {checkcap(cid, kind):#x}\n"


def call(function: str) -> str:
    return f" la a0, {function}\n jalr a0\n"


def write(csr: int, value: int | str) -> str:
    return f" {'li' if isinstance(value, int) else 'la'} a0, {value}\n csrw {int(csr):#x}, a0\n"


# Two jumps that go elsewhere in every round, so that no prediction is right, one a nop further than the
# other; and the same without jumping.
ALTERNATING = "".join(
    f"la a0, 1f\n add a0, a0, {toggle}\n jr a0\n nop\n nop\n1: nop\n nop\n" for toggle in ("s8", "s9")
)
STRAIGHT = "la a0, 1f\n add a0, a0, s8\n1: nop\n" + "la a0, 1f\n add a0, a0, s9\n1: nop\n nop\n"
# From one group to an instruction that begins with the last halfword of another.
ACROSS = (
    "j 1f\n nop\n .option rvc\n c.nop\n c.nop\n c.nop\n .option norvc\n"
    "1: nop\n .option rvc\n c.nop\n .option norvc\n nop\n"
)

# Case: instructions, those among them that do not count, and how often the case is in them. a0 to a2 are
# free, s4 points to memory, s8 and s9 are 0 and 4, the other way round in the next round.
CORE_CASES = {
    "most instructions": ("add a0, a1, a2\n", "", 1),
    "compressed instruction": (".option rvc\n c.add a0, a1\n c.add a0, a2\n .option norvc\n", "", 2),
    "load, store": ("ld a0, 0(s4)\n sd a1, 0(s4)\n", "", 2),
    "load and an instruction that needs its datum at once": ("ld a0, 0(s4)\n xor a1, a0, a1\n", "", 1),
    "load and a sum, difference or branch that needs its datum at once": (
        "ld a0, 0(s4)\n add a1, a0, a2\n lw a0, 0(s4)\n subw a1, a2, a0\n"
        "ld a0, 0(s4)\n bltu a0, x0, 1f\n nop\n1:\n",
        "nop\n", 3,
    ),
    "the same twice in a row, and an instruction that needs the second result at once": (
        "ld a0, 0(s4)\n addi a0, a0, 1\n add a1, a0, a2\n or a0, a1, a2\n", "", 1,
    ),
    "branch, not taken": ("bne x0, x0, 1f\n nop\n1:\n", "nop\n", 1),
    "branch, taken as before": ("beq x0, x0, 1f\n nop\n1:\n", "", 1),
    "`jal`, `jalr` to where it went before": ("jal x0, 1f\n nop\n1:\n", "", 1),
    "the same, to an instruction that lies across two fetch groups": (ACROSS, "nop\n nop\n nop\n", 1),
    "`jalr` to somewhere else": (ALTERNATING, STRAIGHT, 2),
    "`mul`, `mulw`, `mulh` and its kin": ("mul a0, s5, s6\n mulhu a0, s5, s6\n", "", 2),
    "`mul`, `mulw` and an instruction that needs the product at once": (
        "mul a0, s5, s6\n xor a1, a0, a0\n", "", 1,
    ),
    "`mulh` and its kin, and an instruction that needs the product at once": (
        "mulhu a0, s5, s6\n add a1, a0, a2\n", "", 1,
    ),
    "`div`, `divu`, `rem`, `remu`": ("div a0, s5, s6\n", "", 1),
    "their 32-bit forms": ("divw a0, s5, s6\n", "", 1),
    "`lr` and an instruction that needs its datum at once": ("lr.d a0, (s4)\n xor a1, a0, a0\n", "", 1),
    "`sc` behind an instruction that does not wait": ("nop\n sc.d a0, a1, (s4)\n", "nop\n", 1),
    "AMO behind an instruction that does not wait": ("nop\n amoadd.d a0, a1, (s4)\n", "nop\n", 1),
    "CSR instruction": ("csrrw a0, mscratch, a1\n", "", 1),
    "write of a PMP register": ("csrrw a0, pmpaddr0, a1\n", "", 1),
    "`fence.i` behind an instruction that does not wait": ("nop\n fence.i\n", "nop\n", 1),
    "`mret`, up to the instruction it returns to": (
        "csrs mstatus, s7\n la a0, 1f\n csrw mepc, a0\n nop\n mret\n1:\n",
        "csrs mstatus, s7\n la a0, 1f\n csrw mepc, a0\n nop\n1:\n",
        1,
    ),
    "instruction that traps, up to the first of the handler": (
        "la a0, 1f\n csrw mtvec, a0\n nop\n ecall\n1:\n",
        "la a0, 1f\n csrw mtvec, a0\n nop\n1:\n",
        1,
    ),
}  # fmt: skip

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


def rounds(body: str, count: int) -> str:
    """``body``, whose copies begin at fetch groups, so many times."""
    return f"""
  li s8, 0
  li s9, 4
  li s11, {count}
.balign 8
round:
{body}
  xori s8, s8, 4
  xori s9, s9, 4
  addi s11, s11, -1
  beqz s11, rounds_done
  j round
rounds_done:
"""


def core_program(body: str, count: int) -> str:
    return f"""
  la s4, stack_end
  addi s4, s4, -64
  li s5, 1000003
  li s6, -17
  li s7, 0x1800
{rounds(body, count)}
  j pass
"""


def unit_program(body: str, count: int) -> str:
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
{rounds(body, count)}
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
    """The clock cycles of a case: what more rounds of its instructions take, less those of the rest."""

    @cache
    def cycles(name: str, program, body: str) -> int:
        """Of ROUNDS rounds, those before them excepted."""
        totals = []
        for count in (ROUNDS, 2 * ROUNDS):
            image = assemble(program(body * COPIES, count))
            outcome = simulators(name).run(image, MAX_CYCLES, require_policy=False)
            assert outcome.exit_code == 0, outcome.message
            totals.append(outcome.cycles)
        return totals[1] - totals[0]

    def measure(name: str, program, sequence: str, rest: str, times: int = 1) -> float:
        return (cycles(name, program, sequence) - cycles(name, program, rest)) / (COPIES * ROUNDS * times)

    return measure


CORE_COSTS, UNIT_COSTS = documented("core.md"), documented("security-units.md")


@pytest.mark.parametrize("name", CORE_COSTS)
def test_core(cost, name):
    measured = {case: cost(name, core_program, *sequences) for case, sequences in CORE_CASES.items()}
    assert measured == CORE_COSTS[name]


@pytest.mark.parametrize("name", UNIT_COSTS)
def test_security_units(cost, name):
    measured = {case: cost(name, unit_program, *sequences) for case, sequences in UNIT_CASES.items()}
    assert measured == UNIT_COSTS[name]


def test_presets_are_documented():
    assert {"tiny", "base"} <= CORE_COSTS.keys() and "tiny_fides" in UNIT_COSTS
