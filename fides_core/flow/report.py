"""The report, as JSON and Markdown: the cost in area, the attacks stopped, the time that a crossing takes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.table import Table

from fides_core.errors import UserError
from fides_core.flow import bench, check_costs, coremark, history, placement_results, tools
from fides_core.flow.build import results as builds
from fides_core.flow.synthesis import MHZ_NOTE, PART, Result
from fides_core.flow.verilog import replace_file

__all__ = [
    "BASE", "COMPARED", "EXTENDED", "PUBLISHED", "build_report", "load_demo", "load_measured", "markdown",
    "tables", "write_report",
]  # fmt: skip

BASE, EXTENDED = "base", "fides"
"""The presets that the delta compares."""

PUBLISHED = {
    "lut": 2200,
    "lut_pct": 6.1,
    "ff": 1000,
    "ff_pct": 6.0,
    "base_lut": 36000,
    "base_ff": 16400,
    "source": "FIDES (AsiaCCS 2026): C-class core on AC701, Vivado, both mechanisms",
}
"""The area that the published FIDES adds to its core, and that of its core, for comparison."""

COMPARED = {"lut": "LUT", "ff": "FF"}
"""The figures that are published."""

_FIGURES = {
    "lut": "LUT",
    "lutram": "LUTRAM",
    "ff": "FF",
    "bram36": "RAMB36",
    "bram18": "RAMB18",
    "dsp": "DSP",
    "carry4": "CARRY4",
    "path_ns": "logic path, ns",
}


def _percent(new: float, old: float) -> float | None:
    """By how much ``new`` is more than ``old``, in percent of it; None when that is zero."""
    return round(100 * (new - old) / old, 1) if old else None


def load_demo(path: Path) -> dict[str, Any]:
    """The demo's results. Raises UserError when they are missing or not of the expected shape."""
    try:
        demo = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `fides demo`") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    try:
        for run in demo["legal"].values():
            run["cycles"], run["instructions"], run["exit"]
        for attack in demo["attacks"]:
            attack["name"], attack["base"], attack["fides"], attack["cause"]
        for cycles in demo["crossing"].values():
            dict(cycles)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not what `fides demo` writes ({error!r}): run it again") from None
    return demo


def load_measured(directory: Path) -> dict[str, Any]:
    """What `fides bench`, `fides place`, `fides build` and `fides history` left in the folder ``directory``,
    as far as they were run.

    Raises UserError when it is not what they write.
    """
    found: dict[str, Any] = {}
    if (directory / bench.OUTPUT.name).exists():
        found["benchmarks"] = bench.load_bench(directory / bench.OUTPUT.name)
    if (directory / check_costs.OUTPUT.name).exists():
        found["check_costs"] = check_costs.load_check_costs(directory / check_costs.OUTPUT.name)
    printed = {path: path.stem.removeprefix("coremark-") for path in directory.glob("bench/coremark-*.json")}
    scores = {name: coremark.load_results(path) for path, name in sorted(printed.items())}
    if any(scores.values()):
        found["coremark"] = scores
    if (directory / placement_results.OUTPUT.name).exists():
        placed = placement_results.load_placement(directory / placement_results.OUTPUT.name)
        found["placement"] = {**placed, "outdated": placement_results.outdated(placed)}
    if built := builds.load_builds(directory / "boards"):
        found["builds"] = built
    if (directory / history.OUTPUT.name).exists():
        found["history"] = history.OUTPUT.name
    return found


