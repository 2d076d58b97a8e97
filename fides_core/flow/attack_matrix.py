"""The attack matrix: every case on a core without the extension, where it must succeed to count, and on one
with it, which must stop it with the right cause, in the function that makes the error."""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from elftools.elf.elffile import ELFFile
from rich.console import Console

from fides_core.config import PRESETS, Config
from fides_core.errors import UserError
from fides_core.isa.causes import MemoryFault
from fides_core.model import Platform
from fides_core.soc.memory_map import MAIN_MEMORY_BASE

from .attack_cases import Case, Excluded, all_cases, cases_source
from .elf import Program, load_elf
from .simulation import Simulator
from .tools import ROOT
from .verilog import replace_file

__all__ = [
    "HARMLESS", "Attacks", "Machine", "MatrixResult", "Model", "Result", "build_attacks", "markdown",
    "run_attacks", "run_case", "run_matrix", "write_results",
]  # fmt: skip

UNPROTECTED, PROTECTED = "base", "fides"
SOURCES = ROOT / "sw" / "attacks"
OUTPUT = ROOT / "build" / "attacks"
#: Exit codes of sw/attacks/attack.h.
WENT_THROUGH, SURVIVED, OUT_OF_REACH = 10, 11, 12
#: Added to a case's number: the same without its error.
HARMLESS = 1 << 16
#: Instructions or clock cycles after which a run is taken for hung: ten times what the longest takes.
LIMIT = 5_000_000
_MEMORY_FAULT = 96  # and comcause: the monitor's exit code


class Machine(Protocol):
    """What runs programs: a Simulator, or the golden model."""

    def run(self, image: Program, max_cycles: int):
        """An outcome with exit_code (None: did not end) and uart (bytes)."""


class Model:
    """The golden model of a configuration as a Machine."""

    def __init__(self, config: Config):
        self._config = config

    def run(self, image: Program, max_cycles: int):
        """Runs at most so many instructions."""
        platform = Platform(self._config)
        platform.load_segments(image.segments)
        return platform.run(max_cycles)


@dataclass(frozen=True)
class Attacks:
    """The program with all cases, for one core. ``argument``: where program_argument lies, bytes from the
    start of the main memory; ``functions``: (first address, end, name)."""

    program: Program
    argument: int
    functions: tuple[tuple[int, int, str], ...]

    def with_argument(self, argument: int) -> Program:
        """The program that runs the case ``argument``."""
        segments = []
        for offset, data in self.program.segments:
            at = self.argument - offset
            if 0 <= at <= len(data) - 8:
                data = data[:at] + argument.to_bytes(8, "little") + data[at + 8 :]
            segments.append((offset, data))
        return dataclasses.replace(self.program, segments=tuple(segments))

    def function_at(self, address: int) -> str:
        """The name of the function at ``address``, "" if there is none."""
        return next((name for start, end, name in self.functions if start <= address < end), "")


@dataclass(frozen=True)
class Result:
    """How a case ended. ``base``: exit code there; ``code`` and ``cause``: exit code on the protected core
    (None: did not end, or not run) and the monitor's word for the fault; ``function``: what its pc was in."""

    case: Case
    base: int | None
    code: int | None = None
    cause: str = ""
    function: str = ""

    @property
    def counted(self) -> bool:
        """It succeeds without the extension."""
        return self.base == WENT_THROUGH

    @property
    def stopped(self) -> bool:
        """With the right cause, at the right place, and by the monitor's exit code as well."""
        return (
            self.cause == self.case.cause
            and self.code == _MEMORY_FAULT + MemoryFault[self.case.cause]
            and self.function in self.case.technique.stops_in
        )


@dataclass(frozen=True)
class MatrixResult:
    """All cases and the combinations that make no sense."""

    results: tuple[Result, ...]
    excluded: tuple[Excluded, ...]

    @property
    def failures(self) -> tuple[Result, ...]:
        """Those that count and were not stopped as they should."""
        return tuple(result for result in self.results if result.counted and not result.stopped)

    @property
    def not_counted(self) -> tuple[Result, ...]:
        """Those that did not succeed without the extension."""
        return tuple(result for result in self.results if not result.counted)


def build_attacks(
    config: Config, *, options: Iterable[str] = ("-O2",), directory: Path = OUTPUT, source: str | None = None
) -> Attacks:
    """The program of all cases for ``config``, compiled by fides cc with ``options``.

    ``source``: of the cases, that of all if it is None. Raises UserError when it does not compile or link.
    """
    from fides_core.compiler.driver import run_command

    directory.mkdir(parents=True, exist_ok=True)
    cases = directory / "cases.c"
    replace_file(cases, cases_source(all_cases()[0]) if source is None else source)
    image = directory / f"{config.name}.elf"
    words = ["--preset", config.name, "--policy", SOURCES / "policy.toml", "-w", *options, f"-I{SOURCES}"]
    words += [SOURCES / "techniques.c", cases, "-o", image]
    if run_command([str(word) for word in words]):
        raise UserError(f"the attacks do not compile for {config.name}")
    program = load_elf(image, config.soc.memory_bytes)
    with image.open("rb") as stream:
        symbols = list(ELFFile(stream).get_section_by_name(".symtab").iter_symbols())
    places = {symbol.name: symbol["st_value"] for symbol in symbols}
    functions = tuple(
        (symbol["st_value"], symbol["st_value"] + symbol["st_size"], symbol.name)
        for symbol in symbols
        if symbol["st_info"]["type"] == "STT_FUNC"
    )
    return Attacks(program, places["program_argument"] - MAIN_MEMORY_BASE, functions)


