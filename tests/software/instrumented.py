"""Objects as ``fides cc`` makes them, but by GCC and the step that inserts landing pads."""

import re
import subprocess
from pathlib import Path

from fides_core.flow import tools
from fides_core.isa.assembler import write_headers
from fides_core.isa.xfides import PadKind
from fides_core.software.checkcap import insert_landing_pads
from fides_core.software.linker.objects import NOTE_MAGIC, NOTE_PADS

ARCHITECTURE = ("-march=rv64imac", "-mabi=lp64", "-mcmodel=medany")
FLAGS = (
    *ARCHITECTURE, "--specs=picolibc.specs", "-DXFIDES=1", "-I.", "-O2", "-ffunction-sections",
    "-fdata-sections", "-fno-common", "-fno-reorder-blocks-and-partition", "-fno-stack-protector",
)  # fmt: skip
START = """\
    .section .text._start, "ax"
    .globl _start
    .type _start, @function
_start:
    call main
    li a7, 0
    ecall
    .size _start, . - _start
"""


def run(tool: str, *arguments, folder: Path) -> None:
    command = [tools.find(f"riscv64-unknown-elf-{tool}"), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def with_records(assembly: str) -> str:
    """The assembly with landing pads and the records that ``fides cc`` writes."""
    lines, records = [], []
    for line in insert_landing_pads(assembly, 0).text.split("\n"):
        if "# checkcap" in line or "# handler pad" in line:
            kind = PadKind.HANDLER
            if "# checkcap" in line:
                kind = PadKind(int(re.search(r"x0, x0, (-?\d+)", line)[1]) >> 10 & 3)
            lines.append(f".Lfides_pad_{len(records)}:")
            records.append(f"  .dword .Lfides_pad_{len(records)}\n  .word {int(kind)}, 0")
        lines.append(line)
    note = ['  .section .fides.note, ""', f"  .word {NOTE_MAGIC}, {NOTE_PADS}"]
    return "\n".join([*lines, '  .section .fides.pads, ""', *records, *note, ""])


def instrumented(folder: Path, name: str, source: str, *flags: str, suffix: str = ".c") -> Path:
    """``name``.o in ``folder``, with pads and records. Assembly has the macros of xfides.h."""
    folder.mkdir(exist_ok=True)
    write_headers(folder)
    plain = folder / f"{name}{suffix}"
    if suffix == ".S":
        source = '#include "xfides.h"\n' + source
    plain.write_text(source)
    step = "-S" if suffix == ".c" else "-E"
    run("gcc", *FLAGS, *flags, step, plain.name, "-o", f"{name}.s", folder=folder)
    assembly = folder / f"{name}.s"
    assembly.write_text(f'  .file "{plain.name}"\n' * (suffix == ".S") + with_records(assembly.read_text()))
    run("gcc", *ARCHITECTURE, "-c", f"{name}.s", "-o", f"{name}.o", folder=folder)
    return folder / f"{name}.o"


def prebuilt(folder: Path, name: str, source: str, *flags: str, suffix: str = ".c") -> Path:
    """``name``.o in ``folder``, as any compiler makes it."""
    folder.mkdir(exist_ok=True)
    plain = folder / f"{name}{suffix}"
    plain.write_text(source)
    run("gcc", *FLAGS, *flags, "-c", plain.name, "-o", f"{name}.o", folder=folder)
    return folder / f"{name}.o"


def archive(folder: Path, name: str, *objects: Path) -> Path:
    """``name`` in ``folder``."""
    run("ar", "rcsD", name, *(path.name for path in objects), folder=folder)
    return folder / name
