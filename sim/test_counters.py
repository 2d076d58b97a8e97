"""The counter memory against plain numbers. Each run takes a new seed, which it prints; FIDES_SEED=N repeats
one."""

import pytest

from fides_core.core.counters import CounterMemory

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("counters, slots", [(3, 16), (13, 32), (16, 48)])
def test_counter_memory(run_bench, counters, slots):
    run_bench(CounterMemory(counters, slots), "counters", COUNTERS=counters, SLOTS=slots, ROUNDS=600)
