"""The measurement of callbacks: that each case runs what it says, and what it must not cost."""

import pytest

from fides_core.config import preset
from fides_core.errors import UserError
from fides_core.flow.callbacks import CASES, callback_program, measure_callbacks
from fides_core.model.compartments import Crossing
from fides_core.model.platform import Platform


@pytest.mark.parametrize("case", CASES)
def test_programs_on_the_model(case, crossings):
    """Ten elements: with the iterator behind a boundary each call and return crosses it, and the loop's
    own."""
    config = preset("tiny_fides")
    platform = Platform(config)
    platform.load_segments(callback_program(config, case, 10).segments)
    assert platform.run(100_000).exit_code == 0
    assert platform.hart.x[18] == 30  # each call adds 3
    behind = case in ("restricted fluid", "another compartment")
    assert crossings[Crossing.CALL] == crossings[Crossing.RETURN] == (11 if behind else 0)


@pytest.mark.slow
def test_costs():
    costs = {cost.case: cost.cycles for cost in measure_callbacks("tiny_fides", elements=500)}
    assert list(costs) == list(CASES)
    same = costs["the same compartment"]
    assert 5 < same < 20 and costs["complete fluid"] == same
    # The contract allows two cycles for the call and three for the return.
    for case in ("restricted fluid", "another compartment"):
        assert same < costs[case] <= same + 5


@pytest.mark.parametrize("name, reason", [("base", "no compartments"), ("nothing", "unknown preset")])
def test_presets_without_compartments(name, reason):
    with pytest.raises(UserError, match=reason):
        measure_callbacks(name)
