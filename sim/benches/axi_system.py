"""Bench of the system of a cached core: random traffic of the instruction and the data port to main memory,
boot ROM, devices and nowhere; and the latency of a line."""

import cocotb

from fides_core.axi.signatures import Burst, Response
from fides_core.soc.memory import _boot_words
from fides_core.soc.memory_map import BOOT_ROM, CLINT, EXIT, MAIN_MEMORY_BASE, PLIC, UART

from .axi import Manager, Port, Transaction, merge
from .common import Coverage, Unit, differs, seeded, setting

COMPARE = CLINT.base + 0x4000
NOWHERE = (0x0, BOOT_ROM.base - 8, BOOT_ROM.base + BOOT_ROM.size, PLIC.base, 0x7FFF_FFF8, 0xFFFF_FFF8)
REQUIRED = [
    "line read by both", "line written", "narrow write", "byte read", "wrapping read",
    "fetch of the boot ROM", "read of the boot ROM", "write to the boot ROM",
    "fetch of a device", "read of nowhere", "write to nowhere", "fetch of nowhere", "mtimecmp written",
    "mtimecmp read", "burst read of a device", "burst write to a device",
    "software interrupt", "character sent",
]  # fmt: skip


def boot_word(address: int) -> int:
    words = _boot_words(0)
    index = (address - BOOT_ROM.base) // 4
    return words[index] | words[index + 1] << 32 if index < len(words) else 0


