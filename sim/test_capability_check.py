"""The capability check against the golden model. Each run takes a new seed, which it prints; FIDES_SEED=N
repeats one."""

import pytest

from fides_core.config import XfidesConfig
from fides_core.security.capability_check import CapabilityCheck

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("compartments", [256, 4])
def test_capability_check(run_bench, compartments):
    unit = CapabilityCheck(XfidesConfig(compartments=compartments))
    run_bench(unit, "capability_check", COMPARTMENTS=compartments, ROUNDS=400)
