"""Libraries of others by `fides cc`: known answers, and the host's output."""

import pytest

from fides_core.config import preset
from fides_core.errors import UserError
from fides_core.flow.debian_sources import fetch
from fides_core.flow.real_programs import PROGRAMS, run_one
from fides_core.flow.simulation import Simulator

pytestmark = pytest.mark.timeout(900)
CHEAPEST = ("cjson", "tommath")


def run(name, preset_name):
    try:
        fetch(PROGRAMS[name].package)
    except UserError as error:
        pytest.skip(f"the sources cannot be had: {error}")
    result = run_one(name, preset_name, Simulator.build(preset(preset_name)))
    assert result.cycles > result.instructions > 10_000
    assert bool(result.checks) == (preset_name == "fides")


@pytest.mark.nightly
@pytest.mark.parametrize("name", CHEAPEST)
def test_cheapest_on_fides(name):
    run(name, "fides")


@pytest.mark.nightly
@pytest.mark.parametrize("preset_name", ("base", "fides"))
@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_all(name, preset_name):
    run(name, preset_name)
