"""EEMBC's CoreMark, from a checkout of the user's, on a preset, with the port in sw/bench/coremark.

Simulation is too slow for the 10 seconds that the rules ask for. Every iteration does the same work, so a few
are simulated, at a nominal clock so slow that they last longer than that; cycles per iteration, and with
them CoreMark/MHz, do not depend on the clock.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rich.console import Console

from fides_core.config import Config
from fides_core.errors import UserError

from . import bare_metal, simulation, tools
from .bench import COLUMNS, STALLS, Machine, Measurement, counted, parse_counters, simulator
from .verilog import replace_file

__all__ = [
    "CoreMark", "FLAGS", "ITERATIONS", "OUTPUT", "SOURCES", "check_source", "flags_for", "history_figure",
    "load_results", "run_coremark", "sections",
]  # fmt: skip

SOURCES = ("core_list_join.c", "core_main.c", "core_matrix.c", "core_state.c", "core_util.c")
HEADER = "coremark.h"
PORT = bare_metal.HARNESS / "coremark"
OUTPUT = tools.ROOT / "build" / "bench"

#: Named sets of compiler flags; anything else is taken as flags. The tuned ones were found by trying options
#: of GCC 12.2, one after another, for fewer instructions: calls across files go, two optimisations that hurt
#: here are off.
FLAGS = {
    "plain": "-O3",
    "tuned": "-O3 -flto -finline-limit=1000 -fno-tree-vrp -fno-code-hoisting -fselective-scheduling",
}
#: Iterations of the measured run, and of the one with the other seeds, which only has to be right.
ITERATIONS, VALIDATION_ITERATIONS = 10, 1
#: The nominal clock for one iteration: they last 10 seconds if each takes 100,000 cycles or more.
NOMINAL_HZ = 10_000
SECONDS = 10
_CYCLES_LIMIT = 20_000_000  # for an iteration: many times what the slowest core takes


@dataclass(frozen=True)
class CoreMark:
    """A result. ``cycles``, ``instructions`` and ``events`` (by name) are of all ``iterations`` together.

    ``official``: the sources are those of coremark.md5 beside them, None without that file. ``clock_hz``: the
    nominal clock of the printout. ``verilog``: SHA-256 of the simulated system, None for a model.
    """

    preset: str
    march: str
    flags: str
    compiler: str
    memory: str
    iterations: int
    cycles: int
    instructions: int
    events: dict[str, int | None]
    clock_hz: int
    official: bool | None
    verilog: str | None

    @property
    def cycles_per_iteration(self) -> float:
        """Clock cycles of one iteration."""
        return self.cycles / self.iterations

    @property
    def instructions_per_iteration(self) -> float:
        """Retired instructions of one iteration."""
        return self.instructions / self.iterations

    @property
    def coremark_per_mhz(self) -> float:
        """Iterations a second for each MHz of the clock."""
        return 1e6 / self.cycles_per_iteration

    @property
    def ten_seconds_hz(self) -> float:
        """The clock at which the simulated iterations last 10 seconds."""
        return self.cycles / SECONDS

    def to_dict(self) -> dict:
        """All of it, for JSON."""
        return {
            **asdict(self),
            "cycles_per_iteration": round(self.cycles_per_iteration, 1),
            "instructions_per_iteration": round(self.instructions_per_iteration, 1),
            "coremark_mhz": round(self.coremark_per_mhz, 4),
            "ten_seconds_hz": round(self.ten_seconds_hz),
        }

    def lines(self) -> list[str]:
        """The result in words."""
        needed = SECONDS * 100e6 / self.cycles_per_iteration
        lines = [
            f"CoreMark/MHz 1.0 : {self.coremark_per_mhz:.3f} / {self.compiler} "
            f"{_key(self.flags, self.march)} / {self.memory}",
            f"{self.iterations} iterations simulated, each {self.cycles_per_iteration:.0f} cycles and "
            f"{self.instructions_per_iteration:.0f} instructions",
            f"they last 10 s at a clock of {self.ten_seconds_hz / 1e6:.3f} MHz; "
            f"at 100 MHz 10 s take {needed:.0f} iterations",
            "validated with the seeds of the performance and of the validation run; the printout's time is "
            f"that of a nominal clock of {self.clock_hz} Hz",
        ]
        if self.official is False:
            lines.append("not a valid result: the sources differ from those in coremark.md5")
        return lines


def flags_for(text: str) -> list[str]:
    """The flags of a named set, or those in ``text``. Raises UserError when it is no list of flags."""
    try:
        flags = shlex.split(FLAGS.get(text, text))
    except ValueError as error:
        raise UserError(f"cannot read the flags {text!r}: {error}") from None
    wrong = next((flag for flag in flags if not flag.startswith("-")), None)
    if wrong or not flags:
        raise UserError(f"{text!r} is no list of flags, and no named set: there are {', '.join(FLAGS)}")
    return flags


def check_source(source: Path) -> bool | None:
    """Whether the sources are as coremark.md5 has them, None without that file.

    Raises UserError when a source is missing.
    """
    missing = [name for name in (*SOURCES, HEADER) if not (source / name).is_file()]
    if missing:
        raise UserError(f"{source} is no CoreMark checkout: it has no {missing[0]}")
    try:
        lines = (source / "coremark.md5").read_text().splitlines()
        sums = dict(reversed(line.split()) for line in lines if line.strip())
    except OSError:
        return None
    except ValueError:
        return False
    return all(
        hashlib.md5((source / name).read_bytes()).hexdigest() == sums.get(name) for name in (*SOURCES, HEADER)
    )


def memory_location(config: Config) -> str:
    """Where code and data are, as the rules want it beside a figure for each MHz."""
    core = config.core
    if core.icache is None:
        return "Code and data in tightly-coupled memory, at the core's clock"
    sizes = f"{core.icache.size >> 10} KiB instruction and {core.dcache.size >> 10} KiB data cache"
    return f"Code and data in on-chip RAM, at the core's clock, {sizes}"


def run_coremark(
    source: Path,
    config: Config,
    *,
    march: str | None = None,
    flags: str = "plain",
    iterations: int = ITERATIONS,
    machine: Callable[[Config], Machine] | None = None,
    output: Path = OUTPUT,
    console: Console | None = None,
) -> CoreMark:
    """Build the checkout in ``source`` with ``flags`` (a named set, or flags), run it on ``config``.

    ``machine(config)`` makes what runs it, a Simulator if it is None. The folder ``output`` gets the printout
    as coremark-<preset>.log, and the result, beside those with other flags, as coremark-<preset>.json. Raises
    UserError when the source is no CoreMark or does not compile, or when CoreMark finds its results wrong.
    """
    console = console or Console(quiet=True)
    official = check_source(source)
    chosen, march = flags_for(flags), march or config.core.march
    runs = {}
    for kind, count in (("PERFORMANCE", iterations), ("VALIDATION", VALIDATION_ITERATIONS)):
        texts = {
            "COMPILER_FLAGS": json.dumps(" ".join((*chosen, f"-march={march}"))),
            "MEM_LOCATION": json.dumps(memory_location(config)),
            f"{kind}_RUN": "1",
            "ITERATIONS": str(count),
            "CLOCK_HZ": str(NOMINAL_HZ * count),
        }
        with console.status(f"building CoreMark, {kind.lower()} run"):
            runs[kind, count] = bare_metal.build(
                [*(source / name for name in SOURCES), PORT / "core_portme.c"],
                output / config.name / f"coremark-{kind.lower()}.elf",
                config,
                march=march,
                flags=chosen,
                defines=[f"-D{name}={text}" for name, text in texts.items()],
                include=(PORT, source),
                warnings=(),
            )
    printed, measured = "", None
    target = (machine or simulator)(config)
    log = output / f"coremark-{config.name}.log"
    for (kind, count), image in runs.items():
        with console.status(f"CoreMark on {config.name}, {kind.lower()} run"):
            outcome = target.run(image, max_cycles=(count + 1) * _CYCLES_LIMIT)
        text = outcome.uart.decode("utf-8", "replace").replace("\r", "")
        printed += f"{kind.lower()} run\n\n{text}\n"
        replace_file(log, printed)
        if outcome.exit_code != 0:
            raise UserError(f"CoreMark on {config.name}: {outcome.message} (log: {log})")
        if f"2K {kind.lower()} run parameters" not in text or "Correct operation validated." not in text:
            raise UserError(f"CoreMark on {config.name}: {kind.lower()} run not validated (log: {log})")
        if kind == "PERFORMANCE":
            measured = parse_counters(text)
            ticks = re.search(r"^Total ticks +: (\d+)$", text, re.MULTILINE)
            if measured is None or not ticks or int(ticks[1]) != measured[0]:
                raise UserError(f"CoreMark on {config.name} did not print what it measured (log: {log})")
    cycles, instructions, events = measured
    result = CoreMark(
        preset=config.name,
        march=march,
        flags=" ".join(chosen),
        compiler=f"GCC{bare_metal.compiler_version()}",
        memory=memory_location(config),
        iterations=iterations,
        cycles=cycles,
        instructions=instructions,
        events=counted(events, config),
        clock_hz=NOMINAL_HZ * iterations,
        official=official,
        verilog=None if machine else _simulated_verilog(config),
    )
    path = output / f"coremark-{config.name}.json"
    results = {**_kept(path), _key(result.flags, result.march): result.to_dict()}
    replace_file(path, json.dumps(results, indent=2) + "\n")
    for line in result.lines():
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    console.print(f"printout: {log}", soft_wrap=True, markup=False, highlight=False)
    return result


def _key(flags: str, march: str) -> str:
    return f"{flags} -march={march}"


def _simulated_verilog(config: Config) -> str:
    path = simulation.BUILD_DIRECTORY / config.name / "rtl" / f"{config.name}.v"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_results(path: Path) -> dict[str, dict]:
    """The results of one preset by flags, as run_coremark wrote them, none without the file.

    Raises UserError when it is something else.
    """
    try:
        results = json.loads(path.read_text())
        for one in results.values():
            _from_dict(one).to_dict()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (AttributeError, ArithmeticError, KeyError, TypeError, ValueError) as error:
        what = "what `fides bench coremark` writes"
        raise UserError(f"{path} is not {what} ({error!r}): run it again") from None
    return results


def _kept(path: Path) -> dict[str, dict]:
    try:
        return load_results(path)
    except UserError:
        return {}


def _from_dict(result: dict) -> CoreMark:
    return CoreMark(**{field.name: result[field.name] for field in fields(CoreMark)})


def history_figure(config: Config, verilog: Path, directory: Path = OUTPUT) -> float | None:
    """CoreMark/MHz of ``config`` for the history: with the plain flags and the configuration's -march, of
    exactly the system in the file ``verilog``. None when that was not measured."""
    results = load_results(directory / f"coremark-{config.name}.json")
    found = results.get(_key(FLAGS["plain"], config.core.march))
    if found is None or found["verilog"] != hashlib.sha256(verilog.read_bytes()).hexdigest():
        return None
    return round(_from_dict(found).coremark_per_mhz, 3)


def sections(results: Mapping[str, Mapping[str, dict]]) -> list[tuple[str, list[str], list[list[str]], str]]:
    """Tables for the report, by preset: title, heads, rows, and a line to stand below."""
    rows, notes = [], []
    for preset, by_flags in results.items():
        for one in map(_from_dict, by_flags.values()):
            measurement = Measurement(preset, "CoreMark", "", one.cycles, one.instructions, one.events)
            figures = measurement.figures()
            stalls = ("-" if figures[name] is None else str(figures[name]) for name in STALLS)
            rows.append(
                [
                    preset, _key(one.flags, one.march), f"{one.coremark_per_mhz:.3f}", str(one.iterations),
                    f"{one.cycles_per_iteration:.0f}", f"{one.instructions_per_iteration:.0f}",
                    f"{measurement.ipc:.2f}", *stalls,
                ]
            )  # fmt: skip
            if one.official is False:
                notes.append(f"{preset} with {one.flags}: changed sources, not a valid result.")
    if not rows:
        return []
    heads = ["preset", "flags", "CoreMark/MHz", "iterations simulated", "cycles each", "instructions each"]
    heads += ["IPC", *(COLUMNS[name] for name in STALLS)]
    compilers = sorted({one["compiler"] for by_flags in results.values() for one in by_flags.values()})
    return [("CoreMark", heads, rows, " ".join([", ".join(compilers) + ".", *notes]))]
