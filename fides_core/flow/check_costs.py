"""What the compiler's security costs: cycles and code of the benchmark programs with landing pads, with
checks of pointers, and in compartments, over those without."""

import json
import math
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table

from fides_core.compiler.plugin_build import clang
from fides_core.config import Config, preset
from fides_core.errors import UserError

from . import coremark, tools
from .bench import MAX_CYCLES, PROGRAMS, BenchFailed
from .check_builds import BUILD, CALLED, COREMARK, VARIANTS, Built, build
from .simulation import Simulator
from .verilog import replace_file

__all__ = [
    "FLAGS", "OUTPUT", "PUBLISHED", "load_check_costs", "measure_checks", "ratios_of", "sections",
    "summary",
]  # fmt: skip

OUTPUT = tools.ROOT / "build" / "bench-checks.json"
FLAGS = "-O2"
#: FIDES (AsiaCCS 2026): cycles with checks of pointers, and with compartments, over those without.
PUBLISHED = {"checks": 1.36, "compartments": 1.019}
#: Ratios by name: of which variant's cycles over which other's.
_RATIOS = {
    "pads": ("pads", "base"), "checks": ("checks", "pads"), "both": ("checks", "base"),
    "compartments": ("split", "one"), "clearing": ("clear", "split"),
}  # fmt: skip


class Machine(Protocol):
    """What runs images: a Simulator, or a model in tests."""

    def run(self, image: Path, max_cycles: int, *, executed: dict[int, int] | None = None):
        """An outcome with exit_code (None: did not end), uart (bytes) and message; ``executed`` gets counts
        of instructions by address."""


def _run(
    program: str, variant: str, image: Path, machine: Machine, executed: dict[int, int]
) -> dict[str, int]:
    """Cycles and instructions of the measured work. Raises BenchFailed when its results are wrong."""
    outcome = machine.run(image, MAX_CYCLES, executed=executed)
    text = outcome.uart.decode("utf-8", "replace").replace("\r", "")
    if program == COREMARK:
        correct = "Correct operation validated." in text and "2K performance run parameters" in text
    else:
        correct = re.search(rf"^benchmark {program} 0x[0-9a-f]{{16}} correct$", text, re.MULTILINE)
    took = re.search(r"^took (\d+) (\d+)$", text, re.MULTILINE)
    if outcome.exit_code != 0 or not correct or not took:
        said = text.strip().splitlines()
        detail = f", {said[0]}" if said else ""
        raise BenchFailed(f"{program}, {variant}, on {VARIANTS[variant].preset}: {outcome.message}{detail}")
    return {"cycles": int(took[1]), "instructions": int(took[2])}


def _executed(counts: Mapping[int, int], addresses: frozenset[int]) -> int:
    return sum(counts.get(address, 0) for address in addresses)


def _measure(
    program: str, variants: Sequence[str], builds: Mapping[str, Built], machines: Mapping[str, Machine]
) -> dict[str, Any]:
    runs: dict[str, dict[str, int]] = {}
    result: dict[str, Any] = {"runs": runs}
    for variant in variants:
        counts: dict[int, int] = {}
        built = builds[variant]
        machine = machines[VARIANTS[variant].preset]
        runs[variant] = _run(program, variant, built.image, machine, counts)
        runs[variant] |= {"code_bytes": built.own.bytes, "checkcaps": built.own.count("checkcap")}
        if variant == "pads":
            result["executed"] = {"accesses": _executed(counts, built.own.instructions["access"])}
        if variant == "checks":
            code = {"checks": built.own.count("check"), "bytes_of_checks": 4 * built.own.count("check")}
            result["code"] = code
            result["report"] = dict(built.report)
            result["executed"] = result.get("executed", {}) | {
                "checks": _executed(counts, built.own.instructions["check"]),
                "checks_of_library": _executed(counts, built.library.instructions["check"]),
            }
    result["ratios"] = ratios_of(runs)
    return result


