"""What Vivado's reports say of a design with one clock."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fides_core.errors import UserError

__all__ = ["Timing", "explain", "read_timing", "read_utilization"]

# The first column of the tables, and what the row counts.
_ROWS = {
    "Slice LUTs": "LUT",
    "Slice Registers": "FF",
    "Block RAM Tile": "RAMB36",
    "DSPs": "DSP48E1",
}
_PATH = re.compile(
    r"^Slack \((?:MET|VIOLATED)\) *: +(?P<slack>-?[\d.]+)ns +\(required time - arrival time\)\n"
    r"(?:.*\n)*?"
    r" +Source: +(?P<source>\S+)\n(?:.*\n)*?"
    r" +Destination: +(?P<destination>\S+)\n(?:.*\n)*?"
    r" +Data Path Delay: +[\d.]+ns +\(logic (?P<logic>[\d.]+)ns \([\d.]+%\) +route (?P<route>[\d.]+)ns",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Timing:
    """``setup_ns``, ``hold_ns``: the worst slacks, negative when missed; the path with the worst setup slack,
    from where to where, with its nanoseconds in cells and on wires."""

    setup_ns: float
    hold_ns: float
    path_from: str
    path_to: str
    logic_ns: float
    routing_ns: float


def _pin(name: str) -> str:
    """The register of a pin: Vivado writes cell/pin."""
    return name.rpartition("/")[0] or name


def read_timing(text: str) -> Timing:
    """The report of ``report_timing_summary``. Raises UserError when it is not one, or no path has a
    constraint."""
    lines = text.splitlines()
    head = next((i for i, line in enumerate(lines) if line.split()[:2] == ["WNS(ns)", "TNS(ns)"]), None)
    if head is None or head + 2 >= len(lines):
        raise UserError("Vivado's timing report has no summary of slacks")
    columns = re.findall(r"\S+\(ns\)|T\w+ \w+ Endpoints", lines[head])
    slacks = dict(zip(columns, lines[head + 2].split(), strict=False))
    setup, hold = slacks.get("WNS(ns)"), slacks.get("WHS(ns)")
    if setup in (None, "NA") or hold in (None, "NA"):
        raise UserError("Vivado has timed no path: the clock's constraint has not been applied")
    paths = [match.groupdict() for match in _PATH.finditer(text)]
    if not paths:
        raise UserError("Vivado's timing report has no longest path")
    worst = min(paths, key=lambda path: float(path["slack"]))
    return Timing(
        setup_ns=float(setup),
        hold_ns=float(hold),
        path_from=_pin(worst["source"]),
        path_to=_pin(worst["destination"]),
        logic_ns=float(worst["logic"]),
        routing_ns=float(worst["route"]),
    )


def read_utilization(text: str) -> Mapping[str, int]:
    """Sites by kind, of the report of ``report_utilization``; half a block RAM takes a whole site. Raises
    UserError when a kind is missing."""
    used = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        # With an asterisk there is a footnote.
        kind = _ROWS.get(cells[1].rstrip("*")) if len(cells) > 3 else None
        if kind and kind not in used and re.fullmatch(r"\d+(\.\d+)?", cells[2]):
            used[kind] = -int(-float(cells[2]) // 1)
    missing = [row for row, kind in _ROWS.items() if kind not in used]
    if missing:
        raise UserError(f"Vivado's utilisation report has no line for {' and '.join(missing)}")
    return used


def explain(log: str, part: str) -> str:
    """Why Vivado has failed, in a line, with what to do where that is known."""
    errors = [line.strip() for line in log.splitlines() if line.startswith("ERROR")]
    for error in errors:
        if re.search(r"licen[cs]e", error, re.IGNORECASE):
            return f"it has no licence for {part}, or none was found: {error}"
        if re.search(r"part .*(not (be )?found|not installed)|invalid part", error, re.IGNORECASE):
            return f"it has no part {part}, install its Artix-7 devices: {error}"
    return errors[0] if errors else "it gave no reason"
