"""Builds in the report: what is listed, what is compared, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fides_core.errors import UserError
from fides_core.flow import report
from fides_core.flow.build import results
from fides_core.flow.build.boards import load_board
from fides_core.flow.build.design import plan
from fides_core.flow.build.run import REPORT, summary
from fides_core.flow.build.toolchain import Result, Run


def run(seed: int, mhz: float, lut: int) -> Run:
    return Run(seed, mhz, {"LUT": lut, "FF": 50}, "a", "b", 1.0, 2.0)


def build(preset: str, lut: int, runs=(), tools=None, **changes) -> dict:
    design = replace(plan(load_board("ac701"), preset), **changes)
    design.__dict__["sources"] = {}
    checks = {"estimate": {"mhz": 101.5}}
    result = Result(tools or {"placer": "1.0"}, {"LUT": lut, "FF": 40}, tuple(runs), checks=checks)
    return summary(design, "openxc7", result)


BASE = build("base", 1000, [run(1, 30.0, 900), run(2, 40.0, 910), run(3, 32.0, 905)])
FIDES = build("fides", 1100, [run(1, 31.0, 990), run(2, 24.0, 1001), run(3, 28.0, 995)])


def write(directory: Path, *entries: dict) -> Path:
    for entry in entries:
        folder = directory / "{board}-{preset}".format(**entry["design"])
        folder.mkdir(exist_ok=True)
        (folder / REPORT).write_text(json.dumps({"builds": {entry["toolchain"]: entry}}))
    return directory


def test_both_deltas(tmp_path):
    """After synthesis, and after place and route, of the fastest seed; with the spread of the seeds."""
    found = results.load_builds(write(tmp_path, BASE, FIDES))
    listed, compared = results.sections(found, "base", "fides")
    rows = [dict(zip(listed[1], row, strict=True)) for row in listed[2]]
    assert [row["preset"] for row in rows] == ["base", "fides"]
    assert rows[0]["reached, MHz"] == "32.00 (30.00 to 40.00, 3 seeds)"
    assert rows[0]["estimate, MHz"] == "101.5" and rows[0]["tools"] == "placer 1.0"
    title, heads, rows, note = compared
    assert title == "fides and base on Xilinx AC701, XC7A200T-2FBG676C, by openxc7"
    assert heads[1:3] == ["base, synthesised", "fides, synthesised"]
    assert heads[5:7] == ["base, placed", "fides, placed"]
    # Of the fastest: seed 2 of base, seed 1 of fides.
    assert next(row for row in rows if row[0] == "LUT")[1:] == [
        "1000", "1100", "+100", "+10.0 %", "910", "990", "+80", "+8.8 %",
    ]  # fmt: skip
    assert "32.00 and 28.00 MHz, ratio 0.875" in note and "3 seeds" in note and "placer 1.0" in note


@pytest.mark.parametrize(
    "other",
    [
        build("fides", 1100, [run(1, 31.0, 990)]),
        build("fides", 1100, [run(seed, 31.0, 990) for seed in (1, 2, 3)], tools={"placer": "1.1"}),
        build("fides", 1100, [run(seed, 31.0, 990) for seed in (1, 2, 3)], system_hz=50e6),
    ],
    ids=["seeds", "tools", "clock"],
)
def test_only_what_is_built_alike_is_compared(tmp_path, other):
    found = results.load_builds(write(tmp_path, BASE, other))
    assert len(found) == 2 and len(results.sections(found, "base", "fides")) == 1


def test_not_placed(tmp_path):
    """As without Vivado: the delta after synthesis alone."""
    entries = write(tmp_path, build("base", 1000), build("fides", 1100))
    listed, compared = results.sections(results.load_builds(entries), "base", "fides")
    assert listed[2][0][listed[1].index("reached, MHz")] == "not placed"
    assert compared[2][0][1:] == ["1000", "1100", "+100", "+10.0 %", "-", "-", "-", "-"]


def test_in_the_report(tmp_path):
    assert "builds" not in report.load_measured(tmp_path)
    (tmp_path / "boards").mkdir()
    write(tmp_path / "boards", BASE)
    assert report.load_measured(tmp_path)["builds"] == json.loads(json.dumps([BASE]))


def test_other_folders_are_not_looked_at(tmp_path):
    write(tmp_path, BASE)
    (tmp_path / "ac701-base").rename(tmp_path / "test-ac701-base")
    assert results.load_builds(tmp_path) == [] and results.sections([], "base", "fides") == []


@pytest.mark.parametrize("text", ["{", "{}", '{"builds": {"x": {}}}', '{"builds": []}'])
def test_malformed(tmp_path, text):
    (tmp_path / "ac701-base").mkdir()
    (tmp_path / "ac701-base" / REPORT).write_text(text)
    with pytest.raises(UserError, match="is not what `fides build` writes"):
        results.load_builds(tmp_path)