def build_report(
    results: Mapping[str, Result], demo: Mapping[str, Any], measured: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The report as plain dictionaries, from synthesis results by preset, the demo's, and what
    ``load_measured`` found.

    Areas are numbers of primitives, ``path_ns`` nanoseconds, everything that ends in ``_pct`` percent of the
    base preset (None where that has none). Raises UserError when a preset to compare was not synthesised.
    """
    missing = [name for name in (BASE, EXTENDED) if name not in results]
    if missing:
        raise UserError(f"there is no synthesis of {' and '.join(missing)}: run `fides synth`")
    areas = {name: result.core.figures() for name, result in results.items()}
    delta: dict[str, Any] = {}
    for figure in _FIGURES:
        new, old = areas[EXTENDED][figure], areas[BASE][figure]
        delta[figure] = round(new - old, 3)
        delta[f"{figure}_pct"] = _percent(new, old)
    delta["published"] = dict(PUBLISHED)
    for figure in COMPARED:
        # Each delta against either base: a percentage says as much of the base as of what is added.
        delta[f"{figure}_pct_of_published_base"] = _percent(
            PUBLISHED[f"base_{figure}"] + delta[figure], PUBLISHED[f"base_{figure}"]
        )
        old = areas[BASE][figure]
        delta["published"][f"{figure}_pct_of_our_base"] = _percent(old + PUBLISHED[figure], old)
    return {
        "part": PART,
        "presets": {name: {**area, "mhz_note": MHZ_NOTE} for name, area in areas.items()},
        "delta": delta,
        "units": {name: area.figures() for name, area in results[EXTENDED].units.items()},
        "demo": {"legal": demo["legal"], "attacks": demo["attacks"]},
        "crossing": demo["crossing"],
        "simulation": demo.get("simulation", {}),
        **(measured or {}),
        "versions": tools.versions(),
    }


def _number(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}"
    return str(value)


def _signed(value: float | None, unit: str = "") -> str:
    if value is None:
        return "-"
    return (f"{value:+.2f}" if isinstance(value, float) and not unit else f"{value:+}") + unit


def _sections(report: Mapping[str, Any]) -> list[tuple[str, list[str], list[list[str]], str]]:
    """The tables of the report: title, column heads, rows, and a line to stand below."""
    presets, delta = report["presets"], report["delta"]
    published = delta["published"]
    area = []
    for figure, label in _FIGURES.items():
        row = [label, *(_number(presets[name][figure]) for name in (BASE, EXTENDED))]
        area.append([*row, _signed(delta[figure]), _signed(delta[f"{figure}_pct"], " %")])
    compared = []
    for figure, label in COMPARED.items():
        row = [label, _number(presets[BASE][figure]), _number(published[f"base_{figure}"])]
        row += [_signed(delta[figure]), _signed(delta[f"{figure}_pct"], " %")]
        row += [_signed(delta[f"{figure}_pct_of_published_base"], " %"), _signed(published[figure])]
        row += [_signed(published[f"{figure}_pct_of_our_base"], " %")]
        compared.append([*row, _signed(published[f"{figure}_pct"], " %")])
    attacks = [
        [attack.get("title", attack["name"]), attack["base"], attack["fides"]]
        for attack in report["demo"]["attacks"]
    ]
    speed = report["simulation"]
    legal = [
        [preset, *map(_number, (run["cycles"], run["instructions"], run["exit"], speed.get(preset)))]
        for preset, run in report["demo"]["legal"].items()
    ]
    units = [
        [name, *(_number(unit[figure]) for figure in _FIGURES)] for name, unit in report["units"].items()
    ]
    crossing = report["crossing"]
    kinds = dict.fromkeys(kind for cycles in crossing.values() for kind in cycles)
    calls = [
        [kind.replace("_", " "), *(_number(cycles.get(kind)) for cycles in crossing.values())]
        for kind in kinds
    ]
    return [
        (
            f"Area on {report['part']}, core alone",
            ["", BASE, EXTENDED, "delta", f"of {BASE}"],
            area,
            f"{next(iter(presets.values()))['mhz_note']}.",
        ),
        (
            "What the extension adds, against our base and the published one",
            ["", f"our base: {BASE}", "published base", f"{EXTENDED} adds", "of our base",
             "of published base", "published FIDES adds", "of our base", "of published base"],
            compared,
            f"Published: {published['source']}. Another core, counted by another tool: percentages across "
            "the two say how big the bases are, no more.",
        ),
        *(placement_results.sections(report["placement"]) if "placement" in report else []),
        *builds.sections(report.get("builds", []), BASE, EXTENDED),
        ("Security units, each alone", ["unit", *_FIGURES.values()], units, ""),
        ("Attacks", ["attack", f"on {BASE}", f"on {EXTENDED}"], attacks, ""),
        (
            "The program as it should run",
            ["preset", "cycles", "instructions", "exit code", "simulated at, MHz"],
            legal,
            "",
        ),
        (
            "A call and its return, clock cycles",
            ["kind", *crossing],
            calls,
            "extra: more than the same call inside a compartment.",
        ),
        *bench.sections(report.get("benchmarks", {})),
        *check_costs.sections(report.get("check_costs", {})),
        *coremark.sections(report.get("coremark", {})),
        ("Versions", ["tool", "version"], [[name, value] for name, value in report["versions"].items()], ""),
    ]


def markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown, one table a section."""
    lines = ["# Fides Core: report", ""]

    def row(cells) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    for title, heads, rows, note in _sections(report):
        lines += [f"## {title}", "", row(heads), row(["---"] * len(heads)), *map(row, rows), ""]
        if note:
            lines += [note, ""]
    if "history" in report:
        lines += ["## History", "", f"![Area, path and CoreMark/MHz over time]({report['history']})", ""]
    return "\n".join(lines[:-1]) + "\n"


def tables(report: Mapping[str, Any]) -> Group:
    """The report for the terminal, without the versions."""
    parts = []
    for title, heads, rows, note in _sections(report)[:-1]:
        table = Table(title=title, title_justify="left", title_style="bold", caption=note or None)
        table.caption_justify = "left"
        numeric = title != "Attacks"
        for index, head in enumerate(heads):
            table.add_column(head, justify="right" if index and numeric else "left")
        for cells in rows:
            # A cell is data: square brackets in it are no markup.
            table.add_row(*(str(cell).replace("[", "\\[") for cell in cells))
        parts.append(table)
    return Group(*parts)


def write_report(
    results: Mapping[str, Result], demo: Mapping[str, Any], directory: Path, console: Console | None = None
) -> tuple[Path, Path]:
    """Write report.json and report.md to ``directory``, show the tables on ``console``; returns both paths.

    Benchmarks, builds for boards and history are in it when ``directory`` has them.

    Raises UserError when results are missing or the files cannot be written.
    """
    report = build_report(results, demo, load_measured(directory))
    paths = directory / "report.json", directory / "report.md"
    replace_file(paths[0], json.dumps(report, indent=2) + "\n")
    replace_file(paths[1], markdown(report))
    if console is not None:
        console.print(tables(report))
        console.print(f"report: {paths[0]} and {paths[1]}", soft_wrap=True, highlight=False)
    return paths