def ratios_of(runs: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    """Of the cycles of ``runs``, by variant: those whose two variants are there."""
    return {
        name: round(runs[above]["cycles"] / runs[below]["cycles"], 6)
        for name, (above, below) in _RATIOS.items()
        if above in runs and below in runs
    }


def summary(programs: Mapping[str, Any]) -> dict[str, Any]:
    """Arithmetic and geometric means of the ratios of ``programs``, and of all code together what pads and
    checks add, in percent of the code without either."""
    result: dict[str, Any] = {"mean": {}, "geometric_mean": {}}
    for name in _RATIOS:
        ratios = [one["ratios"][name] for one in programs.values() if name in one["ratios"]]
        if ratios:
            result["mean"][name] = round(sum(ratios) / len(ratios), 6)
            result["geometric_mean"][name] = round(math.prod(ratios) ** (1 / len(ratios)), 6)
    total = {
        variant: sum(one["runs"][variant]["code_bytes"] for one in programs.values())
        for variant in VARIANTS
        if all(variant in one["runs"] for one in programs.values())
    }
    if {"base", "pads", "checks"} <= total.keys():
        checks = sum(one["code"]["bytes_of_checks"] for one in programs.values())
        result["code_bytes"] = total
        result["code_percent"] = _growth(total["base"], total["pads"], total["checks"], checks)
    return result


def _growth(base: int, pads: int, checks: int, bytes_of_checks: int) -> dict[str, float]:
    return {
        "pads": round(100 * (pads - base) / base, 1),
        "checks": round(100 * bytes_of_checks / base, 1),
        "rest": round(100 * (checks - pads - bytes_of_checks) / base, 1),
    }


def _compiler() -> str:
    said = subprocess.run([clang(), "-dumpversion"], capture_output=True, text=True).stdout
    return f"clang {said.strip()}"


def measure_checks(
    programs: Sequence[str] = PROGRAMS,
    *,
    source: Path | None = None,
    flags: str = FLAGS,
    iterations: int = coremark.ITERATIONS,
    variants: Sequence[str] = tuple(VARIANTS),
    machine: Callable[[Config], Machine] | None = None,
    output: Path = OUTPUT,
    directory: Path = BUILD,
    console: Console | None = None,
) -> dict[str, Any]:
    """Build ``programs``, and CoreMark when a checkout of it is in ``source``, in all ``variants``, run each,
    write ``output``, print the tables, and return what the file has.

    ``machine(config)`` makes what runs images, a Simulator if it is None; ``flags`` are the compiler's.
    Raises UserError when something cannot be built, BenchFailed when a result is wrong.
    """
    console = console or Console(quiet=True)
    unknown = next((name for name in programs if name not in CALLED), None)
    if unknown is not None:
        raise UserError(f"unknown program {unknown!r}; there are {', '.join(CALLED)}")
    names = list(programs)
    if source is not None:
        coremark.check_source(source)
        names.append(COREMARK)
    chosen = coremark.flags_for(flags)

    def simulator(config: Config) -> Machine:
        return Simulator.build(config, report=lambda text: console.print(text, highlight=False))

    presets = dict.fromkeys(VARIANTS[variant].preset for variant in variants)
    machines = {name: (machine or simulator)(preset(name)) for name in presets}
    found: dict[str, Any] = {}
    for name in names:
        builds = {}
        for variant in variants:
            with console.status(f"building {name}, {variant}"):
                builds[variant] = build(
                    name, variant, flags=chosen, source=source, iterations=iterations, directory=directory
                )
        with console.status(f"running {name}"):
            found[name] = _measure(name, variants, builds, machines)
    results = {
        "flags": " ".join(chosen),
        "compiler": _compiler(),
        "iterations_of_coremark": iterations,
        "published": PUBLISHED,
        "programs": found,
        **summary(found),
    }
    replace_file(output, json.dumps(results, indent=2) + "\n")
    for title, heads, rows, note in sections(results):
        table = Table(title=title, box=None, title_justify="left", caption=note, caption_justify="left")
        for number, head in enumerate(heads):
            table.add_column(head, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    return results


def load_check_costs(path: Path = OUTPUT) -> dict[str, Any]:
    """What measure_checks wrote. Raises UserError when it is missing or not of that shape."""
    try:
        results = json.loads(path.read_text())
        if not sections(results):
            raise ValueError("no results")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `fides bench checks`") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (AttributeError, ArithmeticError, KeyError, TypeError, ValueError) as error:
        what = "what `fides bench checks` writes"
        raise UserError(f"{path} is not {what} ({error!r}): run it again") from None
    return results


_REMOVED = {
    "accesses.proven_": "proven",
    "checks.removed_by_earlier_check": "earlier",
    "checks.removed_by_wider_check": "wider",
    "checks.removed_by_loop_range": "loop",
}


def _removed(report: Mapping[str, int], prefix: str) -> int:
    return sum(number for name, number in report.items() if name.startswith(prefix))


def _cell(value: Any, digits: int = 3) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _cycle_rows(results: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for name, one in results["programs"].items():
        cycles = {variant: run["cycles"] for variant, run in one["runs"].items()}
        ratios = [_cell(one["ratios"].get(ratio)) for ratio in _RATIOS]
        rows.append([name, *(_cell(cycles.get(variant)) for variant in VARIANTS), *ratios])
    empty = [""] * len(VARIANTS)
    for title, key in (("mean", "mean"), ("geometric mean", "geometric_mean")):
        rows.append([title, *empty, *(_cell(results[key].get(ratio)) for ratio in _RATIOS)])
    return rows


def _percent_cells(growth: Mapping[str, float]) -> list[str]:
    return [f"{growth[name]:+.1f} %" for name in ("pads", "checks", "rest")]


def _code_rows(results: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for name, one in results["programs"].items():
        runs, own, report = one["runs"], one["code"], one["report"]
        base, pads, checks = (runs[variant]["code_bytes"] for variant in ("base", "pads", "checks"))
        executed = one["executed"]
        each = executed["checks"] / executed["accesses"] if executed["accesses"] else 0.0
        rows.append(
            [
                name, str(base), *_percent_cells(_growth(base, pads, checks, own["bytes_of_checks"])),
                str(report.get("accesses.to_check", 0) + _removed(report, "accesses.proven_")),
                *(str(_removed(report, prefix)) for prefix in _REMOVED), str(own["checks"]),
                str(executed["accesses"]), str(executed["checks"]), f"{each:.2f}",
                str(executed["checks_of_library"]),
            ]
        )  # fmt: skip
    if results["programs"]:
        size = str(results["code_bytes"]["base"])
        rows.append(["all", size, *_percent_cells(results["code_percent"]), *[""] * 10])
    return rows


def sections(results: Mapping[str, Any]) -> list[tuple[str, list[str], list[list[str]], str]]:
    """Tables for the report: title, heads, rows, and a line to stand below; none of nothing."""
    if not results:
        return []
    published = results["published"]
    heads = ["program", *VARIANTS, "pads/base", "checks/pads", "checks/base", "split/one", "clear/split"]
    tables = [
        (
            f"Cycles with checks and compartments, fides cc {results['flags']}",
            heads,
            _cycle_rows(results),
            f"Published: checks {published['checks']}, compartments {published['compartments']} times.",
        )
    ]
    if "code_percent" in results:
        heads = ["program", "base, bytes", "checkcap", "val", "rest of checks"]
        heads += ["accesses", *_REMOVED.values(), "checks"]
        heads += ["accesses executed", "checks executed", "for each", "in the library"]
        tables.append(("Code and checks", heads, _code_rows(results), "Growth in percent of base."))
    return tables
