"""What both toolchains for Xilinx's 7 series share: constraints, and synthesis by Yosys, which says before
place and route whether a design fits and how fast it may become."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fides_core.errors import UserError
from fides_core.flow.synthesis import TARGET_PS, TIMING, count_cells, longest_path_ns
from fides_core.soc.board import Board

from .design import TOP, Design
from .mapping import map_design
from .toolchain import Report, check_fits

__all__ = [
    "CLOCK",
    "FACTOR",
    "Mapped",
    "NETLIST",
    "TARGETS_PS",
    "needed_sites",
    "part_name",
    "pin_constraints",
    "synthesise",
    "timing_exceptions",
]

CLOCK = "oscillator"
"""The name of the clock that comes in; that of the system is derived from it."""

FACTOR = 1.5
"""By which a placed and routed path is longer than the longest before placement, in which wires take no time:
what published cores show on this speed grade. A rule of thumb."""

NETLIST = "netlist.json"

# Cells of the clock and of the pads: one each, or pads. Yosys has no delays for them, so timing starts behind
# them: what they drive becomes an input.
_UNTIMED = ("BUFG", "IBUF", "IBUFDS", "MMCME2_BASE", "OBUF")

TARGETS_PS = (8_000, 10_000, TARGET_PS)
"""What abc9 is asked for, one after the other, wires counted with 0.3 ns each: it is a heuristic, and the
netlist with the shortest path is taken."""

_SYNTH = f"synth_xilinx -family xc7 -flatten -top {TOP}"

_COARSE = f"{_SYNTH} -run begin:map_luts"

# synth_xilinx has no option for it, so its step map_memory is written out here: the commands that it gives
# with -family xc7, without "-D HAS_CASCADE".
_COARSE_UNCASCADED = f"""\
{_SYNTH} -run begin:map_memory
memory_libmap -logic-cost-rom 0.015625 -lib +/xilinx/lutrams_xc5v.txt -lib +/xilinx/brams_xc4v.txt \\
  -D HAS_SIZE_36 -D HAS_MIXWIDTH_SDP -no-auto-huge
techmap -map +/xilinx/lutrams_xc5v_map.v
techmap -map +/xilinx/brams_xc6v_map.v
{_SYNTH} -run map_ffram:map_luts"""

_READ = """\
read_verilog -sv {sources}
{coarse}
design -save unmapped
"""

# Block RAM stays block RAM; nextpnr does not know the cells that stand for scopes.
_MAP = (
    f"""\
design -load unmapped
scratchpad -set abc9.D {{target}}
{_SYNTH} -run map_luts:
delete t:$scopeinfo
tee -q -o cells-{{target}}.json stat -json
write_json netlist-{{target}}.json
delete {" ".join(f"t:{cell}" for cell in _UNTIMED)}
setundef -undriven -expose
select {TOP}
write_rtlil -selected netlist.il
"""
    + TIMING.format(top=TOP).replace("timing.txt", "timing-{target}.txt")
)


def part_name(board: Board) -> str:
    """The part as the tools call it: device, package and speed grade, small. Raises UserError for a board
    with a part of another family."""
    platform = board.platform
    if not re.fullmatch(r"xc7[aksz]\w+", platform.device.lower()):
        raise UserError(f"{board.name}: {board.part} is no part of the 7 series")
    return f"{platform.device}{platform.package}-{platform.speed}".lower()


def pin_constraints(board: Board) -> str:
    """Pins, their attributes and the oscillator's period, a command a line, as XDC.

    nextpnr-xilinx reads XDC with a parser of its own: a port with an index stands in braces, another without.
    """
    lines = []
    for pin in board.pins:
        port = pin.name if pin.bit is None else f"{{{pin.name}}}"
        attributes = {"PACKAGE_PIN": pin.location, **pin.attributes}
        values = " ".join(f"{name} {value}" for name, value in attributes.items())
        lines.append(f"set_property -dict {{ {values} }} [get_ports {port}]")
        if pin.clock_hz:
            lines.append(f"create_clock -name {CLOCK} -period {1e9 / pin.clock_hz:.3f} [get_ports {port}]")
    return "\n".join([*lines, ""])


def timing_exceptions(board: Board) -> str:
    """XDC for what keeps no time: inputs that are synchronised, and outputs that no clock samples."""
    ports = {pin.port: pin.output for pin in board.pins if not pin.port.startswith("clock")}
    lines = [
        f"set_false_path {'-to' if output else '-from'} [get_ports {{{port}{suffix}}}]"
        for port, output in ports.items()
        for suffix in ["[*]" if any(p.port == port and p.bit is not None for p in board.pins) else ""]
    ]
    return "\n".join([*lines, ""])


def needed_sites(cells: Mapping[str, int]) -> dict[str, int]:
    """Sites by kind, from Yosys's cells: two RAMB18 share the site of a RAMB36."""
    figures = count_cells({cell: count for cell, count in cells.items() if cell not in _UNTIMED})
    return {
        "LUT": figures["lut"],
        "FF": figures["ff"],
        "RAMB36": figures["bram36"] + (figures["bram18"] + 1) // 2,
        "DSP48E1": figures["dsp"],
    }


