"""Synthesis for Xilinx 7-series parts with Yosys: area and longest logic path of the core and of its units.

What is synthesised is the module ``core``, without the system around it, and each security unit alone,
flattened, without pads and clock buffers. The figures are what Yosys reports before placement: it does not
pack two small functions into one LUT6_2, as Vivado and nextpnr do, so that its LUT counts are higher than
theirs; two presets compare all the same. Results are kept by the hash of what they depend on, and made once.
"""

import concurrent.futures
import csv
import hashlib
import io
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from fides_core.errors import UserError
from fides_core.flow import tools
from fides_core.flow.verilog import replace_file

__all__ = [
    "Area",
    "HISTORY",
    "MHZ_NOTE",
    "PART",
    "Result",
    "TARGET_PS",
    "TIMING",
    "UNITS",
    "append_rows",
    "count_cells",
    "longest_path_ns",
    "module_sources",
    "record",
    "synthesise",
    "synthesise_module",
]

PART = "XC7A200T"
"""The part the figures are meant for; Yosys maps to the family, every 7-series part gives the same."""

CORE = "tile"
"""The module that stands for a preset: the core with its caches."""

UNITS = ("capability_check", "shadow_stack", "fat_pointer", "monitor_check")
"""The modules that are synthesised alone where a preset has them."""

HISTORY = tools.ROOT / "docs" / "area-history.csv"

MHZ_NOTE = (
    "path_ns is the longest path through logic cells alone (delays of Yosys's model), without routing: "
    "a placed and routed design is slower than 1 / path_ns"
)

TARGET_PS = 12_000
"""For abc9, which counts 0.3 ns for each wire. Without it abc9 makes every path as short as the longest one
can be, and copies logic for that."""

# Timing wants the netlist beside the cells' timing models, which synthesis itself reads without timing.
TIMING = """\
design -reset
read_verilog -lib -specify +/xilinx/cells_sim.v
read_verilog -lib -specify +/xilinx/cells_xtra.v
read_rtlil netlist.il
tee -q -o timing.txt sta {top}
"""
"""The end of a Yosys script: timing.txt, for ``longest_path_ns``, of module ``top`` in netlist.il."""

_SCRIPT = (
    """\
read_verilog -sv design.v
scratchpad -set abc9.D {target}
synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -top {top}
delete t:$scopeinfo
select {top}
write_rtlil -selected netlist.il
tee -q -o cells.json stat -json
"""
    + TIMING
)

# LUTs that a memory or a shift register is made of (UG474).
_LUT_MEMORIES = {
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM128X1S": 2,
    "RAM256X1S": 4,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM32M": 4,
    "RAM64M": 4,
    "SRL16E": 1,
    "SRLC32E": 1,
}
_FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE", "FDRE_1", "FDSE_1", "FDCE_1", "FDPE_1")
# An inverter that is left over takes a LUT.
_LUTS = ("LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6", "INV")
# As Yosys writes Verilog: instances stand on a line of their own, the name of their module first.
_MODULE = re.compile(r"^module (\S+?) ?\(.*?^endmodule\n", re.MULTILINE | re.DOTALL)
_INSTANCE = re.compile(r"^  \\?([\w.$]+) +\S+ +\($", re.MULTILINE)
_FREE = ("MUXF7", "MUXF8", "GND", "VCC", "BUFG")


@dataclass(frozen=True)
class Area:
    """What a module takes: ``lut`` (with ``lutram``, those used as memory), ``ff``, ``bram36``, ``bram18``,
    ``dsp`` and ``carry4`` are numbers, ``path_ns`` nanoseconds, ``cells`` everything that Yosys counted."""

    lut: int
    lutram: int
    ff: int
    bram36: int
    bram18: int
    dsp: int
    carry4: int
    path_ns: float
    cells: dict[str, int] = field(default_factory=dict, compare=False)

    def figures(self) -> dict[str, int | float]:
        """Everything but the list of cells."""
        return {name: value for name, value in asdict(self).items() if name != "cells"}


