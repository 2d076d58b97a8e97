"""The shadow stack against the golden model's. Each run takes a new seed, which it prints; FIDES_SEED=N
repeats one."""

import pytest

from fides_core.config import XfidesConfig
from fides_core.security.shadow_stack import ShadowStack

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("entries", [16, 64])
def test_shadow_stack(run_bench, entries):
    unit = ShadowStack(XfidesConfig(shadow_stack_entries=entries))
    run_bench(unit, "shadow_stack", SHADOW_STACK_ENTRIES=entries, ROUNDS=900)
