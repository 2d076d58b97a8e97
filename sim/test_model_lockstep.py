"""The cores with Xfides in lockstep with the golden model: random programs of compartments, and interrupts in
every cycle of crossings.

Each run takes new seeds, which it prints; FIDES_SEED=N repeats one.
"""

import os
import random
import time
import warnings
from collections import Counter

import pytest

from fides_core.flow.elf import Program
from fides_core.flow.lockstep import lockstep_config, run_programs
from fides_core.flow.model_lockstep import SPOILT, ModelLockstep, ModelOutcome
from fides_core.isa.causes import ControlFlowFault, InterruptCause, MemoryFault
from fides_core.isa.xfides import PadKind, checkcap
from fides_core.model.compartments import Crossing
from fides_core.soc.memory_map import MAIN_MEMORY_BASE
from fides_core.software.episode_monitor import CODE, Episode, Layout, monitor_segments
from fides_core.software.label_code import LabelCode

# All runs together: more than 5 million instructions.
RUNS = {
    ("tiny_fides", "plain"): 800_000,
    ("tiny_fides", "few"): 800_000,
    ("fides", "plain"): 1_200_000,
    ("fides", "stalls"): 800_000,
    ("fides", "small"): 700_000,
    ("fides", "few"): 1_000_000,
}
assert sum(RUNS.values()) > 5_000_000
INSTRUCTIONS = 200_000  # of a program, about
SECONDS = 60  # on a machine that is much slower than it should be a run ends early, with a warning

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def seen():
    """What all runs of this process came across, together."""
    return ModelOutcome()


@pytest.mark.parametrize("preset, variant", RUNS)
def test_random_compartments_agree_with_the_model(preset, variant, seen):
    seed = int(os.environ.get("FIDES_SEED") or random.SystemRandom().randrange(1, 1 << 31))
    print(f"FIDES_SEED={seed}")
    ModelLockstep.build(lockstep_config(preset, variant))
    least = RUNS[preset, variant]
    total = ModelOutcome()
    start = time.monotonic()
    while total.instructions < least and time.monotonic() - start < SECONDS:
        total.add(run_programs(preset, seed, 1, INSTRUCTIONS, variant=variant))
        assert total.mismatch is None, total.mismatch
        seed += 1
    seconds = time.monotonic() - start
    print(f"{total.programs} programs, {total.instructions} instructions, {seconds:.1f} s: {total}")
    seen.add(total)
    if total.instructions < least:
        warnings.warn(f"{total.instructions} instructions in {seconds:.0f} s, not {least}", stacklevel=1)
        return
    assert total.interrupts[11] > 1000
    assert total.crossings[Crossing.CALL] > 100 and total.crossings[Crossing.RETURN] > 100


def test_the_runs_reached_what_matters(seen):
    if seen.instructions < sum(RUNS.values()):
        pytest.skip("only after all runs in one process")
    assert set(seen.crossings) == set(Crossing) - {Crossing.NONE}
    assert {Crossing.CALL, Crossing.RETURN} <= set(seen.interrupted)
    # The others are rare in so few programs; the scenarios and the benches have them every time.
    assert min(seen.interrupts[cause] for cause in InterruptCause) > 100, seen.interrupts
    often = {fault.name for fault in (*ControlFlowFault, *MemoryFault)}
    often -= {"BAD_PAD", "BAD_UNWIND", "BOUNDS", "EXHAUSTED"}
    assert often <= set(seen.causes), seen.causes
    # More than half of them have; 5 of about 24 cannot be chance.
    assert seen.many_crossings >= 5, (seen.many_crossings, seen.programs)


@pytest.mark.parametrize("spoilt", SPOILT)
def test_every_field_of_a_record_is_compared(spoilt):
    checker = ModelLockstep.build(lockstep_config("tiny_fides"))
    assert checker.run(5, 10_000).mismatch is None
    report = checker.run(5, 10_000, spoil=spoilt, spoil_at=8_000).mismatch
    assert report and "the core's last instructions" in report, report