@dataclass(frozen=True)
class Result:
    """The areas of a preset: of its core and, by name, of its security units alone."""

    core: Area
    units: dict[str, Area]


def count_cells(cells: Mapping[str, int]) -> dict[str, int]:
    """The figures of Area but ``path_ns``, from numbers of Xilinx primitives by type.

    Raises UserError for a type that it does not know: a figure must not leave cells out in silence.
    """
    figures = dict.fromkeys(("lut", "lutram", "ff", "bram36", "bram18", "dsp", "carry4"), 0)
    plain = {"RAMB36E1": "bram36", "RAMB18E1": "bram18", "DSP48E1": "dsp", "CARRY4": "carry4"}
    for cell, count in cells.items():
        if cell in _LUTS:
            figures["lut"] += count
        elif cell in _LUT_MEMORIES:
            figures["lut"] += count * _LUT_MEMORIES[cell]
            figures["lutram"] += count * _LUT_MEMORIES[cell]
        elif cell in _FLIP_FLOPS:
            figures["ff"] += count
        elif cell in plain:
            figures[plain[cell]] += count
        elif cell not in _FREE:
            raise UserError(f"synthesis gave {count} cells of type {cell}, unknown to the area count")
    return figures


def longest_path_ns(report: str) -> float:
    """The latest arrival in what Yosys's ``sta`` printed, in nanoseconds; 0 for a design without paths.

    Raises UserError when cells had no timing, for the path would be too short.
    """
    untimed = re.search(r"Module '(\S+)' has no timing arcs", report)
    if untimed:
        raise UserError(f"the timing model of Yosys has no delays for {untimed[1]}")
    match = re.search(r"^Latest arrival time in '.*' is (\d+):", report, re.MULTILINE)
    return int(match[1]) / 1000 if match else 0.0


def module_sources(verilog: str, name: str) -> tuple[str, str] | None:
    """The module called ``name``, in any hierarchy: its full name, the text of it and of all it contains.

    None when ``verilog``, which Yosys has written, has no such module. Raises UserError when it has several.
    """
    modules = {match[1].lstrip("\\"): match[0] for match in _MODULE.finditer(verilog)}
    found = [full for full in modules if full.split(".")[-1] == name]
    if not found:
        return None
    if len(found) > 1:
        raise UserError(f"there are several modules {name}: {', '.join(found)}")
    needed, left = set(), list(found)
    while left:
        module = left.pop()
        needed.add(module)
        inner = (match[1] for match in _INSTANCE.finditer(modules[module]))
        left += [full for full in inner if full in modules and full not in needed]
    return found[0], "\n".join(text for module, text in modules.items() if module in needed)


