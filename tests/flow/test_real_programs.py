"""Libraries of others by `fides cc`: known answers, and the host's output."""

import functools
import json

import pytest

from fides_core.config import preset
from fides_core.errors import UserError
from fides_core.flow import real_programs
from fides_core.flow.debian_sources import fetch
from fides_core.flow.real_programs import PROGRAMS, Result, main, run_one, table
from fides_core.flow.simulation import Outcome, Simulator

pytestmark = pytest.mark.timeout(900)
QUICKEST = "cjson"


@functools.cache
def simulator(preset_name):
    return Simulator.build(preset(preset_name))


def run(name, preset_name):
    try:
        fetch(PROGRAMS[name].package)
    except UserError as error:
        pytest.skip(f"the sources cannot be had: {error}")
    result = run_one(name, preset_name, simulator(preset_name))
    assert result.cycles > result.instructions > 10_000
    assert bool(result.checks) == (preset_name == "fides")


def test_quickest_on_fides():
    run(QUICKEST, "fides")


@pytest.mark.nightly
@pytest.mark.parametrize("preset_name", ("base", "fides"))
@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_all(name, preset_name):
    run(name, preset_name)


class Machine:
    """Prints ``text``, whatever the image is."""

    def __init__(self, text, exit_code=0):
        self.outcome = Outcome("exit", exit_code, 20, 10, text, 0x80000000, f"exit code {exit_code}")

    def run(self, image, max_cycles):
        return self.outcome


@pytest.fixture
def host_says(monkeypatch, tmp_path):
    """Stand-ins for the compilers: what the program prints on the host is the argument."""

    def stand_in(text):
        monkeypatch.setattr(real_programs, "build", lambda name, preset_name, directory: (tmp_path, {}))
        monkeypatch.setattr(real_programs, "fetch", lambda package, directory: tmp_path)
        monkeypatch.setattr(real_programs, "expected_output", lambda name, directory: text)
        monkeypatch.setattr(real_programs, "_text_bytes", lambda image: 100)

    return stand_in


LZ4 = b"expanded 3000 right\r\nshort buffer refused\r\n"


@pytest.mark.parametrize(
    "text, exit_code, why",
    (
        (LZ4.replace(b"right", b"wrong"), 0, "'expanded 3000 right' is not in the output"),
        (LZ4 + b"more", 0, "something else than on the host"),
        (LZ4, 1, "something else than on the host"),
    ),
)
def test_what_is_no_success(host_says, text, exit_code, why):
    host_says(LZ4.replace(b"\r", b"").decode())
    assert run_one("lz4", "base", Machine(LZ4)) == Result("lz4", "base", 20, 10, 100, {})
    with pytest.raises(UserError, match=f"lz4 on base: .*{why}"):
        run_one("lz4", "base", Machine(text, exit_code))


def test_table():
    results = [
        Result("lz4", "base", 2000, 1500, 4000, {}),
        Result("lz4", "fides", 2500, 1800, 5000, {"accesses.all": 1234, "checks.inserted": 56}),
    ]
    (row,) = table(results).splitlines()[2:]
    assert row.startswith("| lz4 | 1.9.4 | ")
    assert row.endswith(" | 1,234 | 56 | 2,000 | 2,500 | +25.0 % | 4,000 | 5,000 | +25.0 % |")


def test_command(host_says, monkeypatch, tmp_path, capsys):
    host_says(LZ4.replace(b"\r", b"").decode())
    monkeypatch.setattr(
        real_programs, "build", lambda *_: (tmp_path, {"accesses.all": 1, "checks.inserted": 1})
    )
    monkeypatch.setattr(real_programs, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(real_programs.Simulator, "build", lambda config: Machine(LZ4))
    assert main(["lz4", "lz4"]) == 0
    assert capsys.readouterr().out.count("| lz4 | 1.9.4 | ") == 1
    written = json.loads((tmp_path / "results.json").read_text())
    assert [(result["program"], result["preset"]) for result in written] == [
        ("lz4", "base"),
        ("lz4", "fides"),
    ]


@pytest.mark.parametrize("name", ("nothing", ""))
def test_unknown_program(capsys, name):
    assert main(["lz4", name]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith(f"fides: there is no {name}: there are cjson, ")
