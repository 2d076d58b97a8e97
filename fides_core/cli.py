"""The ``fides`` command."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from typer.exceptions import TyperException

from fides_core.config import ABLATIONS, PRESETS
from fides_core.errors import UserError
from fides_core.software.policy_commands import policy_app

# The modules of the flow are imported by the commands that use them: it takes a while, and --help should not.

__all__ = ["app", "main"]

app = typer.Typer(
    help="Fides Core: an open RV64 core with compartments and fat pointers, and the flow around it.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(policy_app, name="policy")

_PRESETS_HELP = f"Presets, one or more of: {', '.join(PRESETS)} (default: all)."
PresetsArgument = Annotated[list[str] | None, typer.Argument(metavar="[PRESET]...", help=_PRESETS_HELP)]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Modules synthesised at the same time.")]

#: What the demo and the report are about.
_REPORTED = [name for name in PRESETS if name not in ABLATIONS]

_CORES = os.cpu_count() or 1
_CORES_BESIDE = max(1, _CORES - 1)


def _console() -> Console:
    return Console(highlight=False)


def _checked(presets: list[str] | None) -> list[str]:
    """The presets asked for, without repetitions; all when none. Raises UserError for an unknown one."""
    from fides_core.flow.verilog import configuration

    return [configuration(name).name for name in dict.fromkeys(presets or PRESETS)]


@contextlib.contextmanager
def _step(console: Console, text: str) -> Iterator[None]:
    """Show ``text`` while the block runs, and with its time once it has ended."""
    start = time.monotonic()
    with console.status(text):
        if not console.is_terminal:
            console.print(f"{text} ...")
        yield
    console.print(f"{text}: {time.monotonic() - start:.1f} s")


def _generate(console: Console, presets: list[str], directory: Path | None = None) -> dict[str, Path]:
    from fides_core.flow import verilog

    files = {}
    for name in presets:
        with _step(console, f"Verilog of {name}"):
            files[name] = verilog.generate(name, directory)
    return files


def _cores(files: dict[str, Path]) -> dict[str, Path]:
    """The Verilog of the cores alone, beside that of their systems on a chip."""
    from fides_core.flow import verilog

    return {name: verilog.core_path(path) for name, path in files.items()}


@app.command()
def generate(
    presets: PresetsArgument = None,
    all_presets: Annotated[bool, typer.Option("--all", help="Every preset, as without names.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder to write to (default: rtl/).")] = None,
    reset_vector: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Where the core begins; writes only the core, needs --out."),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="BASE:SIZE",
            help="Memory to cache and fetch from (0x80000000:0x80000000); only the core, needs --out.",
        ),
    ] = None,
) -> None:
    """Write the Verilog of presets.

    For each a folder to take into a design: the core with AXI4 ports, the system on a chip, an example with
    constraints, Verilator's waivers, and a manifest. Beside the folders is what is simulated and measured.
    """
    from fides_core.flow import release, verilog

    console = _console()
    names = _checked(None if all_presets else presets)
    if reset_vector is not None or memory is not None:
        if out is None:
            raise UserError("--reset-vector and --memory need --out: rtl/ is for the presets as they are")
        vector = None if reset_vector is None else _number("--reset-vector", reset_vector)
        region = None if memory is None else _region("--memory", memory)
        for name in names:
            with _step(console, f"Verilog of {name}"):
                path = release.release_for(
                    verilog.configuration(name), out / name, reset_vector=vector, cacheable=region
                )
            console.print(str(path), soft_wrap=True)
        return
    files = _generate(console, names, out)
    for name, path in files.items():
        written = release.release_beside(verilog.configuration(name), path)
        console.print(str(written), soft_wrap=True)


def _number(option: str, text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise UserError(f"{option}: {text!r} is not a number") from None


def _region(option: str, text: str) -> tuple[int, int]:
    base, colon, size = text.partition(":")
    if not colon:
        raise UserError(f"{option}: {text!r} is not BASE:SIZE")
    return _number(option, base), _number(option, size)


@app.command()
def sim(
    preset: Annotated[str, typer.Argument(help=f"One of: {', '.join(PRESETS)}.")],
    image: Annotated[Path, typer.Argument(help="Executable (ELF) to run.")],
    max_cycles: Annotated[int, typer.Option(min=1, help="Stop after so many clock cycles.")] = 1_000_000_000,
    timeout: Annotated[float | None, typer.Option(min=0.0, help="Stop after so many seconds.")] = None,
    trace: Annotated[Path | None, typer.Option(help="Write waveforms to this .fst or .vcd file.")] = None,
    pipeline: Annotated[
        Path | None, typer.Option(help="Write the way of each instruction to this file, for Konata.")
    ] = None,
) -> None:
    """Run a program on a preset.

    Its serial output goes to standard output, everything else to standard error. The exit code is 0 when the
    program stores 0 to the exit device, 1 when it stores something else or does not end in time, 2 when the
    preset or the image cannot be used.
    """
    from fides_core.flow.simulation import Simulator
    from fides_core.flow.verilog import configuration

    config = configuration(preset)
    if not image.is_file():
        raise UserError(f"there is no file {image}")

    def show(data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    outcome = Simulator.build(config).run(
        image, max_cycles, trace=trace, pipeline=pipeline, on_uart=show, timeout_seconds=timeout
    )
    print(outcome.message, file=sys.stderr)
    raise typer.Exit(0 if outcome.exit_code == 0 else 1)


_AS_THEY_ARE = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}


@app.command(context_settings=_AS_THEY_ARE, add_help_option=False)
def cc(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[OPTION | FILE]...", help="As clang and gcc have them")
    ] = None,
) -> None:
    """Compile C and assembly, with landing pads and checked pointers."""
    # The command's entry point calls this itself, before it imports this module (compiler/command.py).
    from fides_core.compiler.driver import run_command

    raise typer.Exit(run_command(arguments or []))


@app.command(context_settings=_AS_THEY_ARE)
def ld(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[OPTION | FILE]...", help="Objects, archives, options as GNU ld has them."),
    ] = None,
) -> None:
    """Link objects, archives and a policy into an image for the monitor.

    Beside what compiler drivers pass (-o, -L, -l, -u, --defsym, --wrap, --start-group, -Map and so on):
    --policy FILE, without which all is one compartment; --preset NAME (fides), --base for --preset base;
    --memory BYTES of the system; --runtime FILE, an archive that may mint and revoke pointers. Options that
    mean nothing for an image are ignored, those it cannot have are refused.
    """
    from fides_core.software.linker.command import run_command

    raise typer.Exit(run_command(arguments or []))


@app.command()
def attacks(
    model: Annotated[
        bool, typer.Option("--model", help="The golden model as the protected core, not its Verilog.")
    ] = False,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="OPTION", help="For the compiler; can be repeated (default: -O2)."),
    ] = None,
) -> None:
    """Run the attack matrix: memory errors in C, which succeed on base and are to be stopped on fides.

    The results go to build/attacks/attacks.md and attacks.json. The exit code is 1 when one that succeeds on
    base is not stopped with the right cause.
    """
    from fides_core.flow.attack_matrix import OUTPUT, markdown, run_attacks

    console = Console(highlight=False, stderr=True)
    result = run_attacks(console, model=model, options=option or ["-O2"])
    print(markdown(result), end="")
    console.print(str(OUTPUT / "attacks.md"), soft_wrap=True)
    raise typer.Exit(1 if result.failures else 0)


@app.command()
def objdump(
    image: Annotated[Path, typer.Argument(help="An image for the monitor (ELF).")],
    only: Annotated[
        str | None,
        typer.Option("--range", metavar="NAME", help="One compartment, complete_fluid or monitor."),
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="With the lines of sources that are compiled with -g.")
    ] = False,
) -> None:
    """List the code of an image: Xfides instructions by name, addresses by compartment."""
    from fides_core.software.objdump import listing

    for line in listing(image, only=only, source=lines):
        print(line)


@app.command()
def load(
    port: Annotated[str, typer.Argument(help="Serial port of the board, such as /dev/ttyUSB0.")],
    image: Annotated[Path, typer.Argument(help="Executable (ELF), or contents of the memory (.bin).")],
    baud: Annotated[int, typer.Option(min=1, help="Bits per second, those of the board's build.")] = 115200,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Wait so many seconds for the board's loader.")
    ] = 30.0,
    retries: Annotated[int, typer.Option(min=0, help="Send a block again at most so often.")] = 5,
    monitor: Annotated[
        bool, typer.Option("--monitor", help="Then show what the program sends, until Ctrl-C.")
    ] = False,
) -> None:
    """Load a program into a board over a serial port and run it.

    The board is built with the boot loader, which answers when nothing runs yet: reset the board while this
    command waits. Progress goes to standard error. The exit code is 2 when the program did not arrive.
    """
    from fides_core.flow.serial_load import load_image

    def show(data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    console = Console(highlight=False, stderr=True)
    shown = show if monitor else None
    load_image(port, image, baud=baud, timeout=timeout, retries=retries, console=console, monitor=shown)


@app.command()
def lockstep(
    preset: Annotated[str, typer.Option(help="The preset.")] = "base",
    variant: Annotated[str, typer.Option(help="A verification variant, or all of them.")] = "all",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first program.")] = 1,
    programs: Annotated[int, typer.Option(min=1, help="Programs of each variant.")] = 20,
    instructions: Annotated[int, typer.Option(min=1, help="Instructions of a program, about.")] = 100_000,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes.")] = _CORES,
    seconds: Annotated[
        float | None, typer.Option(min=0.0, help="Start no program of a variant after so many seconds.")
    ] = None,
) -> None:
    """Compare a preset with Spike, or with Xfides with the golden model, on random programs.

    The exit code is 0 when they agree, 1 at the first difference, which is printed with the command that
    shows it again, 2 when the preset cannot be compared or a tool is missing.
    """
    from fides_core.flow.lockstep import run_command

    raise typer.Exit(run_command(preset, variant, seed, programs, instructions, jobs, seconds))


def _area_lines(results) -> Iterator[str]:
    for name, result in results.items():
        for what, area in (("core", result.core), *result.units.items()):
            figures = ", ".join(f"{figure} {value}" for figure, value in area.figures().items())
            yield f"{name} {what}: {figures}"


def _coremark_scores(console: Console, files: dict[str, Path]) -> dict[str, float | None]:
    """CoreMark/MHz of the systems in ``files``, where exactly those were measured."""
    from fides_core.flow.coremark import history_figure
    from fides_core.flow.verilog import configuration

    scores = {name: history_figure(configuration(name), path) for name, path in files.items()}
    for name, score in scores.items():
        if score is None:
            console.print(f"no CoreMark/MHz of {name}: `fides bench coremark` has not measured it as it is")
    return scores


@app.command()
def bench(
    presets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PRESET]... | coremark | callbacks | checks",
            help=f"Presets, one or more of: {', '.join(PRESETS)} (default: base); or one of the others.",
        ),
    ] = None,
    program: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this program; can be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON, no tables.")] = False,
    source: Annotated[
        Path | None, typer.Option(metavar="DIR", help="coremark, checks: a checkout of EEMBC's CoreMark.")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="PRESET",
            help="The preset of coremark (default: base) or callbacks (default: fides, then fides_monitor).",
        ),
    ] = None,
    march: Annotated[
        str | None, typer.Option(help="coremark: the compiler's -march (default: the preset's).")
    ] = None,
    flags: Annotated[
        str | None,
        typer.Option(help="coremark: compiler flags, or plain (default) or tuned; checks: flags (-O2)."),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Iterations of CoreMark to simulate (default: 10).")
    ] = None,
) -> None:
    """Measure the benchmark programs, or CoreMark, or what functions cost that are called back, or what the
    checks and compartments of `fides cc` cost.

    The results go to build/bench.json, of checks to build/bench-checks.json; those of CoreMark, with its
    whole printout, to build/bench/. The exit code is 1 when a program's checksum is wrong.
    """
    from fides_core.flow.bench import PROGRAMS, BenchFailed, run_bench

    console = Console(highlight=False, stderr=True) if as_json else _console()
    names = presets or ["base"]
    only_coremark = {
        "--source": source, "--preset": on, "--march": march, "--flags": flags, "--iterations": iterations
    }  # fmt: skip
    if names == ["coremark"]:
        if program:
            raise UserError("--program is not for CoreMark")
        if source is None:
            raise UserError("CoreMark is not part of this repository: give a checkout of it with --source")
        result = _coremark(console, source, on or "base", march, flags or "plain", iterations)
        if as_json:
            print(json.dumps(result, indent=2))
        return
    if names == ["checks"]:
        for option, value in (("--preset", on), ("--march", march)):
            if value is not None:
                raise UserError(f"{option} is not for checks, which are measured on base and fides")
        _checks(console, program, source, flags, iterations, as_json)
        return
    callbacks = names == ["callbacks"]
    for option, value in only_coremark.items():
        if value is not None and not (callbacks and option == "--preset"):
            raise UserError(f"{option} is only for `fides bench coremark`")
    if callbacks:
        if program:
            raise UserError("--program is not for callbacks")
        from fides_core.flow.callbacks import PRESETS_MEASURED, measure_callbacks

        results = measure_callbacks([on] if on else PRESETS_MEASURED, console=console)
        if as_json:
            rounded = {
                name: {
                    cost.case: {"cycles": round(cost.cycles, 2), "instructions": round(cost.instructions, 2)}
                    for cost in costs
                }
                for name, costs in results.items()
            }
            print(json.dumps(rounded, indent=2))
        return
    programs = list(dict.fromkeys(program or PROGRAMS))
    try:
        results = run_bench(_checked(names), programs, console=console)
    except BenchFailed as error:
        print(f"fides: the benchmark failed: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    if as_json:
        print(json.dumps(results, indent=2))


def _checks(
    console: Console,
    program: list[str] | None,
    source: Path | None,
    flags: str | None,
    iterations: int | None,
    as_json: bool,
) -> None:
    from fides_core.flow.bench import PROGRAMS, BenchFailed
    from fides_core.flow.check_costs import FLAGS, measure_checks
    from fides_core.flow.coremark import ITERATIONS

    if iterations is not None and source is None:
        raise UserError("--iterations is of CoreMark: give a checkout of it with --source")
    try:
        results = measure_checks(
            list(dict.fromkeys(program or PROGRAMS)),
            source=source.absolute() if source else None,
            flags=flags or FLAGS,
            iterations=iterations or ITERATIONS,
            console=console,
        )
    except BenchFailed as error:
        print(f"fides: the benchmark failed: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    if as_json:
        print(json.dumps(results, indent=2))


def _coremark(
    console: Console, source: Path, preset: str, march: str | None, flags: str, iterations: int | None
) -> dict:
    from fides_core.flow.coremark import ITERATIONS, run_coremark
    from fides_core.flow.verilog import configuration

    config = configuration(preset)
    result = run_coremark(
        source, config, march=march, flags=flags, iterations=iterations or ITERATIONS, console=console
    )
    return result.to_dict()


@app.command("random-c")
def random_c(
    programs: Annotated[int, typer.Option(min=1, help="How many.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Of the first; each one is one more.")] = 1,
) -> None:
    """Compile random C programs of csmith, run them on fides, and compare with the host.

    The exit code is 1 when a program prints something else than on the host; its source is in
    build/random-c/failed then. Results are in build/random-c/results.json after each batch.
    """
    from fides_core.flow.random_c import run_programs

    tally = run_programs(range(seed, seed + programs), console=_console())
    raise typer.Exit(1 if tally.failed else 0)


@app.command()
def history() -> None:
    """Draw area, path and CoreMark/MHz over time.

    docs/area-history.csv, to which `fides synth --record` adds, becomes build/history.svg.
    """
    from fides_core.flow.history import write_history

    _console().print(str(write_history()), soft_wrap=True)


@app.command()
def synth(
    presets: PresetsArgument = None,
    jobs: JobsOption = _CORES,
    record: Annotated[
        str | None, typer.Option(metavar="WHY", help="Add the figures to docs/area-history.csv.")
    ] = None,
    options: Annotated[
        bool, typer.Option("--options", help="The core of base with each option of Xfides instead.")
    ] = False,
) -> None:
    """Synthesise presets for 7-series parts.

    The core of each, and each of its security units alone; results are kept in build/synth/. CoreMark/MHz
    is recorded where `fides bench coremark` has measured the same hardware.
    """
    from fides_core.flow import synthesis

    console = _console()
    if options:
        if presets or record is not None:
            raise UserError("--options takes no presets and is not recorded")
        from fides_core.flow.option_costs import cost_table, synthesise_options

        with _step(console, "synthesis"):
            areas = synthesise_options(jobs=jobs, report=console.print)
        cost_table(areas, console)
        return
    files = _generate(console, _checked(presets))
    with _step(console, "synthesis"):
        results = synthesis.synthesise(_cores(files), jobs=jobs, report=console.print)
    for line in _area_lines(results):
        console.print(line, soft_wrap=True)
    if record is not None:
        scores = _coremark_scores(console, files)
        synthesis.record(results, record, coremark=scores)
        console.print(f"recorded in {synthesis.HISTORY}", soft_wrap=True)


@app.command()
def place(
    presets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PRESET]...",
            help=f"Presets, one or more of: {', '.join(PRESETS)} (default: base and fides).",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each preset, with seeds 1, 2 and so on.")] = 5,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Runs at the same time, each with 1 GB.")
    ] = _CORES,
    timeout: Annotated[float, typer.Option(min=1.0, help="Give a run up after so many seconds.")] = 3600.0,
    record: Annotated[
        str | None, typer.Option(metavar="WHY", help="Add the figures to docs/place-history.csv.")
    ] = None,
) -> None:
    """Place and route presets on an ECP5.

    The core of each, by Yosys and nextpnr, which takes some minutes for each seed; a run that was done before
    is not done again. The results go to build/place.json.
    """
    from fides_core.flow import placement, placement_results, tools

    console = _console()
    names = _checked(presets or list(placement.PRESETS_PLACED))
    tools.find(placement.TOOL)  # before the work
    files = _generate(console, names)
    with _step(console, "place and route"):
        placed = placement.place(
            _cores(files), seeds=seeds, jobs=jobs, timeout=timeout, report=console.print
        )
    results = placement_results.write_placement(placed)
    placement_results.tables(results, console)
    console.print(f"results: {placement_results.OUTPUT}", soft_wrap=True)
    if record is not None:
        placement_results.record(results, record)
        console.print(f"recorded in {placement_results.HISTORY}", soft_wrap=True)


@app.command()
def build(
    board: Annotated[
        str, typer.Argument(help="A file of boards/ without .py, such as ulx3s, or the path of a file.")
    ],
    preset: Annotated[str, typer.Argument(help=f"One of: {', '.join(PRESETS)}.")],
    toolchain: Annotated[str | None, typer.Option(help="One of the board's (default: its first).")] = None,
    memory: Annotated[
        int | None, typer.Option(min=4, metavar="KIB", help="Main memory (default: the board's).")
    ] = None,
    clock: Annotated[
        float | None, typer.Option(metavar="MHZ", help="System clock (default: the board's).")
    ] = None,
    baud: Annotated[int, typer.Option(help="Of the UART after reset.")] = 115200,
    image: Annotated[
        Path | None, typer.Option(help="Executable (ELF, .bin) that is in the main memory from power-up on.")
    ] = None,
    boot: Annotated[
        str, typer.Option(help="uart: with the boot loader; memory: run the image at once.")
    ] = "uart",
    seed: Annotated[int | None, typer.Option(min=1, help="Place and route with this seed alone.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Place and route with seeds 1 to N, take the best.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to (default: build/boards/BOARD-PRESET).")
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Seeds at the same time, each with 1 GB.")
    ] = _CORES,
    timeout: Annotated[float, typer.Option(min=1.0, help="Give a step up after so many seconds.")] = 3600.0,
) -> None:
    """Build a bitstream of a preset for a board.

    It takes minutes; what was done before is not done again. The results go to report.json in the folder.
    The exit code is 0 when the clock is reached, 1 when it is missed, 2 when something is wrong with the
    input, the design does not fit, or a tool is missing or fails.
    """
    from fides_core.flow.build import run
    from fides_core.flow.build.boards import load_board
    from fides_core.flow.build.design import plan
    from fides_core.flow.build.toolchain import Options

    if seed is not None and seeds is not None:
        raise UserError("--seed is one seed, --seeds a number of them: give one of both")
    console = _console()
    design = plan(
        load_board(board),
        preset,
        memory_bytes=None if memory is None else memory << 10,
        system_hz=None if clock is None else clock * 1e6,
        baud=baud,
        image=image,
        boot=boot,
    )
    chosen = (seed,) if seed is not None else tuple(range(1, (seeds or 1) + 1))
    with _step(console, f"{design.config.name} for {design.board.name}"):
        entry = run.build_design(
            design,
            toolchain,
            out,
            Options(chosen, jobs, timeout),
            lambda text: console.print(text, soft_wrap=True, markup=False),
        )
    run.show(entry, console)
    directory = run.default_directory(design) if out is None else out
    if entry["bitstream"]:
        console.print(f"bitstream: {directory / entry['toolchain'] / entry['bitstream']}", soft_wrap=True)
    console.print(f"report: {directory / run.REPORT}", soft_wrap=True)
    if entry["notice"]:
        console.print(entry["notice"], soft_wrap=True, markup=False)
    if late := run.missed(entry):
        print(f"fides: {late}", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def report(jobs: JobsOption = _CORES) -> None:
    """Write the report.

    build/report.json and build/report.md are made of the demo's last results and of the synthesis of all
    presets but fides_monitor, which is done when it is missing.
    """
    from fides_core.flow import report as reports
    from fides_core.flow import synthesis, tools
    from fides_core.flow.history import write_history

    console = _console()
    demo_results = reports.load_demo(tools.ROOT / "build" / "demo.json")
    files = _cores(_generate(console, _REPORTED))
    with _step(console, "synthesis"):
        results = synthesis.synthesise(files, jobs=jobs, report=console.print)
    write_history()
    reports.write_report(results, demo_results, tools.ROOT / "build", console)


@contextlib.contextmanager
def _synthesis_beside(console: Console, jobs: int) -> Iterator[subprocess.Popen]:
    """``fides synth`` for the report, in a process of its own, so that it can be ended with all its children
    at any time."""
    command = [sys.executable, "-m", "fides_core.cli", "synth", *_REPORTED, "--jobs", str(jobs)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    lines: list[str] = []

    def relay() -> None:
        for line in process.stdout:
            lines.append(line.rstrip())
            # Only the modules done; the figures come with the report.
            if line.rstrip().endswith(" s)"):
                console.print(f"synthesised {line.rstrip()}", soft_wrap=True)

    relaying = threading.Thread(target=relay, daemon=True)
    relaying.start()
    try:
        yield process
        process.wait()
        relaying.join()
        if process.returncode:
            raise UserError((lines or ["synthesis failed"])[-1].removeprefix("fides: "))
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@app.command()
def demo(jobs: JobsOption = _CORES_BESIDE) -> None:
    """Run everything, from Verilog to the report.

    Both presets are generated, simulated with the demo program and the attacks, and synthesised. The exit
    code is 1 when an attack did not end as it should.
    """
    # A plain kill must not leave synthesis behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = _console()
    start = time.monotonic()
    from fides_core.flow import report as reports
    from fides_core.flow import synthesis, tools
    from fides_core.flow.demo import DemoFailed, run_demo
    from fides_core.flow.history import write_history

    files = _cores(_generate(console, _REPORTED))
    try:
        with _synthesis_beside(console, jobs):
            run_demo(console)
            console.print("waiting for synthesis to end")
    except DemoFailed as error:
        print(f"fides: the demo failed: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    results = synthesis.synthesise(files, jobs=jobs)  # recalled from the run beside
    demo_results = reports.load_demo(tools.ROOT / "build" / "demo.json")
    write_history()
    reports.write_report(results, demo_results, tools.ROOT / "build", console)
    console.print(f"done in {time.monotonic() - start:.0f} s")


def main() -> None:
    """The entry point: every error that the user can put right is one line and exit code 2."""
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        print(f"fides: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except TyperException as error:
        print(f"fides: {' '.join(error.format_message().split())} See `fides --help`.", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # The reader of a pipe has gone; say nothing, and keep Python from saying it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    if code == 130:
        print("fides: interrupted", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
