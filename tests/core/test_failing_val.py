"""A val that fails: its trap, and that nothing of what stands behind it has happened, whenever it is judged.

Every case runs first with a pointer that passes, which shows that what the case looks at does change, and
brings its code and its entry of the metadata table into the caches.
"""

from dataclasses import dataclass

import pytest

from fides_core.config import PRESETS, preset
from fides_core.flow.elf import load_elf
from fides_core.flow.lockstep import lockstep_config
from fides_core.flow.model_lockstep import ModelLockstep
from fides_core.isa.assembler import arm, disarm, landing_pad
from fides_core.isa.causes import ExceptionCause as Cause
from fides_core.isa.causes import MemoryFault
from fides_core.isa.csrs import Comsel, XfidesCSR
from fides_core.isa.instructions import BY_NAME
from fides_core.isa.xfides import PadKind, pack_entry, pack_pointer
from fides_core.soc.memory_map import CLINT, UART, UartRegister

from .conftest import MAX_CYCLES, verdict

SENTINEL = 0x1BADB002
NEW = 0x4E  # what the instructions behind store and write
MARK = 100
OBJECT, COOKIE = 0x8004_0000, 0x5A
#: Index of the entry and cookie of the pointer, by what the val finds: 1 is live, 2 too small, 3 is dead.
POINTERS = {
    None: (1, COOKIE), MemoryFault.BOUNDS: (2, COOKIE), MemoryFault.TEMPORAL: (1, COOKIE ^ 1),
    MemoryFault.INVALID: (3, COOKIE),
}  # fmt: skip
ENTRIES = (0, pack_entry(OBJECT, 16, COOKIE), pack_entry(OBJECT, 7, COOKIE), 0)
CEN, FEN = 1, 2


@dataclass(frozen=True)
class Case:
    """``behind``: the instruction. ``ready``: instructions of machine mode before, ``{run}`` is the number of
    the run. ``look``: puts into s4 what must be ``before`` if the val fails, else ``after``. ``first``: user
    mode's instruction before the val. ``cause``: exception of ``behind``, None if it completes.
    ``crossing``: it is one in hardware, with an entry of this kind on top of the shadow stack
    (None: nothing is there)."""

    behind: str
    look: str = "mv s4, a1"
    before: int = SENTINEL
    after: int = SENTINEL
    ready: str = ""
    first: str = "nop"
    cause: Cause | None = None
    crossing: bool = False
    top: int | None = None
    next: str = "after"


def csr(number: XfidesCSR) -> str:
    return f"{int(number):#x}"


def cell(name: str) -> str:
    """The address of something in memory into s8, with what it held at first."""
    return f"la s8, {name}\n  li t0, {SENTINEL}\n  sd t0, 0(s8)"


WARM = cell("warm")
COLD = "la s8, cold + 256 * {run}"
COMPARE = f"li s8, {CLINT.base + 0x4000:#x}\n  li t0, {SENTINEL}\n  sd t0, 0(s8)"
SEND = f"li s8, {UART.base + UartRegister.TRANSMIT:#x}"
OTHER_VAL = f"li s8, {pack_pointer(OBJECT, 1, COOKIE ^ 2):#x}"
VAL = BY_NAME["val.8"].match
DEPTH = f"csrr s4, {csr(XfidesCSR.SSDEPTH)}"
CHANGED = f"li s4, {SENTINEL}\n  sub s4, a1, s4\n  snez s4, s4"
CONTEXT = f"csrr s4, {csr(XfidesCSR.CURRCOM)}"

