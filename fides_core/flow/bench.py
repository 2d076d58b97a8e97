"""The benchmark programs of sw/bench on presets: cycles, instructions, and where the cycles went."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from fides_core.config import Config, preset
from fides_core.errors import UserError
from fides_core.isa.csrs import Event

from . import bare_metal, tools
from .simulation import Simulator
from .verilog import replace_file

__all__ = [
    "BenchFailed", "COLUMNS", "Machine", "Measurement", "OUTPUT", "PROGRAMS", "build_program", "load_bench",
    "STALLS", "counted", "measure", "parse_counters", "run_bench", "sections", "simulator",
]  # fmt: skip

PROGRAMS = (
    "mix", "fannkuch", "nbody", "spectral_norm", "mandelbrot", "fasta", "binary_trees", "pidigits",
)  # fmt: skip
"""One C file each in sw/bench."""

OUTPUT = tools.ROOT / "build" / "bench.json"
#: Clock cycles after which a run is taken for hung: many times what the longest takes.
MAX_CYCLES = 100_000_000

#: The columns of the table after the program: what ``Measurement.figures`` has, and the head.
COLUMNS = {
    "cycles": "cycles",
    "instructions": "instr.",
    "ipc": "IPC",
    "BRANCH_MISPREDICTION": "mispred.",
    "ICACHE_MISS": "I miss",
    "DCACHE_MISS": "D miss",
    "STALL_FETCH": "fetch %",
    "STALL_LOAD": "load %",
    "STALL_EXECUTE": "exec. %",
    "STALL_MEMORY": "mem. %",
}
#: The columns that are shown in percent of the cycles.
STALLS = ("STALL_FETCH", "STALL_LOAD", "STALL_EXECUTE", "STALL_MEMORY")


class BenchFailed(Exception):
    """A program computed something wrong, or did not end; the message says which."""


class Machine(Protocol):
    """What runs images: a Simulator, or a model in tests."""

    def run(self, image: Path, max_cycles: int):
        """An outcome with exit_code (None: did not end), uart (bytes), cycles and message."""


class _Unprotected:
    """A Simulator for programs without a policy: on a core with Xfides they run with all checks off."""

    def __init__(self, config: Config, report: Callable[[str], None]):
        self._simulator = Simulator.build(config, report=report)

    def run(self, image: Path, max_cycles: int):
        return self._simulator.run(image, max_cycles=max_cycles, require_policy=False)


class _Timed:
    """A machine, and how many cycles it ran in how many seconds of processor time."""

    def __init__(self, machine: Machine):
        self._machine = machine
        self.cycles, self.seconds = 0, 0.0

    def run(self, image: Path, max_cycles: int):
        start = time.process_time()
        outcome = self._machine.run(image, max_cycles=max_cycles)
        self.seconds += time.process_time() - start
        self.cycles += outcome.cycles
        return outcome

    @property
    def speed(self) -> str:
        """In one line."""
        mhz = self.cycles / self.seconds / 1e6 if self.seconds else 0.0
        return f"{self.cycles} cycles simulated in {self.seconds:.1f} s of processor time: {mhz:.2f} MHz"


def simulator(config: Config, report: Callable[[str], None] = lambda text: None) -> Machine:
    """The simulator of ``config``, for programs in M-mode."""
    return _Unprotected(config, report)


@dataclass(frozen=True)
class Measurement:
    """One program on one preset: of the measured work, not of reset and output.

    ``events``: by the names in ``isa.csrs.Event``; None when the core does not count that one.
    """

    preset: str
    program: str
    checksum: str
    cycles: int
    instructions: int
    events: dict[str, int | None]

    @property
    def ipc(self) -> float:
        """Instructions per cycle."""
        return self.instructions / self.cycles if self.cycles else 0.0

    def figures(self) -> dict[str, Any]:
        """The numbers of COLUMNS: stalls in percent of the cycles, None where nothing is counted."""
        result: dict[str, Any] = {
            "cycles": self.cycles,
            "instructions": self.instructions,
            "ipc": round(self.ipc, 3),
            **{name: self.events.get(name) for name in COLUMNS if name in Event.__members__},
        }
        for name in STALLS:
            if result[name] is not None:
                result[name] = round(100 * result[name] / self.cycles, 1) if self.cycles else 0.0
        return result

    def to_dict(self) -> dict[str, Any]:
        """As in bench.json: events are numbers there, stalls in cycles."""
        return {
            "checksum": self.checksum,
            "cycles": self.cycles,
            "instructions": self.instructions,
            "ipc": round(self.ipc, 4),
            "events": self.events,
        }


def parse_counters(text: str) -> tuple[int, int, dict[str, int]] | None:
    """Cycles, instructions and events of the line that the harness prints; None without one."""
    found = re.search(r"^counters((?: \d+)+)$", text, re.MULTILINE)
    numbers = [int(number) for number in found[1].split()] if found else []
    if len(numbers) != 2 + len(Event):
        return None
    cycles, instructions, *events = numbers
    return cycles, instructions, {event.name: count for event, count in zip(Event, events, strict=True)}


def counted(events: Mapping[str, int], config: Config) -> dict[str, int | None]:
    """``events`` with None for those that a core with ``config`` has no counter for."""
    counters = config.core.hpm_counters
    return {name: count if Event[name] <= counters else None for name, count in events.items()}


def build_program(program: str, config: Config, directory: Path | None = None) -> Path:
    """The executable of ``program`` for ``config``. Raises UserError for an unknown one, and as
    bare_metal.build does."""
    if program not in PROGRAMS:
        raise UserError(f"unknown program {program!r}; there are {', '.join(PROGRAMS)}")
    directory = directory or tools.ROOT / "build" / "bench"
    sources = [bare_metal.HARNESS / "main.c", bare_metal.HARNESS / f"{program}.c"]
    return bare_metal.build(sources, directory / config.name / f"{program}.elf", config)


def measure(program: str, image: Path, config: Config, machine: Machine) -> Measurement:
    """Run a program. Raises BenchFailed when it does not end, or its checksum is wrong."""
    outcome = machine.run(image, max_cycles=MAX_CYCLES)
    text = outcome.uart.decode("utf-8", "replace").replace("\r", "")
    result = re.search(rf"^benchmark {program} (0x[0-9a-f]{{16}}) (correct|wrong)$", text, re.MULTILINE)
    counters = parse_counters(text)
    if outcome.exit_code != 0 or not result or result[2] != "correct" or counters is None:
        said = text.strip().splitlines()
        raise BenchFailed(f"{program} on {config.name}: {outcome.message}" + (f", {said[0]}" if said else ""))
    cycles, instructions, events = counters
    return Measurement(config.name, program, result[1], cycles, instructions, counted(events, config))


def run_bench(
    presets: Sequence[str],
    programs: Sequence[str] = PROGRAMS,
    *,
    machine: Callable[[Config], Machine] | None = None,
    output: Path = OUTPUT,
    console: Console | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Build and run ``programs`` on ``presets``, write ``output``, and return what it has: by preset and
    program, what ``Measurement.to_dict`` gives.

    ``machine(config)`` makes what runs images, a simulator if it is None. Results of other presets and
    programs stay in the file. Raises UserError when something cannot be built, BenchFailed when a result is
    wrong.
    """
    console = console or Console(quiet=True)

    def simulated(config: Config) -> Machine:
        return simulator(config, lambda text: console.print(text, highlight=False))

    results: dict[str, dict[str, dict[str, Any]]] = {}
    for name in presets:
        config = preset(name)
        with console.status(f"building the programs for {name}"):
            images = {program: build_program(program, config) for program in programs}
        target = _Timed((machine or simulated)(config))
        done = []
        for program, image in images.items():
            with console.status(f"{program} on {name}"):
                done.append(measure(program, image, config, target))
        results[name] = {one.program: one.to_dict() for one in done}
        console.print(table(name, done), soft_wrap=True, markup=False, highlight=False)
        console.print(target.speed, soft_wrap=True, markup=False, highlight=False)
    kept = _kept(output)
    for name, measured in results.items():
        merged = {**kept.get(name, {}), **measured}
        kept[name] = {program: merged[program] for program in PROGRAMS if program in merged}
    replace_file(output, json.dumps(kept, indent=2) + "\n")
    return results


