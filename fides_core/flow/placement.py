"""Place and route on an ECP5 with open tools, Yosys and nextpnr: the clock frequency with the wires in it.

What is placed is the module that synthesis takes for a preset, the core with its caches, mapped alone and
then put into a harness that has flip-flops at all its ports. The annealing of nextpnr begins with a random
seed, and the frequency depends on it by several percent: figures are medians over seeds. Results are kept by
the hash of what they depend on, and made once.
"""

import concurrent.futures
import hashlib
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fides_core.errors import UserError

from . import nextpnr, tools
from .harness import NAME, harness
from .nextpnr import TOOL
from .synthesis import CORE, module_sources
from .verilog import replace_file

__all__ = [
    "DEVICE", "Mapped", "Placed", "PRESETS_PLACED", "Run", "SEEDS", "TARGET_MHZ", "TIMEOUT", "TOOL",
    "count_cells", "map_module", "parse_report", "place", "place_seed",
]  # fmt: skip

DEVICE = "LFE5U-85F-6 CABGA381"
"""Part, speed grade (the slowest) and package."""

TARGET_MHZ = 100
"""What nextpnr is asked for, more than it reaches: it works on the longest paths all the time."""

_OPTIONS = (
    "--85k", "--package", "CABGA381", "--speed", "6", "--freq", str(TARGET_MHZ), "--timing-allow-fail",
    "--lpf-allow-unconstrained",
)  # fmt: skip

PRESETS_PLACED = ("base", "fides")
"""The presets placed when none is named: with all, it takes twice as long."""

SEEDS = 5

TIMEOUT = 3600.0
"""Seconds after which a run is taken for hung."""

_MAP = """\
read_verilog -sv design.v
synth_ecp5 -top {top}
delete t:$scopeinfo
rename {top} core
tee -q -o cells.json stat -json
write_rtlil core.il
{memories}
blackbox core
write_json ports.json
"""

_WRAP = """\
read_verilog -sv harness.v
synth_ecp5 -top {name}
tee -q -o harness_cells.json stat -json
delete core
read_rtlil core.il
hierarchy -top {name}
flatten
delete t:$scopeinfo
write_json netlist.json
"""

# Ports whose harness stands for how every harness is made.
_EXAMPLE = {
    name: {"direction": direction, "bits": [0]}
    for name, direction in (("clk", "input"), ("rst", "input"), ("in", "input"), ("out", "output"))
}

_MEMORY_CELLS = ("DP16KD", "TRELLIS_DPR16X4")

# Of nextpnr's report, and what they are called here.
_SITES = {"TRELLIS_COMB": "comb", "TRELLIS_FF": "ff", "DP16KD": "dp16kd", "MULT18X18D": "mult18x18d"}

# Sites of lookup tables that a cell takes; multiplexers are in the slices beside them.
_LUTS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6, "PFUMX": 0, "L6MUX21": 0}
_PLAIN = {"TRELLIS_FF": "ff", "DP16KD": "dp16kd", "MULT18X18D": "mult18x18d"}


def count_cells(cells: Mapping[str, int]) -> dict[str, int]:
    """Lookup tables ("lut4", carries and distributed memory among them), flip-flops ("ff"), "dp16kd" and
    "mult18x18d", from numbers of ECP5 primitives by type.

    Raises UserError for a type that it does not know: a figure must not leave cells out in silence.
    """
    figures = dict.fromkeys(("lut4", *_PLAIN.values()), 0)
    for cell, count in cells.items():
        if cell in _LUTS:
            figures["lut4"] += count * _LUTS[cell]
        elif cell in _PLAIN:
            figures[_PLAIN[cell]] += count
        else:
            raise UserError(f"synthesis gave {count} cells of type {cell}, unknown to the area count")
    return figures


