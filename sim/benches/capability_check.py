"""Bench of the capability check: random instructions at random addresses, policies and ranges, against the
golden model; what the shadow stack says against a crossing is made up."""

import cocotb

from fides_core.isa.causes import ControlFlowFault
from fides_core.isa.csrs import Comsel, XfidesCSR
from fides_core.isa.xfides import PadKind
from fides_core.model.compartments import CompartmentState, ControlFlowTrap, ShadowEntry
from fides_core.model.xfides_csrs import XfidesRegisters

from .common import ADDRESSES, WORD, Coverage, Unit, configuration, differs, seeded, setting

PAGE = 64
CODE = 0x8000_0000
BOUNDS = (XfidesCSR.PARCOMPCSTART, XfidesCSR.ANYCOMPCSTART, XfidesCSR.ANYCOMPCEND)
Fault = ControlFlowFault
OBSTACLES = (0, Fault.BAD_PAD, Fault.SHADOW_UNDERFLOW, Fault.SHADOW_OVERFLOW)

REQUIRED = [
    *(("fault", fault.name) for fault in Fault if fault != Fault.BAD_UNWIND),
    *(("denied before", fault.name) for fault in OBSTACLES if fault), "obstacle before the owner",
    "home in the current range", "home in complete fluid", "home in restricted fluid",
    "restricted outside", "first word of a range", "last word of a range", "word before a range",
    "word behind a range",
    "first word of a fluid bound", "last word of a fluid bound",
    "call into restricted fluid", "call back out of restricted fluid", "call to a compartment",
    "entry pad at home", "local pad at home", "local pad crosses back", "local pad outside",
    "handler pad outside", "at home with another cid",
    *(("pad with the current cid outside", kind) for kind in ("ENTRY", "LOCAL")),
    "pad in the last word of its range", "pad in the last word before another range",
    "empty range", "crossing is killed", "crossing waits", "killed at once", "not checked",
    "restore", "restore to restricted", "restore, then at once an instruction", "restore is killed",
    "instruction right after a crossing",
    *(("write", csr.name) for csr in (*BOUNDS, XfidesCSR.CURRCOM)), *(("locked", csr.name) for csr in BOUNDS),
    "currcom read", "read of another register",
    *(("write", item) for item in ("start", "end", "row")), *(("locked", item) for item in ("start", "end",
    "row")),
]  # fmt: skip


