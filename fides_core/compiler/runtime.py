"""The runtime library ``libfides.a``, built on first use for each kind of core."""

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from fides_core.errors import UserError
from fides_core.isa.assembler import write_headers

from . import plugin_build

__all__ = ["RUNTIME", "runtime_library"]

RUNTIME = Path(__file__).resolve().parents[2] / "sw" / "runtime"
SOURCES = RUNTIME / "libfides"
#: Compiled with checks: objects in them have entries.
CHECKED = frozenset({"arguments.c", "results.c"})
#: For cores with Xfides alone: the others take the C library's.
ONLY_XFIDES = frozenset({"jump.S", "results.c", "strings.c", "stdio.c", "valid.c"})
OPTIONS = (
    "-O2", "-ffreestanding", "-fno-builtin", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-unused-value",
)  # fmt: skip


def _key(march: str, xfides: bool) -> str:
    package = Path(__file__).parent
    files = [
        *SOURCES.iterdir(),
        *(RUNTIME / "include").iterdir(),
        RUNTIME.parent / "monitor" / "hypercalls.h",
    ]
    files += [*package.glob("*.py"), *(package / "plugin").iterdir(), *(package.parent / "isa").glob("*.py")]
    hashed = hashlib.sha256(f"{march} {xfides} {plugin_build.clang_version()}".encode())
    for path in sorted(files):
        if path.is_file():
            hashed.update(path.name.encode() + b"\0" + path.read_bytes())
    return hashed.hexdigest()[:16]


def runtime_library(preset: str, march: str, *, xfides: bool) -> Path:
    """The archive for cores of ``march``. Raises UserError when it does not compile or a tool is missing."""
    directory = plugin_build.root() / "build" / "compiler"
    # Cores of other kinds have theirs beside it.
    kind = f"{'fides' if xfides else 'base'}-{hashlib.sha256(march.encode()).hexdigest()[:8]}"
    path = directory / f"runtime-{kind}-{_key(march, xfides)}" / "libfides.a"
    if path.exists():
        return path
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "runtime.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            print("fides cc: building the runtime library, once ...", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(dir=directory, prefix=".runtime-") as work:
                _build(Path(work), preset, march, xfides)
                for old in directory.glob(f"runtime-{kind}-*"):
                    shutil.rmtree(old, ignore_errors=True)
                path.parent.mkdir()
                os.replace(Path(work) / "libfides.a", path)
    return path


def _build(work: Path, preset: str, march: str, xfides: bool) -> None:
    from .driver import run_command

    headers = work / "include"
    write_headers(headers)
    include = [f"-I{headers}", f"-I{RUNTIME.parent / 'monitor'}", f"-DXFIDES={int(xfides)}"]
    objects = []
    for source in sorted(SOURCES.iterdir()):
        if source.suffix not in (".c", ".S") or (source.name in ONLY_XFIDES and not xfides):
            continue
        target = work / f"{source.stem}.o"
        checks = [] if source.name in CHECKED else ["-fno-fides-checks"]
        words = [
            "--preset",
            preset,
            f"-march={march}",
            *checks,
            *OPTIONS,
            *include,
            "-c",
            str(source),
            "-o",
            str(target),
        ]
        if run_command(words):
            raise UserError(f"the runtime library does not compile: {source.name}")
        objects.append(target)
    plugin_build.run_tool(
        f"llvm-ar-{plugin_build.LLVM}", "rcsD", str(work / "libfides.a"), *map(str, objects)
    )
