"""Bench of the security extension: a core without a data path executes random instructions at random
addresses, with execute and memory stage as the core has them, and the golden model says what each of them
must do.

The stream of instructions does not follow the addresses: as far as the extension is concerned, an attacker
may execute anything anywhere. The model takes every instruction when it enters execute; state, faults,
comcause and mtval are compared when it leaves the memory stage. With LATE_VERDICT, a val is judged one cycle
later, and the instruction that has come to the memory stage behind it is dropped.
"""

from collections import deque
from dataclasses import dataclass, field

import cocotb

from fides_core.core.control import SecurityOp
from fides_core.isa.causes import ControlFlowFault, ExceptionCause, MemoryFault
from fides_core.isa.csrs import Comctl, Comsel, FidesContext, XfidesCSR
from fides_core.isa.xfides import ZONE_ALIGN, PadKind, pack_entry, pack_pointer, unpack_entry, unpack_pointer
from fides_core.model.compartments import CompartmentState, ControlFlowTrap, Crossing, StackMark
from fides_core.model.pointers import MemoryTrap, PointerState
from fides_core.model.xfides_csrs import XfidesRegisters

from .common import ADDRESSES, DOUBLE, NOBODYS, WORD, Coverage, Unit, configuration, differs, seeded, setting

Op = SecurityOp
PADS = {Op.ENTRY_PAD: PadKind.ENTRY, Op.LOCAL_PAD: PadKind.LOCAL, Op.HANDLER_PAD: PadKind.HANDLER}
VALS = {op for op in Op if op.name.startswith("VAL")}
TABLE_OPS = VALS | {Op.MINT, Op.REVOKE}
#: How often user code has each operation.
WEIGHTS = {
    Op.NONE: 25, Op.ENTRY_PAD: 28, Op.LOCAL_PAD: 10, Op.HANDLER_PAD: 6, Op.RETURN: 18, Op.ARM: 9,
    Op.DISARM: 4, Op.MINT: 6, Op.REVOKE: 4, Op.PTRADD: 2,
} | {op: 6 / len(VALS) for op in VALS}  # fmt: skip
PAGE = 64
LONGEST_STAY = 400  # cycles in execute
CODE = 0x8000_0000
TABLE = 0x9000_0000
PROBED = (XfidesCSR.CURRCOM, XfidesCSR.SSDEPTH, XfidesCSR.FMARK, XfidesCSR.COMCAUSE)
LOCKABLE = (
    XfidesCSR.PARCOMPCSTART, XfidesCSR.ANYCOMPCSTART, XfidesCSR.ANYCOMPCEND,
    XfidesCSR.FIDESMETADATABASE, XfidesCSR.FSTACKBASE, XfidesCSR.FSTACKEND,
)  # fmt: skip
READABLE = sorted(set(XfidesCSR))
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


@dataclass
class Memory:
    """What the memory stage holds; the payload is loaded even when no instruction comes with it."""

    instruction: Instruction | None = None
    result: int = 0
    size: int = 0
    access: bool = False
    store: bool = False
    exception: bool = False
    interrupt: bool = False
    cause: int = 0


@dataclass
class Response:
    """A granted access of the data bus."""

    delay: int
    data: int = 0
    error: bool = False


