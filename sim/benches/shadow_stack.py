"""Bench of the shadow stack: random pushes, pops and accesses of the monitor, against the golden model's
stack."""

import cocotb

from fides_core.isa.csrs import Comsel, XfidesCSR
from fides_core.model.compartments import CompartmentState
from fides_core.model.xfides_csrs import XfidesRegisters

from .common import WORD, Coverage, Unit, configuration, differs, seeded, setting

REQUIRED = [
    "push a call", "push a handler", "pop", "written, not pushed", "nothing", "top matches",
    "ra differs only", "sp differs only", "wide target", "wide sp", "empty", "full",
    "full after wrapping", "spilled", "spill", "refill", "depth at its limit", "entry read",
    "window write to another item", "depth crosses a multiple of the capacity",
    *(("entry write", item.name) for item in (Comsel.ENTRY_RA, Comsel.ENTRY_SP, Comsel.ENTRY_CONTEXT)),
    *(("read", csr.name) for csr in (XfidesCSR.SSDEPTH, XfidesCSR.SSBASE, XfidesCSR.COMDATA)),
    *(("write", csr.name) for csr in (XfidesCSR.SSDEPTH, XfidesCSR.SSBASE)),
    "read of another register",
]  # fmt: skip
ENTRY_ITEMS = (Comsel.ENTRY_RA, Comsel.ENTRY_SP, Comsel.ENTRY_CONTEXT)