CASES = {
    "nothing": Case("nop"),
    "store": Case("sd s7, 0(s8)", "ld s4, 0(s8)", SENTINEL, NEW, WARM),
    "store, missing": Case("sd s7, 0(s8)", "ld s4, 0(s8)", 0, NEW, COLD),
    "device store": Case("sd s7, 0(s8)", "ld s4, 0(s8)", SENTINEL, NEW, COMPARE),
    "character": Case("sw s7, 0(s8)", ready=SEND),
    "load": Case("ld a1, 0(s8)", after=NEW, ready=WARM + "\n  sd s7, 0(s8)"),
    "load, missing": Case("ld a1, 0(s8)", after=0, ready=COLD + " + 2048"),
    "device load": Case("ld a1, 0(s8)", after=NEW, ready=COMPARE + "\n  sd s7, 0(s8)"),
    "amo": Case("amoadd.d x0, s7, 0(s8)", "ld s4, 0(s8)", SENTINEL, SENTINEL + NEW, WARM),
    "sc": Case("sc.d a1, s7, 0(s8)", "ld s4, 0(s8)", SENTINEL, NEW, WARM, first="lr.d t0, 0(s8)"),
    "lr": Case("lr.d a1, 0(s8)", after=NEW, ready=WARM + "\n  sd s7, 0(s8)"),
    "fmark": Case(f"csrw {csr(XfidesCSR.FMARK)}, s7", f"csrr s4, {csr(XfidesCSR.FMARK)}", MARK, NEW),
    "result": Case("mv a1, a0", after=OBJECT | COOKIE << 32 | 1 << 40),
    "product": Case("mul a1, s7, s7", after=NEW * NEW),
    "upper half": Case("mulhu a1, s7, s7", after=0),
    "quotient": Case("divu a1, s7, s7", after=1),
    "jump": Case("jal a1, after{number}", CHANGED, 0, 1),
    "fence.i": Case("fence.i"),
    "other val": Case(f".insn r {VAL & 0x7F:#x}, 2, {VAL >> 25}, a1, s8, x0", ready=OTHER_VAL,
                      cause=Cause.MEMORY),
    "passing val": Case(f".insn r {VAL & 0x7F:#x}, 2, {VAL >> 25}, a1, s8, x0", after=pack_pointer(OBJECT, 1,
                        COOKIE), ready=f"li s8, {pack_pointer(OBJECT, 1, COOKIE):#x}"),
    "ebreak": Case("ebreak", cause=Cause.BREAKPOINT),
    "illegal": Case(".word 0", cause=Cause.ILLEGAL_INSTRUCTION),
    "refused": Case("ld a1, 0(s8)", ready="li s8, 0x40000000", cause=Cause.LOAD_ACCESS_FAULT),
    "entry pad": Case(landing_pad(2), CONTEXT, 1, 2, crossing=True),
    "pad's entry": Case(landing_pad(2), DEPTH, 0, 1, crossing=True),
    "return": Case("ret", CONTEXT, 1, 2, crossing=True, top=0, next="home"),
    "return's entry": Case("ret", DEPTH, 1, 0, crossing=True, top=0, next="home"),
    "handler pad": Case(landing_pad(0, PadKind.HANDLER), DEPTH, 1, 0, crossing=True, top=1),
    "arm": Case(arm("ra"), DEPTH, 0, 1, crossing=True),
    "disarm": Case(disarm(), DEPTH, 1, 0, crossing=True, top=1),
    "outside": Case("nop", DEPTH, 0, 0, crossing=True, cause=Cause.CONTROL_FLOW),
}  # fmt: skip


def window(number: int, item: Comsel, value: str) -> str:
    """Writes a datum of the tables, with t0 and t1; ``value`` is an address."""
    return (
        f"  li t0, {number | item << 16:#x}\n  csrw {csr(XfidesCSR.COMSEL)}, t0\n"
        f"  la t1, {value}\n  csrw {csr(XfidesCSR.COMDATA)}, t1\n"
    )


def machine_state(number: int, name: str, case: Case) -> str:
    """Context, ranges and shadow stack before a run."""
    if not case.crossing:
        return f"  li t0, {FEN}\n  csrw {csr(XfidesCSR.COMCTL)}, t0\n"
    # Compartment 1 ends behind the val when what follows is to be another's.
    split = name in ("entry pad", "pad's entry", "outside")
    text = window(1, Comsel.RANGE_START, f"block{number}")
    text += window(1, Comsel.RANGE_END, f"{'bound' if split else 'end'}{number}")
    text += window(2, Comsel.RANGE_START, f"bound{number}" if split else "home")
    text += window(2, Comsel.RANGE_END, f"end{number}" if split else "home_end")
    text += f"  li t0, {1 | Comsel.MATRIX_WORD0 << 16:#x}\n  csrw {csr(XfidesCSR.COMSEL)}, t0\n"
    text += f"  li t0, 4\n  csrw {csr(XfidesCSR.COMDATA)}, t0\n"
    link = {None: "after{}", 0: "home", 1: "bound{}"}[case.top].format(number)
    text += f"  la sp, stack_end\n  la ra, {link}\n  csrw {csr(XfidesCSR.SSBASE)}, x0\n"
    text += f"  li t0, {int(case.top is not None)}\n  csrw {csr(XfidesCSR.SSDEPTH)}, t0\n"
    if case.top is not None:
        cid = 1 if case.top else 2
        text += window(0, Comsel.ENTRY_RA, link) + window(0, Comsel.ENTRY_SP, "stack_end")
        text += f"  li t0, {Comsel.ENTRY_CONTEXT << 16:#x}\n  csrw {csr(XfidesCSR.COMSEL)}, t0\n"
        text += f"  li t0, {cid | case.top << 9 | MARK << 16:#x}\n  csrw {csr(XfidesCSR.COMDATA)}, t0\n"
    text += f"  li t0, 1\n  csrw {csr(XfidesCSR.CURRCOM)}, t0\n"
    return text + f"  li t0, {CEN | FEN}\n  csrw {csr(XfidesCSR.COMCTL)}, t0\n"