class Core:
    """The unit with execute and memory stage around it, the model beside it, and the program."""

    def __init__(self, dut):
        self.unit = Unit(dut)
        self.random = seeded()
        config = configuration()
        self.config = config
        mark = StackMark()
        self.state = CompartmentState(config.compartments, config.shadow_stack_entries, mark)
        self.pointers = PointerState(self.read_entry, self.write_entry, mark)
        self.csrs = XfidesRegisters(config, self.state, self.pointers)
        self.machine = True
        self.access = self.csrs.registers(lambda: self.machine)
        self.model_machine = True
        self.late = bool(setting("LATE_VERDICT", 0))
        required = REQUIRED + REQUIRED_LATE * self.late
        if config.compartments > 64:
            required += [("matrix word", word) for word in range(config.compartments // 64)]
        if config.compartments < 256:
            required.append("compartment beyond the implemented ones")
        self.coverage = Coverage(required)

        self.x: Instruction | None = None
        self.m = Memory()
        self.response: Response | None = None
        self.verdict: Instruction | None = None  # the val whose verdict comes in this cycle: it fails
        self.gap = 0
        self.traps_ahead = False  # everything that enters execute now is on the wrong path
        self.interrupt_line = False
        self.after: dict | None = None  # what the probed registers must be in this cycle
        self.routine: list = []  # the rest of what the monitor does
        self.trapped: int | None = None  # cause of the last trap, for the monitor
        self.weights = WEIGHTS | {op: 15 / len(VALS) for op in VALS if self.late}
        self.stalls = 0.2
        self.retired = 0
        self.history: deque[Instruction] = deque(maxlen=12)

        self.table: dict[int, int] = {}
        self.refused: set = set()
        self.failing: set = set()
        self.model_writes: list = []
        self.bus_writes: list = []
        self.monitor_memory: dict[int, object] = {}
        self.stacks = [0x8010_0000 + 16 * i for i in range(6)]
        self.links = [CODE + 4 * i for i in range(1, 7)]
        self.cids: list[int] = []

    # Model

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

    # Program

    def page_in(self, start: int, end: int) -> int:
        """A 4-byte aligned address in a range, often its first or last, now and then just outside."""
        rnd = self.random
        if start >= end:
            return start
        choice = rnd.random()
        if choice < 0.2:
            return start
        if choice < 0.3:
            return end - 4
        if choice < 0.32:
            return end & WORD
        if choice < 0.34:
            return start - 4 & WORD
        return rnd.randrange(start, end, 4)

    def somewhere(self) -> int:
        state, rnd = self.state, self.random
        choice = rnd.randrange(10)
        if choice < 4:
            return self.page_in(state.current_start, state.current_end)
        if choice < 5:
            return self.page_in(state.fluid_start, state.fluid_end)
        if choice < 6:
            return self.page_in(state.restricted_fluid_start, state.fluid_start)
        if choice < 9:
            cid = rnd.choice(self.cids)
            return self.page_in(state.range_start[cid], state.range_end[cid])
        return rnd.choice([CODE + rnd.randrange(0, PAGE * 40, 4), rnd.getrandbits(30) << 2])

    def entry_elsewhere(self) -> int:
        """An address that the access matrix allows to call, if one is found."""
        state, rnd = self.state, self.random
        for _ in range(4):
            cid = rnd.choice(self.cids)
            if not state.restricted and state.allowed[state.currcom] >> cid & 1:
                break
        return self.page_in(state.range_start[cid], state.range_end[cid])

    def at_home(self) -> int:
        """An address where execution goes on, if one is found."""
        state, rnd = self.state, self.random
        for _ in range(12):
            pc = self.somewhere()
            if state.restricted and rnd.random() < 0.5:
                pc = self.page_in(state.restricted_fluid_start, state.fluid_start)
            if state.home(pc) or rnd.random() < 0.01:
                break
        return pc

    def owner(self, pc: int) -> int:
        state, rnd = self.state, self.random
        owners = [cid for cid in self.cids if state.range_start[cid] <= pc < state.range_end[cid]]
        if owners and rnd.random() < 0.93:
            return rnd.choice(owners)
        return rnd.choice([rnd.choice(self.cids), rnd.randrange(256)])

    def wider(self, value: int, probability=0.03) -> int:
        return value | 1 << self.random.randrange(32, 64) if self.random.random() < probability else value

    def entry_like(self):
        """(ra, sp), often those of the top."""
        state, rnd = self.state, self.random
        ra, sp = rnd.choice(self.links), rnd.choice(self.stacks)
        if state.ssdepth != state.ssbase:
            top = state.entry(state.ssdepth - 1)
            choice = rnd.random()
            if choice < 0.55:
                ra, sp = top.ra, top.sp
            elif choice < 0.65:
                ra = top.ra
            elif choice < 0.75:
                sp = top.sp
        return ra, sp

    def operation(self, op: SecurityOp | None = None) -> Instruction:
        """Some instruction, or one of an operation, in whatever mode the hart is."""
        rnd, state = self.random, self.state
        given = op is not None
        if not given:
            op = rnd.choices(list(WEIGHTS), None if self.model_machine else self.weights.values())[0]
        if not given and rnd.random() < 0.8:
            # What would only fault.
            armed = any(state.entry(n).kind for n in range(state.ssbase, state.ssdepth))
            top_armed = state.ssdepth != state.ssbase and state.entry(state.ssdepth - 1).kind
            if (op == Op.HANDLER_PAD and not armed) or (op == Op.DISARM and not top_armed):
                op = Op.NONE
        i = Instruction(op, cid=rnd.randrange(256), rs1=rnd.getrandbits(64), rs2=rnd.getrandbits(64))
        i.total, i.target = i.rs1 + i.rs2 & DOUBLE, rnd.getrandbits(64)
        i.size = rnd.randrange(5)
        i.pc = self.at_home()
        if op in (Op.ENTRY_PAD, Op.LOCAL_PAD):
            i.pc = self.somewhere() if rnd.random() < 0.5 else self.entry_elsewhere()
            i.cid = self.owner(i.pc)
            i.rs1, i.rs2 = self.entry_like() if rnd.random() < 0.3 else (
                rnd.choice(self.links), rnd.choice(self.stacks)
            )  # fmt: skip
            i.rs1 = self.wider(i.rs1)
            i.rs2 = self.wider(i.rs2)
            i.target = i.rs1
        elif op == Op.RETURN:
            i.rs1, i.rs2 = (self.wider(value) for value in self.entry_like())
            i.rs1 ^= rnd.choices([0, 1, 2], [50, 5, 1])[0]
            i.target = i.rs1 & ~1
            i.misaligned = bool(i.target & 2)
        elif op == Op.ARM:
            i.rs1, i.rs2 = self.wider(self.at_home()), self.wider(rnd.choice(self.stacks))
            i.target = i.rs1
        elif op == Op.DISARM:
            i.rs1 = i.target = 0
        elif op == Op.HANDLER_PAD:
            armed = [n for n in range(state.ssbase, state.ssdepth) if state.entry(n).kind]
            i.rs2 = self.wider(rnd.choice(self.stacks))
            if armed and rnd.random() < 0.85:
                # Mostly a recent one, or nothing is left soon.
                number = armed[-min(len(armed), rnd.choice([1, 1, 2, 3, 16]))]
                i.pc, i.rs2 = state.entry(number).ra, self.wider(state.entry(number).sp)
            i.target = i.pc
        elif op in TABLE_OPS or op == Op.PTRADD:
            self.operands(i)
        elif rnd.random() < 0.05:
            i.illegal = True
            i.pc = self.somewhere() if rnd.random() < 0.5 else i.pc
        elif rnd.random() < 0.2:
            i.access = True
            i.access_error = not self.model_machine and rnd.random() < 0.1
        elif rnd.random() < 0.1:
            i.long = rnd.randrange(1, 6)
        if op in {Op.NONE, Op.MINT} | VALS and rnd.random() < 0.03:
            i.pc = self.somewhere()
        i.pc &= WORD & ~3
        if not self.model_machine and rnd.random() < 0.01:
            i.op, i.illegal, i.misaligned, i.access, i.long = Op.NONE, False, False, False, 0
            i.fetch_fault = True
        return i

    def operands(self, i: Instruction) -> None:
        """Operands of the fat-pointer instructions."""
        rnd, pointers = self.random, self.pointers
        live = [n for n in range(1, 192) if self.table.get(pointers.entry_address(n), 0) >> 8 & 0xFFFFFF]
        mark = pointers.mark.value
        limits = [pointers.stack_base, mark - 1, mark, pointers.stack_end - 1, pointers.stack_end]
        index = rnd.choice([*(live if i.op != Op.MINT else ()), *range(16), *limits]) & 0xFFFF
        if rnd.random() < 0.08:
            index = rnd.randrange(3, 7)
        base, size, cookie = unpack_entry(self.table.get(pointers.entry_address(index), 0))
        if i.op == Op.MINT:
            size = rnd.choice([1, 8, 40, 40, 1 << 24]) if rnd.random() < 0.9 else 0
            base = 0x8020_0000 + rnd.randrange(256)
            i.rs1 = base | rnd.getrandbits(32) << 32
            i.rs2 = size | rnd.choice([0, index]) << 32 | rnd.getrandbits(16) << 48
            i.total = i.rs1 + i.rs2 & DOUBLE
            return
        if rnd.random() < 0.08:
            cookie ^= 1 << rnd.randrange(8)
        offset = rnd.choice([0, 0, 0, size - (1 << i.size)])
        if rnd.random() < (0.3 if self.late else 0.05):
            offset = rnd.choice([size - (1 << i.size) + 1, -1])
        shift = rnd.randrange(-8, 8)
        i.rs1 = pack_pointer(
            base + (0 if i.op == Op.REVOKE and offset == 0 else offset - shift), index, cookie
        )
        i.total = i.rs1 + (0 if i.op == Op.REVOKE else shift) & DOUBLE

    def next_instruction(self, follows: int | None) -> Instruction:
        """The instruction that enters execute now; the model has judged it. The one right behind a landing
        pad stands at ``follows``, any other anywhere."""
        rnd = self.random
        if self.traps_ahead:
            i = self.place(self.behind_a_trap(), follows)
            i.interrupt = self.interrupt_line
            i.wrong_path = True
            if i.interrupt:
                i.csr = None
                i.op, i.illegal, i.misaligned, i.access, i.long = Op.NONE, False, False, False, 0
            return i
        if self.model_machine:
            i = self.routine.pop(0)
        elif self.interrupt_line:
            i = Instruction(interrupt=True, pc=self.somewhere())
        elif rnd.random() < 0.04:
            mark = self.state.mark.value
            value = rnd.choice([None, mark - 1, mark, mark + 1, rnd.getrandbits(64), 64, mark - 1 | 1 << 40])
            i = Instruction(csr=XfidesCSR.FMARK, csr_value=None if value is None else value & DOUBLE)
            i.pc = self.at_home() & ~3
        else:
            i = self.operation()
        i = self.place(i, follows)
        self.comcause_before = self.csrs.comcause
        i.expected = self.judge(i)
        if not i.early and i.expected.cause is None:
            state = self.state
            self.in_fluid = state.fluid_start <= i.pc < state.fluid_end
        if i.mret:
            self.model_machine = False
        return i

    def behind_a_trap(self) -> Instruction:
        """Any instruction; behind a val every kind often, and a write of fmark."""
        rnd, ahead = self.random, self.m.instruction
        if not (self.late and ahead is not None and ahead.op in VALS and rnd.random() < 0.9):
            return self.operation()
        choice = rnd.random()
        if choice < 0.08:
            mark = max(self.state.mark.value - 1, 0)
            return Instruction(csr=XfidesCSR.FMARK, csr_value=mark, pc=self.at_home() & ~3)
        if choice < 0.16:
            return Instruction(access=True, pc=self.at_home() & ~3)
        if choice < 0.24:
            return Instruction(illegal=True, pc=self.at_home() & ~3)
        if choice < 0.32:
            self.interrupt_line = True
        return self.operation(rnd.choice([*Op, *VALS, *VALS]))

    def place(self, i: Instruction, address: int | None) -> Instruction:
        """The instruction at another address."""
        if address is not None:
            i.pc = address
            if i.op in (Op.ENTRY_PAD, Op.LOCAL_PAD):
                i.cid = self.owner(i.pc)
            elif i.op == Op.HANDLER_PAD:
                i.target = i.pc
        return i

    # Monitor

    def register(self, csr: XfidesCSR, value: int | None = None) -> Instruction:
        return Instruction(csr=csr, csr_value=value, pc=0x1000)

    def window(self, number: int, item: int, value: int | None = None) -> list[Instruction]:
        return [self.register(XfidesCSR.COMSEL, number | item << 16), self.register(XfidesCSR.COMDATA, value)]

    def look(self, numbers) -> list[Instruction]:
        result = []
        for number in numbers:
            for item in (Comsel.ENTRY_RA, Comsel.ENTRY_SP, Comsel.ENTRY_CONTEXT):
                result += self.window(number, item)
        return result

    def monitor(self) -> list[Instruction]:
        """What machine mode does about a trap, and mret."""
        rnd, state = self.random, self.state
        result = []
        held = state.ssdepth - state.ssbase
        reason = self.csrs.comcause if self.trapped == ExceptionCause.CONTROL_FLOW else 0
        if reason == ControlFlowFault.SHADOW_OVERFLOW and held:
            count = rnd.randint(1, held)
            numbers = range(state.ssbase, state.ssbase + count)
            for number in numbers:
                self.monitor_memory[number] = state.entry(number)
            result += self.look(self.random.sample(numbers, 1))
            result.append(self.register(XfidesCSR.SSBASE, state.ssbase + count))
            self.coverage.hit("spill")
        elif reason == ControlFlowFault.SHADOW_UNDERFLOW:
            count = rnd.randint(1, min(state.ssbase, rnd.choice([1, 3, 3, state.capacity])))
            result.append(self.register(XfidesCSR.SSBASE, state.ssbase - count))
            for number in range(state.ssbase - count, state.ssbase):
                entry = self.monitor_memory.get(number)
                ra, sp, kind = rnd.choice(self.links), rnd.choice(self.stacks), rnd.getrandbits(1)
                word = rnd.choice(self.cids) | kind << FidesContext.KIND | 70 << FidesContext.FMARK
                if entry:
                    ra, sp = entry.ra, entry.sp
                    word = (
                        entry.cid
                        | entry.restricted << FidesContext.RESTRICTED
                        | entry.kind << FidesContext.KIND
                        | entry.fmark << FidesContext.FMARK
                    )
                # The bits between kind and fmark are not kept, nor those of a cid that is too high.
                word |= rnd.getrandbits(6) << 10 | rnd.getrandbits(8) & -state.compartments & 0xFF
                result += self.window(number, Comsel.ENTRY_RA, ra | rnd.getrandbits(32) << 32)
                result += self.window(number, Comsel.ENTRY_SP, sp)
                result += self.window(number, Comsel.ENTRY_CONTEXT, word)
            self.coverage.hit("refill")
        choice = rnd.random()
        if choice < 0.06:
            # The stack anew, or all of it spilled.
            depth = rnd.choice([0, 0, held, 3, state.ssdepth])
            if rnd.random() < 0.1:
                depth = 0xFFFF - rnd.randrange(3)
            result.append(self.register(XfidesCSR.SSBASE, depth))
            result.append(self.register(XfidesCSR.SSDEPTH, depth))
        elif choice < 0.15:
            result += [self.register(csr) for csr in rnd.sample(READABLE, 4)]
        elif choice < 0.25:
            result += [self.operation() for _ in range(rnd.randrange(1, 4))]
        if rnd.random() < 0.3:
            context = rnd.choice(self.cids) | (rnd.random() < 0.2) << 8
            result.append(self.register(XfidesCSR.CURRCOM, context | rnd.getrandbits(20) << 9))
        if rnd.random() < 0.04:
            result += self.reconfigure()
        if rnd.random() < 0.2:
            mark = rnd.choice([64, 66, 68, self.pointers.stack_end, self.pointers.stack_end - 1, 60])
            result.append(self.register(XfidesCSR.FMARK, mark))
        # Enables, seldom LOCK.
        if rnd.random() < (0.3 if self.csrs.compartments_enabled and self.csrs.pointers_enabled else 0.7):
            enables = rnd.choices([3, 1, 2, 0], [20, 1, 1, 1])[0]
            lock = rnd.random() < self.lock
            value = enables | lock << Comctl.LOCK | rnd.getrandbits(20) << 8
            result.append(self.register(XfidesCSR.COMCTL, value))
        if rnd.random() < 0.1:
            result.append(self.register(XfidesCSR.COMCAUSE, rnd.getrandbits(64)))
        if rnd.random() < 0.1:
            result.append(self.register(XfidesCSR.COOKIESEED, rnd.getrandbits(64)))
        for _ in range(rnd.randrange(2)):
            index = rnd.choice([*range(1, 16), *range(64, 72)])
            entry = pack_entry(0x8020_0000, rnd.choice([0, 1, 8, 24]), rnd.randrange(1, 256))
            self.table[self.pointers.entry_address(index)] = entry
        result.append(Instruction(mret=True, pc=0x1000))
        for instruction in result:
            instruction.access_error = False
        return result

    def reconfigure(self) -> list[Instruction]:
        """New ranges, policy, fluid code and zones; the context is written afterwards (contract notes)."""
        rnd, state, result = self.random, self.state, []
        page = 1
        order = rnd.sample(self.cids, len(self.cids))
        for cid in order:
            start = CODE + PAGE * page + rnd.choice([0, 0, 0, -PAGE])
            page += rnd.choice([0, 1, 2, 3])
            if rnd.random() < 0.3:
                low, high = rnd.getrandbits(6) | rnd.getrandbits(32) << 32, rnd.getrandbits(6)
                result += self.window(cid, Comsel.RANGE_START, start | low)
                result += self.window(cid, Comsel.RANGE_END, CODE + PAGE * page | high)
            if rnd.random() < 0.2:
                for word in range((state.compartments + 63) // 64):
                    result += self.window(
                        cid, Comsel.MATRIX_WORD0 + word, rnd.getrandbits(64) | rnd.getrandbits(64)
                    )
        if rnd.random() < 0.3:
            number = rnd.randrange(1 << 16)
            result += self.window(number, rnd.choice([6, 7, 11, 15]), rnd.getrandbits(64))
        if rnd.random() < 0.6:
            for csr in (XfidesCSR.PARCOMPCSTART, XfidesCSR.ANYCOMPCSTART, XfidesCSR.ANYCOMPCEND):
                page += rnd.randrange(4)
                result.append(self.register(csr, CODE + PAGE * page | rnd.getrandbits(6)))
        if rnd.random() < 0.6:
            # The bits below the granularity and above the register are not kept.
            end = rnd.choice([128, 128, 192, 64, 0xFFC0])
            for csr, bound in ((XfidesCSR.FSTACKBASE, 64), (XfidesCSR.FSTACKEND, end)):
                upper = rnd.getrandbits(48) << 16
                result.append(self.register(csr, bound | rnd.randrange(ZONE_ALIGN) | upper))
            result.append(self.register(XfidesCSR.FIDESMETADATABASE, TABLE | rnd.getrandbits(3)))
        context = rnd.choice(self.cids) | rnd.getrandbits(1) << 8
        result.append(self.register(XfidesCSR.CURRCOM, context))
        return result

    async def look_at_stack(self) -> None:
        """Compare all entries on chip, without instructions: the pipeline is empty."""
        state, unit = self.state, self.unit
        unit.set(
            machine=1, x_judge=0, x_advance=0, x_fire=0, m_ready=1, m_empty=1, x_commit=0, response=0, trap=0
        )
        for number in range(state.ssbase, state.ssdepth):
            for item in (Comsel.ENTRY_RA, Comsel.ENTRY_SP, Comsel.ENTRY_CONTEXT):
                await self.write(XfidesCSR.COMSEL, number | item << 16)
                await unit.settle()
                await unit.clock()
                expected = self.access[XfidesCSR.COMDATA][0]()
                differs(f"{item.name} of entry {number}", expected, await unit.read(XfidesCSR.COMDATA))
                self.coverage.hit("stack looked at")

    async def start(self) -> None:
        """Reset, all tables defined, and a first program."""
        unit, rnd, state = self.unit, self.random, self.state
        self.machine = self.model_machine = True
        await unit.reset(
            x_op=0, x_judge=0, x_pc=0, x_commit=0, x_rs1=0, x_rs2=0, x_cid=0, x_total=0, x_target=0,
            x_advance=0,
            x_fire=0,
            x_granted=0, x_refused=0, m_ready=1, m_empty=1, m_result=0, m_size=0, response=0,
            response_error=0, response_data=0, machine=1, trap=0,
            registers__number=0, registers__write=0, registers__wdata=0,
        )  # fmt: skip
        for csr, value in (
            (XfidesCSR.COMCTL, 0), (XfidesCSR.CURRCOM, 0), (XfidesCSR.SSDEPTH, 0), (XfidesCSR.SSBASE, 0),
        ):  # fmt: skip
            self.access[csr][1](value)
        self.csrs.locked = False
        differs("comctl after reset", self.access[XfidesCSR.COMCTL][0](), await unit.read(XfidesCSR.COMCTL))
        for csr in (XfidesCSR.CURRCOM, XfidesCSR.SSDEPTH, XfidesCSR.SSBASE):
            differs(f"{csr.name} after reset", 0, await unit.read(csr))

        count = state.compartments
        if not self.cids:
            # Some from every word of the matrix.
            for word in range(0, count, 64):
                self.cids += rnd.sample(range(word, min(count, word + 64)), 8 if count <= 64 else 3)
            for number in range(max(count, state.capacity)):
                words = [0] * (2 + (count + 63) // 64) + [0] * 3
                items = [*range(2 + (count + 63) // 64), *range(Comsel.ENTRY_RA, Comsel.ENTRY_CONTEXT + 1)]
                for item, value in zip(items, words, strict=True):
                    await self.write(XfidesCSR.COMSEL, number | item << 16)
                    await self.write(XfidesCSR.COMDATA, value)
        for csr in (XfidesCSR.COMSEL, XfidesCSR.COMCAUSE, XfidesCSR.FMARK, XfidesCSR.FSTACKBASE,
                    XfidesCSR.PARCOMPCSTART, XfidesCSR.ANYCOMPCSTART, XfidesCSR.ANYCOMPCEND):  # fmt: skip
            await self.write(csr, 64 if csr in (XfidesCSR.FMARK, XfidesCSR.FSTACKBASE) else 0)
        await self.write(XfidesCSR.FIDESMETADATABASE, TABLE)
        await self.write(XfidesCSR.FSTACKEND, 128)
        address = self.pointers.entry_address
        self.refused = {(address(3), False), (address(4), True), (address(67), True)}
        self.failing = {(address(5), False), (address(6), True), (address(68), True)}
        self.in_fluid = False
        self.x, self.m, self.response, self.after = None, Memory(), None, None
        self.verdict = None
        self.traps_ahead = self.interrupt_line = False
        self.trapped = None
        self.bus_writes = []
        self.routine = []
        for _ in range(4):
            self.routine += self.reconfigure()
        self.routine.append(self.register(XfidesCSR.COMCTL, 3))
        self.routine.append(Instruction(mret=True, pc=0x1000))

    async def write(self, csr, value):
        await self.unit.write(csr, value)
        self.access[csr][1](value)

    # Pipeline

    def result_of(self, i: Instruction, minted: int, tag: int) -> int:
        """What execute passes on as the result."""
        if i.op in VALS | {Op.PTRADD}:
            return i.rs1 & ~WORD | i.total & WORD
        if i.op == Op.MINT:
            return (tag if minted else i.rs1 >> 32) << 32 | i.rs1 & WORD
        if i.op == Op.REVOKE:
            return i.rs1
        return i.rs2

    async def probe(self) -> None:
        """After an instruction: context, depth, fmark and comcause."""
        expected, self.after = self.after, None
        for csr, value in expected.items():
            differs(f"{csr.name} after {self.last}", value, await self.unit.read(csr))

    def enter(self, follows: int | None) -> None:
        """Decode sends an instruction, if it has one; ``follows``: where it stands, if it has to."""
        m = self.m.instruction
        serial = m is not None and (m.csr is not None or m.mret)
        if self.x is not None or serial:
            return
        if self.gap:
            self.gap -= 1
            return
        if self.random.random() < self.stalls / 2:
            return
        if self.model_machine and not self.traps_ahead and not self.routine:
            return  # mret is on its way
        self.x = self.next_instruction(follows)
        if (
            m is not None
            and m.op in (Op.ENTRY_PAD, Op.LOCAL_PAD)
            and self.x.op in (Op.ENTRY_PAD, Op.LOCAL_PAD)
        ):
            self.coverage.hit("crossing next to a crossing")
        if m is not None and m.op in (Op.ENTRY_PAD, Op.LOCAL_PAD) and self.x.op == Op.RETURN:
            self.coverage.hit("return next to a landing")
        if m is not None and m.op in (Op.ENTRY_PAD, Op.LOCAL_PAD) and self.x.op in VALS:
            self.coverage.hit("val beside a landing")
        if m is not None and m.op in (Op.ENTRY_PAD, Op.LOCAL_PAD) and self.x.op == Op.MINT:
            self.coverage.hit("mint blocked by a crossing")

    async def cycle(self) -> None:
        unit, rnd, m, x, hit = self.unit, self.random, self.m, self.x, self.coverage.hit
        if self.after:
            await self.probe()

        # What the registers of the pipeline say.
        w_fault = self.verdict is not None
        differs(f"w_fault, expected of {self.verdict}", int(w_fault), unit.get("w_fault"))
        if w_fault:
            self.response = None  # the core withdraws the request
        response = self.response
        arrived = False
        if response:
            response.delay -= 1
            arrived = response.delay == 0
        here = m.instruction
        done = not m.access or arrived
        m_ready = here is None or done or w_fault
        csr = here is not None and here.csr is not None
        op = x.op if x else rnd.choice(list(Op))
        shown = x or Instruction(op, rs1=rnd.getrandbits(64), rs2=rnd.getrandbits(64), pc=self.link)
        unit.set(
            x_op=op, x_judge=x is not None and not x.early, x_pc=shown.pc, x_rs1=shown.rs1, x_rs2=shown.rs2,
            x_cid=shown.cid, x_total=shown.total, x_target=shown.target, x_advance=0, x_fire=0, x_granted=0,
            x_refused=0, x_commit=0, m_ready=m_ready,
            m_empty=here is None and not w_fault, m_result=m.result, m_size=m.size,
            response=arrived, response_error=arrived and response.error,
            response_data=response.data if arrived else rnd.getrandbits(64),
            machine=self.machine, trap=0, registers__write=0,
            registers__number=here.csr if csr else NOBODYS | rnd.getrandbits(12),
            registers__wdata=here.csr_value or 0 if csr else rnd.getrandbits(64),
        )  # fmt: skip
        await unit.settle()

        # Memory stage.
        bus_error = m.access and arrived and response.error
        m_fault = unit.get("m_fault")
        trapping = m.exception or m.interrupt or bus_error or m_fault
        settled = here is not None and done and not w_fault
        trap = w_fault or (settled and bool(trapping))
        commit = settled and not trapping
        cause = m.cause
        if bus_error:
            cause = ExceptionCause.STORE_ACCESS_FAULT if m.store else ExceptionCause.LOAD_ACCESS_FAULT
        elif m_fault:
            cause = ExceptionCause.MEMORY
        kill = trap or (commit and here.mret)
        verdict, self.verdict = self.verdict, None
        if settled:
            self.leave(here, trap, cause, m_fault)
        if w_fault:
            self.drop(here)
        write = commit and csr and here.csr_value is not None
        unit.set(trap=trap and not m.interrupt, registers__write=write)

        await unit.settle()
        spill = settled and trap and not m.interrupt and self.spills(here)
        differs(f"spill at {here}", int(spill), unit.get("spill"))
        if spill:
            hit("spill is counted")

        # Data bus.
        granted = rnd.random() >= self.stalls
        address = ((unit.get("x_table") + unit.get("x_index")) << 3) & WORD
        refused = bool(unit.get("x_table_op")) and (address, bool(unit.get("x_we"))) in self.refused
        unit.set(x_refused=refused, x_granted=granted and m_ready and not kill and not refused)
        await unit.settle()

        # Execute.
        wait = bool(unit.get("x_wait"))
        if x and wait and self.late and here is not None and here.op in VALS and x.op in BINDING:
            hit("held behind a val", x.op.name)
            if self.verdict:
                hit("held behind a val that fails", BINDING[x.op])
        if not csr:
            masked = self.csrs.pointers_enabled and not self.machine
            differs("x_mask_addresses", masked, unit.get("x_mask_addresses"))
        late = False
        if x:
            x.age += 1
            assert x.age < LONGEST_STAY, f"stays in execute for ever: {x}"
            if x.long:
                x.long -= 1
                wait = True
            if (x.access or x.op in VALS) and not granted:
                wait = True
            if unit.get("x_interruptible") and self.interrupt_line:
                wait, late = False, True
        advance = x is not None and not wait and m_ready
        fire = advance and not kill
        unit.set(x_advance=advance, x_fire=fire)
        await unit.settle()
        fault = x is not None and unit.get("x_fault") and not x.early
        exception = x is not None and (fault or x.early or late or x.illegal or x.misaligned)
        unit.set(x_commit=fire and not exception)
        await unit.settle()
        request = unit.get("x_request") and not refused and x is not None and m_ready
        table_access = bool(request and granted and not kill)
        minted, tag = unit.get("x_minted"), unit.get("x_tag")
        following = Memory(size=shown.size, result=self.result_of(shown, minted, tag))
        # The store lanes make the entry of what mint has.
        bus_we = bool(unit.get("x_we"))
        bus_data = pack_entry(shown.rs1, shown.rs2, tag) if unit.get("x_set") else 0

        if arrived:
            self.response = None
        if fire:
            following.instruction = x
            following.access = x.access and not fault
            self.send(x, following, fault, late, minted, tag)
        if table_access:
            assert self.response is None, "two accesses of the data bus at once"
            assert x.op in TABLE_OPS, f"access of the metadata table by {x}"
            if x.wrong_path:
                assert fire and x.op in VALS and not bus_we, f"access of the metadata table by {x}"
            else:
                differs(f"address of the entry for {x}", x.expected.address, address)
            failing = (address, bus_we) in self.failing
            if bus_we and not failing:
                self.bus_writes.append((address, bus_data))
                self.table[address] = bus_data
            self.response = Response(rnd.choice([1, 1, 2, 4]), self.table.get(address, 0), failing)
            if x.op in VALS:
                assert fire, "val's access without val"
                following.access = True
        elif following.access:
            self.response = Response(rnd.choice([1, 1, 2, 6]), rnd.getrandbits(64), x.access_error)
        if x and kill:
            hit("killed in execute", x.op.name)
            if x.interrupt:
                hit("killed interrupt")

        await unit.clock()

        # After the edge.
        follows = None
        if x and (advance or kill):
            self.x = None
            self.link = x.pc + 4 & WORD
            if fire and x.op in (Op.ENTRY_PAD, Op.LOCAL_PAD):
                follows = self.link
            if fire and x.op == Op.RETURN:
                self.gap = 1  # a jump
        if m_ready:
            self.m = following
        # Effects of execute are there when the instruction leaves it; of memory, when it leaves that.
        if fire:
            if not exception and x.csr is None and not x.access_error and x.op not in VALS:
                self.after, self.last = x.expected.after, x
        elif settled and not self.verdict:
            self.after, self.last = here.expected.after, here
        if w_fault:
            self.after, self.last = verdict.expected.after, verdict
        if settled:
            self.retired += 1
            if csr:
                self.gap = max(self.gap, 1)
        if kill:
            self.gap = 2
            self.x = None
        if trap:
            if settled and here.saved is not None and m.interrupt:
                await self.interrupted_unwinding(here)
            self.machine = self.model_machine = True
            self.traps_ahead = False
            if settled and m.interrupt:
                self.interrupt_line = False
            if rnd.random() < 0.15:
                await self.look_at_stack()
            self.routine = self.monitor()
        elif kill:
            self.machine = False
        # Often while a handler pad unwinds.
        unwinding = self.x is not None and self.x.op == Op.HANDLER_PAD
        if not self.machine and rnd.random() < self.interrupts * (5 if unwinding else 1):
            self.interrupt_line = True
        self.enter(follows)

    def send(self, x: Instruction, following: Memory, fault, late: bool, minted: int, tag: int) -> None:
        """An instruction moves from execute to the memory stage."""
        unit, hit = self.unit, self.coverage.hit
        expected = x.expected
        following.interrupt = x.interrupt or late
        if x.wrong_path:
            # Behind a val that fails later: only what has not changed anything yet.
            assert self.verdict, f"moves to memory although the instruction before it traps: {x}"
            works = self.csrs.compartments_enabled or x.op in TABLE_OPS
            assert fault or following.interrupt or not (works and x.op in BINDING), f"cannot be undone: {x}"
            following.exception = bool(fault or x.fetch_fault or x.illegal or x.misaligned)
            return
        if late:
            # The model has unwound completely; it starts again from what has been popped.
            self.restore(x.saved)
            self.csrs.comcause = self.comcause_before
            self.traps_ahead, self.trapped = True, None
            x.expected = Expected(interrupt=True, value=0)
            return
        if fault:
            following.exception, following.cause = True, unit.get("x_cause")
        elif x.fetch_fault:
            following.exception, following.cause = True, ExceptionCause.INSTRUCTION_ACCESS_FAULT
        elif x.illegal:
            following.exception, following.cause = True, ExceptionCause.ILLEGAL_INSTRUCTION
        elif x.misaligned:
            following.exception, following.cause = True, ExceptionCause.INSTRUCTION_MISALIGNED
        if x.age > 1:
            hit("after a stall", x.op.name)
        if x.op != Op.MINT:
            assert not minted, f"minted without mint: {x}"
        writes, self.bus_writes = self.bus_writes, []
        if expected.tag is None:
            differs(f"minted by {x}", 0, minted)
        if expected.written is None:
            differs(f"writes to the table by {x}", [], writes)
            return
        if x.op == Op.REVOKE:
            differs("written by revoke", [(expected.address, 0)], writes)
            return
        differs("x_minted", 1, minted)
        differs(f"index from {x}", expected.tag, tag >> 8)
        cookie = tag & 0xFF
        assert cookie, "a cookie of 0"
        differs(f"entry from {x}", [(expected.address, expected.written & ~0xFF | cookie)], writes)

    def leave(self, i: Instruction, trap: bool, cause: int, m_fault: int) -> None:
        """An instruction leaves the memory stage."""
        m, expected = self.m, i.expected
        self.history.append(i)
        differs(f"interrupt at {i}", expected.interrupt, m.interrupt)
        late = self.late and i.op in VALS and m.access and not trap and expected.cause is not None
        if late:
            differs(f"exception of {i}", expected.cause, int(ExceptionCause.MEMORY))
            self.verdict = i
        elif not expected.interrupt:
            differs(f"exception of {i}", expected.cause, int(cause) if trap else None)
        value = m.result
        control_flow = cause == ExceptionCause.CONTROL_FLOW
        if m.interrupt or self.unit.get("m_no_value"):
            value = 0
        elif control_flow and (m.exception or m_fault):
            value = i.pc
        if (trap or late) and expected.value is not None:
            differs(f"mtval of {i}", expected.value, value)
        if expected.read is not None and not trap:
            differs(f"read of {i.csr.name}", expected.read, self.unit.get("rdata"))
        if i.op in VALS and not trap and not late and expected.value is not None:
            differs(f"result of {i}", expected.value, m.result)

    def spills(self, i: Instruction) -> bool:
        """Whether an instruction finds the shadow stack full or spilled."""
        expected = i.expected
        return expected.cause == ExceptionCause.CONTROL_FLOW and expected.after[XfidesCSR.COMCAUSE] in (
            ControlFlowFault.SHADOW_OVERFLOW,
            ControlFlowFault.SHADOW_UNDERFLOW,
        )

    def drop(self, i: Instruction | None) -> None:
        """A val has failed; ``i`` has come to the memory stage behind it."""
        m, hit = self.m, self.coverage.hit
        what = "other"
        if i is None:
            what = "nothing"
        elif m.interrupt:
            what = "interrupt"
        elif m.exception:
            what = "fault"
        elif i.op in VALS:
            what = "val"
        elif m.access:
            what = "load or store"
        elif i.csr is not None:
            what = "write of fmark"
        hit("behind a val that fails", what)

    async def interrupted_unwinding(self, i: Instruction) -> None:
        """An interrupt has taken the place of a handler pad: only entries that it may pop are gone."""
        state = self.state
        depth = await self.unit.read(XfidesCSR.SSDEPTH)
        assert state.ssbase <= depth <= state.ssdepth, f"depth {depth} after an interrupt of {i}"
        if depth < state.ssdepth:
            self.coverage.hit("interrupt between pops")
        while state.ssdepth > depth:
            top = state.top()
            assert not (top.kind and (top.ra, top.sp) == (i.pc, i.rs2)), f"the entry of {i} is lost"
            state._pop_and_restore(top)
        self.coverage.hit("interrupt before an unwinding is complete")
        self.after = self.snapshot()

    interrupts = 0.02
    lock = 0.0
    comcause_before = 0
    link = CODE  # address of the instruction behind the one that was in execute
    last = None


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def random_programs(dut):
    """Context, shadow stack, faults and metadata after every instruction are the model's."""
    core = Core(dut)
    for episode in range(setting("EPISODES", 4)):
        await core.start()
        core.stalls = core.random.choice([0, 0.1, 0.3, 0.6])
        core.interrupts = core.random.choice([0, 0.005, 0.02, 0.1])
        for cycle in range(setting("CYCLES", 5000)):
            core.lock = 0.3 if cycle > 0.7 * setting("CYCLES", 5000) else 0
            try:
                await core.cycle()
            except AssertionError:
                dut._log.error("the last instructions:\n%s", "\n".join(map(str, core.history)))
                raise
        dut._log.info("episode %d: %d instructions", episode, core.retired)
    assert core.retired > setting("EPISODES", 4) * setting("CYCLES", 5000) // 10
    core.coverage.check(dut._log)
