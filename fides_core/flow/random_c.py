"""Random C programs of csmith by ``fides cc`` and by the host's compiler: both must print the same."""

import json
import random
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from rich.console import Console

from fides_core.compiler.driver import run_command
from fides_core.config import preset
from fides_core.errors import UserError

from . import tools
from .simulation import Simulator
from .verilog import replace_file

__all__ = [
    "BATCH",
    "OUTPUT",
    "LEVELS",
    "RandomProgram",
    "Tally",
    "check_available",
    "program_for",
    "run_programs",
]

LEVELS = ("-O0", "-O1", "-O2", "-O3", "-Os", "-Oz")
HEADERS = Path("/usr/include/csmith")
OUTPUT = tools.ROOT / "build" / "random-c"
#: Programs in one image.
BATCH = 25
#: Basic blocks of the program at -O1 on the host: more is skipped. About ten instructions each.
BLOCK_LIMIT = 40_000
#: Clock cycles of the simulation: for each program, many times what BLOCK_LIMIT allows.
CYCLES_EACH = 4_000_000
_EXIT_LIMIT = 77
_HOST_SECONDS = 2
_CSMITH_SECONDS = 30


class Machine(Protocol):
    """What runs images: a Simulator, or a stand-in in tests."""

    def run(self, image: Path, max_cycles: int):
        """An outcome with uart (bytes), exit_code and message."""


@dataclass(frozen=True)
class RandomProgram:
    """What a program is made by: ``seed`` of csmith, its size, and the level that ``fides cc`` gets."""

    seed: int
    level: str
    functions: int
    depth: int

    def csmith(self) -> list[str]:
        """The command that writes it. Packed structures are out: a pointer to a member of one may be
        misaligned, which C does not define."""
        return [
            "csmith", "--seed", str(self.seed), "--max-funcs", str(self.functions),
            "--max-block-depth", str(self.depth), "--no-packed-struct", "--concise",
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{' '.join(self.csmith())} | fides cc {self.level}"


def program_for(seed: int) -> RandomProgram:
    """The program of ``seed``; the same for the same seed."""
    choice = random.Random(seed)
    return RandomProgram(seed, choice.choice(LEVELS), choice.randint(1, 5), choice.randint(1, 3))


@dataclass
class Tally:
    """What has been seen: seeds by result. ``failed`` has why, too."""

    same: list[int] = field(default_factory=list)
    skipped_long: list[int] = field(default_factory=list)
    skipped_generator: list[int] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    levels: dict[str, int] = field(default_factory=dict)
    cycles: int = 0

    def summary(self) -> str:
        """In one line."""
        text = (
            f"{len(self.same)} programs the same as on the host, {len(self.failed)} not; skipped: "
            f"{len(self.skipped_long)} that take more than {BLOCK_LIMIT} basic blocks, "
            f"{len(self.skipped_generator)} that csmith did not write"
        )
        return text


def check_available() -> None:
    """Raises UserError when csmith, its headers or the host's compiler is missing."""
    if not shutil.which("csmith") or not (HEADERS / "csmith.h").is_file():
        raise UserError("csmith is missing: install the Debian packages csmith and libcsmith-dev")
    if not shutil.which("gcc"):
        raise UserError("gcc is missing: the host's compiler says what programs should print")


def _write(program: RandomProgram, directory: Path) -> Path | None:
    path = directory / f"p{program.seed}.c"
    try:
        done = subprocess.run(program.csmith(), capture_output=True, timeout=_CSMITH_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode or b"main" not in done.stdout:
        return None
    path.write_bytes(done.stdout)
    return path


def _host_limits() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_HOST_SECONDS, _HOST_SECONDS))


def _limit_object(directory: Path) -> Path:
    path = directory / f"limit-{BLOCK_LIMIT}.o"
    source = tools.ROOT / "sw" / "random" / "limit.c"
    subprocess.run(["gcc", "-O1", f"-DLIMIT={BLOCK_LIMIT}", "-c", source, "-o", path], check=True)
    return path


def _expected(source: Path, limit: Path) -> str | None:
    """What the program prints on the host; None when it takes too long there. Raises UserError when gcc
    does not compile it."""
    executable = source.with_suffix(".host")
    command = [
        "gcc",
        "-w",
        "-O1",
        "-fsanitize-coverage=trace-pc",
        f"-I{HEADERS}",
        source,
        limit,
        "-o",
        executable,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"gcc does not compile {source}: {done.stderr.splitlines()[:1]}")
    done = subprocess.run([executable], capture_output=True, text=True, preexec_fn=_host_limits)
    executable.unlink()
    return done.stdout if done.returncode == 0 else None


