"""Bench of the interconnect: three managers, three subordinates of different habits. The second target covers
the first, which is read-only, and manager 1 does not reach it."""

from collections import Counter

import cocotb

from fides_core.axi.signatures import Burst, Response

from .axi import Manager, Port, Subordinate, Transaction, merge
from .common import Coverage, Unit, differs, seeded, setting

MANAGERS, ORDERS = 3, ("any", "together", "data")
REQUIRED = [
    *(("read", manager, target) for manager in range(MANAGERS) for target in (0, 1, 2, None)
      if (manager, target) != (1, 1)),
    *(("write", manager, target) for manager in range(MANAGERS) for target in (1, 2, None)
      if (manager, target) != (1, 1)),
    "a read and a write at once", "all managers ask", "two reads of a manager", "long burst to nowhere",
    "waits for all others",
]  # fmt: skip


def route(manager: int, write: bool, address: int) -> int | None:
    """Number of the subordinate."""
    if 0x2000 <= address < 0x3000 and not write:
        return 0
    if address < 0x8000 and manager != 1:
        return 1
    return 2 if 0x1_0000 <= address < 0x2_0000 else None


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def random_traffic(dut):
    """Every transaction reaches its subordinate, and nothing else does."""
    unit, random, coverage = Unit(dut), seeded(), Coverage(REQUIRED)
    memories = [{} for _ in ORDERS]
    managers = [Manager(Port(unit, f"m__{i}"), random, early_data=True) for i in range(MANAGERS)]
    subordinates = [
        Subordinate(Port(unit, f"s__{i}"), random, memory, order)
        for i, (memory, order) in enumerate(zip(memories, ORDERS, strict=True))
    ]
    for number, memory in enumerate(memories):
        for base in range(0, 0x2_0000, 8):
            memory[base] = base | number << 32
    expected = [dict(memory) for memory in memories]
    await unit.reset()
    await unit.clock()  # no valid in the first cycle after reset
    overtaken = Counter()
    busy = set()  # 512-byte blocks of open transactions: those of one are not shared with a write

    def some_transaction(number):
        write = random.random() < 0.5
        region = random.choice([0x2000, 0x4000, 0x9000, 0x1_0000, 0x1_F000])
        block = region + random.randrange(8) * 0x200
        target = route(number, write, block)
        place = (target, block)
        if target is not None and any(place == at and (write or writing) for _, at, writing in busy):
            return None
        burst = random.choice([Burst.INCR, Burst.INCR, Burst.WRAP])
        size = random.choice([3, 3, 3, 2, 0])
        length = random.choice([1, 3, 7]) if burst == Burst.WRAP else random.choice([0, 0, 0, 3, 7, 15])
        address = block + random.randrange(0x100)
        if burst == Burst.WRAP:
            address = address >> size << size
        t = Transaction(write, address, length, size, burst, random.getrandbits(1))
        if write:
            t.data = [(random.getrandbits(64), lanes & random.getrandbits(8)) for _, lanes in t.beats]
        t.tag = (number, target)
        busy.add((id(t), place, write))
        return t

    def check(number, t):
        target = t.tag[1]
        coverage.hit("write" if t.write else "read", number, target)
        if target is None and t.length == 15:
            coverage.hit("long burst to nowhere")
        expect = Response.DECERR if target is None else Response.OKAY
        if t.write:
            differs("response", expect, t.response)
            if target is not None:
                for (word, _), (value, strobes) in zip(t.beats, t.data, strict=True):
                    merge(expected[target], word, value, strobes)
        else:
            for (word, _), (value, response) in zip(t.beats, t.received, strict=True):
                differs("response", expect, response)
                differs(f"read of {word:#x}", 0 if target is None else expected[target][word], value)
        busy.difference_update({entry for entry in busy if entry[0] == id(t)})

    rounds = setting("ROUNDS", 1000)
    done = 0
    for cycle in range(rounds + 2000):
        for number, manager in enumerate(managers):
            if cycle < rounds and manager.count(False) + manager.count(True) < 4:
                t = some_transaction(number)
                if t is not None:
                    manager.start(t)
            manager.drive()
        for subordinate in subordinates:
            subordinate.drive()
        await unit.settle()
        if any([subordinate.join() for subordinate in subordinates]):
            await unit.settle()
        differs("axi_violation", 0, unit.get("axi_violation"))
        # Managers take turns: at most each other one comes first.
        for channel in ("ar", "aw"):
            moved = [bool(manager.port.moves(channel)) for manager in managers]
            for number, manager in enumerate(managers):
                waits = manager.shown[channel] and not moved[number]
                overtaken[channel, number] = overtaken[channel, number] + sum(moved) if waits else 0
                assert overtaken[channel, number] < MANAGERS, f"manager {number} waits for its {channel}"
                if overtaken[channel, number] == MANAGERS - 1:
                    coverage.hit("waits for all others")
        for actor in (*subordinates, *managers):
            actor.sample()
        if any(m.open[False] and m.open[True] for m in managers):
            coverage.hit("a read and a write at once")
        if all(m.shown["ar"] for m in managers):
            coverage.hit("all managers ask")
        if any(m.open[False] and m.waiting[False] for m in managers):
            coverage.hit("two reads of a manager")
        for number, manager in enumerate(managers):
            for t in manager.done:
                check(number, t)
            done += len(manager.done)
            manager.done.clear()
        await unit.clock()
    differs("transactions left over", 0, sum(m.count(False) + m.count(True) for m in managers))
    assert memories == expected
    dut._log.info("%d transactions in %d cycles", done, unit.cycles)
    coverage.check(dut._log)
