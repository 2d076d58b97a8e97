"""The caches in front of an AXI memory that answers when it likes. Each run takes a new seed, which it
prints; FIDES_SEED=N repeats one."""

import pytest

from fides_core.cache.data_cache import DataCache
from fides_core.cache.instruction_cache import InstructionCache
from fides_core.config import CacheConfig

# As the benches know them.
ROM, MEMORY = (0x1000, 0x1000), (0x8000_0000, 1 << 16)

pytestmark = pytest.mark.timeout(600)

SHAPES = [(1, 16), (2, 32), (4, 64), (2, 64), (4, 16), (1, 64)]


@pytest.mark.parametrize(("ways", "line"), SHAPES)
def test_instruction_cache(run_bench, ways, line):
    unit = InstructionCache(CacheConfig(1024, ways, line), (ROM, MEMORY))
    run_bench(unit, "instruction_cache", CYCLES=20_000, WAYS=ways, LINE=line)


@pytest.mark.parametrize(
    ("ways", "line", "withdrawable"), [*((*shape, 0) for shape in SHAPES), (1, 16, 1), (2, 32, 1), (4, 64, 1)]
)
def test_data_cache(run_bench, ways, line, withdrawable):
    unit = DataCache(CacheConfig(1024, ways, line), MEMORY, withdrawable=bool(withdrawable))
    run_bench(unit, "data_cache", CYCLES=20_000, WAYS=ways, LINE=line, WITHDRAWABLE=withdrawable)
