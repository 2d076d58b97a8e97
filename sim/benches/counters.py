"""The counter memory: every value that an access sees, against plain numbers."""

import cocotb

from fides_core.core.counters import CSRAccess

from .common import DOUBLE, Coverage, Unit, differs, seeded, setting

RETIRED = 2  # minstret
ACCESSES = tuple(CSRAccess)
EDGES = (0, DOUBLE, DOUBLE - 3, (1 << 32) - 2, (1 << 63) - 1, 0x1F, 0xFFE0)


class Bench:
    def __init__(self, dut):
        self.unit = Unit(dut)
        self.random = seeded()
        self.counters, self.slots = setting("COUNTERS", 13), setting("SLOTS", 32)
        self.retired_late = setting("RETIRED_LATE", 0)
        self.words = [0] * self.slots
        self.accessed = False  # in the cycle before
        counting = [i for i in range(self.counters) if i != 1]
        self.coverage = Coverage(
            [
                *(("read", i) for i in range(self.slots)),
                *(("write", i) for i in range(self.slots)),
                *(("increment is lost to a write", i) for i in counting),
                *(("carry out of bit 31", i) for i in counting),
                *(("wraps around", i) for i in counting),
                *(("operation", access.name) for access in CSRAccess),
                "access without a write",
                "bits stay fixed",
                "value from elsewhere",
                "access in every other cycle, all count",
                *["read with an increment of the cycle before"] * self.retired_late,
            ]
        )

    def increments(self, kind: str) -> int:
        everything = (1 << self.counters) - 1
        return {
            "all": everything,
            "none": 0,
            "some": self.random.getrandbits(self.counters),
            "few": self.random.getrandbits(self.counters) & self.random.getrandbits(self.counters),
        }[kind]

    async def cycle(self, increment: int, access: dict | None) -> None:
        """One cycle; ``access`` has slot, operation, operand, other, fixed and write."""
        unit, hit, words = self.unit, self.coverage.hit, self.words
        assert not (access and self.accessed), "the bench breaks the contract"
        unit.set(increment=increment, access=access is not None, write=0, operation=0)
        if access is None:  # what the other inputs are does not matter then
            unit.set(
                slot=self.random.randrange(self.slots), other=self.random.getrandbits(64),
                operand=self.random.getrandbits(64), fixed=self.random.getrandbits(64),
            )  # fmt: skip
        else:
            unit.set(**access)
        await unit.settle()
        if self.retired_late and increment >> RETIRED & 1:
            # It is one of the cycle before, and so comes before the access.
            increment ^= 1 << RETIRED
            self.count(RETIRED)
            if access is not None and access["slot"] == RETIRED:
                hit("read with an increment of the cycle before")
                if access["write"]:
                    hit("increment is lost to a write", RETIRED)
        written = None
        if access is not None:
            slot, operand, fixed = access["slot"], access["operand"], access["fixed"]
            read = words[slot] | access["other"]
            what = f"slot {slot}, cycle {unit.cycles}"
            differs(f"rdata of {what}", read, unit.get("rdata"))
            result = [words[slot], operand, read | operand, read & ~operand][access["operation"]]
            result = words[slot] & fixed | result & ~fixed & DOUBLE
            differs(f"wdata of {what}", result, unit.get("wdata"))
            hit("read", slot)
            hit("operation", CSRAccess(access["operation"]).name)
            if access["other"]:
                hit("value from elsewhere")
            if access["write"]:
                written = slot
                hit("write", slot)
                if fixed & (operand ^ words[slot]):
                    hit("bits stay fixed")
            else:
                hit("access without a write")
        for i in (0, *range(2, self.counters)):
            if increment >> i & 1:
                if written == i:
                    hit("increment is lost to a write", i)
                else:
                    self.count(i)
        if written is not None:
            words[written] = result
        self.accessed = access is not None
        await unit.clock()

    def count(self, i: int) -> None:
        """One more."""
        words, hit = self.words, self.coverage.hit
        words[i] = words[i] + 1 & DOUBLE
        if words[i] & 0xFFFFFFFF == 0:
            hit("carry out of bit 31", i)
        if words[i] == 0:
            hit("wraps around", i)

    def access(self) -> dict:
        rnd = self.random
        slot = rnd.randrange(self.slots) if rnd.random() < 0.4 else rnd.randrange(self.counters)
        operation = rnd.choice(ACCESSES)
        operand = rnd.choice((*EDGES, rnd.getrandbits(64), rnd.getrandbits(64), rnd.getrandbits(8)))
        fixed = rnd.choice((0, 0, 0, 2, DOUBLE << 32 & DOUBLE, rnd.getrandbits(64)))
        elsewhere = slot >= self.counters and not self.words[slot] and rnd.random() < 0.5
        other = rnd.getrandbits(64) if elsewhere else 0
        write = operation is not CSRAccess.NONE and rnd.random() < 0.7 and not other
        return dict(
            slot=slot, operation=int(operation), operand=operand, other=other, fixed=fixed, write=int(write)
        )

    async def check_all(self) -> None:
        """Every word, by reading alone."""
        for slot in range(self.slots):
            await self.cycle(0, None)
            await self.cycle(0, dict(slot=slot, operation=0, operand=0, other=0, fixed=0, write=0))


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def random_accesses(dut):
    """Values are exact in every cycle, whatever counts and however often they are accessed."""
    bench = Bench(dut)
    rnd = bench.random
    await bench.unit.reset(
        increment=0, access=0, slot=0, operation=0, operand=0, other=0, fixed=0, write=0
    )
    await bench.check_all()
    for _ in range(setting("ROUNDS", 100)):
        kind = rnd.choice(("all", "all", "none", "some", "few"))
        often = rnd.choice((0.0, 0.05, 0.5, 1.0))
        for _ in range(100):
            access = None
            if not bench.accessed and rnd.random() < often:
                access = bench.access()
            await bench.cycle(bench.increments(kind), access)
        if kind == "all" and often == 1:
            bench.coverage.hit("access in every other cycle, all count")
        if rnd.random() < 0.1:
            await bench.check_all()
    await bench.check_all()
    dut._log.info("%d cycles", bench.unit.cycles)
    bench.coverage.check(dut._log)