def _image(programs: Sequence[RandomProgram], directory: Path) -> Path:
    """One image that runs the programs one after the other. Raises UserError when it cannot be made."""
    objects = []
    for program in programs:
        source = directory / f"p{program.seed}.c"
        target = source.with_suffix(".o")
        if not target.exists():
            words = ["-w", program.level, f"-I{HEADERS}", f"-Dmain=program_{program.seed}"]
            if run_command([*words, "-c", str(source), "-o", str(target)]):
                raise UserError(f"fides cc does not compile {program}")
        objects.append(str(target))
    calls = "".join(f'  puts("== {one.seed}"); program_{one.seed}(0, 0);\n' for one in programs)
    names = "".join(f"int program_{one.seed}(int, char **);\n" for one in programs)
    main = directory / "main.c"
    main.write_text(f"#include <stdio.h>\n{names}int main(void)\n{{\n{calls}  return 0;\n}}\n")
    image = directory / "image.elf"
    if run_command(["-O1", str(main), *objects, "-o", str(image)]):
        raise UserError("fides cc does not link the programs")
    return image


def _outputs(text: str) -> dict[int, str]:
    parts = re.split(r"^== (\d+)\n", text.replace("\r", ""), flags=re.MULTILINE)
    return {int(seed): body for seed, body in zip(parts[1::2], parts[2::2], strict=True)}


def _target(
    programs: Sequence[RandomProgram], directory: Path, machine: Machine, tally: Tally
) -> dict[int, str]:
    """What the programs print, by seed; those that print nothing have what happened."""
    try:
        image = _image(programs, directory)
    except UserError as error:
        return {program.seed: str(error) for program in programs}
    outcome = machine.run(image, CYCLES_EACH * len(programs))
    tally.cycles += outcome.cycles
    outputs = _outputs(outcome.uart.decode("utf-8", "replace"))
    return {one.seed: outputs.get(one.seed, outcome.message) for one in programs}


def _batch(
    programs: Sequence[RandomProgram], directory: Path, machine: Machine, tally: Tally, limit: Path
) -> None:
    expected: dict[int, str] = {}
    chosen = []
    for program in programs:
        source = _write(program, directory)
        if source is None:
            tally.skipped_generator.append(program.seed)
            continue
        text = _expected(source, limit)
        if text is None:
            tally.skipped_long.append(program.seed)
            continue
        expected[program.seed] = text
        chosen.append(program)
    found = _target(chosen, directory, machine, tally) if chosen else {}
    for program in chosen:
        seed = program.seed
        if found[seed] != expected[seed]:
            # Alone: one that is stopped takes those behind it with it.
            found |= _target([program], directory, machine, tally)
        if found[seed] == expected[seed]:
            tally.same.append(seed)
            tally.levels[program.level] = tally.levels.get(program.level, 0) + 1
        else:
            tally.failed[seed] = f"{program}: {expected[seed].strip()!r} on the host, {found[seed].strip()!r}"


def run_programs(
    seeds: Sequence[int],
    *,
    output: Path = OUTPUT,
    machine: Machine | None = None,
    console: Console | None = None,
    progress: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Compile and run the programs of ``seeds`` on ``fides``, compare with the host, and write
    ``output``/results.json after each batch.

    The sources of programs that differ stay in ``output``/failed. Raises UserError when a tool is missing.
    """
    check_available()
    console = console or Console(quiet=True)
    machine = machine or Simulator.build(preset("fides"))
    work = output / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    limit = _limit_object(output)
    tally = Tally()
    start = time.process_time()
    for first in range(0, len(seeds), BATCH):
        _batch([program_for(seed) for seed in seeds[first : first + BATCH]], work, machine, tally, limit)
        for seed, why in tally.failed.items():
            kept = output / "failed" / f"p{seed}.c"
            if not kept.exists() and (work / kept.name).exists():
                kept.parent.mkdir(exist_ok=True)
                shutil.copy(work / kept.name, kept)
                console.print(f"{kept}: {why}", markup=False, highlight=False, soft_wrap=True)
        shutil.rmtree(work)
        work.mkdir()
        replace_file(output / "results.json", json.dumps(asdict(tally), indent=1) + "\n")
        done = min(first + BATCH, len(seeds))
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = time.process_time() - start + children.ru_utime + children.ru_stime
        console.print(
            f"{done} of {len(seeds)}: {tally.summary()} ({seconds:.0f} s CPU)",
            highlight=False,
            soft_wrap=True,
        )
        progress(tally)
    shutil.rmtree(work)
    return tally
