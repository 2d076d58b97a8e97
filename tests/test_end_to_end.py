"""The main job, as a user runs it: Verilog, simulation of the demo on both presets, synthesis, the report."""

import json
import subprocess
import sys

import pytest

from fides_core.flow.tools import ROOT
from fides_core.software.image import SW
from fides_core.software.scenarios import load_attacks

ATTACKS = load_attacks(SW / "demo" / "attacks.toml")
PRESETS = ("base", "fides")
#: Clock cycles that a call and its return may take more across compartments.
CROSSING_LIMIT = 5

# One process for all: they share one run of the demo.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("end-to-end"), pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def report():
    """build/report.json, written by this run of the demo."""
    path = ROOT / "build" / "report.json"
    path.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "fides_core.cli", "demo"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert (ROOT / "build" / "report.md").exists()
    return json.loads(path.read_text())


@pytest.mark.parametrize("preset", PRESETS)
def test_the_election_runs(report, preset):
    legal = report["demo"]["legal"][preset]
    assert legal["exit"] == 0
    assert 100_000 < legal["instructions"] < legal["cycles"] < 10_000_000


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_succeeds_on_base_and_is_stopped_on_fides(report, attack):
    rows = {row["name"]: row for row in report["demo"]["attacks"]}
    row = rows[attack.name]
    assert row["cause"] == row["expected"] == attack.cause
    assert row["fides"] == f"stopped: {attack.cause}, exit code {attack.exit_code}"
    assert row["base"] and row["base"] != "did not succeed"


def test_every_attack_is_in_the_report(report):
    assert [row["name"] for row in report["demo"]["attacks"]] == [attack.name for attack in ATTACKS]


@pytest.mark.parametrize("preset", PRESETS)
def test_area_of_the_presets(report, preset):
    area = report["presets"][preset]
    assert {"lut", "lutram", "ff", "bram36", "bram18", "dsp", "carry4", "path_ns", "mhz_note"} <= area.keys()
    assert area["lut"] > 0 and area["ff"] > 0 and area["path_ns"] > 0


def test_delta(report):
    delta, presets = report["delta"], report["presets"]
    assert {"lut", "ff", "lut_pct", "ff_pct"} <= delta.keys()
    for figure in ("lut", "ff"):
        assert delta[figure] == presets["fides"][figure] - presets["base"][figure] > 0


def test_units(report):
    assert len(report["units"]) == 3
    for unit in report["units"].values():
        assert unit["lut"] > 0 and unit["ff"] > 0


def test_versions(report):
    assert report["versions"]["verilator"] != "missing"


def test_crossing_cost(report):
    crossing = report["crossing"]
    # The first rounds of a loop still fill the caches.
    assert crossing["base"]["across"] == pytest.approx(crossing["base"]["inside"], abs=0.1)
    assert crossing["fides"]["complete"] == pytest.approx(crossing["fides"]["inside"], abs=0.1)
    for way in ("across", "restricted", "tail_across"):
        assert 0 < crossing["extra"][way] <= CROSSING_LIMIT, way