class Crossings:
    """A program in which compartments 1 and 2 call each other, return, call in the place of another, and
    unwind over several frames."""

    RA, SP, T0, CHAIN = 1, 2, 5, 18

    def __init__(self):
        self.code = LabelCode(CODE)
        first = self.code.at
        self.function("main", 1, self.main)
        self.function("g", 1, lambda: self.code.jump("jal", "h", rd=self.RA))
        self.function("last", 1, lambda: self.code.op("addi", rd=10, imm=7))
        self.code.label("stub")
        self.code.op("ecall")
        self.code.align(64)
        second = self.code.at
        self.function("f", 2, self.f)
        self.function("h", 2, self.throw)
        self.function("tail", 2, lambda: None, tail="last")
        self.code.align(64)
        self.ranges = {1: (first, second), 2: (second, self.code.at)}

    def frame(self, amount):
        self.code.op("addi", rd=self.SP, rs1=self.SP, imm=amount)

    def function(self, name, cid, body, tail=None):
        code = self.code
        code.align(4)
        code.label(name)
        code.word(checkcap(cid))
        self.frame(-32)
        code.op("sd", rs1=self.SP, rs2=self.RA)
        body()
        code.op("ld", rd=self.RA, rs1=self.SP)
        self.frame(32)
        if tail:
            code.jump("jal", tail)
        else:
            code.op("jalr", rs1=self.RA)

    def arm(self, handler):
        self.code.address(self.T0, handler)
        self.code.op("arm", rs1=self.T0)

    def main(self):
        code = self.code
        self.arm("caught")
        code.op("sd", rs1=self.SP, rs2=self.T0, imm=8)
        code.op("addi", rd=self.CHAIN, rs1=self.SP)
        code.jump("jal", "f", rd=self.RA)
        code.op("disarm")
        code.align(4)
        code.label("caught")
        code.word(checkcap(1, PadKind.HANDLER))
        code.jump("jal", "tail", rd=self.RA)

    def f(self):
        self.code.jump("jal", "last", rd=self.RA)  # returns
        self.arm("never")
        self.code.jump("jal", "g", rd=self.RA)
        self.code.align(4)
        self.code.label("never")
        self.code.word(checkcap(2, PadKind.HANDLER))

    def throw(self):
        code = self.code
        code.op("addi", rd=self.SP, rs1=self.CHAIN)
        code.op("ld", rd=self.T0, rs1=self.SP, imm=8)
        code.op("jalr", rs1=self.T0)

    def program(self, core):
        end = self.code.at
        layout = Layout(end, end, end, self.ranges, {1: frozenset({2}), 2: frozenset({1})}, 1, 1, 1, True)
        labels = self.code.labels
        episodes = [Episode(labels["main"], 1, labels["stub"], 1), None]
        monitor = monitor_segments(core, layout, episodes, 100_000)
        return Program((*monitor, (CODE - MAIN_MEMORY_BASE, self.code.contents())), "crossings")


@pytest.mark.parametrize("preset, variant", [("tiny_fides", "few"), ("fides", "few")])
def test_interrupts_in_every_cycle_of_crossings(preset, variant):
    config = lockstep_config(preset, variant)
    checker = ModelLockstep.build(config)
    program = Crossings().program(config.core)
    quiet = checker.run_program(program, 100_000)
    assert quiet.mismatch is None, quiet.mismatch
    assert quiet.exits and quiet.crossings == {
        # main calls f, f calls last and g, g calls h, the handler calls tail
        Crossing.CALL: 5, Crossing.RETURN: 2, Crossing.UNWIND: 1, Crossing.TAIL_CALL: 1
    }  # fmt: skip
    taken, interrupted, popping = 0, Counter(), 0
    for cycle in range(quiet.cycles - 500, quiet.cycles):
        outcome = checker.run_program(program, 100_000, interrupt_at=cycle)
        assert outcome.mismatch is None, f"interrupt in cycle {cycle}: {outcome.mismatch}"
        assert outcome.exits and outcome.crossings == quiet.crossings
        taken += outcome.interrupts[11]
        interrupted.update(outcome.interrupted)
        popping += outcome.interrupted_unwinding
    assert taken > 150
    assert set(interrupted) == set(quiet.crossings) and min(interrupted.values()) >= 2, interrupted
    assert popping, "no interrupt came between two pops"
