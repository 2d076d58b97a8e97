"""Builds of the system on a chip as shared libraries, with Verilator, kept until their sources change."""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from fides_core.errors import UserError

from . import tools

__all__ = ["PublicSignal", "build_library", "report_to_stderr", "TOP"]

TOP = "fides_soc"
KEPT_BUILDS = 3
HEARTBEAT_SECONDS = 15

# CASEINCOMPLETE: Amaranth's FSMs do not list unused states. The others are style.
_WARNINGS = ("-Wno-fatal", "-Wno-CASEINCOMPLETE", "-Wno-WIDTH")


@dataclass(frozen=True)
class PublicSignal:
    """A signal that C++ reaches by name: ``scope`` is the path of its instance below the top level ("" for
    the top level itself), ``name`` its name in the Verilog. ``writable`` for memories that are filled from
    outside."""

    scope: str
    name: str
    writable: bool = False

    @property
    def verilator_rule(self) -> str:
        """The line of Verilator's configuration file that makes the signal public."""
        access = "rw" if self.writable else "rd"
        return f"public_flat_{access} {_place(self.scope, self.name)}"


def _place(scope: str, name: str) -> str:
    """A signal in Verilator's configuration language."""
    module = f"{TOP}.{scope}" if scope else TOP
    return f'-module "{module}" -var "{name}"'


def report_to_stderr(text: str) -> None:
    """Prints one line of progress."""
    print(text, file=sys.stderr, flush=True)


def build_library(
    verilog: Path,
    source: Path,
    signals: Iterable[PublicSignal],
    directory: Path,
    *,
    split: Iterable[tuple[str, str]] = (),
    kind: str = "sim",
    trace: str | None = None,
    cflags: Iterable[str] = (),
    ldflags: Iterable[str] = (),
    report: Callable[[str], None] = report_to_stderr,
) -> Path:
    """The shared library made of the module ``fides_soc`` in ``verilog`` and of the C++ file ``source``.

    It is built unless ``directory`` holds one of the same Verilog, C++ and options already. Builds of
    different libraries may run at the same time; of the same library, one waits for the other. ``split``:
    (scope, name) of vectors that Verilator shall treat as separate bits. ``kind`` begins the file's name.
    ``trace``: None, "vcd" or "fst". Raises UserError when a tool is missing or the build fails; the message
    names the log.
    """
    headers = sorted(source.parent.glob("*.h"))
    options = [
        "--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--top", TOP, *_WARNINGS,
        *([f"--trace-{trace}"] if trace else []),
    ]  # fmt: skip
    # -I: the sources include headers beside them, but are compiled in Verilator's directory.
    cflags = ["-fPIC", "-std=c++20", f"-I{source.parent}", *cflags]
    lines = [signal.verilator_rule for signal in signals] + [f"split_var {_place(*place)}" for place in split]
    rules = "\n".join(["`verilator_config", *lines, ""])
    compiler = tools.fast_compiler()
    key = hashlib.sha256()
    for part in (verilog.read_bytes(), source.read_bytes(), *(header.read_bytes() for header in headers)):
        key.update(hashlib.sha256(part).digest())
    key.update(repr((options, compiler, cflags, list(ldflags), rules)).encode())
    name = f"{kind}-{trace}" if trace else kind
    library = directory / f"{name}-{key.hexdigest()[:16]}.so"
    if library.exists():
        return library

    verilator = tools.find("verilator")
    for tool in (compiler, "make", "perl"):
        tools.find(tool)
    environment = tools.environment()
    if trace == "fst":
        _check_fst_headers(compiler, environment)
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(
        library.with_suffix(".lock"), lambda: report(f"waiting for another build of {library.name}")
    ):
        if library.exists():
            return library
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=directory) as scratch:
            scratch = Path(scratch)
            (scratch / "public.vlt").write_text(rules)
            design = verilog.read_text()
            if not trace:
                # A cycle at each edge of the clock, so that no evaluation is for a falling edge, at which
                # nothing happens.
                design = design.replace("@(posedge clk)", "@(edge clk)")
            (scratch / verilog.name).write_text(design)
            command = [
                str(verilator), *options, "--build", "-j", str(os.cpu_count() or 1),
                "--lib-create", "simulation", "-Mdir", "objects",
                "-CFLAGS", " ".join(cflags),
                *(part for flag in ldflags for part in ("-LDFLAGS", flag)),
                # -Os, Verilator's default, follows a plain -O2; these three replace it.
                "-MAKEFLAGS", f"OPT_FAST=-O2 OPT_SLOW=-O1 OPT_GLOBAL=-O2 CXX={compiler} LINK={compiler}",
                "public.vlt", verilog.name, str(source.absolute()),
            ]  # fmt: skip
            what = f"simulation of {verilog.stem}" + (f" with {trace.upper()} traces" if trace else "")
            log = library.with_suffix(".log")
            _run(command, scratch, environment, log, what, report)
            (scratch / "objects" / "libsimulation.so").rename(library)
    _remove_old(directory, name, library)
    return library


@contextlib.contextmanager
def _locked(path: Path, waiting: Callable[[], None]):
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _check_fst_headers(compiler: str, environment: dict[str, str]) -> None:
    probe = subprocess.run(
        [compiler, "-E", "-x", "c++", "-"], input="#include <lz4.h>\n#include <zlib.h>\n", text=True,
        env=environment, capture_output=True,
    )  # fmt: skip
    if probe.returncode:
        raise UserError(
            "FST traces need the Debian packages liblz4-dev and zlib1g-dev: install them, or use .vcd"
        )


def _run(command, directory, environment, log: Path, what: str, report) -> None:
    """Runs a build with its output in ``log`` and a sign of life now and then."""
    report(f"building the {what} (once, about a minute)")
    start = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=output, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            while True:
                try:
                    process.wait(HEARTBEAT_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    report(f"  ... {time.monotonic() - start:.0f} s")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode:
        text = log.read_text(errors="replace").splitlines()
        wrong = next((line for line in text if line.startswith("%Error") or " error: " in line), "")
        raise UserError(f"cannot build the {what}: {wrong or 'Verilator failed'} (log: {log})")
    report(f"built the {what} in {time.monotonic() - start:.0f} s")


def _remove_old(directory: Path, name: str, newest: Path) -> None:
    """Libraries in use stay usable: a loaded file outlives its name."""
    keys = "[0-9a-f]" * 16
    libraries = [path for path in directory.glob(f"{name}-{keys}.so") if path != newest]
    libraries.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in libraries[KEPT_BUILDS - 1 :]:
        for suffix in (".so", ".log", ".lock"):
            path.with_suffix(suffix).unlink(missing_ok=True)
