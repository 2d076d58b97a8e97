"""What each instruction has to do to the security extension, as the golden model says: for its bench.

The model takes an instruction when it enters execute; its state is that after the instruction, then.
"""

from dataclasses import dataclass, field

from fides_core.config import XfidesConfig
from fides_core.core.control import SecurityOp
from fides_core.isa.causes import ControlFlowFault, ExceptionCause, MemoryFault
from fides_core.isa.csrs import Comsel, XfidesCSR
from fides_core.isa.xfides import PadKind, unpack_pointer
from fides_core.model.compartments import CompartmentState, ControlFlowTrap, Crossing, StackMark
from fides_core.model.pointers import MemoryTrap, PointerState
from fides_core.model.xfides_csrs import XfidesRegisters

from .common import ADDRESSES, WORD, Coverage

__all__ = [
    "BINDING", "CODE", "TABLE_OPS", "VALS", "AccessTrap", "Expected", "Instruction", "Judge", "Op",
]  # fmt: skip

Op = SecurityOp
PADS = {Op.ENTRY_PAD: PadKind.ENTRY, Op.LOCAL_PAD: PadKind.LOCAL, Op.HANDLER_PAD: PadKind.HANDLER}
VALS = {op for op in Op if op.name.startswith("VAL")}
TABLE_OPS = VALS | {Op.MINT, Op.REVOKE}
CODE = 0x8000_0000
PROBED = (XfidesCSR.CURRCOM, XfidesCSR.SSDEPTH, XfidesCSR.FMARK, XfidesCSR.COMCAUSE)
LOCKABLE = (
    XfidesCSR.PARCOMPCSTART, XfidesCSR.ANYCOMPCSTART, XfidesCSR.ANYCOMPCEND,
    XfidesCSR.FIDESMETADATABASE, XfidesCSR.FSTACKBASE, XfidesCSR.FSTACKEND,
)  # fmt: skip
FLAGS = ("interrupt", "fetch_fault", "illegal", "misaligned", "access", "access_error", "wrong_path")

REQUIRED = [
    *(("fault", fault.name) for fault in (*ControlFlowFault, *MemoryFault)),
    "call", "tail call", "return", "return in fluid code", "pad at home", "pad in complete fluid",
    "call into restricted fluid", "call back out of restricted fluid", "call from complete fluid",
    "local pad at home", "local pad crosses back", "local pad outside", "illegal instruction outside home",
    "unwinding over 0", "unwinding over 1", "unwinding over many", "handler without entry",
    "handler not at home",
    "arm", "disarm", "disarm with a call on top", "return to a handler's entry", "forged return",
    "return with misaligned target", "return needs a spilled entry",
    "wide ra", "wide sp", "wide handler", "fault before another exception",
    "spill", "refill", "spill is counted",
    "interrupt", "interrupt between pops", "interrupt before an unwinding is complete",
    *(("killed in execute", op.name) for op in Op), "killed interrupt",
    *(("after a stall", op.name) for op in Op if op != Op.PTRADD),
    *(("machine mode", op.name) for op in Op),
    *(("CEN clear", op.name) for op in Op),
    *(("FEN clear", op.name) for op in TABLE_OPS),
    "mint explicit", "mint from fmark", "val passes", "revoke", "fmark restored", "val beside a landing",
    *(("table", what, op.name) for what in ("refused", "failed") for op in TABLE_OPS),
    "write refused", "write failed", "mint blocked by a crossing", "fetch fault", "load error",
    *(("read", csr.name) for csr in XfidesCSR), *(("write", csr.name) for csr in XfidesCSR),
    "user read of fmark", "user write of fmark", "user write of fmark that is not lower",
    *(("write while locked", csr.name) for csr in LOCKABLE), "write of a table while locked",
    "stack looked at", "crossing next to a crossing", "return next to a landing",
]  # fmt: skip
#: What changes state when it leaves execute, and so must not be behind a val that may yet fail.
BINDING = {
    Op.ENTRY_PAD: "entry or local pad", Op.LOCAL_PAD: "entry or local pad", Op.HANDLER_PAD: "handler pad",
    Op.RETURN: "return", Op.ARM: "arm or disarm", Op.DISARM: "arm or disarm", Op.MINT: "mint or revoke",
    Op.REVOKE: "mint or revoke",
}  # fmt: skip
BEHIND = ("nothing", "load or store", "interrupt", "fault", "val", "write of fmark", "other")
REQUIRED_LATE = [
    *(("behind a val that fails", what) for what in BEHIND),
    *(("held behind a val that fails", what) for what in sorted(set(BINDING.values()))),
    *(("held behind a val", op.name) for op in BINDING),
]  # fmt: skip