def run_case(case: Case, base: int | None, attacks: Attacks, machine: Machine) -> Result:
    """``case`` on the protected core, when it ended with ``base`` on the other."""
    outcome = machine.run(attacks.with_argument(case.number), LIMIT)
    text = outcome.uart.decode("utf-8", "replace")
    fault = re.search(r"^monitor: fault (\w+) \(MEMORY.*?^monitor: pc (0x[0-9a-f]+)", text, re.M | re.S)
    if fault is None:
        return Result(case, base, outcome.exit_code)
    return Result(case, base, outcome.exit_code, fault[1], attacks.function_at(int(fault[2], 16)))


def run_matrix(
    machines: Mapping[str, Machine],
    images: Mapping[str, Attacks],
    cases: Iterable[Case] | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> MatrixResult:
    """Runs ``cases``, all if it is None, on "base" and those that succeed there on "fides"."""
    everything, excluded = all_cases()
    cases = list(everything if cases is None else cases)
    results = []
    for done, case in enumerate(cases):
        progress(done, len(cases))
        outcome = machines[UNPROTECTED].run(images[UNPROTECTED].with_argument(case.number), LIMIT)
        if outcome.exit_code == WENT_THROUGH:
            results.append(run_case(case, WENT_THROUGH, images[PROTECTED], machines[PROTECTED]))
        else:
            results.append(Result(case, outcome.exit_code))
    return MatrixResult(tuple(results), excluded)


def run_attacks(
    console: Console, *, model: bool = False, options: Iterable[str] = ("-O2",), output: Path = OUTPUT
) -> MatrixResult:
    """Builds and runs the whole matrix and writes the results.

    ``model``: the protected core is the golden model, not its Verilog. Raises UserError when something cannot
    be built.
    """
    configs = {name: PRESETS[name] for name in (UNPROTECTED, PROTECTED)}
    images = {name: build_attacks(config, options=options) for name, config in configs.items()}
    machines: dict[str, Machine] = {}
    for name, config in configs.items():
        if model and name == PROTECTED:
            machines[name] = Model(config)
        else:
            machines[name] = Simulator.build(config)
    with console.status("attacks") as status:

        def progress(done: int, of: int) -> None:
            if console.is_terminal:
                status.update(f"attacks: {done} of {of}")
            elif done % 50 == 0:
                console.print(f"{done} of {of} attacks")

        result = run_matrix(machines, images, progress=progress)
    write_results(result, output)
    return result


def write_results(result: MatrixResult, directory: Path = OUTPUT) -> None:
    """Writes attacks.md and attacks.json."""
    rows = [
        {
            "number": one.case.number,
            "technique": one.case.technique.name,
            "location": one.case.location,
            "target": one.case.target,
            "expected": one.case.cause,
            "base": one.base,
            "fides": one.code,
            "cause": one.cause,
            "function": one.function,
            "counted": one.counted,
            "stopped": one.stopped,
        }
        for one in result.results
    ]
    excluded = [dataclasses.asdict(one) for one in result.excluded]
    text = json.dumps({"cases": rows, "excluded": excluded}, indent=1) + "\n"
    replace_file(directory / "attacks.json", text)
    replace_file(directory / "attacks.md", markdown(result))


def markdown(result: MatrixResult) -> str:
    """The table by technique, what does not count, and what there is not."""
    lines = [
        "| technique | cases | succeed on base | stopped on fides | by | not stopped |",
        "|---|---|---|---|---|---|",
    ]
    groups: dict[str, list[Result]] = {}
    for one in result.results:
        groups.setdefault(one.case.technique.name, []).append(one)
    groups["all"] = list(result.results)
    for name, members in groups.items():
        counted = [one for one in members if one.counted]
        stopped = [one for one in counted if one.stopped]
        causes = Counter(one.cause for one in stopped)
        words = ", ".join(f"{cause} {count}" for cause, count in sorted(causes.items()))
        failed = len(counted) - len(stopped)
        lines.append(f"| {name} | {len(members)} | {len(counted)} | {len(stopped)} | {words} | {failed} |")
    lines += ["", f"Not counted, as they do not succeed on base: {len(result.not_counted)}."]
    if result.not_counted:
        lines.append("")
        lines += [f"- {one.case.name}: {_ending(one.base)}" for one in result.not_counted]
    if result.failures:
        lines += ["", "Not stopped as they should:", ""]
        lines += [
            f"- {one.case.name}: {one.case.cause} expected, {one.cause or _ending(one.code)} "
            f"in {one.function or 'no function'}"
            for one in result.failures
        ]
    lines += ["", f"Combinations that make no sense: {len(result.excluded)}.", ""]
    lines += ["| why | technique | how many |", "|---|---|---|"]
    reasons: dict[str, Counter] = {}
    for one in result.excluded:
        reasons.setdefault(one.reason, Counter())[one.technique] += 1
    for reason, techniques in reasons.items():
        words = ", ".join(f"{name} {count}" for name, count in techniques.items())
        lines.append(f"| {reason} | {words} | {sum(techniques.values())} |")
    return "\n".join(lines) + "\n"


def _ending(code: int | None) -> str:
    match code:
        case None:
            return "does not end"
        case _ if code == SURVIVED:
            return "nothing comes of it"
        case _ if code == OUT_OF_REACH:
            return "the target does not lie where the technique needs it"
        case _:
            return f"exit code {code}"
