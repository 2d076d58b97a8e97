"""Images: the monitor, a program cut into compartments, and its policy, linked into one ELF file.

Each source is compiled on its own, so that no code moves between compartments; gets its landing pads (on a
core with Xfides); and is linked into its owner's range by a generated linker script:

    0x8000_0000  monitor: text, constants, policy section | data, stack, metadata table
    U-mode text  restricted fluid, complete fluid, one range for each compartment, traps between them
    U-mode data  constants | data, bss, heap, stack

An image is built again only when something it is made of has changed, and of it only those objects.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from elftools.elf.elffile import ELFFile

from fides_core.config import Config
from fides_core.errors import UserError
from fides_core.flow import tools
from fides_core.isa.assembler import write_headers
from fides_core.isa.instructions import BY_NAME
from fides_core.isa.xfides import RANGE_ALIGN
from fides_core.soc.memory_map import MAIN_MEMORY_BASE

from .audit import audit_image
from .checkcap import insert_landing_pads
from .policy import SECTION, Policy, format_header
from .scenarios import load_attacks, scenarios_header

__all__ = ["ARCHITECTURE", "BUILD", "SW", "build_image", "linker_script", "with_argument"]

SW = tools.ROOT / "sw"
BUILD = tools.ROOT / "build" / "sw"
OBJECTS = BUILD / "objects"  # compiled sources, by a hash of all that went into them

ARCHITECTURE = ("-march=rv64im_zicsr_zifencei", "-mabi=lp64", "-mcmodel=medany")
PREFIX = "riscv64-unknown-elf-"
#: Nothing is taken from the compiler's libraries, so its choice of them by -march does not matter.
CFLAGS = (
    *ARCHITECTURE, "-O2", "-std=gnu11", "-ffreestanding", "-nostdlib", "-msmall-data-limit=0", "-fno-common",
    "-fno-pic", "-fno-stack-protector", "-fno-asynchronous-unwind-tables",
    "-fno-tree-loop-distribute-patterns",  # memcpy must not become a call of memcpy
    "-fno-reorder-blocks-and-partition",  # no parts of functions that others jump to
    "-Wall", "-Wextra", "-Werror",
)  # fmt: skip
MONITOR_STACK_BYTES = 8192
PAGE = 4096


def build_image(program: str | Path, config: Config, directory: Path = BUILD) -> Path:
    """Builds the program in the folder ``sw/<program>`` for ``config``; returns the ELF file's path, which is
    in ``directory``.

    Raises UserError when the compiler is missing, the policy is wrong, a source does not compile, the linked
    image breaks a rule of the contract, or the configuration has only one half of Xfides.
    """
    xfides = config.core.xfides
    if xfides and not (xfides.compartments and xfides.fat_pointers):
        raise UserError(f"{config.name}: the monitor needs compartments and fat pointers, or neither")
    folder = SW / program
    policy = Policy.load(folder / "policy.toml")
    output = directory / folder.name / f"{config.name}.elf"
    stamp = output.with_suffix(".sha256")
    toolchain = _run("gcc", "--version")
    digest = _digest(folder, policy, config, toolchain)
    if output.exists() and stamp.exists() and stamp.read_text() == digest:
        return output
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".building-") as work:
        build = _Build(policy, config, Path(work), toolchain)
        image = build.run()
        audit_image(image, config)
        shutil.copy(build.work / "image.map", output.with_suffix(".map"))
        os.replace(image, output)
        (build.work / "stamp").write_text(digest)
        os.replace(build.work / "stamp", stamp)
    return output


def with_argument(image: Path, argument: int) -> Path:
    """A copy of ``image``, beside it, whose ``program_argument`` is ``argument`` (0..2^64-1).

    Raises UserError when the image has none.
    """
    with image.open("rb") as stream:
        elf = ELFFile(stream)
        table = elf.get_section_by_name(".symtab")
        found = table.get_symbol_by_name("program_argument") if table else None
        if not found:
            raise UserError(f"{image}: takes no argument")
        section = elf.get_section(found[0]["st_shndx"])
        offset = section["sh_offset"] + found[0]["st_value"] - section["sh_addr"]
    data = bytearray(image.read_bytes())
    data[offset : offset + 8] = argument.to_bytes(8, "little")
    output = image.with_name(f"{image.stem}-{argument}.elf")
    if not output.exists() or output.read_bytes() != data:
        partial = output.with_name(f".{output.name}.{os.getpid()}")
        partial.write_bytes(data)
        partial.replace(output)
    return output


def _digest(folder: Path, policy: Policy, config: Config, toolchain: str) -> str:
    """A hash over everything that the image is made of."""
    files = {path for part in ("monitor", "runtime") for path in (SW / part).rglob("*")}
    files |= {path for part in (folder, *policy.include) for path in part.rglob("*")}
    files |= {path for _, sources in policy.owners().values() for path in sources}
    package = tools.ROOT / "fides_core"
    own = ("audit", "checkcap", "image", "policy", "scenarios")
    files |= {package / "software" / f"{name}.py" for name in own}
    files |= {*(package / "isa").glob("*.py"), package / "soc" / "memory_map.py"}
    hashed = hashlib.sha256(toolchain.encode())
    hashed.update(repr((config.core.xfides, config.soc.memory_bytes)).encode())
    for path in sorted(files):
        if path.is_file():
            hashed.update(f"{path}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return hashed.hexdigest()


def _run(tool: str, *arguments, work: Path | None = None) -> str:
    """Runs a tool of the cross compiler in the folder ``work``; returns its output. Raises UserError."""
    command = [str(tools.find(PREFIX + tool)), *map(str, arguments)]
    finished = subprocess.run(command, cwd=work, capture_output=True, text=True, errors="replace")
    if finished.returncode:
        lines = [line.strip() for line in finished.stderr.splitlines() if line.strip()] or ["no message"]
        telling = ("error", "undefined reference")
        line = next((line for line in lines if any(word in line for word in telling)), lines[0])
        raise UserError(f"{PREFIX}{tool}: {line}")
    return finished.stdout


@dataclass
class _Build:
    """One image. ``work``: folder for all intermediate files; ``toolchain``: the compiler's version."""

    policy: Policy
    config: Config
    work: Path
    toolchain: str

    @property
    def xfides(self) -> bool:
        return self.config.core.xfides is not None

    def run(self) -> Path:
        """Builds the image in the work folder and returns its path."""
        write_headers(self.work)
        (self.work / "policy_format.h").write_text(format_header())
        if self.policy.scenarios:
            (self.work / "scenarios.h").write_text(scenarios_header(load_attacks(self.policy.scenarios)))
        jobs = [
            (owner, number, source, cid)
            for owner, (cid, sources) in self.policy.owners().items()
            for number, source in enumerate(sources)
        ]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            monitor = pool.submit(self._monitor)
            objects = list(pool.map(lambda job: self._compile(*job), jobs))
            objects += [monitor.result()]
        objects += self._generated(objects)
        (self.work / "image.ld").write_text(linker_script(self.policy, self.config))
        options = ["-static", "-z", "max-page-size=64", "--orphan-handling=error", "--fatal-warnings"]
        options += ["-T", "image.ld", "-Map", "image.map", "-o", "image.elf"]
        _run("ld", *options, *objects, work=self.work)
        return self.work / "image.elf"

    def _includes(self) -> tuple[Path, ...]:
        return (self.work, SW / "runtime" / "include", SW / "monitor", *self.policy.include)

    def _options(self) -> list[str]:
        by_monitor = int(self.xfides and self.config.core.xfides.crossings == "monitor")
        return [*CFLAGS, f"-DXFIDES={int(self.xfides)}", f"-DCROSSINGS_BY_MONITOR={by_monitor}"]

    def _flags(self) -> list[str]:
        return [*self._options(), *(f"-I{folder}" for folder in self._includes())]

    @cached_property
    def _environment(self) -> bytes:
        """A hash of what every source's object depends on: compiler, options, headers, this package."""
        hashed = hashlib.sha256(self.toolchain.encode())
        hashed.update(repr(self._options()).encode())
        headers = [path for folder in self._includes() for path in sorted(folder.glob("*.h"))]
        for path in (*headers, Path(__file__).with_name("checkcap.py"), Path(__file__)):
            hashed.update(path.name.encode() + path.read_bytes())
        return hashed.digest()

    def _object(self, name: str, inputs: Iterable[bytes], make: Callable[[], None]) -> str:
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

    def _compile(self, owner: str, number: int, source: Path, cid: int) -> str:
        """Compiles one source of the program; returns its object's name, which the linker script matches."""
        name = f"{owner}.{number}.{source.stem}"

        def make() -> None:
            assembly = self.work / f"{name}.s"
            step = "-S" if source.suffix == ".c" else "-E"
            _run("gcc", *self._flags(), step, source, "-o", assembly)
            if self.xfides:
                try:
                    assembly.write_text(insert_landing_pads(assembly.read_text(), cid).text)
                except ValueError as error:
                    raise UserError(f"{source}: {error}") from None
            self._assemble(name)

        return self._object(name, (source.name.encode(), source.read_bytes(), bytes([cid])), make)

    def _assemble(self, name: str) -> None:
        _run("gcc", *ARCHITECTURE, "-c", f"{name}.s", "-o", f"{name}.o", work=self.work)

    def _monitor(self) -> str:
        """The monitor as one object, its own names hidden from the program's."""
        sources = sorted(path for path in (SW / "monitor").iterdir() if path.suffix in (".c", ".S"))

        def make() -> None:
            objects = []
            for source in sources:
                objects.append(f"monitor-{source.stem}.o")
                _run("gcc", *self._flags(), "-c", source, "-o", self.work / objects[-1])
            _run("ld", "-r", "-o", "monitor.o", *objects, work=self.work)
            _run("objcopy", "--keep-global-symbol=monitor_reset", "monitor.o", work=self.work)

        return self._object("monitor", (source.read_bytes() for source in sources), make)

    def _generated(self, objects: list[str]) -> list[str]:
        """The policy section, the pointers to statics, and what the runtime is told."""
        sizes = self._sizes(objects)
        for symbol in self.policy.statics:
            if not sizes.get(symbol):
                raise UserError(f"policy of {self.policy.name}: no source defines the static {symbol}")
        constant = int.from_bytes(hashlib.sha256(self.policy.name.encode()).digest()[:8], "little")
        sources = {
            "policy": self.policy.section_source(sizes, constant),
            "pointers": self.policy.pointers_source(xfides=self.xfides),
            "parameters": "\n".join(
                (
                    '.section .rodata.parameters, "a"',
                    ".balign 8",
                    ".globl runtime_parameters, program_argument",
                    "runtime_parameters: .dword __user_heap_start, __user_heap_end",
                    f"  .dword {len(self.policy.statics) + 1}, {self.policy.objects}",
                    "program_argument: .dword 0",
                    "",
                )
            ),
        }
        for name, text in sources.items():
            (self.work / f"{name}.s").write_text(text)
            self._assemble(name)
        return [f"{name}.o" for name in sources]

    def _sizes(self, objects: list[str]) -> dict[str, int]:
        sizes = {}
        for line in _run("nm", "-S", "--defined-only", *objects, work=self.work).splitlines():
            fields = line.split()
            if len(fields) == 4:
                sizes[fields[3]] = int(fields[1], 16)
        return sizes