@dataclass(frozen=True)
class Mapped:
    """A module on cells of the ECP5: numbers of its cells and of those of the harness by type, for each
    memory its cells by type, the netlist of both (Yosys's JSON), and the key of all that made it."""

    netlist: Path
    key: str
    cells: dict[str, int]
    harness_cells: dict[str, int]
    memories: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Run:
    """A netlist placed and routed with one seed: the highest clock frequency, ``comb`` (TRELLIS_COMB sites),
    flip-flops, memories and multipliers as nextpnr counts them, harness included, and the longest path, from
    where to where, with its nanoseconds in cells and on wires."""

    seed: int
    mhz: float
    comb: int
    ff: int
    dp16kd: int
    mult18x18d: int
    path_from: str
    path_to: str
    logic_ns: float
    routing_ns: float


@dataclass(frozen=True)
class Placed:
    """A preset: its mapped core, the hash of the Verilog that was made of, and a run for each seed."""

    mapped: Mapped
    sha256: str
    runs: tuple[Run, ...]


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _memories(scratch: Path) -> dict[str, dict[str, int]]:
    """The cells of each memory, from Yosys's lists; the mapper puts numbers behind a memory's name."""
    found: dict[str, Counter] = {}
    for kind in _MEMORY_CELLS:
        for name in (scratch / f"{kind}.txt").read_text().split():
            memory = nextpnr.design_name(name.partition("/")[2])
            found.setdefault(memory, Counter())[kind] += 1
    return {name: dict(kinds) for name, kinds in sorted(found.items())}


def _cells(path: Path, module: str) -> dict[str, int]:
    statistics = json.loads(path.read_text())
    return dict(sorted(statistics["modules"]["\\" + module]["num_cells_by_type"].items()))


def map_module(source: str, top: str, directory: Path) -> Mapped:
    """Map module ``top`` of the Verilog text ``source`` and put it into a harness, or recall the result.

    ``directory`` gets netlist.json, mapped.json with the rest of the result, and mapped.log, what Yosys said.
    Raises ToolMissing without Yosys, UserError when the module cannot be mapped or timed.
    """
    lists = "\n".join(f"tee -q -o {kind}.txt select -list t:{kind}" for kind in _MEMORY_CELLS)
    script = _MAP.format(top=top, memories=lists)
    wrap = _WRAP.format(name=NAME)
    key = _key(source, script, wrap, harness("core", _EXAMPLE), tools.yosys_version())
    kept, netlist = directory / "mapped.json", directory / "netlist.json"
    try:
        recalled = Mapped(netlist=netlist, **json.loads(kept.read_text()))
        if recalled.key == key and netlist.exists():
            return recalled
    except (OSError, ValueError, TypeError):
        pass
    tools.yosys_command()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        kept.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix=".map-") as scratch:
            scratch = Path(scratch)
            (scratch / "design.v").write_text(source)
            try:
                tools.run_yosys(script, scratch, "mapped")
                ports = json.loads((scratch / "ports.json").read_text())["modules"]["core"]["ports"]
                (scratch / "harness.v").write_text(harness("core", ports))
                tools.run_yosys(wrap, scratch, "wrapped")
            finally:
                for log in scratch.glob("*.log"):
                    log.replace(directory / log.name)
            mapped = Mapped(
                netlist=netlist,
                key=key,
                cells=_cells(scratch / "cells.json", "core"),
                harness_cells={
                    kind: count
                    for kind, count in _cells(scratch / "harness_cells.json", NAME).items()
                    if kind != "core"
                },
                memories=_memories(scratch),
            )
            (scratch / "netlist.json").replace(netlist)
    except UserError as error:
        # The logs have been moved out of the scratch folder that the message names.
        raise type(error)(re.sub(r"\(log: .*?([^/]+)\)$", rf"(log: {directory}/\1)", str(error))) from None
    except OSError as error:
        raise UserError(f"cannot synthesise in {directory}: {error.strerror or error}") from None
    entries = {name: value for name, value in asdict(mapped).items() if name != "netlist"}
    replace_file(kept, json.dumps(entries, indent=2) + "\n")
    return mapped


