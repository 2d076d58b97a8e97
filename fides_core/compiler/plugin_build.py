"""The pass plugin: built on first use, and again when its sources, the encodings or LLVM have changed."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from fides_core.errors import UserError
from fides_core.isa.assembler import ACCESS_SIZES, statement_templates
from fides_core.isa.csrs import XfidesCSR

__all__ = ["CLANG", "LLVM", "clang", "clang_version", "encodings_header", "plugin", "root", "run_tool"]

SOURCES = Path(__file__).with_name("plugin")
LLVM = 19
CLANG = f"clang-{LLVM}"
_NEEDS = {
    CLANG: f"clang-{LLVM}",
    f"clang++-{LLVM}": f"clang-{LLVM}",
    f"llvm-config-{LLVM}": f"llvm-{LLVM}-dev",
    f"llvm-ar-{LLVM}": f"llvm-{LLVM}",
}


def root() -> Path:
    """The source tree; what is generated goes to ``build`` in it."""
    return Path(__file__).resolve().parents[2]


def _find(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        raise UserError(f"{tool} is not installed: run `apt-get install {_NEEDS[tool]}` or `make setup`")
    return path


def clang() -> str:
    """The path of clang. Raises UserError when it is not installed."""
    return _find(CLANG)


def _places(statement: str) -> str:
    """``statement`` with the places of LLVM's inline assembly: results are counted before arguments."""
    names = [name for name in ("rd", "rs1", "rs2") if f"{{{name}}}" in statement]
    for number, name in enumerate(names):
        statement = statement.replace(f"{{{name}}}", f"${number}")
    return statement


def encodings_header() -> str:
    """The text of ``encodings.h``: the statements that the pass inserts."""
    templates = {name: _places(statement) for name, statement in statement_templates().items()}

    def table(name: str, prefix: str) -> list[str]:
        rows = [f'  {{{size}, "{templates[f"{prefix}{size}"]}"}},' for size in ACCESS_SIZES]
        return [f"static const Sized {name}[{len(rows)}] = {{", *rows, "};"]

    lines = [
        "// Generated from fides_core/isa: do not edit.",
        "#pragma once",
        "namespace fides::encodings {",
        "struct Sized { unsigned Bytes; const char *Text; };",
        *table("Val", "val"),
        *table("Vali", "vali"),
        *(f'static const char *const {name.capitalize()} = "{templates[name]}";'
          for name in ("ptradd", "mint", "disarm")),
        f'static const char *const ReadMark = "csrr $0, {int(XfidesCSR.FMARK):#x}";',
        f'static const char *const RestoreMark = "csrw {int(XfidesCSR.FMARK):#x}, $0";',
        "}",
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def _key(version: str, header: str) -> str:
    hashed = hashlib.sha256(f"{version}\0{header}\0".encode() + Path(__file__).read_bytes())
    for path in sorted(SOURCES.iterdir()):
        hashed.update(path.name.encode() + b"\0" + path.read_bytes())
    return hashed.hexdigest()[:16]


def plugin() -> Path:
    """The shared object for clang's -fpass-plugin.

    Raises UserError when clang or LLVM's headers are missing, or the plugin does not compile.
    """
    header = encodings_header()
    version = clang_version()
    directory = root() / "build" / "compiler"
    path = directory / f"fides-{_key(version, header)}.so"
    if path.exists():
        return path
    config = _find(f"llvm-config-{LLVM}")
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `make -j` starts many at once
        if not path.exists():
            _build(config, directory, header, path)
    return path


def run_tool(tool: str, *arguments: str) -> None:
    """Runs a tool of LLVM. Raises UserError with its first words."""
    done = subprocess.run([_find(tool), *arguments], capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise UserError(f"{tool}: {(done.stderr.splitlines() or ['no message'])[0]}")


def clang_version() -> str:
    """Which clang it is, without starting it, which takes as long as a small compilation."""
    file = Path(clang()).resolve()
    status = file.stat()
    return f"{file} {status.st_size} {status.st_mtime_ns}"


def _build(config: str, directory: Path, header: str, path: Path) -> None:
    print("fides cc: building the pass plugin, once ...", file=sys.stderr, flush=True)
    flags = subprocess.run([config, "--cxxflags"], capture_output=True, text=True, check=True).stdout.split()
    work = directory / f"{path.stem}.{os.getpid()}"
    work.mkdir(exist_ok=True)
    try:
        (work / "encodings.h").write_text(header)
        sources = sorted(SOURCES.glob("*.cpp"))
        (work / "all.cpp").write_text("".join(f'#include "{source}"\n' for source in sources))
        command = [
            _find(f"clang++-{LLVM}"), *flags, "-std=c++17", "-O0", "-fPIC", "-shared", "-fno-exceptions",
            "-fno-rtti", "-Wall", "-Wextra", "-Wno-unused-parameter", f"-I{work}", f"-I{SOURCES}",
            str(work / "all.cpp"), "-o", str(work / "plugin.so"),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
            raise UserError(f"the pass plugin does not compile: {lines[0]}")
        if done.stderr and os.environ.get("FIDES_CC_VERBOSE"):
            print(done.stderr, file=sys.stderr)
        os.replace(work / "plugin.so", path)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for old in directory.glob("fides-*.so"):
        if old != path:
            old.unlink(missing_ok=True)
