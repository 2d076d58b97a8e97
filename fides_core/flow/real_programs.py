"""Libraries of others, unmodified, by ``fides cc``: run on ``fides`` and ``base``, with known answers."""

import json
import math
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from fides_core.compiler.driver import run_command
from fides_core.config import preset
from fides_core.errors import UserError

from . import tools
from .debian_sources import DIRECTORY, SourcePackage, fetch
from .simulation import Simulator

__all__ = ["PROGRAMS", "RealProgram", "Result", "build", "main", "run_programs"]

DRIVERS = tools.ROOT / "sw" / "real"
PRESETS = ("base", "fides")
LEVEL = "-O2"
MAX_CYCLES = 200_000_000


@dataclass(frozen=True)
class RealProgram:
    """``sources``, ``without``: patterns in the package's folder. ``driver``: of sw/real, where the package
    has no program that runs by itself. ``include``: folders of the package. ``answers``: lines that must
    be in the output, given the folder; the output must also be that of the host's compiler."""

    package: SourcePackage
    sources: tuple[str, ...]
    answers: Callable[[Path], Sequence[str]]
    without: tuple[str, ...] = ()
    driver: str | None = None
    include: tuple[str, ...] = (".",)
    sample: str | None = None


def _tommath_answers(_: Path) -> list[str]:
    factorial, prime, number = math.factorial(100), 2**127 - 1, 123456789012345678901234567890
    answers = {
        "factorial": factorial,
        "power": pow(factorial, factorial, prime),
        "quotient": factorial // prime,
        "remainder": factorial % prime,
        "gcd": math.gcd(factorial, number),
        "inverse": pow(number, -1, prime),
        "root": math.isqrt(factorial),
    }
    return [f"{name} {value:X}" for name, value in answers.items()] + ["prime 1", "prime 0"]


def _bzip2_answers(folder: Path) -> list[str]:
    text = (folder / "sample1.ref").read_bytes()
    return [f"expanded 4 {len(text)} {zlib.adler32(text):08x}"]


PROGRAMS = {
    "cjson": RealProgram(
        SourcePackage(
            "cjson",
            "cjson_1.7.15.orig.tar.gz",
            "5308fd4bd90cef7aa060558514de6a1a4a0819974a26e6ed13973c5f624c24b2",
        ),
        ("test.c", "cJSON.c"),
        lambda folder: ['"number":\tnull', "Version: 1.7.15"],
    ),
    "tommath": RealProgram(
        SourcePackage(
            "libtommath",
            "libtommath_1.2.0.orig.tar.xz",
            "b7c75eecf680219484055fcedd686064409254ae44bc31a96c5032843c0e18b1",
        ),
        ("bn_*.c",),
        _tommath_answers,
        driver="tommath.c",
    ),
    "lua": RealProgram(
        SourcePackage(
            "lua5.4",
            "lua5.4_5.4.4.orig.tar.gz",
            "164c7849653b80ae67bec4b7473b884bf5cc8d2dca05653475ec2ed27b9ebf61",
        ),
        ("src/*.c",),
        lambda folder: [
            "1 2 3 4 5 6 7 8 9 10\t60",
            "2\t42",
            "610",
            "true\ttrue",
            "1040.0\t\u03bb\t100\t0\t0\t0",
        ],
        without=("src/lua.c", "src/luac.c"),
        driver="lua.c",
        include=("src",),
    ),
    "lz4": RealProgram(
        SourcePackage(
            "lz4",
            "lz4_1.9.4.orig.tar.gz",
            "0b0e3aa07c8c063ddf40b082bdf7e37a1562bda40a0ff5272957f3e987e0e54b",
        ),
        ("lib/lz4.c", "lib/lz4hc.c"),
        lambda folder: ["expanded 20000 right", "short buffer refused"],
        driver="lz4.c",
        include=("lib",),
    ),
    "bzip2": RealProgram(
        SourcePackage(
            "bzip2",
            "bzip2_1.0.8.orig.tar.gz",
            "ab5a03176ee106d3f0fa90e381da478ddae405918153cca248e682cd0c4a2269",
        ),
        ("blocksort.c", "bzlib.c", "compress.c", "crctable.c", "decompress.c", "huffman.c", "randtable.c"),
        _bzip2_answers,
        driver="bzip2.c",
        sample="sample1.bz2",
    ),
}


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
    # bzip2's own makefile has no such option: it gives the library without files.
    options = ["-DBZ_NO_STDIO"] if program.package.name == "bzip2" else []
    return [*options, *(f"-I{path}" for path in include), *map(str, sources)]


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
    inputs = _inputs(program, fetch(program.package, directory), work)
    if run_command(["--preset", preset_name, "-w", LEVEL, *wanted, *inputs, "-o", str(image)]):
        raise UserError(f"fides cc does not compile {name} for {preset_name}")
    checks: dict[str, int] = {}
    for line in report.read_text().splitlines() if wanted else []:
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
    """Run ``names`` on PRESETS, and show the results."""
    results = []
    for preset_name in PRESETS:
        machine = Simulator.build(preset(preset_name))
        for name in names:
            results.append(run_one(name, preset_name, machine))
            console.print_json(json.dumps(asdict(results[-1])))
    return results


def main() -> None:
    """``python -m fides_core.flow.real_programs [PROGRAM]...``"""
    names = sys.argv[1:] or list(PROGRAMS)
    if unknown := set(names) - set(PROGRAMS):
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PROGRAMS)}")
    try:
        run_programs(names, Console())
    except UserError as error:
        print(f"fides: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