def parse_report(text: str, seed: int) -> Run:
    """The result of a run from nextpnr's report. Raises UserError when that is not what nextpnr writes, or
    has no clock, or several."""
    timing = nextpnr.read_report(text)
    try:
        used = {figure: timing.used[site] for site, figure in _SITES.items()}
    except KeyError as error:
        raise UserError(f"nextpnr's timing report is not as expected ({error!r})") from None
    return Run(
        seed=seed,
        mhz=timing.mhz,
        **used,
        path_from=timing.path_from.removeprefix("dut."),
        path_to=timing.path_to.removeprefix("dut."),
        logic_ns=timing.logic_ns,
        routing_ns=timing.routing_ns,
    )


def place_seed(mapped: Mapped, seed: int, *, timeout: float = TIMEOUT) -> Run:
    """Place and route a netlist with ``seed``, or recall the result.

    Beside the netlist, seed-<n>.json gets the result and seed-<n>.log what nextpnr said. ``timeout``:
    seconds. Raises ToolMissing without nextpnr, UserError when it fails, or does not end.
    """
    directory = mapped.netlist.parent
    options = [*_OPTIONS, "--seed", str(seed)]
    key = _key(mapped.key, *options, tools.package_version(TOOL))
    kept, log = directory / f"seed-{seed}.json", directory / f"seed-{seed}.log"
    try:
        recalled = json.loads(kept.read_text())
        if recalled.pop("key") == key:
            return Run(**recalled)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    program = tools.find(TOOL)
    with tempfile.TemporaryDirectory(dir=directory, prefix=f".seed-{seed}-") as scratch:
        # Relative paths: YoWASP has a temporary folder of its own.
        files = ["--json", f"../{mapped.netlist.name}", "-l", f"../{log.name}"]
        text = nextpnr.run(program, [*options, *files], Path(scratch), log, timeout)
    run = parse_report(text, seed)
    replace_file(kept, json.dumps({"key": key, **asdict(run)}, indent=2) + "\n")
    return run


def place(
    verilog: Mapping[str, Path],
    directory: Path | None = None,
    *,
    seeds: int = SEEDS,
    jobs: int = 2,
    timeout: float = TIMEOUT,
    report: Callable[[str], None] = lambda text: None,
) -> dict[str, Placed]:
    """Map the core of each preset, given with its Verilog, then place it with seeds 1 to ``seeds``, ``jobs``
    runs at a time.

    ``directory`` (default: build/place) gets a folder for each preset; ``timeout``: seconds for each run.
    ``report`` gets a line for each step that is done. Raises ToolMissing without Yosys or nextpnr, UserError
    when a file has no core, or a run fails.
    """
    directory = tools.ROOT / "build" / "place" if directory is None else directory
    tools.yosys_command()
    sources, hashes = {}, {}
    for preset, path in verilog.items():
        try:
            text = path.read_text()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from None
        found = module_sources(text, CORE)
        if found is None:
            raise UserError(f"there is no module {CORE} in {path}")
        sources[preset], hashes[preset] = found, hashlib.sha256(text.encode()).hexdigest()
    nextpnr.warm_up()

    def timed(what: str, work: Callable[[], Any], result: Callable[[Any], str]) -> Any:
        start = time.monotonic()
        done = work()
        took = time.monotonic() - start
        report(f"{what}: {result(done)}" + (f" ({took:.0f} s)" if took > 1 else ""))
        return done

    def synthesised(preset: str) -> Mapped:
        top, source = sources[preset]
        return timed(
            preset,
            lambda: map_module(source, top, directory / preset),
            lambda mapped: "{lut4} LUT4, {ff} FF".format(**count_cells(mapped.cells)),
        )

    def placed(preset: str, seed: int) -> Run:
        return timed(
            f"{preset} seed {seed}",
            lambda: place_seed(mapped[preset], seed, timeout=timeout),
            lambda run: f"{run.mhz:.2f} MHz",
        )

    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        try:
            mapped = dict(zip(verilog, pool.map(synthesised, verilog), strict=True))
            runs = {(preset, seed): pool.submit(placed, preset, seed)
                    for seed in range(1, seeds + 1) for preset in verilog}  # fmt: skip
            done = {key: future.result() for key, future in runs.items()}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {
        preset: Placed(
            mapped=mapped[preset],
            sha256=hashes[preset],
            runs=tuple(done[preset, seed] for seed in range(1, seeds + 1)),
        )
        for preset in verilog
    }