class Bench:
    def __init__(self, dut):
        self.dut, self.unit, self.random = dut, Unit(dut), seeded()
        self.coverage = Coverage(REQUIRED)
        self.size = setting("MEMORY_BYTES", 1 << 14)
        self.memory = {}
        self.compare = (1 << 64) - 1
        self.managers = []
        self.busy = set()

    async def start(self):
        unit = self.unit
        # Random waits would take data ahead of its address, which is legal, but not followed by the checker.
        early = not setting("STALLS", 0)
        self.managers = [
            Manager(Port(unit, name), self.random, early_data=early) for name in ("iaxi", "daxi")
        ]
        await unit.reset()
        await self.unit.clock()  # no valid in the first cycle after reset

    async def cycle(self):
        for manager in self.managers:
            manager.drive()
        await self.unit.settle()
        differs("axi_violation", 0, self.unit.get("axi_violation"))
        for manager in self.managers:
            manager.sample()
        await self.unit.clock()

    def write(self, address, values, **more):
        t = Transaction(True, address, len(values) - 1, **more)
        t.data = [(value, lanes) for value, (_, lanes) in zip(values, t.beats, strict=True)]
        return t

    async def alone(self, manager: int, t: Transaction):
        """Make one transaction and wait for its end."""
        port = self.managers[manager]
        port.start(t)
        for _ in range(2000):
            await self.cycle()
            if t in port.done:
                port.done.remove(t)
                await self.unit.settle()
                return t
        raise AssertionError("no answer")

    def traffic(self, number):
        """A random transaction of memory; None when its place is in use."""
        rnd = self.random
        block = rnd.randrange(self.size // 256) * 256
        write = number == 1 and rnd.random() < 0.5
        if any(place == block and (write or writing) for _, place, writing in self.busy):
            return None
        size = rnd.choice([3, 3, 3, 2, 1, 0])
        burst = rnd.choice([Burst.INCR, Burst.INCR, Burst.WRAP])
        length = rnd.choice([1, 3, 7]) if burst == Burst.WRAP else rnd.choice([0, 7, 7, rnd.randrange(16)])
        address = MAIN_MEMORY_BASE + block + rnd.choice([0, 64, rnd.randrange(64)])
        if burst == Burst.WRAP:
            address = address >> size << size
        t = Transaction(write, address, length, size, burst, rnd.getrandbits(1))
        if write:
            strobes = rnd.choice([255, rnd.getrandbits(8)])
            t.data = [(rnd.getrandbits(64), lanes & strobes) for _, lanes in t.beats]
        self.busy.add((id(t), block, write))
        return t

    def finish(self, number, t):
        if t.write:
            differs("response", Response.OKAY, t.response)
            for (word, _), (value, strobes) in zip(t.beats, t.data, strict=True):
                merge(self.memory, word, value, strobes)
            what = "narrow write" if t.size < 3 else "line written" if t.length == 7 else "other write"
            self.coverage.hit(what)
        else:
            for (word, _), (value, response) in zip(t.beats, t.received, strict=True):
                differs("response", Response.OKAY, response)
                differs(f"read of {word:#x}", self.memory.get(word, 0), value)
            if t.burst == Burst.WRAP:
                self.coverage.hit("wrapping read")
            if t.length == 7 and self.managers[1 - number].shown["ar"]:
                self.coverage.hit("line read by both")
            if t.size == 0:
                self.coverage.hit("byte read")
        self.busy = {entry for entry in self.busy if entry[0] != id(t)}

    async def memory_traffic(self, cycles):
        for cycle in range(cycles + 2000):
            for number, manager in enumerate(self.managers):
                if cycle < cycles and manager.count(False) + manager.count(True) < 4:
                    if t := self.traffic(number):
                        manager.start(t)
            await self.cycle()
            for number, manager in enumerate(self.managers):
                for t in manager.done:
                    self.finish(number, t)
                manager.done.clear()
            if cycle >= cycles and not self.busy:
                break
        differs("transactions left over", set(), self.busy)

    async def others(self, what):
        """Boot ROM, devices and nowhere, in 13 kinds."""
        rnd, hit = self.random, self.coverage.hit
        if what in (0, 1):
            offset = rnd.choice([0, 8, 16, 64, 0xFC0])
            t = await self.alone(what, Transaction(False, BOOT_ROM.base + offset, rnd.choice([0, 7])))
            for (word, _), got in zip(t.beats, t.received, strict=True):
                differs("boot ROM", (boot_word(word), Response.OKAY), got)
            hit(("fetch of the boot ROM", "read of the boot ROM")[what])
        elif what == 2:
            t = await self.alone(1, self.write(BOOT_ROM.base, [rnd.getrandbits(64)]))
            differs("write to the boot ROM", Response.DECERR, t.response)
            hit("write to the boot ROM")
        elif what == 3:
            device = rnd.choice([UART.base + 8, COMPARE, EXIT.base])
            t = await self.alone(0, Transaction(False, device))
            differs("fetch of a device", [(0, Response.DECERR)], t.received)
            hit("fetch of a device")
        elif what in (4, 12):
            where = rnd.choice([*NOWHERE, MAIN_MEMORY_BASE + self.size])
            manager = int(what == 12)
            t = await self.alone(manager, Transaction(False, where))
            differs("read of nowhere", Response.DECERR, t.received[0][1])
            hit(("fetch of nowhere", "read of nowhere")[manager])
        elif what == 5:
            where = rnd.choice([*NOWHERE, MAIN_MEMORY_BASE + self.size])
            t = await self.alone(1, self.write(where, [1]))
            differs("write to nowhere", Response.DECERR, t.response)
            hit("write to nowhere")
        elif what == 6:
            # All of the register, or one half of it.
            size = rnd.choice([3, 2])
            offset = rnd.choice([0, 4]) if size == 2 else 0
            value = rnd.getrandbits(64) | 1 << 63
            t = await self.alone(1, self.write(COMPARE + offset, [value], size=size))
            differs("write of mtimecmp", Response.OKAY, t.response)
            memory = {0: self.compare}
            merge(memory, 0, value, t.data[0][1])
            self.compare = memory[0]
            hit("mtimecmp written")
        elif what == 7:
            t = await self.alone(1, Transaction(False, COMPARE))
            differs("mtimecmp", [(self.compare, Response.OKAY)], t.received)
            hit("mtimecmp read")
        elif what == 8:
            t = await self.alone(1, Transaction(False, COMPARE, rnd.choice([1, 7])))
            differs("burst read of a device", {Response.SLVERR}, {response for _, response in t.received})
            hit("burst read of a device")
        elif what == 9:
            t = await self.alone(1, self.write(COMPARE, [0, 0, 0, 0]))
            differs("burst write to a device", Response.SLVERR, t.response)
            hit("burst write to a device")
        elif what == 10:
            value = rnd.getrandbits(1)
            await self.alone(1, self.write(CLINT.base, [value], size=2))
            await self.unit.settle()
            differs("software interrupt", value, self.unit.get("software_interrupt"))
            hit("software interrupt")
        else:
            # A character with a 0 at its end, so that the line is seen to move.
            await self.alone(1, self.write(UART.base + 4, [0x20 << 32], size=2))
            for _ in range(20):
                await self.cycle()
                if not self.unit.get("uart_tx"):
                    hit("character sent")
                    break
            else:
                raise AssertionError("the UART does not send")


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def random_traffic(dut):
    """Reads give what was written; errors where they are due; no violation of the protocol."""
    bench = Bench(dut)
    await bench.start()
    # Everything that is read later is written once: memories come up with anything.
    for address in range(MAIN_MEMORY_BASE, MAIN_MEMORY_BASE + bench.size, 128):
        t = bench.write(address, [bench.random.getrandbits(64) for _ in range(16)])
        bench.managers[1].start(t)
    while bench.managers[1].count(True):
        await bench.cycle()
    for t in bench.managers[1].done:
        bench.finish(1, t)
    bench.managers[1].done.clear()
    rounds = setting("ROUNDS", 3000)
    for _ in range(10):
        await bench.memory_traffic(rounds // 10)
        for what in bench.random.sample(range(13), 13):
            await bench.others(what)
    t = await bench.alone(1, bench.write(EXIT.base, [0x1234_5678], size=2))
    await bench.unit.settle()
    differs("exit", (1, 0x1234_5678), (bench.unit.get("exit_valid"), bench.unit.get("exit_code")))
    dut._log.info("%d cycles", bench.unit.cycles)
    bench.coverage.check(dut._log)


@cocotb.test(timeout_time=1, timeout_unit="ms", skip=bool(setting("STALLS", 0)))
async def latency_of_a_line(dut):
    """Eight beats and four cycles more, from the address to the last beat, when nothing is in the way."""
    bench = Bench(dut)
    await bench.start()
    for manager in bench.managers:
        manager.eager = True
    for number in (0, 1):
        await bench.cycle()
        t = await bench.alone(number, Transaction(False, MAIN_MEMORY_BASE + 64, 7))
        dut._log.info("a line of 64 bytes in %d cycles", t.cycles)
        differs("cycles of a line", 11, t.cycles)
