"""What the compiler's tests use."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fides_core.compiler.driver import run_command
from fides_core.compiler.plugin_build import plugin

PROGRAMS = Path(__file__).resolve().parents[2] / "sw" / "tests"


@pytest.fixture(scope="session")
def pass_plugin() -> Path:
    """The plugin, built."""
    return plugin()


@pytest.fixture
def cc(tmp_path, monkeypatch, capfd, pass_plugin):
    """Runs ``fides cc`` in a folder of its own, in this process; the result has code, out and err."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        capfd.readouterr()
        code = run_command([str(word) for word in words])
        out, err = capfd.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return run


@pytest.fixture
def fides():
    """Runs the command itself, in a process of its own."""

    def run(*words, **options):
        command = [sys.executable, "-m", "fides_core.compiler.command", *map(str, words)]
        root = str(Path(__file__).resolve().parents[2])
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONPATH": root},
            **options,
        )

    return run
