"""The three units together, behind an execute and a memory stage like the core's, against the golden model.
Each run takes a new seed, which it prints; FIDES_SEED=N repeats one."""

import pytest

from fides_core.config import XfidesConfig
from fides_core.security.extension import SecurityExtension

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("compartments, late_verdict", [(256, 0), (256, 1), (8, 1)])
def test_security_extension(run_bench, compartments, late_verdict):
    config = XfidesConfig(compartments=compartments, shadow_stack_entries=16)
    run_bench(
        SecurityExtension(config, late_verdict=bool(late_verdict)),
        "security_extension",
        COMPARTMENTS=compartments,
        SHADOW_STACK_ENTRIES=16,
        LATE_VERDICT=late_verdict,
        EPISODES=6,
        CYCLES=10000,
    )