def linker_script(policy: Policy, config: Config) -> str:
    """The GNU ld script of an image of ``policy``; object files are called ``<owner>.<number>.<stem>.o``."""
    trap = BY_NAME["ebreak"].match
    fill = f"=0x{trap.to_bytes(4, 'little').hex()}"
    memory_end = MAIN_MEMORY_BASE + config.soc.memory_bytes
    table_bytes = 8 * (policy.objects + policy.stack_objects)
    lines = [
        "OUTPUT_ARCH(riscv)",
        "ENTRY(monitor_reset)",
        "PHDRS {",
        *(f"  {name} PT_LOAD FLAGS({flags});" for name, flags in (
            ("monitor", 5), ("monitor_data", 6), ("text", 5), ("constants", 4), ("data", 6)
        )),
        "}",
        "SECTIONS {",
        f"  . = {MAIN_MEMORY_BASE:#x};",
        "  .monitor.text : { monitor.o(.text.reset) monitor.o(.text .text.*) } :monitor",
        "  .monitor.rodata : { monitor.o(.rodata .rodata.* .srodata .srodata.*) } :monitor",
        f"  {SECTION} : {{ KEEP(*({SECTION})) }} :monitor",
        "  .monitor.data : ALIGN(16) { monitor.o(.data .data.* .sdata .sdata.*) } :monitor_data",
        "  .monitor.bss (NOLOAD) : ALIGN(16) {",
        "    __monitor_bss_start = .; monitor.o(.bss .bss.* .sbss .sbss.* COMMON) . = ALIGN(16);",
        f"    __monitor_bss_end = .; . += {MONITOR_STACK_BYTES}; __monitor_stack_top = .;",
        f"    __metadata_table = .; . += {table_bytes};",
        "  } :monitor_data",
        f"  . = ALIGN({PAGE});",
        "  __user_text_start = .;",
    ]  # fmt: skip
    if config.core.xfides and config.core.xfides.crossings == "monitor":
        # Where callees of other compartments return to, which traps: it is in no range.
        lines += [
            f"  .text.gate : ALIGN({RANGE_ALIGN}) {{",
            f"    __crossing_gate = .; LONG({trap:#x}) . = ALIGN({RANGE_ALIGN});",
            f"  }} :text {fill}",
        ]
    for owner, (_, sources) in policy.owners().items():
        lines.append(f"  __{owner}_start = .;")
        if sources:
            lines += [
                f"  .text.{owner} : ALIGN({RANGE_ALIGN}) {{",
                f"    {owner}.*.o(.text .text.*) LONG({trap:#x}) . = ALIGN({RANGE_ALIGN});",
                f"  }} :text {fill}",
            ]
        lines.append(f"  __{owner}_end = .;")
    lines += [
        f"  . = ALIGN({PAGE});",
        "  __user_constants_start = .;",
        "  .rodata : { *(.rodata .rodata.* .srodata .srodata.*) } :constants",
        f"  . = ALIGN({PAGE});",
        "  __user_data_start = .;",
        "  .data : { *(.data .data.* .sdata .sdata.*) . = ALIGN(16); } :data",
        "  .bss (NOLOAD) : {",
        "    __user_bss_start = .; *(.bss .bss.* .sbss .sbss.* COMMON) . = ALIGN(16); __user_bss_end = .;",
        f"    __user_heap_start = .; . += {policy.heap_bytes}; __user_heap_end = .;",
        f"    . += {policy.stack_bytes}; __user_stack_top = .;",
        "  } :data",
        "  __user_data_end = .;",
        "  .riscv.attributes 0 : { *(.riscv.attributes) } :NONE",
        "  .comment 0 : { *(.comment) } :NONE",
        "  .rela.dyn : { *(.rela .rela.*) } :NONE",  # empty: nothing is relocated at run time
        "  /DISCARD/ : { *(.note.GNU-stack) policy.o(.text) pointers.o(.text) parameters.o(.text) }",
        f'  ASSERT(__user_data_end <= {memory_end:#x}, "error: the image is too large")',
        "}",
        "",
    ]
    return "\n".join(lines)
