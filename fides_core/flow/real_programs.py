"""Libraries of others, unmodified, by ``fides cc``: run on ``fides`` and ``base``, with known answers."""

import argparse
import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from fides_core.compiler.driver import run_command
from fides_core.config import preset
from fides_core.errors import UserError

from . import tools
from .debian_sources import DIRECTORY, fetch
from .real_program_list import PROGRAMS, RealProgram
from .simulation import Simulator
from .verilog import replace_file

__all__ = ["RESULTS", "Result", "build", "expected_output", "main", "run_one", "run_programs", "table"]

DRIVERS = tools.ROOT / "sw" / "real"
PRESETS = ("base", "fides")
LEVEL = "-O2"
MAX_CYCLES = 100_000_000
RESULTS = DIRECTORY / "results.json"


@dataclass(frozen=True)
class Result:
    """One program on one kind of core. ``cycles``: of the whole run, from reset. ``text_bytes``:
    of text and read-only data in the image. ``checks``: the compiler's report, summed up."""

    program: str
    preset: str
    cycles: int
    instructions: int
    text_bytes: int
    checks: dict[str, int]


def _inputs(program: RealProgram, folder: Path, work: Path) -> list[str]:
    left_out = {folder / name for name in program.without}
    sources = [path for pattern in program.sources for path in sorted(folder.glob(pattern))]
    sources = [path for path in sources if path not in left_out]
    if program.driver is not None:
        sources.append(DRIVERS / program.driver)
    include = [folder / name for name in program.include]
    if program.sample is not None:
        data = (folder / program.sample).read_bytes()
        rows = ",".join(str(byte) for byte in data)
        work.joinpath("sample.h").write_text(f"static const unsigned char sample[] = {{{rows}}};\n")
        include.append(work)
    return [*program.options, *(f"-I{path}" for path in include), *map(str, sources)]


@functools.cache
def expected_output(name: str, directory: Path = DIRECTORY) -> str:
    """What the program prints on the host. Raises UserError."""
    program = PROGRAMS[name]
    work = directory / name
    work.mkdir(parents=True, exist_ok=True)
    executable = work / "host"
    command = ["gcc", "-w", "-O1", *_inputs(program, fetch(program.package, directory), work), "-lm"]
    done = subprocess.run([*command, "-o", str(executable)], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"gcc does not compile {name}: {done.stderr[:300]}")
    return subprocess.run([executable], capture_output=True, text=True, timeout=60, cwd=work).stdout


def build(name: str, preset_name: str, directory: Path = DIRECTORY) -> tuple[Path, dict[str, int]]:
    """The image, and the sums of the compiler's report. Raises UserError when a step fails."""
    program = PROGRAMS[name]
    work = directory / name
    work.mkdir(parents=True, exist_ok=True)
    image, report = work / f"{preset_name}.elf", work / f"{preset_name}.report"
    report.unlink(missing_ok=True)
    wanted = ["--report", str(report)] if preset_name != "base" else []
    if program.policy is not None:
        wanted += ["--policy", str(DRIVERS / program.policy)]
    inputs = _inputs(program, fetch(program.package, directory), work)
    if run_command(["--preset", preset_name, "-w", LEVEL, *wanted, *inputs, "-o", str(image)]):
        raise UserError(f"fides cc does not compile {name} for {preset_name}")
    checks: dict[str, int] = {}
    for line in report.read_text().splitlines() if report.exists() else []:
        for key, count in json.loads(line)["counts"].items():
            checks[key] = checks.get(key, 0) + count
    return image, checks


def _text_bytes(image: Path) -> int:
    size = shutil.which("riscv64-unknown-elf-size")
    if not size:
        raise UserError("riscv64-unknown-elf-size is missing")
    done = subprocess.run([size, str(image)], capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[1].split()[0])


def run_one(name: str, preset_name: str, machine, directory: Path = DIRECTORY) -> Result:
    """Build and run. Raises UserError when an answer is missing, or the output is not the host's."""
    image, checks = build(name, preset_name, directory)
    outcome = machine.run(image, MAX_CYCLES)
    found = outcome.uart.decode("utf-8", "replace").replace("\r", "")
    where = f"{name} on {preset_name}"
    for answer in PROGRAMS[name].answers(fetch(PROGRAMS[name].package, directory)):
        if answer not in found:
            raise UserError(f"{where}: {answer!r} is not in the output ({outcome.message}): {found[-300:]!r}")
    if found != expected_output(name, directory) or outcome.exit_code != 0:
        raise UserError(f"{where}: prints something else than on the host ({outcome.message})")
    return Result(name, preset_name, outcome.cycles, outcome.instructions, _text_bytes(image), checks)


def run_programs(names: Sequence[str], console: Console) -> list[Result]:
    """Run ``names``, of PROGRAMS, on PRESETS, and say so. Raises UserError."""
    machines = {name: Simulator.build(preset(name)) for name in PRESETS}
    results = []
    for name in names:
        for preset_name, machine in machines.items():
            console.print(f"{name} on {preset_name} ...", highlight=False)
            results.append(run_one(name, preset_name, machine))
            console.print(f"  {results[-1].cycles:,} cycles, as on the host", highlight=False)
    return results


def table(results: Sequence[Result]) -> str:
    """Markdown, a row for each program. ``results``: of all PRESETS for each program."""
    lines = [
        "| program | version | what is looked at | accesses | checks | cycles on `base` | on `fides` | more "
        "| text, bytes on `base` | on `fides` | more |",
        "|---|---|---|" + "---:|" * 8,
    ]
    of = {(result.program, result.preset): result for result in results}
    for name in dict.fromkeys(result.program for result in results):
        program = PROGRAMS[name]
        base, fides = (of[name, preset_name] for preset_name in PRESETS)
        cells = [name, program.version, program.checks]
        cells += [f"{fides.checks[key]:,}" for key in ("accesses.all", "checks.inserted")]
        for old, new in ((base.cycles, fides.cycles), (base.text_bytes, fides.text_bytes)):
            cells += [f"{old:,}", f"{new:,}", f"{100 * (new / old - 1):+.1f} %"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code of ``python -m fides_core.flow.real_programs``: 2 when something is missing, does not compile
    or does not do what it should."""
    parser = argparse.ArgumentParser(
        prog="python -m fides_core.flow.real_programs",
        description="Compile programs of Debian's source packages by fides cc, run them on the presets base "
        "and fides, compare what they print with known answers and with the host's compiler, and print a "
        "table. The figures go to build/real/results.json.",
    )
    parser.add_argument("program", nargs="*", help=f"of {', '.join(PROGRAMS)}; all when none is given")
    names = list(dict.fromkeys(parser.parse_args(arguments).program)) or list(PROGRAMS)
    try:
        if unknown := [name for name in names if name not in PROGRAMS]:
            raise UserError(f"there is no {unknown[0]}: there are {', '.join(PROGRAMS)}")
        results = run_programs(names, Console(stderr=True))
    except UserError as error:
        print(f"fides: {error}", file=sys.stderr)
        return 2
    replace_file(RESULTS, json.dumps([asdict(result) for result in results], indent=1) + "\n")
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
