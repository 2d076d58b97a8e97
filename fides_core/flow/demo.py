"""The demo: the election as it should run, each attack on it, and what a crossing costs, on both presets."""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.table import Table

from fides_core.config import PRESETS, Config
from fides_core.software.image import SW, build_image, with_argument
from fides_core.software.scenarios import LEGAL, SUCCEEDED, Attack, load_attacks

from .simulation import Simulator
from .tools import ROOT
from .verilog import replace_file

__all__ = ["AttackResult", "DemoFailed", "DemoResult", "LegalRun", "Machine", "run_demo"]

#: The core that the attacks succeed on, and the one that stops them.
UNPROTECTED, PROTECTED = "base", "fides"
#: Clock cycles after which a run is taken for hung: many times what the longest takes.
MAX_CYCLES = 20_000_000


class DemoFailed(Exception):
    """A run did not end as it should; the message says which, and what it did instead."""


class Machine(Protocol):
    """What runs images: a Simulator, or the golden model in tests."""

    def run(self, image: Path, max_cycles: int):
        """An outcome with exit_code (None: did not end), cycles, instructions, uart (bytes) and message."""


@dataclass(frozen=True)
class LegalRun:
    """The election without an attack. ``cycles``: clock cycles since reset; ``exit``: exit code."""

    cycles: int
    instructions: int
    exit: int


@dataclass(frozen=True)
class AttackResult:
    """One attack. ``base``: what it did there, in its own words; ``fides``: what the monitor said;
    ``cause`` and ``expected``: the fault that stopped it, and the one that the contract demands."""

    name: str
    title: str
    base: str
    fides: str
    cause: str
    expected: str


@dataclass(frozen=True)
class DemoResult:
    """All of the demo. ``crossing``: clock cycles of a call and its return by preset and kind, and under
    "extra" what each kind takes more than the same inside a compartment. ``simulation``: MHz by preset."""

    legal: dict[str, LegalRun]
    attacks: tuple[AttackResult, ...]
    crossing: dict[str, dict[str, float]]
    simulation: dict[str, float]

    def to_json(self) -> str:
        """As in build/demo.json."""
        return json.dumps(asdict(self), indent=2) + "\n"


def run_demo(
    console: Console | None = None,
    *,
    machine: Callable[[Config], Machine] | None = None,
    output: Path = ROOT / "build" / "demo.json",
) -> DemoResult:
    """Builds the images, runs the demo on both presets and writes ``output`` when all went as it should.

    ``machine(config)`` makes what runs the images, a Simulator if it is None. Raises DemoFailed when a legal
    run fails or differs between the presets, an attack is not stopped with its cause, or one does not succeed
    on the base core; UserError when something cannot be built.
    """
    console = console or Console(quiet=True)

    def simulator(config: Config) -> Simulator:
        return Simulator.build(config, report=lambda text: console.print(text, highlight=False))

    machine = machine or simulator
    configs = {name: PRESETS[name] for name in (UNPROTECTED, PROTECTED)}
    with console.status("building the demo's images"):
        images = {name: build_image("demo", config) for name, config in configs.items()}
        benches = {name: build_image("bench/crossing", config) for name, config in configs.items()}
    with console.status("building the simulators"):
        machines = {name: machine(config) for name, config in configs.items()}
    legal, speed = _run_legal(machines, images, console)
    attacks = _run_attacks(machines, images, console)
    with console.status("timing crossings"):
        crossing = {name: _measure_crossing(machines[name], benches[name]) for name in configs}
    crossing["extra"] = _extra(crossing[PROTECTED])
    console.print(_crossing_line(crossing["extra"]))
    result = DemoResult(legal, attacks, crossing, speed)
    replace_file(output, result.to_json())
    return result


def _finished(what: str, outcome) -> str:
    """The text that a run printed. Raises DemoFailed when it did not end."""
    if outcome.exit_code is None:
        raise DemoFailed(f"{what}: {outcome.message}")
    return outcome.uart.decode("utf-8", "replace").replace("\r", "")


