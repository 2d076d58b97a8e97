"""Random C programs: the same output by `fides cc` as by the host's compiler."""

import shutil
from types import SimpleNamespace

import pytest

from fides_core.config import preset
from fides_core.errors import UserError
from fides_core.flow import random_c
from fides_core.flow.random_c import program_for, run_programs
from fides_core.flow.simulation import Simulator

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not shutil.which("csmith"), reason="csmith is not installed: nothing makes programs"),
]


class Spoiled:
    """A simulator that runs nothing, and says what was expected of none of the programs."""

    def run(self, image, max_cycles):
        return SimpleNamespace(uart=b"== 1\nchecksum = 0\n", exit_code=0, cycles=1, message="exit code 0")


@pytest.mark.slow
def test_programs_do_the_same_as_on_the_host(tmp_path):
    machine = Simulator.build(preset("fides"))
    tally = run_programs(range(1, 51), output=tmp_path, machine=machine)
    print(f"seeds 1 to 50: {tally.summary()}")
    assert not tally.failed
    # All others take too long, which is no fault; but most do not.
    assert len(tally.same) >= 35 and len(tally.levels) == len(random_c.LEVELS)
    assert len(tally.same) + len(tally.skipped_long) + len(tally.skipped_generator) == 50


def test_difference_is_reported_with_the_program(tmp_path):
    tally = run_programs([1], output=tmp_path, machine=Spoiled())
    assert list(tally.failed) == [1] and str(program_for(1)) in tally.failed[1]
    assert (tmp_path / "failed" / "p1.c").read_text().count("main") >= 1


def test_program_that_does_not_end_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(random_c, "BLOCK_LIMIT", 10)
    tally = run_programs([1], output=tmp_path, machine=Spoiled())
    assert tally.skipped_long == [1] and not tally.same and not tally.failed


def test_seed_says_everything():
    assert program_for(7) == program_for(7) != program_for(8)


def test_missing_csmith_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="install the Debian packages csmith"):
        run_programs([1], output=tmp_path, machine=Spoiled())
