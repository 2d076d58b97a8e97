"""Programs that run for long: their output is kept in a log while they run, and a step of them that hangs is
ended."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fides_core.errors import UserError
from fides_core.flow import tools

__all__ = ["first_error", "run", "run_checked"]


def _kill(process: subprocess.Popen) -> None:
    """End a program with what it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(
    command: Sequence[str | Path],
    directory: Path,
    log: Path,
    timeout: float,
    step: Callable[[str], bool] = lambda line: False,
) -> tuple[int, str]:
    """Run a program in ``directory``; returns its exit code and what it said on both channels, which ``log``
    has from the first line on.

    ``timeout``: seconds for a step. ``step`` gets each line and says whether a step begins with it.
    Raises UserError when a step does not end, or the program by a signal.
    """
    name = Path(command[0]).name
    lines = []
    with log.open("w") as file:
        try:
            process = subprocess.Popen(
                [str(part) for part in command],
                cwd=directory,
                env=tools.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise UserError(f"cannot run {command[0]}: {error.strerror or error}") from None
        began = time.monotonic()
        ended, hung = threading.Event(), threading.Event()

        def watch() -> None:
            while not ended.wait(min(1.0, timeout / 10)):
                if time.monotonic() - began > timeout:
                    hung.set()
                    _kill(process)
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            for line in process.stdout:
                file.write(line)
                file.flush()
                lines.append(line)
                if step(line.rstrip("\n")):
                    began = time.monotonic()
            code = process.wait()
        finally:
            ended.set()
            if process.poll() is None:
                _kill(process)
                process.wait()
            process.stdout.close()
            watcher.join()
    if hung.is_set():
        raise UserError(f"{name} did not end within {timeout:g} s (log: {log})")
    if code < 0:
        raise UserError(f"{name} was ended by signal {-code} (log: {log})")
    return code, "".join(lines)


def first_error(text: str) -> str:
    """The line of a program's output that tells best why it has failed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no message"]
    return next((line for line in lines if line.startswith("ERROR")), None) or next(
        (line for line in reversed(lines) if "rror" in line), lines[-1]
    )


def run_checked(command: Sequence[str | Path], directory: Path, log: Path, timeout: float) -> str:
    """As ``run``; returns what the program said. Raises UserError, also when it fails."""
    code, text = run(command, directory, log, timeout)
    if code:
        raise UserError(f"{Path(command[0]).name} failed: {first_error(text)} (log: {log})")
    return text
