"""The base core in lockstep with Spike: random programs, and the checker's own test.

Each run takes new seeds, which it prints; FIDES_SEED=N repeats one.
"""

import os
import random

import pytest

from fides_core.flow import tools
from fides_core.flow.lockstep import FAULTS, Lockstep, lockstep_config, main, run_programs
from fides_core.isa.instructions import instructions

SECONDS = 25
INSTRUCTIONS = 10_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def spike():
    """These tests need the reference, which is not there for every machine."""
    try:
        return tools.spike_directory()
    except tools.ToolMissing as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("stalls", ["no", "yes"])
def test_random_programs_agree_with_spike(stalls):
    seed = int(os.environ.get("FIDES_SEED") or random.SystemRandom().randrange(1, 1 << 31))
    print(f"FIDES_SEED={seed}")
    total = run_programs("base", seed, 10_000, INSTRUCTIONS, stalls=stalls, seconds=SECONDS)
    assert total.mismatch is None, total.mismatch
    print(f"{total.programs} programs, {total.instructions} instructions, {total.cycles} cycles")

    # What a run of some seconds must have reached for its silence to mean something.
    assert total.programs >= 20
    assert total.exits >= total.programs // 2
    assert set(total.executed) == {row.name for row in instructions(xfides=False)} - {"ecall", "ebreak"}
    assert set(total.causes) == {0, 1, 2, 3, 4, 5, 6, 7, 8, 11}
    assert set(total.interrupts) == {3, 7, 11}


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "none"])
def test_every_field_is_compared(fault):
    checker = Lockstep.build(lockstep_config("base", stalls=False))
    assert checker.run(3, 2000).mismatch is None
    report = checker.run(3, 2000, fault=fault, fault_at=500).mismatch
    assert report and "differs" in report or "traps" in report
    assert "the core's last instructions" in report and "the reference's" in report


def test_a_difference_is_reported_with_seed_and_command(monkeypatch, capsys):
    original = Lockstep.run

    def spoilt(*arguments):
        return original(*arguments, fault="rd_value", fault_at=100)

    monkeypatch.setattr(Lockstep, "run", spoilt)
    assert main(["--seed", "41", "--programs", "3", "--instructions", "1000", "--stalls", "no"]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("seed 41: register value differs")
    assert printed.rstrip().endswith(
        "again: python -m fides_core.flow.lockstep --preset base --seed 41 --programs 1 --instructions 1000 "
        "--stalls no"
    )


@pytest.mark.parametrize("name, reason", [("nothing", "unknown preset"), ("fides", "use base")])
def test_presets_that_cannot_be_verified(name, reason, capsys):
    assert main(["--preset", name]) == 2
    assert reason in capsys.readouterr().err
