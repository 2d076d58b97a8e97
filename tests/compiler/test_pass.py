"""The pass on LLVM's intermediate representation: each file of ir/ says what has to become of it."""

import shutil
import subprocess
from pathlib import Path

import pytest

IR = sorted(Path(__file__).with_name("ir").glob("*.ll"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("source", IR, ids=lambda path: path.stem)
def test_ir(source, pass_plugin, tmp_path):
    output = tmp_path / "output.ll"
    command = [
        "opt-19",
        f"-load-pass-plugin={pass_plugin}",
        "-passes=fides",
        "-S",
        str(source),
        "-o",
        str(output),
    ]
    subprocess.run(command, check=True, timeout=60)
    checked = subprocess.run(
        ["FileCheck-19", "--dump-input=fail", "--input-file", str(output), str(source)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stderr


def test_tools_are_there():
    assert shutil.which("FileCheck-19") and len(IR) >= 8
