"""C programs that run in M-mode without the monitor, with the C library picolibc: benchmarks."""

import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fides_core.config import Config
from fides_core.errors import UserError
from fides_core.isa.assembler import platform_header
from fides_core.soc.memory_map import MAIN_MEMORY_BASE

from . import tools

__all__ = ["HARNESS", "SUPPORT", "build", "compiler_version"]

HARNESS = tools.ROOT / "sw" / "bench"
#: What every program is linked with: reset code, console, counters.
SUPPORT = (HARNESS / "start.S", HARNESS / "harness.c")
GCC = "riscv64-unknown-elf-gcc"
#: Of every source. Contraction to fused operations would make results depend on the machine.
CFLAGS = (
    "-std=gnu11", "-mcmodel=medany", "-ffp-contract=off", "-fno-common", "-fno-asynchronous-unwind-tables",
)  # fmt: skip
WARNINGS = ("-Wall", "-Wextra", "-Werror")


def compiler_version() -> str:
    """GCC's version number. Raises ToolMissing."""
    return _gcc("-dumpfullversion").strip()


def build(
    sources: Iterable[Path],
    output: Path,
    config: Config,
    *,
    march: str | None = None,
    flags: Sequence[str] = ("-O2",),
    defines: Sequence[str] = (),
    include: Sequence[Path] = (),
    warnings: Sequence[str] = WARNINGS,
) -> Path:
    """Compile ``sources`` and SUPPORT for ``config`` and link them into the executable ``output``.

    ``march``: the compiler's, of the configuration if None; ``flags``: optimisation, the same for every
    source. Objects stay in a folder beside the output. Raises ToolMissing without the compiler, UserError
    with the first error of the compiler or the linker.
    """
    march = march or config.core.march
    work = output.with_suffix("")
    try:
        work.mkdir(parents=True, exist_ok=True)
        (work / "platform.h").write_text(platform_header())
    except OSError as error:
        raise UserError(f"cannot write {work}: {error.strerror}") from None
    machine = [f"-march={march}", f"-mabi={config.core.mabi}"]
    # Without Zicsr the assembler refuses the CSRs that the harness reads.
    with_csrs = march if "zicsr" in march else f"{march}_zicsr"
    options = [*CFLAGS, *flags, *defines, *(f"-I{path}" for path in (*include, HARNESS, work))]

    def compile_one(source: Path) -> Path:
        target = work / f"{source.stem}.o"
        own = [f"-march={with_csrs}", "-fno-lto", *WARNINGS] if source in SUPPORT else warnings
        _gcc(*machine, "--specs=picolibc.specs", *options, *own, "-c", source, "-o", target)
        return target

    with ThreadPoolExecutor(2) as pool:
        support, objects = (list(pool.map(compile_one, group)) for group in (SUPPORT, sources))
    if any(flag.startswith("-flto") for flag in flags):
        # Optimised as a whole first, for the full architecture, which the last step must not be told.
        whole = work / "whole.o"
        _gcc(*machine, *CFLAGS, *flags, "-r", "-nostdlib", "-flinker-output=nolto-rel", *objects, "-o", whole)
        objects = [whole]
    # GCC chooses the libraries by the architecture: for extensions that it has none for (zicsr, zba, ...) it
    # takes those for lp64d.
    machine[0] = f"-march={march.split('_')[0]}"
    symbols = {"memory_base": MAIN_MEMORY_BASE, "memory_bytes": config.soc.memory_bytes}
    link = [f"-Wl,--defsym={name}={value:#x}" for name, value in symbols.items()]
    link += ["-Wl,-z,max-page-size=64", "-Wl,--fatal-warnings", f"-T{HARNESS / 'bench.ld'}"]
    link += ["--specs=picolibc.specs", "-nostartfiles", "-static"]
    _gcc(*machine, *link, *support, *objects, "-lm", "-o", output)
    return output


def _gcc(*arguments) -> str:
    """Run the compiler; returns what it printed."""
    command = [str(tools.find(GCC)), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        if any("picolibc.specs" in line for line in lines):
            package = "picolibc-riscv64-unknown-elf"
            raise UserError(f"picolibc is not installed: run `apt-get install {package}` or `make setup`")
        telling = ("error:", "undefined reference", "multiple definition")
        line = next((line for line in lines if any(word in line.lower() for word in telling)), lines[0])
        raise UserError(f"{GCC}: {line}")
    return done.stdout
