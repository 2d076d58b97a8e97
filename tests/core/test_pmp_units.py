"""The two PMP checkers against rules written from the privileged ISA manual, section 3.7. Every run takes a
new seed, which it prints; FIDES_SEED=N repeats one."""

import os
import random
from collections import Counter

import pytest
from amaranth.sim import Simulator

from fides_core.core.pmp import AddressMatch, PMPChecker, PMPPairChecker

ROUNDS = 600
ADDRESSES_EACH = 6  # for each choice of entries
WORDS = 1 << 30
READ, WRITE, EXECUTE = 1, 2, 4


@pytest.fixture
def draw():
    seed = int(os.environ.get("FIDES_SEED") or random.SystemRandom().randrange(1, 1 << 31))
    print(f"FIDES_SEED={seed}")
    return random.Random(seed)


def region(entries, index: int) -> range:
    """The words that entry ``index`` contains."""
    entry = entries[index]
    address = entry["address"]
    if entry["a"] == AddressMatch.TOR:
        return range(entries[index - 1]["address"] if index else 0, address)
    if entry["a"] == AddressMatch.NA4:
        return range(address, address + 1)
    if entry["a"] == AddressMatch.NAPOT:
        ones = f"0{address:030b}"[::-1].index("0")
        size = 2 << ones
        return range(address & -size, (address & -size) + size)
    return range(0)


def refused(entries, words: range, kind: int, user: int) -> tuple[bool, int | None]:
    """Whether an access is refused, and the number of the entry that says so: the lowest-numbered one that
    contains any of it, which must contain all of it. Without one, M-mode may and U-mode may not."""
    for index, entry in enumerate(entries):
        inside = [word in region(entries, index) for word in words]
        if any(inside):
            granted = entry["r"] * READ | entry["w"] * WRITE | entry["x"] * EXECUTE
            bound = user or entry["locked"]
            return not all(inside) or bool(bound and kind & ~granted), index
    return bool(user and entries), None


def random_entries(draw, count: int) -> list[dict]:
    """Entries near each other: in the middle, at the bottom or at the top of the addresses."""
    base = draw.choice((draw.randrange(WORDS), draw.randrange(WORDS), 8, 0, WORDS - 16))
    entries = []
    for _ in range(count):
        address = base + draw.randrange(-16, 24)
        if draw.random() < 0.4:
            address |= (1 << draw.choice((1, 2, 3, 4, 5, 12, 28, 29, 30))) - 1
        if entries and draw.random() < 0.2:  # an empty TOR region, one of a word, one that is upside down
            address = entries[-1]["address"] + draw.choice((0, 1, -1, 2))
        permissions = draw.choice((0, READ, READ | WRITE, EXECUTE, READ | EXECUTE, READ | WRITE | EXECUTE))
        entries.append(
            {
                "r": permissions & 1,
                "w": permissions >> 1 & 1,
                "x": permissions >> 2,
                "a": draw.choice((AddressMatch.OFF, *AddressMatch, AddressMatch.TOR)),
                "locked": draw.randrange(2),
                "address": address % WORDS,
            }
        )
    return entries


def registers(entry: dict) -> dict:
    """What the checkers are given of an entry: numbers of words by lane."""

    def lanes(word):
        return [sum((word >> 3 * i + lane & 1) << i for i in range(10)) for lane in range(3)]

    address = entry["address"]
    return {**entry, "address": lanes(address), "ignored": lanes((address ^ (address + 1)) % WORDS)}


def random_word(draw, entries) -> int:
    """A word, most often near a bound of a region."""
    if draw.random() < 0.1:
        return draw.randrange(WORDS)
    index = draw.randrange(len(entries))
    words = region(entries, index)
    near = draw.choice((words.start, words.stop, entries[index]["address"]))
    return (near + draw.randrange(-4, 4)) % WORDS


def simulate(unit, process):
    simulator = Simulator(unit)
    simulator.add_testbench(process)
    simulator.run()


@pytest.mark.parametrize("count", [4, 8, 16])
def test_data_accesses(draw, count):
    unit = PMPChecker(count)
    seen = Counter()

    async def bench(ctx):
        for _ in range(ROUNDS):
            entries = random_entries(draw, count)
            ctx.set(unit.entries, list(map(registers, entries)))
            for _ in range(ADDRESSES_EACH):
                word, double, user = random_word(draw, entries), draw.randrange(2), draw.randrange(2)
                if double:
                    word &= ~1
                kind = draw.choice((READ, WRITE, EXECUTE))
                ctx.set(unit.address, word << 2 | (0 if double else draw.randrange(4)))
                ctx.set(unit.doubleword, double)
                ctx.set(unit.read, kind == READ)
                ctx.set(unit.write, kind == WRITE)
                ctx.set(unit.execute, kind == EXECUTE)
                ctx.set(unit.user, user)
                expected, index = refused(entries, range(word, word + 1 + double), kind, user)
                assert ctx.get(unit.fault) == expected, (entries, hex(word << 2), double, kind, user)
                mode = None if index is None else entries[index]["a"].name
                seen[mode, expected] += 1

    simulate(unit, bench)
    check_coverage(seen)


@pytest.mark.parametrize("count", [4, 8, 16])
def test_fetched_pairs(draw, count):
    unit = PMPPairChecker(count)
    seen = Counter()

    async def bench(ctx):
        for _ in range(ROUNDS):
            entries = random_entries(draw, count)
            ctx.set(unit.entries, list(map(registers, entries)))
            for _ in range(ADDRESSES_EACH):
                word, user = random_word(draw, entries) & ~1, draw.randrange(2)
                ctx.set(unit.address, word << 2)
                ctx.set(unit.user, user)
                verdicts = [refused(entries, range(w, w + 1), EXECUTE, user) for w in (word, word + 1)]
                expected = verdicts[0][0] | verdicts[1][0] << 1
                assert ctx.get(unit.fault) == expected, (entries, hex(word << 2), user)
                for fault, index in verdicts:
                    seen[None if index is None else entries[index]["a"].name, fault] += 1
                seen["pair", expected] += 1

    simulate(unit, bench)
    check_coverage(seen)
    assert all(seen["pair", fault] > 20 for fault in range(4)), seen


def check_coverage(seen):
    """Every kind of match has allowed and refused."""
    for mode in ("TOR", "NA4", "NAPOT", None):
        assert all(seen[mode, verdict] > 5 for verdict in (False, True)), seen


def test_without_entries(draw):
    data, pair = PMPChecker(0), PMPPairChecker(0)

    async def bench(ctx):
        for user in (0, 1):
            ctx.set(data.user, user)
            ctx.set(data.read, 1)
            assert ctx.get(data.fault) == 0

    async def fetch(ctx):
        for user in (0, 1):
            ctx.set(pair.user, user)
            assert ctx.get(pair.fault) == 0

    simulate(data, bench)
    simulate(pair, fetch)
