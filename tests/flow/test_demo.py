"""The demo on the golden model: every attack on both presets; and the demo notices when one goes wrong."""

import io
import json
from dataclasses import dataclass
from functools import cache

import pytest
from rich.console import Console

from fides_core.config import PRESETS
from fides_core.flow.demo import DemoFailed, _judge, run_demo
from fides_core.model import Platform
from fides_core.software.image import SW
from fides_core.software.scenarios import SUCCEEDED, load_attacks

ATTACKS = load_attacks(SW / "demo" / "attacks.toml")


@dataclass(frozen=True)
class Outcome:
    exit_code: int | None
    cycles: int
    instructions: int
    uart: bytes
    message: str


@cache
def run_once(preset, image, max_cycles):
    platform = Platform(PRESETS[preset])
    platform.load_elf(image)
    outcome = platform.run(max_instructions=max_cycles)
    count = outcome.instructions
    return Outcome(outcome.exit_code, count, count, outcome.uart, f"stopped at {outcome.pc:#x}")


@dataclass(frozen=True)
class Model:
    """Runs images of any preset on the model of ``preset``."""

    preset: str

    def run(self, image, max_cycles):
        return run_once(self.preset, image, max_cycles)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    output = tmp_path_factory.mktemp("demo") / "demo.json"
    text = io.StringIO()
    console = Console(file=text, width=200)
    result = run_demo(console, machine=lambda config: Model(config.name), output=output)
    return result, json.loads(output.read_text()), text.getvalue()


def test_the_election(demo):
    result, _, text = demo
    assert {name: run.exit for name, run in result.legal.items()} == {"base": 0, "fides": 0}
    for line in (
        "11 of 12 seals are whole",
        "ballot 6 rejected, its seal is broken",  # honest longjmp from crypto over the vote handler
        "600 precincts, sum 180900, interrupted",  # deeper than the shadow stack, interrupts between
        "ui: 1. alice      7 #######",
        "main: the winner is alice",
    ):
        assert line in text


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(demo, attack):
    result = next(row for row in demo[0].attacks if row.name == attack.name)
    assert (result.cause, result.expected) == (attack.cause, attack.cause)
    assert result.fides == f"stopped: {attack.cause}, exit code {attack.exit_code}"
    assert result.base != "did not succeed"


def test_results_file(demo):
    result, written, _ = demo
    assert {"cycles", "instructions", "exit"} <= written["legal"]["fides"].keys()
    assert [row["name"] for row in written["attacks"]] == [attack.name for attack in ATTACKS]
    assert {"name", "base", "fides", "cause", "expected"} <= written["attacks"][0].keys()
    assert set(written["crossing"]) == {"base", "fides", "extra"}
    assert set(written["simulation"]) == {"base", "fides"}
    # The model counts instructions: a pad at each function and nothing else.
    assert written["crossing"]["fides"]["inside"] == written["crossing"]["base"]["inside"] + 1
    assert result.crossing["extra"]["across"] == 0


def test_every_attack_of_the_talk_is_there():
    assert len(ATTACKS) == 15
    assert {attack.cause for attack in ATTACKS} == {
        "DENIED", "ILLEGAL_ENTRY", "RESTRICTED", "BAD_UNWIND", "BOUNDS", "INVALID", "TEMPORAL",
    }  # fmt: skip


def test_attack_that_is_not_stopped_fails_the_demo(tmp_path):
    """The base core, with the base image, in the place of both."""

    class Unprotected(Model):
        def run(self, image, max_cycles):
            return run_once("base", image.with_name(image.name.replace("fides", "base")), max_cycles)

    output = tmp_path / "demo.json"
    with pytest.raises(DemoFailed) as failed:
        run_demo(machine=lambda config: Unprotected(config.name), output=output)
    for attack in ATTACKS:
        assert f"{attack.name} on fides: not stopped with {attack.cause} (exit code 10)" in str(failed.value)
    assert not output.exists()


def test_attack_that_fails_on_the_base_core_fails_the_demo():
    attack = ATTACKS[0]
    stopped = (attack.exit_code, f"monitor: fault {attack.cause} (CONTROL_FLOW, mcause 24)\n")
    went_through = (SUCCEEDED, "attack: mallory has 1000 votes\n")
    assert _judge(attack, went_through, stopped)[1] == []
    for unprotected in ((0, went_through[1]), (SUCCEEDED, "attack: nothing\n")):
        assert "did not succeed" in _judge(attack, unprotected, stopped)[1][0]


@pytest.mark.parametrize(
    "protected",
    (
        (0, ""),
        (66, "monitor: fault DENIED (CONTROL_FLOW, mcause 24)\n"),
        (67, "monitor: fault RESTRICTED (CONTROL_FLOW, mcause 24)\n"),
        (67, "attack: mallory has 1000 votes\nmonitor: fault DENIED (CONTROL_FLOW, mcause 24)\n"),
        (67, "the program says: monitor: fault DENIED (CONTROL_FLOW, mcause 24)\n"),
    ),
)
def test_attack_stopped_for_another_reason_fails_the_demo(protected):
    attack = ATTACKS[0]
    _, wrong = _judge(attack, (SUCCEEDED, "attack: mallory has 1000 votes\n"), protected)
    assert len(wrong) == 1 and "not stopped with DENIED" in wrong[0]


def test_hung_program_fails_the_demo(tmp_path):
    class Hung(Model):
        def run(self, image, max_cycles):
            return Outcome(None, max_cycles, 1, b"", "no exit after 5 cycles: stopped at pc 0x80000000")

    with pytest.raises(DemoFailed, match="the election on base: no exit after 5 cycles"):
        run_demo(machine=lambda config: Hung(config.name), output=tmp_path / "demo.json")