def _kept(path: Path) -> dict[str, Any]:
    try:
        return load_bench(path)
    except UserError:
        return {}


def _measurements(preset_name: str, programs: Mapping[str, Any]) -> list[Measurement]:
    return [
        Measurement(
            preset_name, program, one["checksum"], one["cycles"], one["instructions"], dict(one["events"])
        )
        for program, one in programs.items()
    ]


def load_bench(path: Path = OUTPUT) -> dict[str, dict[str, dict[str, Any]]]:
    """What run_bench wrote. Raises UserError when it is missing or not of that shape."""
    try:
        results = json.loads(path.read_text())
        for name, programs in results.items():
            for measurement in _measurements(name, programs):
                measurement.figures()
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `fides bench`") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not what `fides bench` writes ({error!r}): run it again") from None
    return results


def _cell(value: Any, name: str) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if name == "ipc" else str(value)


def _rows(measured: Sequence[Measurement]) -> list[list[str]]:
    return [
        [one.program, *(_cell(value, name) for name, value in one.figures().items())] for one in measured
    ]


def table(name: str, measured: Sequence[Measurement]) -> str:
    """The measurements of one preset as lines of text with aligned columns; numbers are never cut off."""
    rows = [[name, *COLUMNS.values()], *_rows(measured)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, strict=True)
        first, *others = (cell.rjust(width) for cell, width in cells)
        lines.append("  ".join([first.strip().ljust(widths[0]), *others]))
    return "\n".join(lines)


def sections(results: Mapping[str, Any]) -> list[tuple[str, list[str], list[list[str]], str]]:
    """Tables for the report, one for each preset: title, heads, rows, and a line to stand below."""
    note = "fetch, load, exec. and mem.: cycles in which the core waits for that, in percent of all."
    return [
        (f"Benchmarks on {name}", ["program", *COLUMNS.values()], _rows(_measurements(name, programs)), note)
        for name, programs in results.items()
    ]