class Bench:
    """The unit, the model, and the operations of execute and of the monitor."""

    def __init__(self, dut):
        self.unit = Unit(dut)
        self.random = seeded()
        config = configuration()
        self.state = CompartmentState(config.compartments, config.shadow_stack_entries)
        self.registers = XfidesRegisters(config, self.state, None)
        self.access = self.registers.registers(lambda: True)
        self.coverage = Coverage(REQUIRED)

    async def start(self):
        await self.unit.reset(
            x_target=0, x_ra=0, x_sp=0, x_context=0, x_mark=0, x_kind=0, x_write=0, x_grows=0, push=0, pop=0,
            machine=1,
            registers__number=0, registers__write=0, registers__wdata=0,
            window__number=0, window__item=0, window__write=0, window__locked=0,
        )  # fmt: skip
        for number in range(self.state.capacity):
            await self.write_entry(number, [self.random.getrandbits(64) for _ in range(3)])

    def some_address(self) -> int:
        """An address, often one that the top has."""
        entry = self.state.entry(self.state.ssdepth - 1)
        choice = self.random.randrange(6)
        if choice < 2:
            return (entry.ra, entry.sp)[choice]
        value = self.random.choice([0x8000_0000, 0x8000_1000, entry.ra, entry.sp]) + self.random.randrange(4)
        if choice == 2:
            value ^= 1 << self.random.randrange(32)
        return value & WORD

    def wider(self, address: int) -> int:
        """Now and then 2^32 or more, by any upper bit."""
        return address | 1 << self.random.randrange(32, 64) if self.random.random() < 0.1 else address

    async def compare(self, target: int, sp: int):
        """All outputs that describe the stack, in user mode."""
        unit, state, coverage = self.unit, self.state, self.coverage
        unit.set(x_target=target, x_sp=sp)
        await unit.settle()
        differs("top_ready", 1, unit.get("top_ready"))
        on_chip = state.ssdepth != state.ssbase
        differs("present", on_chip, unit.get("present"))
        differs("spilled", not on_chip and state.ssdepth > 0, unit.get("spilled"))
        differs("full", state.full, unit.get("full"))
        wide = bool(target >> 32 or sp >> 32)
        differs("wide", wide, unit.get("wide"))
        if not on_chip:
            coverage.hit("spilled" if state.ssdepth else "empty")
            return
        top = state.entry(state.ssdepth - 1)
        differs("top", packed(top), unit.get("top"))
        differs("matches", (top.ra, top.sp) == (target, sp), unit.get("matches"))
        if wide and (top.ra, top.sp) == (target & WORD, sp & WORD):
            coverage.hit("wide target" if target >> 32 else "wide sp")
        elif (top.ra, top.sp) == (target, sp):
            coverage.hit("top matches")
        elif top.sp == sp:
            coverage.hit("ra differs only")
        elif top.ra == target:
            coverage.hit("sp differs only")
        if state.full:
            coverage.hit("full")
            if state.ssdepth == 0xFFFF:
                coverage.hit("depth at its limit")
            elif state.ssbase % state.capacity:
                coverage.hit("full after wrapping")

    async def cycle(self):
        await self.unit.settle()
        await self.unit.clock()

    async def user_step(self):
        """One instruction in execute: it writes above the top, and may change the depth."""
        unit, state, rnd = self.unit, self.state, self.random
        await self.compare(self.wider(self.some_address()), self.wider(self.some_address()))
        top = state.entry(state.ssdepth - 1)
        await self.compare(self.wider(top.ra), self.wider(top.sp))
        action = rnd.choice(["push", "push", "pop", "abandon", "nothing"])
        before = state.ssdepth
        if action in ("push", "abandon") and not (action == "push" and state.full):
            ra, sp, kind = self.some_address(), self.wider(self.some_address()), rnd.getrandbits(1)
            cid, restricted, mark = rnd.randrange(state.compartments), rnd.getrandbits(1), rnd.getrandbits(16)
            # The instruction may stay in execute for some cycles, and then leave it with or without a push.
            unit.set(x_ra=ra, x_sp=sp, x_kind=kind, x_context=cid | restricted << 8, x_mark=mark, x_write=1)
            for _ in range(rnd.choice([0, 0, 1])):
                unit.set(x_grows=rnd.getrandbits(1))
                await self.cycle()
            unit.set(push=action == "push", x_grows=1)
            await self.cycle()
            unit.set(push=0, x_write=0)
            if action == "push":
                # The model's rules push the context; its ranges do not matter here.
                state.set_context(cid, restricted)
                state.mark.value = mark
                state._push(kind, ra, sp & WORD)
                self.coverage.hit("push a handler" if kind else "push a call")
            else:
                self.coverage.hit("written, not pushed")
        elif action == "pop" and state.ssdepth != state.ssbase:
            unit.set(pop=1, x_grows=0)
            await self.cycle()
            unit.set(pop=0)
            state._pop_and_restore(state.top())
            self.coverage.hit("pop")
        else:
            await self.cycle()
            self.coverage.hit("nothing")
            return
        if before // state.capacity != state.ssdepth // state.capacity:
            self.coverage.hit("depth crosses a multiple of the capacity")
        if state.ssdepth != before:
            await unit.settle()
            differs("top_ready after a change", 0, unit.get("top_ready"))
            await self.cycle()

    async def write(self, csr, value):
        await self.unit.write(csr, value)
        self.access[csr][1](value)
        self.coverage.hit("write", csr.name)

    async def select(self, number, item):
        self.unit.set(window__number=number, window__item=item, registers__number=XfidesCSR.COMDATA)
        self.access[XfidesCSR.COMSEL][1](number | item << 16)
        await self.cycle()

    async def write_window(self, number, item, value):
        await self.select(number, item)
        # LOCK does not protect entries.
        self.unit.set(window__locked=self.random.getrandbits(1), window__write=1)
        await self.unit.write(XfidesCSR.COMDATA, value)
        self.unit.set(window__write=0, window__locked=0)
        await self.cycle()

    async def write_entry(self, number, words):
        order = list(zip(ENTRY_ITEMS, words, strict=True))
        self.random.shuffle(order)
        for item, value in order:
            await self.write_window(number, item, value)
            self.access[XfidesCSR.COMDATA][1](value)
            self.coverage.hit("entry write", item.name)

    async def check_entry(self, number):
        for item in ENTRY_ITEMS:
            await self.select(number, item)
            seen = await self.unit.read(XfidesCSR.COMDATA)
            differs(f"{item.name} of entry {number}", self.access[XfidesCSR.COMDATA][0](), seen)
            self.coverage.hit("read", "COMDATA")
        self.coverage.hit("entry read")

    async def monitor(self):
        """What the monitor does in machine mode: look, spill, refill, start anew."""
        unit, state, rnd = self.unit, self.state, self.random
        unit.set(machine=1)
        await self.cycle()
        for csr in (XfidesCSR.SSDEPTH, XfidesCSR.SSBASE):
            differs(csr.name, self.access[csr][0](), await unit.read(csr))
            self.coverage.hit("read", csr.name)
        for csr in set(XfidesCSR) - {XfidesCSR.SSDEPTH, XfidesCSR.SSBASE, XfidesCSR.COMDATA}:
            differs(f"rdata for {csr.name}", 0, await unit.read(csr))
        self.coverage.hit("read of another register")
        action = rnd.choice(["look", "look", "spill", "refill", "anew", "overwrite", "other item", "push"])
        held = state.ssdepth - state.ssbase
        if action == "look":
            for number in range(state.ssbase, state.ssdepth):
                await self.check_entry(number)
        elif action == "spill" and held:
            await self.write(XfidesCSR.SSBASE, state.ssbase + rnd.choice([1, held, rnd.randint(1, held)]))
            self.coverage.hit("spill")
        elif action == "refill" and state.ssbase and held < state.capacity:
            room = min(state.ssbase, state.capacity - held)
            count = rnd.choice([1, room, rnd.randint(1, room)])
            await self.write(XfidesCSR.SSBASE, state.ssbase - count)
            for number in range(state.ssbase, state.ssbase + count):
                await self.write_entry(number, [rnd.getrandbits(64) for _ in range(3)])
            self.coverage.hit("refill")
        elif action == "anew":
            base = rnd.choice([0, 0, 1, state.capacity, rnd.randrange(0xFF00), 0xFFFF - state.capacity])
            depth = base + rnd.choice([0, 1, state.capacity, rnd.randint(0, state.capacity)])
            upper = rnd.getrandbits(48) << 16
            for csr, value in ((XfidesCSR.SSBASE, base), (XfidesCSR.SSDEPTH, depth)):
                await self.write(csr, value | upper)
            differs("SSDEPTH", depth, await unit.read(XfidesCSR.SSDEPTH))
            # What is above the top is undefined until it is written.
            for number in range(base, depth):
                await self.write_entry(number, [rnd.getrandbits(64) for _ in range(3)])
        elif action == "overwrite":
            number = rnd.randrange(1 << 16)
            await self.write_entry(number, [rnd.getrandbits(64) for _ in range(3)])
            await self.check_entry(number)
        elif action == "other item":
            number, item = rnd.randrange(state.capacity), rnd.choice([*range(8), *range(11, 16)])
            await self.write_entry(number, [rnd.getrandbits(64) for _ in range(3)])
            await self.write_window(number, item, rnd.getrandbits(64))
            differs(f"comdata of item {item}", 0, await unit.read(XfidesCSR.COMDATA))
            await self.check_entry(number)
            self.coverage.hit("window write to another item")
        elif action == "push":
            # Pads do nothing in machine mode, whatever execute shows.
            unit.set(x_write=0, x_ra=rnd.getrandbits(32))
            await self.cycle()
        unit.set(machine=0, window__number=rnd.randrange(state.capacity))
        await self.cycle()


def packed(entry) -> int:
    """An entry as the port ``top`` has it."""
    return (
        entry.ra
        | entry.sp << 32
        | entry.cid << 64
        | entry.restricted << 72
        | entry.kind << 73
        | entry.fmark << 74
    )


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def random_operations(dut):
    """The stack and its registers do what the model's do."""
    bench = Bench(dut)
    await bench.start()
    for _ in range(setting("ROUNDS", 300)):
        await bench.monitor()
        for _ in range(bench.random.randrange(30)):
            await bench.user_step()
    await bench.monitor()
    dut._log.info("%d cycles", bench.unit.cycles)
    bench.coverage.check(dut._log)