def one_run(number: int, name: str, case: Case, run: int, fault: MemoryFault | None) -> str:
    """From machine mode to the val and back, with all checks."""
    pointer = pack_pointer(OBJECT, *POINTERS[fault])
    cause, at, reason, more = Cause.MEMORY, f"val{number}", fault, 0
    if fault is None and case.cause is None:
        at = case.next if case.next == "home" else f"{case.next}{number}"
        cause, reason, more = Cause.ECALL_FROM_U, 0, 2
    elif fault is None:
        at, cause, more = f"bound{number}", case.cause, 1
        reason = {Cause.MEMORY: MemoryFault.TEMPORAL, Cause.CONTROL_FLOW: 1}.get(cause, 0)
    text = machine_state(number, name, case)
    text += f"  li t0, {MARK}\n  csrw {csr(XfidesCSR.FMARK)}, t0\n  csrw {csr(XfidesCSR.COMCAUSE)}, x0\n"
    text += f"  li s7, {NEW}\n  {case.ready.format(run=run)}\n"
    text += f"  li a0, {SENTINEL}\n  li a1, {SENTINEL}\n  li s6, {pointer:#x}\n"
    text += f"  la s10, 1f\n  la s9, {at}\n  la t0, enter{number}\n  csrw mepc, t0\n"
    text += "  li t0, 0x1800\n  csrc mstatus, t0\n  csrw minstret, x0\n  mret\n1:\n  csrr s11, minstret\n"
    # Behind the register that counted an ecall in the val's place.
    text += f"  addi s11, s11, {-more}\n  check s0, {int(cause)}\n  check_same s1, s9\n"
    text += f"  check_same s11, s5\n  csrr s4, {csr(XfidesCSR.COMCAUSE)}\n  check s4, {int(reason)}\n"
    if fault is not None:
        text += f"  check_same s2, s6\n  check a0, {SENTINEL}\n"
    else:
        text += f"  check a0, {pointer:#x}\n"
    return text + f"  {case.look}\n  check s4, {case.before if fault else case.after:#x}\n"


def block(number: int, case: Case) -> str:
    """What user mode executes; the val is the last instruction of its 64 bytes."""
    return f"""
.balign 64
block{number}:
  .rept 14
  nop
  .endr
enter{number}:
  {case.first}
val{number}:
  .insn r {VAL & 0x7F:#x}, 2, {VAL >> 25}, a0, s6, x0
bound{number}:
  {case.behind.format(number=number)}
after{number}:
  ecall
.balign 64
end{number}:
"""


def program(cases: dict[str, Case]) -> str:
    body = "  li t0, -1\n  csrw pmpaddr3, t0\n  li t0, 0x1f000000\n  csrw pmpcfg0, t0\n"
    for number, value in ((XfidesCSR.FSTACKBASE, 64), (XfidesCSR.FSTACKEND, 128)):
        body += f"  li t0, {value}\n  csrw {csr(number)}, t0\n"
    for number in (XfidesCSR.PARCOMPCSTART, XfidesCSR.ANYCOMPCSTART, XfidesCSR.ANYCOMPCEND):
        body += f"  csrw {csr(number)}, x0\n"
    body += f"  la t0, table\n  csrw {csr(XfidesCSR.FIDESMETADATABASE)}, t0\n"
    # The instructions from the write of minstret to its reading, without the val: ecall does not retire.
    body += "  la s10, 1f\n  la t0, count\n  csrw mepc, t0\n  li t0, 0x1800\n  csrc mstatus, t0\n"
    body += "  csrw minstret, x0\n  mret\n1:\n  csrr s5, minstret\n"
    for number, (name, case) in enumerate(cases.items()):
        # Twice, so that each reason comes with what it meets in the caches, too.
        for run, fault in enumerate((None, *POINTERS)):
            body += one_run(number, name, case, run, fault)
    blocks = "".join(block(number, case) for number, case in enumerate(cases.values()))
    table = ", ".join(f"{entry:#x}" for entry in ENTRIES)
    return f"""{body}
  j pass
.balign 64
count:
  nop
  ecall
.balign 64
home:
  ecall
.balign 64
home_end:
{blocks}
.data
.balign 64
table: .dword {table}
.balign 64
warm: .dword 0
.balign 4096
cold: .space 4096
"""


def cases_of(name: str) -> dict[str, Case]:
    hardware = preset(name).core.xfides.judges_crossings
    return {what: case for what, case in CASES.items() if hardware or not case.crossing}


WITH_VAL = [name for name in PRESETS if preset(name).core.xfides]


@pytest.mark.parametrize("name", WITH_VAL)
def test_nothing_behind_a_failing_val_happens(assemble, simulators, name):
    assert {preset(one).core.late_verdict for one in WITH_VAL} == {False, True}
    cases = cases_of(name)
    outcome = simulators(name).run(assemble(program(cases)), MAX_CYCLES, require_policy=False)
    assert outcome.exit_code == 0, f"{verdict(outcome.exit_code)} ({outcome.message})"
    assert outcome.uart == bytes([NEW]) * 2  # of the runs whose val passes


@pytest.mark.parametrize("variant", ["plain", "stalls"])
def test_beside_the_golden_model(assemble, variant):
    """Every instruction and the counts are the model's, with random waits on the buses, too."""
    checker = ModelLockstep.build(lockstep_config("fides", variant))
    outcome = checker.run_program(load_elf(assemble(program(cases_of("fides"))), 1 << 20), MAX_CYCLES)
    assert outcome.mismatch is None, outcome.mismatch
    assert outcome.exits == 1
    runs = 2 * len(CASES)  # of which one fails by TEMPORAL when its val passes
    assert outcome.causes["BOUNDS"] == len(CASES) and outcome.causes["ECALL_FROM_U"] > runs // 2
