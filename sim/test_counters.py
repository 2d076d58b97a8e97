"""The counter memory against plain numbers. Each run takes a new seed, which it prints; FIDES_SEED=N repeats
one."""

import pytest

from fides_core.core.counters import CounterMemory

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize(
    "counters, slots, retired_late", [(3, 16, 0), (13, 32, 0), (16, 48, 0), (3, 16, 1), (13, 32, 1)]
)
def test_counter_memory(run_bench, counters, slots, retired_late):
    unit = CounterMemory(counters, slots, retired_late=bool(retired_late))
    run_bench(unit, "counters", COUNTERS=counters, SLOTS=slots, RETIRED_LATE=retired_late, ROUNDS=600)
