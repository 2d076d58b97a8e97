"""Which CSR accesses decode passes on, for every number: against a table written from the privileged ISA
1.12, tables 2.2 to 2.6. Every run takes a new seed, which it prints; FIDES_SEED=N repeats one."""

import os
import random
from collections import Counter

import pytest
from amaranth.sim import Simulator

from fides_core.config import CoreConfig, XfidesConfig
from fides_core.core.csr import CSRLegality

CONFIGURATIONS = {
    "base": (CoreConfig(), 13),
    "no counters": (CoreConfig(hpm_counters=0, pmp_entries=0), 3),
    "more counters than events": (CoreConfig(hpm_counters=13, pmp_entries=16), 13),
    "two counters, extension": (CoreConfig(hpm_counters=2, xfides=XfidesConfig()), 5),
    "no fat pointers": (CoreConfig(hpm_counters=1, xfides=XfidesConfig(fat_pointers=False)), 4),
    "no compartments": (CoreConfig(xfides=XfidesConfig(compartments=0)), 13),
    "crossings in the monitor": (CoreConfig(xfides=XfidesConfig(256, 0, crossings="monitor")), 13),
}
MACHINE = {
    0x300, 0x301, 0x304, 0x305, 0x306, 0x30A, 0x320, *range(0x323, 0x340), *range(0x340, 0x345),
    0xB00, *range(0xB02, 0xB20), *range(0xF11, 0xF16),
}  # fmt: skip
USER = set(range(0xC00, 0xC20))
PMP = {0x3A0, 0x3A2, *range(0x3B0, 0x3C0)}
BOTH = {0x7F0, 0x7F4}
COMPARTMENTS = {0x7E0, 0x7E1, 0x7E8, 0x7EE, 0x7F5, 0x7FA, 0x7FB, 0x7FC}
POINTERS = {0x7ED, 0x7EF, 0x7F6, 0x7FE, 0x800}


def exists(config: CoreConfig, number: int) -> bool:
    numbers = MACHINE | USER | (PMP if config.pmp_entries else set())
    if config.xfides:
        numbers |= BOTH
        numbers |= COMPARTMENTS if config.xfides.compartments else set()
        if config.xfides.crossings == "monitor":  # docs/ablation.md
            numbers = numbers - {0x7E0, 0x7E1, 0x7E8, 0x7EE} | {0x7F8}
        numbers |= POINTERS if config.xfides.fat_pointers else set()
    return number in numbers


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_legality(name):
    config, width = CONFIGURATIONS[name]
    seed = int(os.environ.get("FIDES_SEED") or random.SystemRandom().randrange(1, 1 << 31))
    print(f"FIDES_SEED={seed}")
    draw = random.Random(seed)
    unit = CSRLegality(config)
    assert len(unit.counters) == width
    seen = Counter()

    async def bench(ctx):
        for number in range(1 << 12):
            ctx.set(unit.number, number)
            shadow = number in USER
            for case in range(32 if shadow else 4):
                write, machine, own = case & 1, case >> 1 & 1, case >> 2 & 1
                enabled = draw.getrandbits(width)
                if number % 32 < width:  # half of the cases enable the counter that is read
                    enabled = enabled & ~(1 << number % 32) | own << number % 32
                expected = exists(config, number) and not (write and number >> 10 == 3)
                if not machine:
                    expected = expected and number >> 8 & 3 == 0
                    if shadow:
                        expected = expected and bool(enabled >> number % 32 & 1)
                ctx.set(unit.write, write)
                ctx.set(unit.machine, machine)
                ctx.set(unit.counters, enabled)
                assert ctx.get(unit.legal) == expected, (hex(number), write, machine, bin(enabled))
                seen[machine, shadow, bool(expected)] += 1

    simulator = Simulator(unit)
    simulator.add_testbench(bench)
    simulator.run()
    for machine, shadow in ((0, True), (1, True), (1, False)):
        assert all(seen[machine, shadow, expected] > 10 for expected in (True, False)), seen
