"""The cross compiler: its options, its tools, objects that are compiled once, and the monitor's object."""

import hashlib
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fides_core.config import Config
from fides_core.errors import UserError
from fides_core.flow import tools
from fides_core.isa.assembler import write_headers

from .policy_section import format_header

__all__ = [
    "ARCHITECTURE",
    "BUILD",
    "CFLAGS",
    "SW",
    "Compiler",
    "library_folders",
    "run_tool",
    "toolchain_version",
]

SW = tools.ROOT / "sw"
BUILD = tools.ROOT / "build" / "sw"
OBJECTS = BUILD / "objects"  # compiled sources, by a hash of all that went into them

ARCHITECTURE = ("-march=rv64im_zicsr_zifencei", "-mabi=lp64", "-mcmodel=medany")
PREFIX = "riscv64-unknown-elf-"
#: Programs that are linked with the C library; the core has no floating point.
LIBRARY_OPTIONS = ("--specs=picolibc.specs", "-march=rv64imac", "-mabi=lp64")
#: Nothing is taken from the compiler's libraries, so its choice of them by -march does not matter.
CFLAGS = (
    *ARCHITECTURE, "-O2", "-std=gnu11", "-ffreestanding", "-nostdlib", "-msmall-data-limit=0", "-fno-common",
    "-fno-pic", "-fno-stack-protector", "-fno-asynchronous-unwind-tables",
    "-fno-tree-loop-distribute-patterns",  # memcpy must not become a call of memcpy
    "-fno-reorder-blocks-and-partition",  # no parts of functions that others jump to
    "-Wall", "-Wextra", "-Werror",
)  # fmt: skip


def run_tool(tool: str, *arguments, work: Path | None = None) -> str:
    """Runs a tool of the cross compiler in the folder ``work``; returns its output. Raises UserError with the
    most telling line of what it said."""
    command = [str(tools.find(PREFIX + tool)), *map(str, arguments)]
    finished = subprocess.run(command, cwd=work, capture_output=True, text=True, errors="replace")
    if finished.returncode:
        said = [line.strip() for line in finished.stderr.splitlines() if line.strip()]
        lines = said or [f"ended with code {finished.returncode}, without a word"]
        telling = ("error", "undefined reference", "multiple definition")
        line = next((line for line in lines if any(word in line for word in telling)), lines[0])
        raise UserError(f"{PREFIX}{tool}: {line}")
    return finished.stdout


def library_folders() -> tuple[Path, ...]:
    """Where the C library picolibc and the compiler's own are: what the compiler passes to its linker. Raises
    UserError when picolibc is not installed."""
    command = [str(tools.find(PREFIX + "gcc")), *LIBRARY_OPTIONS, "-###", "x.o"]
    said = subprocess.run(command, capture_output=True, text=True, errors="replace").stderr
    words = [word for line in said.splitlines() if line.startswith(" ") for word in shlex.split(line)]
    folders = dict.fromkeys(Path(word[2:]) for word in words if word.startswith("-L"))
    found = tuple(folder for folder in folders if folder.is_dir())
    if not any((folder / "libc.a").exists() for folder in found):
        how = "run `apt-get install picolibc-riscv64-unknown-elf` or `make setup`"
        raise tools.ToolMissing("picolibc", how)
    return found


def toolchain_version() -> str:
    """What the compiler says of itself. Raises ToolMissing."""
    return run_tool("gcc", "--version")


@dataclass
class Compiler:
    """Compiles for one configuration. ``work``: folder for all intermediate files, which has the generated
    headers from the beginning; ``include``: folders with headers of the program; ``toolchain``: the
    compiler's version."""

    config: Config
    work: Path
    toolchain: str
    include: tuple[Path, ...] = ()

    def __post_init__(self):
        write_headers(self.work)
        (self.work / "policy_format.h").write_text(format_header())

    @property
    def xfides(self) -> bool:
        """Whether the core has the extension."""
        return self.config.core.xfides is not None

    def _includes(self) -> tuple[Path, ...]:
        return (self.work, SW / "runtime" / "include", SW / "monitor", *self.include)

    def _options(self) -> list[str]:
        by_monitor = int(self.xfides and self.config.core.xfides.crossings == "monitor")
        return [*CFLAGS, f"-DXFIDES={int(self.xfides)}", f"-DCROSSINGS_BY_MONITOR={by_monitor}"]

    def flags(self) -> list[str]:
        """The options of the compiler."""
        return [*self._options(), *(f"-I{folder}" for folder in self._includes())]

    @cached_property
    def _environment(self) -> bytes:
        """A hash of what every source's object depends on: compiler, options, headers, this package."""
        hashed = hashlib.sha256(self.toolchain.encode())
        hashed.update(repr(self._options()).encode())
        headers = [path for folder in self._includes() for path in sorted(folder.glob("*.h"))]
        own = [Path(__file__).with_name(f"{name}.py") for name in ("checkcap", "image", "toolchain")]
        for path in (*headers, *own):
            hashed.update(path.name.encode() + path.read_bytes())
        return hashed.digest()

    def object(self, name: str, inputs: Iterable[bytes], make: Callable[[], None]) -> str:
        """``name`` + ".o" in the work folder: recalled, or made by ``make`` and kept."""
        hashed = hashlib.sha256(self._environment)
        for data in inputs:
            hashed.update(hashlib.sha256(data).digest())
        kept = OBJECTS / f"{hashed.hexdigest()}.o"
        target = self.work / f"{name}.o"
        if kept.exists():
            shutil.copyfile(kept, target)
        else:
            make()
            OBJECTS.mkdir(parents=True, exist_ok=True)
            partial = OBJECTS / f".{kept.name}.{self.work.name}"
            shutil.copyfile(target, partial)
            partial.replace(kept)
        return target.name

    def assemble(self, name: str) -> str:
        """Assembles ``name``.s in the work folder; returns the object's name."""
        run_tool("gcc", *ARCHITECTURE, "-c", f"{name}.s", "-o", f"{name}.o", work=self.work)
        return f"{name}.o"

    def monitor(self) -> str:
        """The monitor as one object, its own names hidden from the program's."""
        sources = sorted(path for path in (SW / "monitor").iterdir() if path.suffix in (".c", ".S"))

        def make() -> None:
            objects = []
            for source in sources:
                objects.append(f"monitor-{source.stem}.o")
                run_tool("gcc", *self.flags(), "-c", source, "-o", self.work / objects[-1])
            run_tool("ld", "-r", "-o", "monitor.o", *objects, work=self.work)
            run_tool("objcopy", "--keep-global-symbol=monitor_reset", "monitor.o", work=self.work)

        return self.object("monitor", (source.read_bytes() for source in sources), make)

    def parameters(self, first_index: int, index_end: int) -> str:
        """The object that tells the runtime where the heap is and which metadata entries are its own:
        ``first_index`` <= index < ``index_end``."""
        (self.work / "parameters.s").write_text(
            "\n".join(
                (
                    '.section .rodata.parameters, "a"',
                    ".balign 8",
                    ".globl runtime_parameters, program_argument",
                    "runtime_parameters: .dword __user_heap_start, __user_heap_end",
                    f"  .dword {first_index}, {index_end}",
                    "program_argument: .dword 0",
                    "",
                )
            )
        )
        return self.assemble("parameters")
