"""Bench of the instruction cache: random requests for a few lines that collide, and memory that changes only
when the cache is invalidated."""

import cocotb

from .cache_memory import BASE, BROKEN, BYTES, ROM, ROM_BYTES, AxiMemory, Lines
from .common import Coverage, Unit, differs, seeded, setting

LIMIT = 2000  # cycles without a response
REQUIRED = [
    "hit", "miss", "outside", "error", "word of a broken line", "hit after hit", "invalidated", "changed",
]  # fmt: skip


@cocotb.test()
async def delivers_what_memory_holds(dut):
    unit, random = Unit(dut), seeded()
    line, ways = setting("LINE", 64), setting("WAYS", 2)
    sets = 1024 // ways // line
    coverage = Coverage(REQUIRED)
    memory = AxiMemory(unit, random, line, coverage)
    await unit.reset(
        bus__req=0, bus__addr=0, invalidate=0, axi__awready=0, axi__wready=0, axi__bvalid=0, axi__bresp=0,
        axi__bid=0, axi__arready=0, axi__rvalid=0, axi__rid=0, axi__rdata=0, axi__rresp=0, axi__rlast=0,
    )  # fmt: skip

    executable = lambda a: ROM <= a < ROM + ROM_BYTES or BASE <= a < BASE + BYTES  # noqa: E731
    present = Lines(ways, sets)
    due = None  # (cycle granted, address)
    previous_hit = None
    invalidating = False
    ungranted = idle = responses = misses_seen = misses_expected = 0
    pool, lazy, next_address = [0], 0.0, BASE
    for cycle in range(setting("CYCLES", 10_000)):
        if cycle % 500 == 0:
            memory.slow, lazy = random.choice([0, 0.3, 0.8]), random.choice([0, 0, 0.5])
            colliding = [random.randrange(16) * 1024 // ways + BASE for _ in range(random.choice([1, 2, 5]))]
            pool = [at + random.choice([0, 1, sets - 1]) * line for at in colliding]
            if random.random() < 0.5:
                pool += [ROM + random.randrange(0, ROM_BYTES, line), BROKEN + random.randrange(4) * line]
                pool += [0x2000, BASE - line, BASE + BYTES, ROM - line]
        asking = random.random() >= lazy
        if random.random() < 0.5:
            next_address = random.choice(pool) + random.randrange(0, line, 8)
        if not invalidating and random.random() < 0.002:
            invalidating = True
        unit.set(invalidate=invalidating)
        memory.before()
        unit.set(bus__addr=next_address, bus__req=0)
        await unit.settle()
        gnt, rvalid = unit.get("bus__gnt"), unit.get("bus__rvalid")
        req = asking and (due is None or rvalid)
        unit.set(bus__req=req)
        await unit.settle()
        differs("gnt with and without a request", gnt, unit.get("bus__gnt"))

        # The response.
        hit = due is not None and due[1] // line in present
        fast = due is not None and (hit or not executable(due[1])) and cycle == due[0] + 1
        if fast:
            assert rvalid, f"no hit at {due[1]:#x}"
        idle += 1
        now_hit = None
        if rvalid:
            assert due is not None, "a response to nothing"
            idle = 0
            responses += 1
            address = due[1]
            if not executable(address):
                differs("error outside", 1, unit.get("bus__err"))
                coverage.hit("outside")
                differs("latency outside", 1, cycle - due[0])
            elif address >= BROKEN:
                # The word asked for is answered as it arrives, whatever becomes of the line.
                failed = memory.broken(address)
                differs("error of a line", int(failed), unit.get("bus__err"))
                if not failed:
                    differs(f"data at {address:#x}", memory.word(address), unit.get("bus__rdata"))
                coverage.hit("error" if failed else "word of a broken line")
                misses_expected += 1
            else:
                differs("error", 0, unit.get("bus__err"))
                differs(f"data at {address:#x}", memory.word(address), unit.get("bus__rdata"))
                if fast:
                    coverage.hit("hit")
                    now_hit = cycle
                    if previous_hit == cycle - 1:
                        coverage.hit("hit after hit")
                else:
                    assert cycle > due[0] + 1, f"{address:#x} cannot be there"
                    coverage.hit("miss")
                    misses_expected += 1
            if executable(address):
                present.use(address // line, address < BROKEN)
        previous_hit = now_hit
        if unit.get("miss"):
            misses_seen += 1
        assert idle < LIMIT, f"no response for {LIMIT} cycles: {due}"
        ungranted = 0 if gnt else ungranted + 1
        assert ungranted < LIMIT, "no grant"

        if unit.get("invalidated") and invalidating and cycle:
            coverage.hit("invalidated")
            present.clear()
            invalidating = False
            if random.random() < 0.8:
                memory.salt = random.getrandbits(64) | 1
                coverage.hit("changed")
        memory.after()
        if req and gnt:
            due = (cycle, next_address)
            idle = 0
        elif rvalid:
            due = None
        if due is None:
            idle = 0
        await unit.clock()

    dut._log.info(f"{responses} responses, {len(memory.reads)} lines read")
    assert not memory.writes and responses > setting("CYCLES", 10_000) // 40
    assert abs(misses_seen - len(memory.reads)) <= 1 and abs(misses_seen - misses_expected) <= 1
    coverage.check(dut._log)