class Bench:
    """The unit and the model."""

    def __init__(self, dut):
        self.unit = Unit(dut)
        self.random = seeded()
        config = configuration()
        self.state = CompartmentState(config.compartments, config.shadow_stack_entries)
        self.registers = XfidesRegisters(config, self.state, None)
        self.access = self.registers.registers(lambda: True)
        required = list(REQUIRED)
        if config.compartments > 64:
            required += [("matrix word", word, verdict) for word in range(config.compartments // 64)
                         for verdict in ("allowed", "denied")]  # fmt: skip
        if config.compartments < 256:
            required.append("compartment beyond the implemented ones")
        self.coverage = Coverage(required)
        self.words = (config.compartments + 63) // 64
        self.cids = []

    async def start(self):
        unit, rnd, count = self.unit, self.random, self.state.compartments
        await unit.reset(
            x_check=0, x_pc=0, x_pad=0, x_local=0, x_handler=0, x_cid=0, x_obstacle=0, x_advance=0,
            x_commit=0, restore_read=0, restore=0, restore_context=0,
            registers__number=0, registers__write=0, registers__wdata=0,
            window__number=0, window__item=0, window__write=0, window__locked=0,
        )  # fmt: skip
        differs("context after reset", 0, unit.get("context"))
        for word in range(0, count, 64):
            self.cids += rnd.sample(range(word, min(count, word + 64)), min(count, 3))
        for number in range(count):
            for item in range(2 + self.words):
                await self.write_window(number, item, 0, locked=False)
        for csr in BOUNDS:
            await self.write(csr, 0)

    async def write(self, csr, value, locked=False):
        self.registers.locked = locked
        self.unit.set(window__locked=locked)
        await self.unit.write(csr, value)
        self.access[csr][1](value)
        self.unit.set(window__locked=0)
        self.coverage.hit("locked" if locked else "write", csr.name)

    async def write_window(self, number, item, value, locked):
        self.registers.locked = locked
        self.access[XfidesCSR.COMSEL][1](number | item << 16)
        self.unit.set(
            window__number=self.access[XfidesCSR.COMSEL][0]() & 0xFFFF, window__item=item,
            window__locked=locked,
            window__write=1,
        )  # fmt: skip
        await self.unit.write(XfidesCSR.COMDATA, value)
        self.unit.set(window__write=0, window__locked=0)
        self.access[XfidesCSR.COMDATA][1](value)
        if item < Comsel.MATRIX_WORD0 + self.words:
            what = "start" if item == 0 else "end" if item == 1 else "row"
            self.coverage.hit("locked" if locked else "write", what)

    async def idle(self, cycles=1):
        self.unit.set(x_check=0, x_advance=0, x_commit=0)
        for _ in range(cycles):
            await self.unit.settle()
            await self.unit.clock()

    async def check_context(self):
        differs("currcom", self.access[XfidesCSR.CURRCOM][0](), await self.unit.read(XfidesCSR.CURRCOM))
        differs("context", self.state.currcom | self.state.restricted << 8, self.unit.get("context"))
        self.coverage.hit("currcom read")

    async def configure(self):
        """New ranges, policy and fluid code, some writes with LOCK; then a context."""
        rnd, state = self.random, self.state
        page = rnd.randrange(3)
        for cid in rnd.sample(self.cids, len(self.cids)):
            start = page + rnd.choice([0, 0, 0, -1]) if page else 0
            page += rnd.choice([0, 1, 1, 2])
            for item, value in ((Comsel.RANGE_START, start), (Comsel.RANGE_END, page)):
                locked = rnd.random() < 0.1
                upper = rnd.getrandbits(32) << 32
                await self.write_window(cid, item, CODE + PAGE * value | rnd.getrandbits(6) | upper, locked)
            for word in range(self.words):
                value = rnd.getrandbits(64) | rnd.getrandbits(64)
                await self.write_window(cid, Comsel.MATRIX_WORD0 + word, value, rnd.random() < 0.1)
        if rnd.random() < 0.3:
            item = rnd.choice([i for i in range(16) if not i < 2 + self.words])
            await self.write_window(rnd.choice(self.cids), item, rnd.getrandbits(64), False)
        bounds = sorted(page + rnd.randrange(4) for _ in BOUNDS)
        if rnd.random() < 0.2:
            rnd.shuffle(bounds)
        for csr, bound in zip(BOUNDS, bounds, strict=True):
            await self.write(csr, CODE + PAGE * bound | rnd.getrandbits(6), locked=rnd.random() < 0.1)
        for csr in set(XfidesCSR) - {XfidesCSR.CURRCOM}:
            differs(f"rdata for {csr.name}", 0, await self.unit.read(csr))
        self.coverage.hit("read of another register")
        # The current range counts when the context is loaded next (contract notes).
        context = rnd.choice(self.cids) | rnd.getrandbits(1) << 8
        await self.write(XfidesCSR.CURRCOM, context | rnd.getrandbits(55) << 9)
        await self.idle()
        await self.check_context()
        assert state.currcom == context & 0xFF

    def address(self):
        """Often the first or last word of a range, or just outside."""
        rnd, state = self.random, self.state
        cid = rnd.choice(self.cids)
        pairs = [
            (state.range_start[cid], state.range_end[cid]), (state.current_start, state.current_end),
            (state.restricted_fluid_start, state.fluid_start), (state.fluid_start, state.fluid_end),
        ]  # fmt: skip
        start, end = rnd.choice(pairs)
        if rnd.random() < 0.05:
            return rnd.choice([rnd.getrandbits(30) << 2, 0, ADDRESSES - 4, ADDRESSES - 64])
        inside = rnd.randrange(start, end, 4) if start < end else start
        place = rnd.choice(["inside", "inside", "start", "start", "last", "before", "end"])
        pc = {"inside": inside, "start": start, "last": end - 4, "before": start - 4, "end": end}[
            place
        ] & WORD
        if start >= end:
            self.coverage.hit("empty range")
        elif (start, end) == pairs[0] and place != "inside":
            names = {"start": "first word of a range", "last": "last word of a range",
                     "before": "word before a range",
                     "end": "word behind a range"}  # fmt: skip
            self.coverage.hit(names[place])
        elif (start, end) in pairs[2:] and place in ("start", "last"):
            self.coverage.hit(
                "first word of a fluid bound" if place == "start" else "last word of a fluid bound"
            )
        return pc

    def expected(self, pc, pad, obstacle):
        """What the model says, with a stack that has ``obstacle`` against a crossing; a fault or None."""
        state = self.state
        state.ssbase = state.ssdepth = 0
        ra, sp = 0x1000, 0x2000
        if obstacle == Fault.BAD_PAD:
            ra = ADDRESSES
        elif obstacle == Fault.SHADOW_UNDERFLOW:
            state.ssbase = state.ssdepth = 3
        elif obstacle == Fault.SHADOW_OVERFLOW:
            state.slots = [ShadowEntry()] * state.capacity
            state.ssdepth = state.capacity
        try:
            state.execute(pc, pad, ra, sp)
        except ControlFlowTrap as trap:
            return trap.reason
        return None

    def cover(self, pc, pad, obstacle, home, before, fault):
        state, hit = self.state, self.coverage.hit
        cid, restricted, start, end = before
        in_any = state.fluid_start <= pc < state.fluid_end
        in_par = state.restricted_fluid_start <= pc < state.fluid_start
        in_current = start <= pc < end
        local = pad is not None and pad[1] is PadKind.LOCAL
        if home:
            where = "complete fluid" if in_any else "restricted fluid" if restricted else "the current range"
            hit(f"home in {where}")
            if pad:
                hit("local pad at home" if local else "entry pad at home")
            return
        if restricted:
            hit("restricted outside")
        if local:
            hit("local pad crosses back" if in_current else "local pad outside")
        if fault is not None:
            hit("fault", fault.name)
        foreign = pad and not local and not in_current and not in_par and not restricted
        foreign = foreign and pad[0] != before[0]
        if foreign and pad[0] >= state.compartments:
            hit("compartment beyond the implemented ones")
        elif foreign:
            hit("matrix word", pad[0] // 64, "denied" if fault == Fault.DENIED else "allowed")
        if fault == Fault.DENIED and obstacle:
            hit("denied before", obstacle.name)
        if (
            foreign
            and fault == obstacle != 0
            and not state.range_start[pad[0]] <= pc < state.range_end[pad[0]]
        ):
            hit("obstacle before the owner")
        if fault is None:
            if pc % PAGE == PAGE - 4:
                hit("pad in the last word of its range")
                if any(state.range_start[other] == pc + 4 for other in self.cids):
                    hit("pad in the last word before another range")
            hit(
                "call into restricted fluid" if state.restricted
                else "call back out of restricted fluid" if restricted else "call to a compartment"
            )  # fmt: skip

    async def instruction(self):
        """One instruction in execute, for two cycles or more if it may cross."""
        unit, rnd, state, hit = self.unit, self.random, self.state, self.coverage.hit
        pc = self.address()
        kind = rnd.choice(
            [None, None, PadKind.ENTRY, PadKind.ENTRY, PadKind.ENTRY, PadKind.LOCAL, PadKind.HANDLER]
        )
        owners = [cid for cid in self.cids if state.range_start[cid] <= pc < state.range_end[cid]]
        cid = (
            rnd.choice(owners)
            if owners and rnd.random() < 0.8
            else rnd.choice([*self.cids, rnd.randrange(256)])
        )
        obstacle = rnd.choice([0, 0, 0, *OBSTACLES])
        pad = (cid, kind) if kind in (PadKind.ENTRY, PadKind.LOCAL) else None
        unit.set(
            x_check=1, x_pc=pc, x_pad=pad is not None, x_local=kind is PadKind.LOCAL, x_cid=cid,
            x_handler=kind is PadKind.HANDLER, x_obstacle=obstacle, x_advance=0,
        )  # fmt: skip
        saved = state.currcom, state.restricted, state.current_start, state.current_end
        home = state.home(pc)
        fault = None if kind is PadKind.HANDLER else self.expected(pc, pad, obstacle)
        if kind is PadKind.HANDLER:
            if not home:
                hit("handler pad outside")
        else:
            self.cover(pc, pad, obstacle, home, saved, fault)
        # A pad waits unless it is in a fluid range that the context allows, or has the current cid.
        in_any = state.fluid_start <= pc < state.fluid_end
        in_par = state.restricted_fluid_start <= pc < state.fluid_start
        current, restricted, *_ = saved
        expected_home = in_any or (in_par if restricted else not in_par and cid == current)
        crossing = pad is not None and not expected_home
        early = not crossing and fault is not None
        if crossing and home:
            hit("at home with another cid")
        if early and pad:
            hit("pad with the current cid outside", kind.name)
        what = f"{pc:#x}, pad {pad}, context {saved[:2]}"

        async def stays():
            """More cycles, for a reason of the pipeline's."""
            for _ in range(rnd.choice([0, 0, 1, 2])):
                yield 0
            yield 1

        async for leaving in stays():
            killed = rnd.random() < 0.05
            # What may cross stays whatever the pipeline could do.
            unit.set(x_advance=leaving and not crossing, x_commit=0)
            await unit.settle()
            differs(f"home at {what}", home, unit.get("x_home"))
            differs(f"x_fault at {what}", early, unit.get("x_fault"))
            differs(f"x_wait at {what}", crossing, unit.get("x_wait"))
            differs(f"x_crossing at {what}", 0, unit.get("x_crossing"))
            if early:
                differs(f"x_reason at {what}", fault, unit.get("x_reason"))
            unit.set(x_commit=leaving and not crossing and not early and not killed)
            await unit.clock()
            if killed:
                state.currcom, state.restricted, state.current_start, state.current_end = saved
                hit("killed at once")
                await self.idle(2)
                return
            if crossing:
                break
        if not crossing:
            unit.set(x_check=0, x_advance=0, x_commit=0)
            await self.check_context()
            return

        # The second cycle: matrix and new range are there.
        async for leaving in stays():
            killed = rnd.random() < 0.08
            unit.set(x_advance=leaving)
            await unit.settle()
            differs(f"x_crossing at {what}", not home, unit.get("x_crossing"))
            differs(f"x_wait at {what}", 0, unit.get("x_wait"))
            differs(f"x_fault at {what}, obstacle {obstacle}", fault is not None, unit.get("x_fault"))
            if fault is not None:
                differs(f"x_reason at {what}, obstacle {obstacle}", fault, unit.get("x_reason"))
            unit.set(x_commit=leaving and fault is None and not killed)
            await unit.settle()
            await unit.clock()
            if not leaving:
                hit("crossing waits")
            if killed:
                break
        unit.set(x_check=0, x_advance=0, x_commit=0)
        if killed:
            state.currcom, state.restricted, state.current_start, state.current_end = saved
            hit("crossing is killed")
        if killed or fault is not None:
            # Behind a trap nothing is in execute for two cycles.
            await self.idle(2)
        else:
            hit("instruction right after a crossing")
        await self.check_context()

    async def restore(self):
        """A return or a pop of an unwinding; the next instruction may be there in the next cycle."""
        unit, rnd = self.unit, self.random
        cid, restricted = rnd.choice(self.cids), rnd.random() < 0.3
        killed = rnd.random() < 0.1
        unit.set(restore_read=1, restore=not killed, restore_context=cid | restricted << 8, x_check=0)
        await unit.settle()
        await unit.clock()
        unit.set(restore_read=0, restore=0, restore_context=rnd.getrandbits(9))
        if killed:
            await self.idle(2)
            await self.check_context()
            self.coverage.hit("restore is killed")
            return
        self.state.set_context(cid, restricted)
        self.coverage.hit("restore to restricted" if restricted else "restore")
        await self.check_context()
        if rnd.random() < 0.3:
            await self.idle()
        else:
            self.coverage.hit("restore, then at once an instruction")

    async def unchecked(self):
        """Machine mode, or no instruction."""
        self.unit.set(x_check=0, x_pc=self.address(), x_pad=1, x_advance=1, x_handler=0, x_local=0)
        await self.unit.settle()
        for name in ("x_fault", "x_crossing", "x_wait"):
            differs(f"{name} without a check", 0, self.unit.get(name))
        await self.unit.clock()
        self.unit.set(x_advance=0)
        self.coverage.hit("not checked")


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def random_instructions(dut):
    """Verdicts and contexts are the model's."""
    bench = Bench(dut)
    await bench.start()
    for _ in range(setting("ROUNDS", 60)):
        await bench.configure()
        for _ in range(100):
            choice = bench.random.random()
            await (
                bench.instruction()
                if choice < 0.8
                else bench.restore()
                if choice < 0.95
                else bench.unchecked()
            )
    dut._log.info("%d cycles", bench.unit.cycles)
    bench.coverage.check(dut._log)
