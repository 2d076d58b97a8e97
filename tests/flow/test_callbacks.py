"""The measurement of callbacks: that each case runs what it says, and what it must cost."""

import pytest

from fides_core.config import preset
from fides_core.errors import UserError
from fides_core.flow.callbacks import CASES, callback_costs, callback_image, measure_callbacks
from fides_core.model.compartments import Crossing
from fides_core.model.platform import Platform

SAME, COMPLETE, RESTRICTED, ANOTHER = CASES.values()


def test_program_on_the_model(crossings):
    """Ten elements: with the iterator behind a boundary each call and return crosses it, and the loop's own,
    whether it has elements or not."""
    config = preset("tiny_fides")
    platform = Platform(config)
    platform.load_elf(callback_image(config, 10))
    outcome = platform.run(1_000_000)
    costs = {cost.case: cost.instructions for cost in callback_costs(outcome)}
    assert costs == dict.fromkeys(CASES.values(), 6.0)  # three of the iterator, three of what it calls
    warm_up = 20
    assert crossings[Crossing.CALL] == crossings[Crossing.RETURN] == 2 * (warm_up + 10 + 3)


def test_run_that_fails_is_no_measurement():
    class Failed:
        exit_code, uart = 1, b"callbacks same 1 8 6\n"

    with pytest.raises(RuntimeError, match="exit code 1"):
        callback_costs(Failed)
    Failed.exit_code = 0
    with pytest.raises(RuntimeError, match="exit code 0"):
        callback_costs(Failed)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny_fides", "fides", "fides_monitor"])
def test_costs(name):
    results = measure_callbacks([name], elements=500)
    costs = {cost.case: cost for cost in results[name]}
    same = costs[SAME]
    assert 5 < same.cycles < 20 and costs[COMPLETE].cycles == pytest.approx(same.cycles, abs=0.1)
    for case in (RESTRICTED, ANOTHER):
        cycles = costs[case].cycles - same.cycles
        instructions = costs[case].instructions - same.instructions
        if name == "fides_monitor":
            # Two traps: the published monitor takes 125 instructions for them.
            assert 40 < instructions < 125 and instructions < cycles < 3 * instructions
        else:
            # The contract allows two cycles for the call and three for the return.
            assert instructions == 0 and 0 < cycles <= 5


@pytest.mark.parametrize("name, reason", [("base", "no compartments"), ("nothing", "unknown preset")])
def test_presets_without_compartments(name, reason):
    with pytest.raises(UserError, match=reason):
        measure_callbacks(["fides", name])
