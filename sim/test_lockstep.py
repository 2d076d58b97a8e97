"""The cores without Xfides in lockstep with Spike on random programs, in every verification variant.

Each run takes new seeds, which it prints; FIDES_SEED=N repeats one. The checker's own tests, without a core,
are in tests/flow/test_lockstep.py.
"""

import os
import random
import time
import warnings

import pytest

from fides_core.flow import tools
from fides_core.flow.lockstep import FAULTS, Lockstep, LockstepOutcome, lockstep_config, run_programs
from fides_core.isa.compressed import COMPRESSED
from fides_core.isa.instructions import instructions

# All runs together: more than 20 million instructions.
RUNS = {
    ("tiny", "plain"): 2_000_000,
    ("tiny", "stalls"): 2_000_000,
    ("base", "plain"): 5_000_000,
    ("base", "stalls"): 2_000_000,
    ("base", "small"): 3_000_000,
    ("base", "wide"): 1_500_000,
    ("base", "nopredict"): 1_500_000,
    ("base", "pmp16"): 2_000_000,
    ("base", "pmp0"): 1_500_000,
}
assert sum(RUNS.values()) > 20_000_000
INSTRUCTIONS = 150_000  # of a program, about
BATCH = 4  # programs between looks at the time
SECONDS = 75  # on a machine that is much slower than it should be a run ends early, with a warning

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(autouse=True)
def spike():
    """These tests need the reference, which is not there for every machine."""
    try:
        return tools.spike_directory()
    except tools.ToolMissing as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("preset, variant", RUNS)
def test_random_programs_agree_with_spike(preset, variant):
    seed = int(os.environ.get("FIDES_SEED") or random.SystemRandom().randrange(1, 1 << 31))
    print(f"FIDES_SEED={seed}")
    core = lockstep_config(preset, variant).core
    least = RUNS[preset, variant]
    total = LockstepOutcome()
    Lockstep.build(lockstep_config(preset, variant))
    start = time.monotonic()
    while total.instructions < least and time.monotonic() - start < SECONDS:
        total.add(run_programs(preset, seed, BATCH, INSTRUCTIONS, variant=variant))
        assert total.mismatch is None, total.mismatch
        seed += BATCH
    seconds = time.monotonic() - start
    figures = f"{total.instructions} instructions in {total.cycles} cycles"
    print(f"{total.programs} programs, {figures}, {seconds:.1f} s")

    assert total.exits == total.programs
    if total.instructions < least:
        warnings.warn(f"{total.instructions} instructions in {seconds:.0f} s, not {least}", stacklevel=1)
        return
    # What a run must have reached for its silence to mean something.
    rows = instructions(xfides=False, bitmanip=core.bitmanip, zicond=core.zicond)
    everything = {row.name for row in rows} | {row.name for row in COMPRESSED}
    assert set(total.executed) == everything - {"ecall", "ebreak", "c.ebreak"}  # these only trap
    assert set(total.causes) == {1, 2, 3, 4, 5, 6, 7, 8, 11}
    assert set(total.interrupts) == {3, 7, 11}
    assert total.store_conditional[True] > 500 and total.store_conditional[False] > 100


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "none"])
def test_every_field_of_the_port_is_compared(fault):
    checker = Lockstep.build(lockstep_config("tiny"))
    assert checker.run(3, 20_000).mismatch is None
    report = checker.run(3, 20_000, fault=fault, fault_at=700).mismatch
    assert report and ("differs" in report or "traps" in report or "rvfi_order" in report)
    assert "the core's last instructions" in report and "the reference's" in report