class AccessTrap(Exception):
    """An access to the metadata table fails."""

    def __init__(self, write: bool):
        super().__init__()
        self.cause = ExceptionCause.STORE_ACCESS_FAULT if write else ExceptionCause.LOAD_ACCESS_FAULT


@dataclass
class Expected:
    """How an instruction has to end. ``cause`` None: without exception. ``after``: the probed registers."""

    cause: int | None = None
    interrupt: bool = False
    value: int | None = None
    after: dict = field(default_factory=dict)
    read: int | None = None
    entry: int | None = None
    address: int | None = None
    written: int | None = None
    tag: int | None = None


@dataclass
class Instruction:
    """An instruction as execute holds it. ``wrong_path``: one before it traps, it must have no effect."""

    op: SecurityOp = Op.NONE
    pc: int = CODE
    rs1: int = 0
    rs2: int = 0
    total: int = 0
    target: int = 0
    cid: int = 0
    size: int = 0
    interrupt: bool = False
    fetch_fault: bool = False
    illegal: bool = False
    misaligned: bool = False
    access: bool = False
    access_error: bool = False
    long: int = 0
    csr: XfidesCSR | None = None
    csr_value: int | None = None
    mret: bool = False
    wrong_path: bool = False
    expected: Expected = field(default_factory=Expected)
    saved: tuple | None = None
    age: int = 0

    def __str__(self) -> str:
        what = f"{self.op.name} at {self.pc:#x}"
        if self.csr is not None:
            value = "" if self.csr_value is None else f" = {self.csr_value:#x}"
            what = f"CSR {self.csr.name}{value}"
        elif self.mret:
            what = "mret"
        elif self.op != Op.NONE:
            what += f" rs1 {self.rs1:#x} rs2 {self.rs2:#x} cid {self.cid}"
        flags = [name for name in FLAGS if getattr(self, name)]
        after = {csr.name: hex(value) for csr, value in self.expected.after.items()}
        return f"{what} {' '.join(flags)}, expected: cause {self.expected.cause}, after {after}"

    @property
    def early(self) -> bool:
        """Something takes the place of the instruction."""
        return self.interrupt or self.fetch_fault


