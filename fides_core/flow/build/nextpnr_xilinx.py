"""What nextpnr-xilinx says: it has no report in JSON, so its log is read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fides_core.errors import UserError

__all__ = ["Timing", "count_luts", "design_name", "read_log", "read_used"]

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


def design_name(pin: str) -> str:
    """The cell of a pin, as a name of the design as far as mapping has left it one."""
    return _MAPPED_NAME.sub("", pin.rpartition(".")[0])


def read_log(text: str) -> Timing:
    """Timing after routing: the last that the log tells. Raises UserError when it has none, or has several
    clocks."""
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
        path_from=design_name(sources[0]),
        path_to=design_name(sinks[-1]),
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
