"""What nextpnr-xilinx says: it has no report in JSON, so its log is read."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fides_core.errors import UserError

__all__ = ["Timing", "count_luts", "design_name", "read_log", "read_used", "register_names"]

_FMAX = re.compile(r"Max frequency for clock +'(?P<clock>[^']*)': (?P<mhz>[\d.]+) MHz")
_PATH = re.compile(r"Critical path report for clock '(?P<clock>[^']*)'")
_SOURCE = re.compile(r"[\d.]+ +[\d.]+  Source (?P<pin>\S+)$", re.MULTILINE)
_SINK = re.compile(r" (?:Sink|Setup) (?P<pin>\S+)$", re.MULTILINE)
_TOTAL = re.compile(r"(?P<logic>[\d.]+) ns logic, (?P<routing>[\d.]+) ns routing")
_SITES = re.compile(r"^\S+:\s+(?P<kind>\w+): +(?P<used>\d+)/ *(?P<available>\d+) +\d+%$", re.MULTILINE)

# What the mapper puts behind a name of the design.
_MAPPED_NAME = re.compile(r"_(FD[RSCP]E|LUT\d|INV|MUXF[78]|CARRY4|RAM\w*|SRL\w*|DSP48E1)(_.*)?$|(\.\d+)+$")


@dataclass(frozen=True)
class Timing:
    """Of a design with one clock: the highest frequency in MHz, and the longest path, from where to where,
    with its nanoseconds in cells and on wires."""

    mhz: float
    path_from: str
    path_to: str
    logic_ns: float
    routing_ns: float


def design_name(cell: str) -> str:
    """The name of a mapped cell as one of the design, as far as mapping has left it one."""
    return _MAPPED_NAME.sub("", cell)


def register_names(module: Mapping[str, Any]) -> Callable[[str], str]:
    """What says how the design calls the register that a cell is, from a module of Yosys's JSON: flip-flops
    have lost their names, but not the signals behind them."""
    names = {}
    for name, net in module["netnames"].items():
        if not net.get("hide_name"):
            for index, bit in enumerate(net["bits"]):
                names.setdefault(bit, name if len(net["bits"]) == 1 else f"{name}[{index}]")

    def name_of(cell: str) -> str:
        bits = module["cells"].get(cell, {}).get("connections", {}).get("Q", [None])
        return names.get(bits[0]) or design_name(cell)

    return name_of


def read_log(text: str, name: Callable[[str], str] = design_name) -> Timing:
    """Timing after routing: the last that the log tells. ``name``: of a cell in the design. Raises UserError
    when it has none, or has several clocks."""
    fmax = {match["clock"]: float(match["mhz"]) for match in _FMAX.finditer(text)}
    if len(fmax) != 1:
        raise UserError(f"nextpnr-xilinx reports on {len(fmax)} clocks, not on one")
    ((clock, mhz),) = fmax.items()
    starts = [match.end() for match in _PATH.finditer(text) if match["clock"] == clock]
    path = text[starts[-1] :] if starts else ""
    total = _TOTAL.search(path)
    sources = _SOURCE.findall(path, 0, total.start()) if total else []
    sinks = _SINK.findall(path, 0, total.start()) if total else []
    if not sources or not sinks:
        raise UserError("nextpnr-xilinx's log has no longest path")
    return Timing(
        mhz=mhz,
        path_from=name(sources[0].rpartition(".")[0]),
        path_to=name(sinks[-1].rpartition(".")[0]),
        logic_ns=float(total["logic"]),
        routing_ns=float(total["routing"]),
    )


def count_luts(fasm: str) -> int:
    """The LUTs that a configuration sets: the log counts functions, of which one LUT may have two."""
    return len(set(re.findall(r"^(\S+\.[ABCD]LUT)\.INIT\b", fasm, re.MULTILINE)))


def read_used(text: str, fasm: str) -> Mapping[str, int]:
    """Sites by kind, from the log and the configuration. Raises UserError when the log does not tell."""
    cells = {match["kind"]: int(match["used"]) for match in _SITES.finditer(text)}
    try:
        return {
            "LUT": count_luts(fasm),
            "FF": cells["SLICE_FFX"],
            "RAMB36": cells["RAMB36E1"] + (cells["RAMB18E1"] + 1) // 2,
            "DSP48E1": cells["DSP48E1"],
        }
    except KeyError as error:
        raise UserError(f"nextpnr-xilinx's log does not say how many {error} are used") from None
