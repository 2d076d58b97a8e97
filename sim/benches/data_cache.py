"""Bench of the data cache: random loads and stores of a few lines that collide and of a device, against a
memory in Python; with a cache of that kind, requests are withdrawn at random."""

import cocotb

from .cache_memory import BASE, BROKEN, DEVICE, AxiMemory, Lines, merge
from .common import Coverage, Unit, differs, seeded, setting

LIMIT = 4000  # cycles without a response
REQUIRED = [
    "load hit", "store hit", "load miss", "store miss", "load right after a store to it", "hit after hit",
    "error of a line", "error of a device", "cleaned", "hit after cleaning", "ar line", "aw line",
    *(f"{channel} single {size}" for channel in ("ar", "aw") for size in (1, 2, 4, 8)),
]  # fmt: skip
WITHDRAWN = [
    *(("withdrawn", what) for what in ("load hit", "store hit", "load miss", "store miss", "device load",
      "device store", "nothing", "as cleaning begins")),
]  # fmt: skip


@cocotb.test()
async def is_memory(dut):
    unit, random = Unit(dut), seeded()
    line, ways = setting("LINE", 64), setting("WAYS", 2)
    sets = 1024 // ways // line
    withdrawable = setting("WITHDRAWABLE", 0)
    coverage = Coverage(REQUIRED + WITHDRAWN * withdrawable)
    memory = AxiMemory(unit, random, line, coverage)
    await unit.reset(
        bus__req=0, bus__addr=0, bus__we=0, bus__be=0, bus__wdata=0, clean=0, axi__awready=0, axi__wready=0,
        axi__bvalid=0, axi__bresp=0, axi__bid=0, axi__arready=0, axi__rvalid=0, axi__rid=0, axi__rdata=0,
        axi__rresp=0, axi__rlast=0, **({"withdraw": 0} if withdrawable else {}),
    )  # fmt: skip

    reference = {}
    value = lambda at: reference[at] if at in reference else memory.word(at)  # noqa: E731
    present = Lines(ways, sets)
    clean_lines = set()
    due = None  # (cycle granted, request, transfers so far)
    last_store, previous_hit = (-2, None), -2
    cleaning = False
    expected_singles = [0, 0]
    idle = ungranted = responses = misses = 0
    pool, lazy, uncached = [BASE], 0.0, 0.0
    request = None
    for cycle in range(setting("CYCLES", 10_000)):
        if cycle % 500 == 0:
            memory.slow, lazy = random.choice([0, 0.3, 0.8]), random.choice([0, 0, 0.5])
            uncached = random.choice([0, 0, 0.3])
            colliding = [random.randrange(16) * 1024 // ways + BASE for _ in range(random.choice([1, 2, 5]))]
            pool = [at + random.choice([0, 1, sets - 1]) * line for at in colliding]
            if random.random() < 0.4:
                pool.append(BROKEN + random.randrange(4) * line)
            if cycle == 0:  # everything happens here in any case
                memory.slow, lazy, uncached = 0, 0, 0.3
        size = random.randrange(4)
        at = DEVICE + random.choice([0, 0x800]) if random.random() < uncached else random.choice(pool)
        address = at + random.randrange(0, line, 1 << size)
        if random.random() < 0.3 and request:  # the same word again
            address = (request[0] & ~7) + random.randrange(0, 8, 1 << size)
        lanes = ((1 << (1 << size)) - 1) << address % 8
        request = (address, random.getrandbits(1), lanes, random.getrandbits(64))
        withdraw = False
        if withdrawable and (due is None or cycle == due[0] + 1):
            often = not due or "hit" not in kind(due[1], present, line)
            withdraw = random.random() < (0.4 if often else 0.15)
        if not cleaning and random.random() < (0.03 if withdraw else 0.003):
            cleaning = True
            if withdraw and due:
                coverage.hit("withdrawn", "as cleaning begins")
        unit.set(clean=cleaning)
        if withdrawable:
            unit.set(withdraw=withdraw)
        memory.before()
        unit.set(bus__req=0, bus__addr=address, bus__we=request[1], bus__be=lanes, bus__wdata=request[3])
        await unit.settle()
        gnt, rvalid = unit.get("bus__gnt"), unit.get("bus__rvalid")
        req = random.random() >= lazy and (due is None or rvalid) and not withdraw
        unit.set(bus__req=req)
        await unit.settle()
        differs("gnt with and without a request", gnt, unit.get("bus__gnt"))

        if withdraw:
            differs("response to what is withdrawn", 0, rvalid)
            differs("miss of what is withdrawn", 0, unit.get("miss"))
            coverage.hit("withdrawn", kind(due[1], present, line) if due else "nothing")
            due = None
        if due is None and not cleaning:
            for channel in ("ar", "aw", "w"):
                differs(f"axi {channel}valid with nothing to do", 0, unit.get(f"axi__{channel}valid"))
        if due:
            number = due[1][0] // line
            fast = number in present and cycle == due[0] + 1
            assert rvalid or not fast, f"no hit at {due[1][0]:#x}"
        idle += 1
        if rvalid:
            assert due, "a response to nothing"
            idle = 0
            responses += 1
            (address, we, lanes, wdata), error = due[1], unit.get("bus__err")
            word = address & ~7
            mask = merge(0, (1 << 64) - 1, lanes)
            device = address < BASE
            failed = memory.broken(address) if device else address >= BROKEN
            differs(f"error at {address:#x}", int(failed), error)
            if device:
                coverage.hit("error of a device" if failed else "device")
                expected_singles[we] += 1
                last = (memory.writes if we else memory.reads)[-1]
                differs("transfer", (address, bin(lanes).count("1"), 1), last)
                if we and not failed:
                    reference[word] = merge(value(word) if word in reference else due[2], wdata, lanes)
                    differs("device", reference[word] & mask, memory.word(word) & mask)
            elif failed:
                coverage.hit("error of a line")
            elif we:
                reference[word] = merge(value(word), wdata, lanes)
                clean_lines.discard(number)
            if not we and not failed:
                differs(f"data at {address:#x}", value(word) & mask, unit.get("bus__rdata") & mask)
                if fast and last_store == (cycle - 1, word):
                    coverage.hit("load right after a store to it")
            if we and not failed and not device:
                last_store = (cycle, word)
            if not device:
                if fast:
                    coverage.hit("store hit" if we else "load hit")
                    if previous_hit == cycle - 1:
                        coverage.hit("hit after hit")
                    if number in clean_lines:
                        coverage.hit("hit after cleaning")
                    previous_hit = cycle
                elif not failed:
                    coverage.hit("store miss" if we else "load miss")
                    assert cycle > due[0] + 1, f"{address:#x} cannot be there"
                present.use(number, not failed)
        misses += unit.get("miss")
        assert idle < LIMIT, f"no response for {LIMIT} cycles: {due}"
        ungranted = 0 if gnt else ungranted + 1
        assert ungranted < LIMIT, "no grant"

        if unit.get("clean_done") and cleaning:
            coverage.hit("cleaned")
            for word, data in reference.items():
                differs(f"memory at {word:#x} after cleaning", data, memory.word(word))
            clean_lines = present.all()
            present.victim = 0  # the walk has gone through all ways
            cleaning = False
        memory.after()
        if req and gnt:
            due = (cycle, request, memory.word(request[0]))
            idle = 0
        elif rvalid:
            due = None
        if due is None:
            idle = 0
        await unit.clock()

    singles = [sum(beats == 1 for _, _, beats in moved) for moved in (memory.reads, memory.writes)]
    for seen, expected in zip(singles, expected_singles, strict=True):
        assert expected <= seen <= expected + 1, "accesses of the device"
    lines = len(memory.reads) - singles[0]
    assert lines <= misses <= lines + 1, "misses"
    dut._log.info(f"{responses} responses, {lines} lines read, {len(memory.writes) - singles[1]} written")
    assert responses > setting("CYCLES", 10_000) // 50
    coverage.check(dut._log)


def kind(request, present, line) -> str:
    """What a request is for the cache."""
    address, we, *_ = request
    access = "store" if we else "load"
    if address < BASE:
        return f"device {access}"
    return f"{access} {'hit' if address // line in present else 'miss'}"