class Judge:
    """The model of a unit of configuration ``config``; ``late``: a val is judged in writeback. ``coverage``
    says what has come."""

    def __init__(self, config: XfidesConfig, late: bool):
        self.late = late
        required = REQUIRED + REQUIRED_LATE * late
        if config.compartments > 64:
            required += [("matrix word", word) for word in range(config.compartments // 64)]
        if config.compartments < 256:
            required.append("compartment beyond the implemented ones")
        self.coverage = Coverage(required)
        mark = StackMark()
        self.state = CompartmentState(config.compartments, config.shadow_stack_entries, mark)
        self.pointers = PointerState(self.read_entry, self.write_entry, mark)
        self.csrs = XfidesRegisters(config, self.state, self.pointers)
        self.machine = True
        self.access = self.csrs.registers(lambda: self.machine)
        self.model_machine = True
        self.traps_ahead = False  # everything that enters execute now is on the wrong path
        self.trapped: int | None = None  # cause of the last trap, for the monitor
        self.in_fluid = False  # the last instruction stood in complete fluid code

        self.table: dict[int, int] = {}
        self.refused: set = set()
        self.failing: set = set()
        self.model_writes: list = []

    def read_entry(self, address: int) -> int:
        if (address, False) in self.refused | self.failing:
            raise AccessTrap(False)
        return self.table.get(address, 0)

    def write_entry(self, address: int, value: int) -> None:
        if (address, True) in self.refused | self.failing:
            raise AccessTrap(True)
        self.model_writes.append((address, value))

    def snapshot(self) -> dict:
        return {csr: self.access[csr][0]() for csr in PROBED}

    def save(self) -> tuple:
        state = self.state
        return state.ssdepth, state.currcom, state.restricted, state.mark.value

    def restore(self, saved: tuple) -> None:
        state = self.state
        state.ssdepth = saved[0]
        state.set_context(saved[1], saved[2])
        state.mark.value = saved[3]

    def judge(self, i: Instruction) -> Expected:
        """What the model says about an instruction; the model's state is that after it, then."""
        expected = Expected()
        try:
            self.effects(i, expected)
        except ControlFlowTrap as trap:
            expected.cause, expected.value = ExceptionCause.CONTROL_FLOW, i.pc
            self.csrs.comcause = int(trap.reason)
            self.coverage.hit("fault", trap.reason.name)
            if i.illegal or i.misaligned:
                self.coverage.hit("fault before another exception")
        except MemoryTrap as trap:
            expected.cause, expected.value = ExceptionCause.MEMORY, trap.value
            self.csrs.comcause = int(trap.reason)
            self.coverage.hit("fault", trap.reason.name)
        except AccessTrap as trap:
            expected.cause = trap.cause
            expected.value = i.rs1 if i.op not in VALS else PointerState.add(i.rs1, i.total - i.rs1)
        if expected.cause is not None or expected.interrupt:
            self.traps_ahead = True
            self.trapped = expected.cause
        expected.after = self.snapshot()
        return expected

    def effects(self, i: Instruction, expected: Expected) -> None:
        state, hit = self.state, self.coverage.hit
        if i.interrupt:
            expected.interrupt, expected.value = True, 0
            hit("interrupt")
            return
        if i.fetch_fault:
            expected.cause = ExceptionCause.INSTRUCTION_ACCESS_FAULT
            hit("fetch fault")
            return
        user = not self.model_machine
        checked = user and self.csrs.compartments_enabled
        if not user:
            hit("machine mode", i.op.name)
        elif not checked:
            hit("CEN clear", i.op.name)
        if checked:
            self.landing(i)
        if i.illegal:
            expected.cause = ExceptionCause.ILLEGAL_INSTRUCTION
            return
        if checked and i.op == Op.RETURN:
            self.return_(i)
        if i.misaligned:
            expected.cause = ExceptionCause.INSTRUCTION_MISALIGNED
            hit("return with misaligned target")
            return
        if checked and i.op == Op.ARM:
            hit("wide handler" if i.rs1 >= ADDRESSES else "arm")
            state.arm(i.rs1, i.rs2)
        if checked and i.op == Op.DISARM:
            if state.ssdepth != state.ssbase and not state.top().kind:
                hit("disarm with a call on top")
            state.disarm()
            hit("disarm")
        if i.op in TABLE_OPS:
            if user and self.csrs.pointers_enabled:
                self.pointer(i, expected)
            elif user:
                hit("FEN clear", i.op.name)
        if i.csr is not None:
            if not self.undefined_entry(i):
                expected.read = self.access[i.csr][0]()
            self.register_access(i)
        if i.access_error:
            expected.cause = ExceptionCause.LOAD_ACCESS_FAULT
            hit("load error")

    def undefined_entry(self, i: Instruction) -> bool:
        """What is read is an entry above the top, where landing pads that did not cross have written, or one
        that is about to be written back."""
        state = self.state
        number, item = self.csrs.comsel & 0xFFFF, self.csrs.comsel >> 16
        return (
            i.csr == XfidesCSR.COMDATA
            and Comsel.ENTRY_RA <= item <= Comsel.ENTRY_CONTEXT
            and (
                i.csr_value is not None
                or (number - state.ssbase) % state.capacity >= state.ssdepth - state.ssbase
            )
        )

    def landing(self, i: Instruction) -> None:
        """Section 5, with what it covers."""
        state, hit, pc = self.state, self.coverage.hit, i.pc
        pad = (i.cid, PADS[i.op]) if i.op in PADS else None
        before = state.currcom, state.restricted
        in_any = state.fluid_start <= pc < state.fluid_end
        home = state.home(pc)
        in_current = state.current_start <= pc < state.current_end
        if i.op == Op.HANDLER_PAD:
            saved = self.save()
            i.saved = saved
            try:
                state.execute(pc, pad, i.rs1, i.rs2)
            except ControlFlowTrap as trap:
                if trap.reason == ControlFlowFault.BAD_UNWIND:
                    popped = state.unwound and state.entry(state.ssdepth)
                    found = popped and popped.kind and (popped.ra, popped.sp) == (pc, i.rs2)
                    hit("handler not at home" if found else "handler without entry")
                raise
            frames = state.unwound - 1
            hit(f"unwinding over {frames if frames < 2 else 'many'}")
            if state.mark.value != saved[3]:
                hit("fmark restored")
            return
        wide = (i.rs1 | i.rs2) >= ADDRESSES
        if pad and not home and wide:
            hit("wide ra" if i.rs1 >= ADDRESSES else "wide sp")
        if pad and i.op == Op.LOCAL_PAD:
            hit(
                "local pad at home"
                if home
                else "local pad crosses back"
                if in_current
                else "local pad outside"
            )
        if not pad and not home and i.illegal:
            hit("illegal instruction outside home")
        if pad and not home and i.cid >= state.compartments:
            hit("compartment beyond the implemented ones")
        crossing = state.execute(pc, pad, i.rs1, i.rs2)
        if crossing is Crossing.NONE:
            if pad:
                hit("pad in complete fluid" if in_any else "pad at home")
            return
        hit("tail call" if crossing is Crossing.TAIL_CALL else "call")
        if state.restricted:
            hit("call into restricted fluid")
        elif before[1]:
            hit("call back out of restricted fluid")
        else:
            hit("matrix word", i.cid // 64)
            if self.in_fluid:
                hit("call from complete fluid")

    def return_(self, i: Instruction) -> None:
        state, hit = self.state, self.coverage.hit
        if state.ssdepth and state.ssdepth == state.ssbase:
            hit("return needs a spilled entry")
        top = state.top()
        mark = state.mark.value
        if i.misaligned:
            return
        crossing = state.ret(i.target, i.rs2)
        if crossing is Crossing.RETURN:
            hit("return")
            if state.fluid_start <= i.pc < state.fluid_end:
                hit("return in fluid code")
            if state.mark.value != mark:
                hit("fmark restored")
        elif top and (top.ra, top.sp) == (i.target, i.rs2):
            hit("return to a handler's entry")
        else:
            hit("forged return")

    def pointer(self, i: Instruction, expected: Expected) -> None:
        pointers, hit = self.pointers, self.coverage.hit
        self.model_writes.clear()
        index = unpack_pointer(i.rs1)[1]
        if i.op == Op.MINT:
            index = i.rs2 >> 32 & 0xFFFF or pointers.mark.value
        expected.address = pointers.entry_address(index)
        for what, accesses in (("refused", self.refused), ("failed", self.failing)):
            if (expected.address, False) in accesses:
                hit("table", what, i.op.name)
            if (expected.address, True) in accesses and i.op == Op.MINT:
                hit("table", what, i.op.name)
                hit(f"write {what}")
        if i.op in VALS:
            expected.value = pointers.check(i.rs1, i.total - i.rs1 & WORD, i.size)
            hit("val passes")
        elif i.op == Op.REVOKE:
            pointers.revoke(i.rs1)
            expected.written = 0
            hit("revoke")
        else:
            explicit = i.rs2 >> 32 & 0xFFFF
            expected.tag = pointers.mint(i.rs1, i.rs2) >> 40
            expected.written = self.model_writes[0][1]
            hit("mint explicit" if explicit else "mint from fmark")

    def register_access(self, i: Instruction) -> None:
        csr, value, hit = i.csr, i.csr_value, self.coverage.hit
        hit("read", csr.name)
        if not self.model_machine:
            hit("user read of fmark")
        if value is None:
            return
        hit("write", csr.name)
        if not self.model_machine:
            lower = value & 0xFFFF < self.state.mark.value
            hit("user write of fmark" if lower else "user write of fmark that is not lower")
        if self.csrs.locked and csr in LOCKABLE:
            hit("write while locked", csr.name)
        if self.csrs.locked and csr == XfidesCSR.COMDATA and self.csrs.comsel >> 16 < Comsel.ENTRY_RA:
            hit("write of a table while locked")
        machine, self.machine = self.machine, self.model_machine
        self.access[csr][1](value)
        self.machine = machine
