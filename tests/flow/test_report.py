"""The report: its keys, its arithmetic, and the messages when results are missing."""

import json
from dataclasses import replace

import pytest
from rich.console import Console

from fides_core.errors import UserError
from fides_core.flow import report
from fides_core.flow.synthesis import Area, Result

BASE = Area(lut=1000, lutram=80, ff=400, bram36=0, bram18=2, dsp=12, carry4=30, path_ns=5.5)
FIDES = replace(BASE, lut=1350, ff=500, bram36=3, path_ns=6.05)
UNIT = Area(lut=100, lutram=0, ff=20, bram36=3, bram18=0, dsp=0, carry4=1, path_ns=2.0)
RESULTS = {"base": Result(BASE, {}), "fides": Result(FIDES, {"shadow_stack": UNIT})}
DEMO = {
    "legal": {
        "base": {"cycles": 1000, "instructions": 900, "exit": 0},
        "fides": {"cycles": 1010, "instructions": 905, "exit": 0},
    },
    "attacks": [
        {"name": "ui|votes", "base": "[red]votes changed", "fides": "stopped: DENIED", "cause": "DENIED"}
    ],
    "crossing": {"base": {"inside": 9.0}, "fides": {"inside": 9.0, "across": 13.5}, "extra": {"across": 4.5}},
    "simulation": {"base": 1.25},
}


@pytest.fixture
def demo_file(tmp_path):
    path = tmp_path / "demo.json"
    path.write_text(json.dumps(DEMO))
    return path


def test_keys_and_figures(demo_file):
    built = report.build_report(RESULTS, report.load_demo(demo_file))
    for name, area in (("base", BASE), ("fides", FIDES)):
        preset = built["presets"][name]
        assert {key: value for key, value in preset.items() if key != "mhz_note"} == area.figures()
        assert "routing" in preset["mhz_note"]
    delta = built["delta"]
    assert (delta["lut"], delta["lut_pct"], delta["ff"], delta["ff_pct"]) == (350, 35.0, 100, 25.0)
    assert (delta["bram36"], delta["bram36_pct"]) == (3, None)
    assert (delta["path_ns"], delta["path_ns_pct"]) == (0.55, 10.0)
    assert {name: delta["published"][name] for name in ("lut", "lut_pct", "ff", "ff_pct")} == {
        "lut": 2200,
        "lut_pct": 6.1,
        "ff": 1000,
        "ff_pct": 6.0,
    }
    # 350 of 36,000 and 100 of 16,400; 2,200 of 1,000 and 1,000 of 400.
    assert (delta["lut_pct_of_published_base"], delta["ff_pct_of_published_base"]) == (1.0, 0.6)
    published = delta["published"]
    assert (published["lut_pct_of_our_base"], published["ff_pct_of_our_base"]) == (220.0, 250.0)
    assert (published["base_lut"], published["base_ff"]) == (36000, 16400)
    assert built["units"]["shadow_stack"]["lut"] == 100 and built["units"]["shadow_stack"]["ff"] == 20
    assert built["demo"] == {"legal": DEMO["legal"], "attacks": DEMO["attacks"]}
    assert built["crossing"] == DEMO["crossing"] and built["simulation"] == DEMO["simulation"]
    assert built["versions"]["amaranth"]


def test_files_and_terminal(tmp_path, demo_file):
    console = Console(record=True, width=160)
    paths = report.write_report(RESULTS, report.load_demo(demo_file), tmp_path / "build", console)
    assert [path.name for path in paths] == ["report.json", "report.md"]
    assert json.loads(paths[0].read_text()) == report.build_report(RESULTS, DEMO)
    text = paths[1].read_text()
    assert "| LUT | 1000 | 1350 | +350 | +35.0 % |" in text
    assert "| RAMB36 | 0 | 3 | +3 | - |" in text
    assert (
        "|  | our base: base | published base | fides adds | of our base | of published base | "
        "published FIDES adds | of our base | of published base |" in text
    )
    assert "| LUT | 1000 | 36000 | +350 | +35.0 % | +1.0 % | +2200 | +220.0 % | +6.1 % |" in text
    assert "| FF | 400 | 16400 | +100 | +25.0 % | +0.6 % | +1000 | +250.0 % | +6.0 % |" in text
    assert "| ui\\|votes | [red]votes changed | stopped: DENIED |" in text
    assert "| inside | 9.00 | 9.00 | - |" in text and "| across | - | 13.50 | 4.50 |" in text
    assert "| base | 1000 | 900 | 0 | 1.25 |" in text and "| fides | 1010 | 905 | 0 | - |" in text
    shown = console.export_text()
    for part in ("+35.0 %", "+2200", "[red]votes changed", "DENIED", "shadow_stack", str(paths[1])):
        assert part in shown, part


def test_missing_synthesis():
    with pytest.raises(UserError, match="no synthesis of fides"):
        report.build_report({"base": RESULTS["base"]}, DEMO)


def test_missing_demo(tmp_path):
    with pytest.raises(UserError, match="demo.json is missing: run `fides demo`"):
        report.load_demo(tmp_path / "demo.json")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        json.dumps({**DEMO, "legal": {"base": {"cycles": 1}}}),
        json.dumps({**DEMO, "attacks": [{"name": "x"}]}),
        json.dumps({**DEMO, "crossing": {"extra": 3}}),
    ],
)
def test_malformed_demo(tmp_path, text):
    path = tmp_path / "demo.json"
    path.write_text(text)
    with pytest.raises(UserError, match="demo.json") as caught:
        report.load_demo(path)
    assert "\n" not in str(caught.value)