def synthesise_module(source: str, top: str, directory: Path, name: str) -> Area:
    """Synthesise module ``top`` of the Verilog text ``source``, or recall the result.

    ``directory`` gets <name>.json, the result, <name>.timing.txt, with the longest path, and <name>.log, what
    Yosys said; processes may share it.
    Raises ToolMissing without Yosys, UserError when synthesis fails.
    """
    script = _SCRIPT.format(top=top, target=TARGET_PS)
    version = tools.yosys_version()
    key = hashlib.sha256("\0".join((source, script, version)).encode()).hexdigest()
    path = directory / f"{name}.json"
    try:
        kept = json.loads(path.read_text())
        if kept["key"] == key:
            return Area(**count_cells(kept["cells"]), path_ns=kept["path_ns"], cells=kept["cells"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    tools.yosys_command()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix=f".{name}-") as scratch:
            scratch = Path(scratch)
            (scratch / "design.v").write_text(source)
            log = scratch / "synthesis.log"
            try:
                tools.run_yosys(script, scratch, "synthesis")
            finally:
                if log.exists():
                    log.replace(directory / f"{name}.log")
            statistics = json.loads((scratch / "cells.json").read_text())
            cells = statistics["modules"]["\\" + top]["num_cells_by_type"]
            timing = (scratch / "timing.txt").read_text()
            (scratch / "timing.txt").replace(directory / f"{name}.timing.txt")
    except UserError as error:
        # The log has been moved out of the scratch folder that the message names.
        message = str(error).split(" (log:")[0]
        raise type(error)(f"{message} (log: {directory / name}.log)") from None
    except OSError as error:
        raise UserError(f"cannot synthesise in {directory}: {error.strerror or error}") from None
    cells = dict(sorted(cells.items()))
    area = Area(**count_cells(cells), path_ns=longest_path_ns(timing), cells=cells)
    kept = {"key": key, "top": top, "cells": cells, "path_ns": area.path_ns}
    replace_file(path, json.dumps(kept, indent=2) + "\n")
    return area


def synthesise(
    verilog: Mapping[str, Path],
    directory: Path | None = None,
    *,
    jobs: int = 2,
    report: Callable[[str], None] = lambda text: None,
) -> dict[str, Result]:
    """Synthesise the core and the units of each preset, given with its Verilog, ``jobs`` modules at a time.

    ``directory`` (default: build/synth) gets a folder for each preset. ``report`` gets a line for each module
    that is done. Raises ToolMissing without Yosys, UserError when a file has no core or synthesis fails.
    """
    directory = tools.ROOT / "build" / "synth" if directory is None else directory
    tools.yosys_command()
    work = []
    for preset, path in verilog.items():
        try:
            text = path.read_text()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from None
        for name in (CORE, *UNITS):
            sources = module_sources(text, name)
            if sources is not None:
                work.append((preset, name, *sources))
            elif name == CORE:
                raise UserError(f"there is no module {CORE} in {path}")
    work.sort(key=lambda item: -len(item[3]))  # the longest first, so that none is left alone at the end

    def one(preset: str, name: str, top: str, source: str) -> Area:
        start = time.monotonic()
        area = synthesise_module(source, top, directory / preset, name)
        took = time.monotonic() - start
        report(f"{preset} {name}: {area.lut} LUT, {area.ff} FF" + (f" ({took:.0f} s)" if took > 1 else ""))
        return area

    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        areas = {item[:2]: pool.submit(one, *item) for item in work}
        try:
            done = {key: future.result() for key, future in areas.items()}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {
        preset: Result(
            core=done[preset, CORE],
            units={name: done[preset, name] for name in UNITS if (preset, name) in done},
        )
        for preset in verilog
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=tools.ROOT, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def append_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Append rows to a history, a CSV file with the columns date, commit and ``columns``.

    The commit is "-", and the date today's, when the sources differ from the last commit. Raises UserError
    when the file cannot be read or written, or has other columns.
    """
    changed = _git("status", "--porcelain", "--", "fides_core")
    commit = _git("rev-parse", "--short=10", "HEAD") if changed == "" else None
    day = _git("show", "-s", "--format=%cs", "HEAD") if commit else None
    heads = ("date", "commit", *columns)
    added = io.StringIO()
    writer = csv.writer(added, lineterminator="\n")
    try:
        text = path.read_text()
    except FileNotFoundError:
        text = ""
        writer.writerow(heads)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    else:
        if tuple(text.splitlines()[:1]) != (",".join(heads),):
            raise UserError(f"{path} does not begin with the columns {','.join(heads)}")
    writer.writerows((day or date.today().isoformat(), commit or "-", *row) for row in rows)
    replace_file(path, text + added.getvalue())


def record(
    results: Mapping[str, Result],
    note: str,
    path: Path = HISTORY,
    *,
    coremark: Mapping[str, float | None] | None = None,
) -> None:
    """Append a row for each preset to the history of areas, as append_rows does.

    ``coremark``: CoreMark/MHz by preset, as far as it was measured.
    """
    columns = ("lut", "lutram", "ff", "bram36", "bram18", "dsp", "carry4", "path_ns")
    rows = []
    for preset, result in results.items():
        figures = result.core.figures()
        score = (coremark or {}).get(preset)
        rows.append((preset, *(figures[column] for column in columns), "" if score is None else score, note))
    append_rows(path, ("preset", *columns, "coremark_mhz", "note"), rows)