@dataclass(frozen=True)
class Mapped:
    """The netlist, the key of what made it, its cells by type, its longest path before placement, in
    nanoseconds, and which of ``TARGETS_PS`` gave it."""

    path: Path
    key: str
    cells: dict[str, int]
    path_ns: float
    target_ps: int

    @property
    def needed(self) -> dict[str, int]:
        """Sites by kind."""
        return needed_sites(self.cells)

    @property
    def estimate_mhz(self) -> float | None:
        """What place and route may reach, a rule of thumb; None for a design without paths."""
        return round(1000 / (FACTOR * self.path_ns), 2) if self.path_ns else None

    def checks(self) -> dict[str, Any]:
        """The estimate, for the report."""
        estimate = {"mhz": self.estimate_mhz, "path_ns": self.path_ns, "factor": FACTOR}
        return {"estimate": {**estimate, "target_ps": self.target_ps}}


def _synthesise(design: Design, directory: Path, cascade: bool) -> Mapped:
    """netlist.json, synthesis.log and timing.txt, the longest path: of the target that gives the shortest."""
    script = _READ.format(
        sources=" ".join(design.sources), coarse=_COARSE if cascade else _COARSE_UNCASCADED
    ) + "".join(_MAP.format(target=target) for target in TARGETS_PS)

    def best(scratch: Path) -> dict[str, float]:
        paths = {
            target: longest_path_ns((scratch / f"timing-{target}.txt").read_text()) for target in TARGETS_PS
        }
        shortest = min(TARGETS_PS, key=paths.get)
        for kind, name in (("cells", "cells.json"), ("netlist", NETLIST), ("timing", "timing.txt")):
            suffix = Path(name).suffix
            (scratch / f"{kind}-{shortest}{suffix}").rename(scratch / name)
        return {"path_ns": paths[shortest], "target_ps": shortest}

    made_of, result = map_design(design, script, directory, (NETLIST, "timing.txt"), best)
    return Mapped(directory / NETLIST, made_of, result["cells"], result["path_ns"], result["target_ps"])


def synthesise(design: Design, directory: Path, report: Report, cascade: bool = True) -> Mapped:
    """Map a design with Yosys, or recall it, and report sites and the estimate.

    ``cascade``: whether two RAMB36 may share one bit of a memory of 64 Ki words by the wire between
    neighbours (UG473, "Cascadable Block RAM"); without, lookup tables choose between them.
    Raises ToolMissing without Yosys, UserError when it fails or the design does not fit the part.
    """
    report("synthesis ...")
    mapped = _synthesise(design, directory, cascade)
    sites = ", ".join(f"{count} {kind}" for kind, count in mapped.needed.items())
    report(f"synthesis: {sites}")
    check_fits(design, mapped.needed)
    if mapped.estimate_mhz is None:
        report("no estimate of Fmax: Yosys has found no path from register to register")
    else:
        report(
            f"estimate of Fmax on {design.board.name.upper()}: {mapped.estimate_mhz:.1f} MHz, of the longest "
            f"path before placement, {mapped.path_ns:.2f} ns, times {FACTOR:g}"
        )
    return mapped
