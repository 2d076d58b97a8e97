"""``fides build``: from a preset and a board to a bitstream, and the report of it."""

import contextlib
import fcntl
import json
import os
import statistics
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fides_core.errors import UserError
from fides_core.flow import tools
from fides_core.flow.verilog import replace_file

from .design import Design
from .toolchain import Options, Report, Result, load_toolchain

__all__ = ["REPORT", "build_design", "default_directory", "missed", "show", "summary"]

REPORT = "report.json"


def default_directory(design: Design) -> Path:
    """build/boards/<board>-<preset> of the source tree."""
    return tools.ROOT / "build" / "boards" / design.name


def summary(design: Design, toolchain: str, result: Result) -> dict[str, Any]:
    """A build as plain dictionaries."""
    best = result.best
    target = design.system_hz / 1e6
    entry: dict[str, Any] = {
        "design": design.describe(),
        "toolchain": toolchain,
        "tools": dict(result.tools),
        "target_mhz": target,
        "synthesised": dict(result.synthesised),
        "available": dict(design.board.capacity),
        "bitstream": result.bitstream.name if result.bitstream else None,
        "checks": dict(result.checks),
        "notice": result.notice,
        "runs": [asdict(run) for run in result.runs],
    }
    if best:
        mhz = [run.mhz for run in result.runs]
        entry |= {
            "used": dict(best.used),
            "best_seed": best.seed,
            "mhz": best.mhz,
            "median_mhz": round(statistics.median(mhz), 2),
            "lowest_mhz": min(mhz),
            "timing_met": best.mhz >= target,
        }
    return entry


def missed(entry: dict[str, Any]) -> str | None:
    """How much too slow the best run is, and where; None when it is fast enough or nothing was run."""
    if entry.get("timing_met", True):
        return None
    path = max(entry["runs"], key=lambda run: run["mhz"])
    target, reached = entry["target_mhz"], entry["mhz"]
    late = 1000 / reached - 1000 / target
    text = (
        f"timing missed: {reached:.2f} MHz of {target:g} MHz, {late:.2f} ns too slow on the path from "
        f"{path['path_from']} to {path['path_to']} ({path['logic_ns']:.2f} ns in cells, "
        f"{path['routing_ns']:.2f} ns on wires)"
    )
    if entry["bitstream"]:
        return f"{text}; {entry['bitstream']} was written, but is too slow: try more --seeds, or --clock"
    return f"{text}; no bitstream was written"


@contextlib.contextmanager
def _locked(directory: Path, report: Report) -> Iterator[None]:
    """One build in a folder at a time."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"waiting for another build in {directory}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def build_design(
    design: Design,
    toolchain: str | None = None,
    directory: Path | None = None,
    options: Options | None = None,
    report: Report = lambda text: None,
) -> dict[str, Any]:
    """Build a design with a toolchain (default: the board's first), in ``directory`` (default:
    build/boards/<board>-<preset>).

    What the toolchain makes is in a folder of its name there; report.json has the last build of each.
    Returns the entry of this one. Raises UserError.
    """
    name = design.board.toolchains[0] if toolchain is None else toolchain
    if name not in design.board.toolchains:
        known = " or ".join(design.board.toolchains)
        raise UserError(f"{design.board.name} cannot be built with {name!r}, only with {known}")
    module = load_toolchain(name)
    module.check()
    directory = default_directory(design) if directory is None else directory
    work = directory / name
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {work}: {error.strerror or error}") from None
    with _locked(work, report):
        report(f"Verilog of {design.config.name} on {design.board.name} ...")
        for file, text in design.sources.items():
            replace_file(work / file, text)
        result = module.build(design, work, options or Options(), report)
    entry = summary(design, name, result)
    with _locked(directory, report):
        path = directory / REPORT
        try:
            builds = json.loads(path.read_text())["builds"]
            builds[name] = entry
        except (OSError, ValueError, KeyError, TypeError):
            builds = {name: entry}
        replace_file(path, json.dumps({"builds": builds}, indent=2) + "\n")
    return entry


def show(entry: dict[str, Any], console: Console) -> None:
    """Print a build as a table."""
    versions = ", ".join(f"{name} {version}" for name, version in entry["tools"].items())
    design = entry["design"]
    console.print(f"{design['preset']} on {design['title']}; {versions}", soft_wrap=True, markup=False)
    table = Table(box=None)
    for head in ("", "synthesised", "placed", "available", ""):
        table.add_column(head, justify="right" if head else "left")
    for kind, available in entry["available"].items():
        placed = entry.get("used", {}).get(kind)
        count = entry["synthesised"].get(kind) if placed is None else placed
        table.add_row(
            kind,
            *("-" if value is None else str(value) for value in (entry["synthesised"].get(kind), placed)),
            str(available),
            "" if count is None else f"{100 * count / available:.0f} %",
        )
    console.print(table)
    for run in entry["runs"]:
        seed = "" if run["seed"] is None else f"seed {run['seed']}: "
        console.print(f"{seed}{run['mhz']:.2f} MHz of {entry['target_mhz']:g} MHz", markup=False)
