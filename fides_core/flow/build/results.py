"""What `fides build` has left, for the report: each build, and what the extension adds on a board, after
synthesis and after place and route."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fides_core.errors import UserError

from .run import REPORT

__all__ = ["load_builds", "sections"]

Section = tuple[str, list[str], list[list[str]], str]


def load_builds(directory: Path) -> list[dict[str, Any]]:
    """The last build with each toolchain of every board and preset in ``directory``, the folder of builds, in
    the order of their names. Raises UserError when a report is not what `fides build` writes."""
    found = []
    for path in sorted(directory.glob(f"*/{REPORT}")):
        try:
            builds = json.loads(path.read_text())["builds"]
            for _, build in sorted(builds.items()):
                design = build["design"]
                design["memory_bytes"], design["system_hz"], build["toolchain"], dict(build["tools"])
                dict(build["synthesised"]), dict(build["available"]), build["target_mhz"]
                for run in build["runs"]:
                    run["mhz"], dict(run["used"])
                if path.parent.name == f"{design['board']}-{design['preset']}":
                    found.append(build)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} is not what `fides build` writes ({error!r}): build again or remove it"
            ) from None
    return found


def _frequency(build: Mapping[str, Any]) -> str:
    """Median of the seeds, and their range, in MHz."""
    reached = [run["mhz"] for run in build["runs"]]
    if not reached:
        return "not placed"
    text = f"{statistics.median(reached):.2f}"
    if len(reached) > 1:
        text += f" ({min(reached):.2f} to {max(reached):.2f}, {len(reached)} seeds)"
    return text


def _versions(build: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in build["tools"].items())


def _row(build: Mapping[str, Any]) -> list[str]:
    design = build["design"]
    estimate = build.get("checks", {}).get("estimate", {}).get("mhz")
    return [
        design["board"],
        design["preset"],
        build["toolchain"],
        f"{design['memory_bytes'] >> 10}",
        f"{build['target_mhz']:g}",
        "-" if estimate is None else f"{estimate:.1f}",
        _frequency(build),
        _versions(build),
    ]


def _used(build: Mapping[str, Any]) -> Mapping[str, int]:
    """Sites after place and route, of the fastest run; empty when nothing was placed."""
    best = max(build["runs"], key=lambda run: run["mhz"], default=None)
    return best["used"] if best else {}


def _comparison(old: Mapping[str, Any], new: Mapping[str, Any]) -> Section | None:
    """What ``new`` takes more than ``old``; None when they are not built alike."""
    alike = [
        (build["tools"], build["design"]["memory_bytes"], build["design"]["system_hz"], len(build["runs"]))
        for build in (old, new)
    ]
    if alike[0] != alike[1]:
        return None
    rows = []
    for kind in old["available"]:
        row = [kind]
        for counts in (
            (old["synthesised"].get(kind), new["synthesised"].get(kind)),
            (_used(old).get(kind), _used(new).get(kind)),
        ):
            if None in counts:
                row += ["-", "-", "-", "-"]
            else:
                before, after = counts
                share = f"{100 * (after - before) / before:+.1f} %" if before else "-"
                row += [str(before), str(after), f"{after - before:+}", share]
        rows.append(row)
    reached = [[run["mhz"] for run in build["runs"]] for build in (old, new)]
    names = [build["design"]["preset"] for build in (old, new)]
    note = f"{_versions(old)}; what is placed is of the fastest seed."
    if all(reached):
        medians = [statistics.median(values) for values in reached]
        note += (
            f" Frequency, median of {len(reached[0])} seed{'s' * (len(reached[0]) > 1)}: "
            f"{medians[0]:.2f} and {medians[1]:.2f} MHz, ratio {medians[1] / medians[0]:.3f}."
        )
    heads = [""]
    for what in ("synthesised", "placed"):
        heads += [*(f"{name}, {what}" for name in names), "more", "in percent"]
    return f"{names[1]} and {names[0]} on {old['design']['title']}, by {old['toolchain']}", heads, rows, note


def sections(builds: Sequence[Mapping[str, Any]], base: str, extended: str) -> list[Section]:
    """Tables for the report: title, column heads, rows, and a line to stand below. None without builds."""
    if not builds:
        return []
    heads = ["board", "preset", "toolchain", "memory, KiB"]
    heads += [f"{what}, MHz" for what in ("asked", "estimate", "reached")] + ["tools"]
    note = "Estimates are of the longest path before placement; nothing here was measured on a board."
    tables: list[Section] = [("Builds for boards", heads, [_row(build) for build in builds], note)]
    by_key = {
        (build["design"]["board"], build["toolchain"], build["design"]["preset"]): build for build in builds
    }
    for board, toolchain in dict.fromkeys((key[0], key[1]) for key in by_key):
        old, new = (by_key.get((board, toolchain, preset)) for preset in (base, extended))
        if old and new and (table := _comparison(old, new)):
            tables.append(table)
    return tables
