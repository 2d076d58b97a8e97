"""Objects as ``fides cc`` makes them, but by GCC and the step that inserts landing pads."""

import re
import subprocess
from pathlib import Path

from fides_core.flow import tools
from fides_core.isa.xfides import PadKind
from fides_core.software.checkcap import insert_landing_pads
from fides_core.software.linker.objects import NOTE_MAGIC, NOTE_PADS

ARCHITECTURE = ("-march=rv64imac", "-mabi=lp64", "-mcmodel=medany")
FLAGS = (
    *ARCHITECTURE, "--specs=picolibc.specs", "-O2", "-ffunction-sections", "-fdata-sections", "-fno-common",
    "-fno-reorder-blocks-and-partition", "-fno-stack-protector",
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


def gcc(*arguments, folder: Path) -> None:
    compiler = tools.find("riscv64-unknown-elf-gcc")
    done = subprocess.run([compiler, *map(str, arguments)], cwd=folder, capture_output=True, text=True)
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
    """``name``.o in ``folder``, with pads and records."""
    plain = folder / f"{name}{suffix}"
    plain.write_text(source)
    if suffix == ".c":
        gcc(*FLAGS, *flags, "-S", plain.name, "-o", f"{name}.s", folder=folder)
        source = (folder / f"{name}.s").read_text()
    (folder / f"{name}.s").write_text(with_records(source))
    gcc(*ARCHITECTURE, "-c", f"{name}.s", "-o", f"{name}.o", folder=folder)
    return folder / f"{name}.o"


def prebuilt(folder: Path, name: str, source: str, *flags: str, suffix: str = ".c") -> Path:
    """``name``.o in ``folder``, as any compiler makes it."""
    plain = folder / f"{name}{suffix}"
    plain.write_text(source)
    gcc(*FLAGS, *flags, "-c", plain.name, "-o", f"{name}.o", folder=folder)
    return folder / f"{name}.o"