def _run_legal(
    machines: Mapping[str, Machine], images: Mapping[str, Path], console: Console
) -> tuple[dict[str, LegalRun], dict[str, float]]:
    runs, texts, speed = {}, {}, {}
    for name, machine in machines.items():
        with console.status(f"the election on {name}"):
            start = time.perf_counter()
            outcome = machine.run(with_argument(images[name], LEGAL), max_cycles=MAX_CYCLES)
            speed[name] = round(outcome.cycles / (time.perf_counter() - start) / 1e6, 3)
        texts[name] = _finished(f"the election on {name}", outcome)
        if outcome.exit_code != 0:
            raise DemoFailed(f"the election on {name}: exit code {outcome.exit_code}\n{texts[name]}")
        runs[name] = LegalRun(outcome.cycles, outcome.instructions, outcome.exit_code)
    console.print(texts[PROTECTED].rstrip(), markup=False, highlight=False)
    if texts[UNPROTECTED] != texts[PROTECTED]:
        raise DemoFailed(f"the election prints something else on {UNPROTECTED}:\n{texts[UNPROTECTED]}")
    for name, run in runs.items():
        console.print(f"the election on {name}: {run.cycles} cycles, {run.instructions} instructions")
    return runs, speed


def _run_attacks(
    machines: Mapping[str, Machine], images: Mapping[str, Path], console: Console
) -> tuple[AttackResult, ...]:
    table = Table("attack", f"on {UNPROTECTED}", f"on {PROTECTED}", title="Attacks", title_justify="left")
    results, failures = [], []
    for attack in load_attacks(SW / "demo" / "attacks.toml"):
        with console.status(f"attack: {attack.title}"):
            texts = {}
            for name, machine in machines.items():
                outcome = machine.run(with_argument(images[name], attack.number), max_cycles=MAX_CYCLES)
                texts[name] = (outcome.exit_code, _finished(f"{attack.name} on {name}", outcome))
        result, wrong = _judge(attack, texts[UNPROTECTED], texts[PROTECTED])
        failures += wrong
        results.append(result)
        table.add_row(attack.title, result.base, result.fides)
    console.print(table)
    if failures:
        raise DemoFailed("\n".join(failures))
    return tuple(results)


def _judge(
    attack: Attack, unprotected: tuple[int, str], protected: tuple[int, str]
) -> tuple[AttackResult, list[str]]:
    """The result, and what is wrong with it."""
    wrong = []
    code, text = unprotected
    evidence = re.search(attack.evidence, text)
    if code != SUCCEEDED or not evidence:
        wrong.append(f"{attack.name} on {UNPROTECTED}: did not succeed (exit code {code})\n{text}")
    did = evidence.group().split(": ", 1)[-1] if evidence else "did not succeed"
    code, text = protected
    fault = re.search(r"^monitor: fault (\w+) \((\w+), mcause \d+\)$", text, re.MULTILINE)
    cause = fault[1] if fault else "none"
    if code != attack.exit_code or cause != attack.cause or re.search(attack.evidence, text):
        wrong.append(
            f"{attack.name} on {PROTECTED}: not stopped with {attack.cause} (exit code {code})\n{text}"
        )
    said = f"stopped: {cause}, exit code {code}" if fault else "not stopped"
    return AttackResult(attack.name, attack.title, did, said, cause, attack.cause), wrong


def _measure_crossing(machine: Machine, image: Path) -> dict[str, float]:
    """Clock cycles of a call and its return, for each kind that the micro-benchmark prints."""
    outcome = machine.run(image, max_cycles=MAX_CYCLES)
    text = _finished("the crossing benchmark", outcome)
    rows = re.findall(r"^crossing (\w+) (\d+) (\d+)$", text, re.MULTILINE)
    if outcome.exit_code != 0 or not rows:
        raise DemoFailed(f"the crossing benchmark: exit code {outcome.exit_code}\n{text}")
    return {name: round(int(cycles) / int(iterations), 2) for name, iterations, cycles in rows}


def _extra(cycles: Mapping[str, float]) -> dict[str, float]:
    """What crossing takes more than the same inside a compartment, in clock cycles."""
    inside = {"across": "inside", "tail_across": "tail_inside", "restricted": "inside", "complete": "inside"}
    return {name: round(cycles[name] - cycles[other], 2) for name, other in inside.items()}


def _crossing_line(extra: Mapping[str, float]) -> str:
    return (
        f"a call and return across compartments takes {extra['across']:g} cycles more than inside one, "
        f"by way of a tail call {extra['tail_across']:g}, into restricted fluid {extra['restricted']:g}, "
        f"into complete fluid {extra['complete']:g}"
    )
