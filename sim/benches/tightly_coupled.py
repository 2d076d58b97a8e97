"""Bench of the system of a core without caches: its two buses, with random requests, which are withdrawn and
changed until they are granted."""

import cocotb

from fides_core.soc.memory_map import BOOT_ROM, CLINT, EXIT, MAIN_MEMORY_BASE, PLIC, UART

from .axi import merge
from .axi_system import COMPARE, boot_word
from .common import Coverage, Unit, differs, seeded, setting

REQUIRED = [
    "fetch", "fetch of the boot ROM", "fetch of a device", "fetch of nowhere", "load", "store",
    "partial store", "load of the boot ROM", "store to the boot ROM", "device store", "device load",
    "load of nowhere", "store to nowhere",
    "request not granted", "both in one cycle",
    *([] if setting("STALLS", 0) else ["answers next cycle"]),
]  # fmt: skip
NOWHERE = (0x0, BOOT_ROM.base - 8, PLIC.base, 0x7FFF_FFF8, 0xFFFF_FFF8)


class Access:
    """A request of a bus; ``check`` judges (rdata, err) of its response."""

    def __init__(self, check, **signals):
        self.check, self.signals, self.granted = check, signals, None


class Bench:
    def __init__(self, dut):
        self.unit, self.random, self.coverage = Unit(dut), seeded(), Coverage(REQUIRED)
        self.size = setting("MEMORY_BYTES", 1 << 14)
        self.memory = {}
        self.compare = (1 << 64) - 1

    def okay(self, expected, what):
        def check(data, err):
            differs(f"{what}: err", 0, err)
            if expected is not None:
                differs(what, expected, data)
            self.coverage.hit(what)

        return check

    def fault(self, what):
        def check(_, err):
            differs(f"{what}: err", 1, err)
            self.coverage.hit(what)

        return check

    def some_word(self):
        return MAIN_MEMORY_BASE + self.random.randrange(self.size // 8) * 8

    def fetch(self):
        rnd = self.random
        what = rnd.randrange(8)
        if what == 0:
            address = BOOT_ROM.base + rnd.choice([0, 8, 16, 64])
            return Access(self.okay(boot_word(address), "fetch of the boot ROM"), addr=address)
        if what == 1:
            address = rnd.choice([UART.base + 8, COMPARE, EXIT.base])
            return Access(self.fault("fetch of a device"), addr=address)
        if what == 2:
            address = rnd.choice([*NOWHERE, MAIN_MEMORY_BASE + self.size])
            return Access(self.fault("fetch of nowhere"), addr=address)
        address = self.some_word()
        return Access(None, addr=address)  # what it reads is known when it is granted

    def data(self):
        rnd = self.random
        what = rnd.randrange(16)
        value = rnd.getrandbits(64)

        def load(check, address):
            return Access(check, addr=address, we=0, be=255, wdata=value)

        def store(check, address, lanes=255):
            return Access(check, addr=address, we=1, be=lanes, wdata=value)

        if what == 0:
            address = BOOT_ROM.base + rnd.choice([0, 8, 16, 64])
            return load(self.okay(boot_word(address), "load of the boot ROM"), address)
        if what == 1:
            return store(self.fault("store to the boot ROM"), BOOT_ROM.base)
        if what == 2:
            lanes = rnd.choice([255, 0x0F, 0x80])
            access = store(self.okay(None, "device store"), COMPARE, lanes)
            memory = {0: self.compare}
            merge(memory, 0, value, lanes)
            access.compare = memory[0]
            return access
        if what == 3:
            return load(self.okay(self.compare, "device load"), COMPARE)
        if what in (4, 5):
            address = rnd.choice([*NOWHERE, MAIN_MEMORY_BASE + self.size, CLINT.base + CLINT.size])
            if what == 4:
                return load(self.fault("load of nowhere"), address)
            return store(self.fault("store to nowhere"), address)
        address = self.some_word()
        if what < 11:
            return load(None, address)
        lanes = rnd.choice([255, 255, rnd.randrange(1, 256)])
        return store(self.okay(None, "store" if lanes == 255 else "partial store"), address, lanes)

    def granted(self, bus, access):
        """The moment at which an access takes place, as seen by the other bus."""
        if access.check is None:
            what = "fetch" if bus == "ibus" else "load"
            access.check = self.okay(self.memory[access.signals["addr"]], what)
        elif access.signals.get("we") and access.signals["addr"] in self.memory:
            merge(self.memory, access.signals["addr"], access.signals["wdata"], access.signals["be"])
        elif hasattr(access, "compare"):
            self.compare = access.compare

    async def fill(self):
        unit = self.unit
        for address in range(MAIN_MEMORY_BASE, MAIN_MEMORY_BASE + self.size, 8):
            self.memory[address] = value = self.random.getrandbits(64)
            unit.set(dbus__req=1, dbus__addr=address, dbus__we=1, dbus__be=255, dbus__wdata=value)
            for wanted in ("gnt", "rvalid"):
                for _ in range(200):
                    await unit.settle()
                    seen = unit.get(f"dbus__{wanted}")
                    await unit.clock()
                    if seen:
                        break
                else:
                    raise AssertionError(f"no {wanted}")
                unit.set(dbus__req=0)


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def random_requests(dut):
    """Every request that is granted is answered once, with its data."""
    bench = Bench(dut)
    unit, random, coverage = bench.unit, bench.random, bench.coverage
    unit.set(ibus__req=0, ibus__addr=0, dbus__req=0, dbus__addr=0, dbus__we=0, dbus__be=0, dbus__wdata=0)
    await unit.reset()
    await bench.fill()
    open_ = {"ibus": None, "dbus": None}
    answers = 0
    for cycle in range(setting("ROUNDS", 3000)):
        asked = {}
        await unit.settle()
        # Responses do not depend on requests of the same cycle; the core may ask again with the response.
        for bus in open_:
            if open_[bus] is not None and unit.get(f"{bus}__rvalid"):
                access, open_[bus] = open_[bus], None
                access.check(unit.get(f"{bus}__rdata"), unit.get(f"{bus}__err"))
                answers += 1
                if cycle == access.granted + 1:
                    coverage.hit("answers next cycle")
            else:
                differs(f"{bus} rvalid", 0, unit.get(f"{bus}__rvalid") & (open_[bus] is None))
                assert open_[bus] is None or cycle < open_[bus].granted + 200, f"{bus} is not answered"
        grants = {bus: unit.get(f"{bus}__gnt") for bus in open_}
        for bus, make in (("ibus", bench.fetch), ("dbus", bench.data)):
            if open_[bus] is None and random.random() < 0.7:
                asked[bus] = make()
                unit.set(**{f"{bus}__{name}": value for name, value in asked[bus].signals.items()})
            unit.set(**{f"{bus}__req": bus in asked})
        await unit.settle()
        differs("axi_violation", 0, unit.get("axi_violation"))
        for bus in asked:
            differs(f"{bus} gnt depends on a request", grants[bus], unit.get(f"{bus}__gnt"))
        # A fetch and a store of the same word in one cycle: the fetch may see either.
        if len(asked) == 2 and all(grants.values()):
            coverage.hit("both in one cycle")
            if asked["ibus"].signals["addr"] == asked["dbus"].signals["addr"] and asked["dbus"].signals["we"]:
                unit.set(ibus__req=0)
                del asked["ibus"]
                await unit.settle()
        for bus, access in asked.items():
            if grants[bus]:
                bench.granted(bus, access)
                access.granted, open_[bus] = cycle, access
            else:
                coverage.hit("request not granted")
        await unit.clock()
    dut._log.info("%d answers in %d cycles", answers, unit.cycles)
    coverage.check(dut._log)
