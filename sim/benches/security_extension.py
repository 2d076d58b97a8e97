"""Bench of the security extension: a core without a data path executes random instructions at random
addresses, with execute and memory stage as the core has them, and the golden model says what each of them
must do.

State, faults, comcause and mtval are compared when an instruction leaves the memory stage. With LATE_VERDICT,
a val is judged one cycle later, and the instruction that has come to the memory stage behind it is dropped.
"""

from collections import deque
from dataclasses import dataclass

import cocotb

from fides_core.isa.causes import ControlFlowFault, ExceptionCause
from fides_core.isa.csrs import Comsel, XfidesCSR
from fides_core.isa.xfides import pack_entry

from .common import NOBODYS, WORD, Unit, configuration, differs, setting
from .extension_judge import BINDING, CODE, TABLE_OPS, VALS, Expected, Instruction, Op
from .extension_programs import TABLE, Programs

LONGEST_STAY = 400  # cycles in execute


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


class Core(Programs):
    """The unit with execute and memory stage around it, the model beside it, and the program."""

    def __init__(self, dut):
        config = configuration()
        super().__init__(config, bool(setting("LATE_VERDICT", 0)))
        self.config = config
        self.unit = Unit(dut)
        self.x: Instruction | None = None
        self.m = Memory()
        self.response: Response | None = None
        self.verdict: Instruction | None = None  # the val whose verdict comes in this cycle: it fails
        self.gap = 0
        self.after: dict | None = None  # what the probed registers must be in this cycle
        self.stalls = 0.2
        self.retired = 0
        self.history: deque[Instruction] = deque(maxlen=12)
        self.bus_writes: list = []

    @property
    def ahead(self) -> Instruction | None:
        return self.m.instruction

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
