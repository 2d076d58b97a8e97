"""Builds for boards: what is refused before the work, constraints, what is said when a tool fails or timing
is missed. Real bitstreams are the business of test_build_ulx3s.py."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from fides_core.config import PRESETS, preset
from fides_core.errors import UserError
from fides_core.flow import nextpnr, tools
from fides_core.flow.build import ecp5, run
from fides_core.flow.build.boards import board_names, load_board
from fides_core.flow.build.design import Design, plan
from fides_core.flow.build.toolchain import Options, Result, Run, check_fits, load_toolchain


@pytest.fixture(scope="module")
def ulx3s():
    return load_board("ulx3s")


def test_boards_of_the_repository():
    assert {"ac701", "ulx3s"} <= set(board_names())
    for name in board_names():
        board = load_board(name)
        assert board.name == name
        dividers = board.dividers()
        assert dividers.output_hz == pytest.approx(board.system_hz, rel=5e-4)
        plan(board, "base")  # the defaults are no contradiction


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no file "),
        ("nonsense here", "is not the description of a board: invalid syntax"),
        ("import absent_module", "needs the Python package absent_module: run `make setup`"),
        ("BOARD = 3", "it has no BOARD of type Board"),
        ("raise ValueError('board x: too large')", "not the description of a board: board x: too large"),
    ],
)
def test_file_that_is_no_board(tmp_path, text, message):
    path = tmp_path / "own.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_board(str(path))
    assert "\n" not in str(caught.value)


def test_board_of_ones_own(tmp_path, ulx3s):
    text = (tools.ROOT / "boards" / "ulx3s.py").read_text().replace('name="ulx3s"', 'name="mine"')
    (tmp_path / "own.py").write_text(text)
    assert load_board(str(tmp_path / "own.py")) == replace(ulx3s, name="mine")


def test_design(ulx3s):
    design = plan(ulx3s, "fides", memory_bytes=65536, baud=9600)
    assert design.name == "ulx3s-fides" and design.config.core == preset("fides").core
    assert design.config.soc == replace(
        preset("fides").soc, memory_bytes=65536, uart_divisor=round(24e6 / 16 / 9600), boot="uart"
    )
    assert (design.system_hz, design.image) == (24e6, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memory_bytes": 512 << 10}, "ulx3s has room for 256 KiB of main memory, not 512"),
        ({"memory_bytes": 5000}, "memory_bytes must be a power of two"),
        ({"system_hz": 500e6}, "the ECP5 PLL makes 3.125 MHz to 400 MHz, not 500 MHz"),
        ({"system_hz": 48e6}, "the ECP5 PLL cannot make 48 MHz from 25 MHz: the nearest is 48.0769 MHz"),
        ({"system_hz": 25e6}, "115200 baud cannot be made from 25 MHz: the nearest is 111607, -3.1 %"),
        ({"baud": 0}, "a baud rate is positive"),
        ({"boot": "memory"}, "a system that boots from its memory needs an image in it"),
        ({"boot": "disk"}, "boots from its memory or over the uart, not from 'disk'"),
        ({"baud": 1_000_000}, "1000000 baud cannot be made from 24 MHz"),
    ],
)
def test_design_that_cannot_be(ulx3s, changes, message):
    with pytest.raises(UserError, match=message):
        plan(ulx3s, "base", **changes)


def fides(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "fides_core.cli", "build", *arguments],
        env={**os.environ, "PYTHONPATH": str(tools.ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nonesuch", "base"), f"unknown board 'nonesuch'; there are {', '.join(board_names())}, or give"),
        (("ulx3s", "nonesuch"), f"unknown preset 'nonesuch'; there are {', '.join(PRESETS)}"),
        (("ulx3s", "base", "--memory", "512"), "ulx3s has room for 256 KiB"),
        (("ulx3s", "base", "--clock", "25"), "115200 baud cannot be made from 25 MHz"),
        (("ulx3s", "base", "--seed", "1", "--seeds", "2"), "give one of both"),
        (("ulx3s", "base", "--toolchain", "vivado"), "ulx3s cannot be built with 'vivado', only with ecp5"),
        (("ulx3s", "base", "--image", "absent.elf"), "cannot read absent.elf"),
    ],
)
def test_bad_input(arguments, message):
    done = fides(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("fides: ") and message in done.stderr


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (bytes(5000), "too large: it needs 5000 of 4096 bytes of main memory"),
        (b"", "is empty"),
        (bytes(8), "the image's first word is 0, which the boot loader takes for no image"),
    ],
)
def test_image_that_cannot_be(tmp_path, ulx3s, image, message):
    path = tmp_path / "image.bin"
    path.write_bytes(image)
    with pytest.raises(UserError, match=f"{path}.*{message}"):
        plan(ulx3s, "tiny", memory_bytes=4096, image=path)
    path.write_bytes(b"\x13\0\0\0")
    assert plan(ulx3s, "tiny", memory_bytes=4096, image=path).image == b"\x13\0\0\0"


def test_constraints_against_the_platform(ulx3s):
    """The lines, beside what Amaranth's own requests of the same resources give."""
    platform = ulx3s.platform()
    lines = ecp5.constraints(ulx3s).splitlines()
    requests = {"clock": ("clk25", 0, None), "reset": ("button_fire", 0, None)}
    requests |= {"uart_rx": ("uart", 0, "rx"), "uart_tx": ("uart", 0, "tx"), "high[0]": ("esp32", 0, "gpio0")}
    requests |= {f"led[{i}]": ("led", i, None) for i in range(8)}
    ports = {}
    for name, (resource, number, part) in requests.items():
        if (resource, number) not in ports:
            ports[resource, number] = platform.request(resource, number, dir="-")
        port = ports[resource, number]
        port = getattr(port, part) if part else port
        ((pin,),) = [port.io.metadata]
        assert f'LOCATE COMP "{name}" SITE "{pin.name}";' in lines
        attributes = " ".join(f"{key}={value}" for key, value in pin.attrs.items())
        assert f'IOBUF PORT "{name}" {attributes};' in lines
    assert 'FREQUENCY PORT "clock" 25.000000 MHZ;' in lines
    assert len(lines) == 2 * len(requests) + 1


def test_part_options(ulx3s):
    assert ecp5.part_options(ulx3s) == ["--85k", "--package", "CABGA381", "--speed", "6"]
    with pytest.raises(UserError, match="ac701: nextpnr-ecp5 has no part xc7a200t-2fbg676"):
        ecp5.part_options(load_board("ac701"))


def test_design_too_large_for_the_part(ulx3s):
    design = plan(ulx3s, "fides")
    check_fits(design, {"TRELLIS_COMB": 83640, "DP16KD": 208, "unknown": 9})
    with pytest.raises(UserError, match=(
        r"^fides with 256 KiB of main memory does not fit LFE5U-85F-6BG381: it needs 260 DP16KD of 208, "
        r"52 too many \(25 %\); 100000 TRELLIS_COMB of 83640, 16360 too many \(20 %\)$"
    )):  # fmt: skip
        check_fits(design, {"DP16KD": 260, "TRELLIS_COMB": 100000, "TRELLIS_FF": 3})


@pytest.mark.parametrize("name", ["nonesuch", "../ecp5", "toolchain", ""])
def test_toolchain_that_is_not_there(name):
    with pytest.raises(UserError, match="is not there"):
        load_toolchain(name)


# ---- the flow with programs that only pretend ----

#: As small as a design can be.
SOURCE = """
module board_top(input clock, input reset, input uart_rx, output uart_tx, output reg [7:0] led, output high);
  assign uart_tx = uart_rx, high = 1;
  always @(posedge clock) if (reset) led <= 0; else led <= led + 1;
endmodule
"""

CONFIG = """.device LFE5U-85F

.tile R1C1:PLC2
arc: A0 B0
word: SLICEA.K0.INIT 0101010101010101

.bram_init 3
000 001
"""


def program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def timing_report(mhz: float) -> dict:
    clock = "$glbnet$clk"

    def step(kind, delay, cell):
        return {"type": kind, "delay": delay, "from": {"cell": cell}, "to": {"cell": cell}}

    path = [step("clk-to-q", 4.0, "soc.first_TRELLIS_FF_Q_1"), step("routing", 6.0, "soc.last_LUT4_Z_2")]
    sites = {"TRELLIS_COMB": 20, "TRELLIS_FF": 8, "DP16KD": 0, "MULT18X18D": 0}
    return {
        "fmax": {clock: {"achieved": mhz, "constraint": 24.0}},
        "utilization": {site: {"used": used, "available": 1000} for site, used in sites.items()},
        "critical_paths": [{"from": f"posedge {clock}", "to": f"posedge {clock}", "path": path}],
    }


@pytest.fixture
def small(ulx3s):
    design = plan(ulx3s, "tiny")
    design.__dict__["sources"] = {"board_top.v": SOURCE}
    return design


@pytest.fixture
def pretend(monkeypatch, tmp_path):
    """Programs of nextpnr and Project Trellis that copy what is in ``tmp_path``; shell text by their name
    changes what they do."""
    (tmp_path / "report").write_text(json.dumps(timing_report(30.0)))
    (tmp_path / "config").write_text(CONFIG)
    scripts = {
        nextpnr.TOOL: f"""
case "$*" in *--version*) exit 0;; esac
echo "$*" >> {tmp_path}/calls
cp {tmp_path}/report report.json
while [ "$1" != --textcfg ]; do shift; done
cp {tmp_path}/config $2""",
        ecp5.PACKER: 'cp "$2" "$4"',
        ecp5.UNPACKER: 'cp "$2" "$4"',
    }
    real = tools.find

    def find(tool):
        return program(tmp_path / tool, scripts[tool]) if tool in scripts else real(tool)

    monkeypatch.setattr(tools, "find", find)
    return scripts


def test_build(small, pretend, tmp_path):
    """Command lines, files, report; a second build recalls everything, another clock only the netlist."""
    out = tmp_path / "out"
    said = []
    entry = run.build_design(small, None, out, Options((1, 2)), said.append)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 2
    for part in ("--85k --package CABGA381 --speed 6", "--freq 24.000000", "--seed 1", "--lpf pins.lpf"):
        assert part in calls[0]
    assert sorted(path.name for path in (out / "ecp5").iterdir()) == [
        "bitstream.json", "board_top.v", "ecppack.log", "ecpunpack.log", "netlist.json", "netlist.v",
        "seed-1.config", "seed-1.json", "seed-2.config", "seed-2.json",
        "synthesis.json", "synthesis.log", "ulx3s-tiny.bit",
    ]  # fmt: skip
    assert json.loads((out / "report.json").read_text()) == {"builds": {"ecp5": entry}}
    assert entry["synthesised"] | {"TRELLIS_COMB": 0} == {
        "TRELLIS_COMB": 0, "TRELLIS_FF": 8, "DP16KD": 0, "MULT18X18D": 0,
    }  # fmt: skip
    assert entry["used"] == {"TRELLIS_COMB": 20, "TRELLIS_FF": 8, "DP16KD": 0, "MULT18X18D": 0}
    assert (entry["mhz"], entry["best_seed"], entry["timing_met"]) == (30.0, 1, True)
    assert entry["checks"] == {
        "device": "LFE5U-85F", "tiles": 2, "memories": 1, "tables": 1, "bytes": len(CONFIG),
    }  # fmt: skip
    assert run.missed(entry) is None
    assert any(line.startswith("synthesis: ") for line in said) and "seed 2: 30.00 MHz" in " ".join(said)

    assert run.build_design(small, "ecp5", out, Options((1, 2))) == entry
    assert len((tmp_path / "calls").read_text().splitlines()) == 2
    faster = replace(small, system_hz=25e6)
    faster.__dict__["sources"] = {"board_top.v": SOURCE}
    stamp = (out / "ecp5" / "synthesis.json").stat().st_mtime_ns
    run.build_design(faster, "ecp5", out, Options((2,)))
    assert "--freq 25.000000" in (tmp_path / "calls").read_text().splitlines()[2]
    assert (out / "ecp5" / "synthesis.json").stat().st_mtime_ns == stamp


def test_timing_that_is_missed(small, pretend, tmp_path):
    (tmp_path / "report").write_text(json.dumps(timing_report(20.0)))
    entry = run.build_design(small, None, tmp_path / "out")
    assert run.missed(entry) == (
        "timing missed: 20.00 MHz of 24 MHz, 8.33 ns too slow on the path from soc.first to soc.last "
        "(4.00 ns in cells, 6.00 ns on wires); ulx3s-tiny.bit was written, but is too slow: "
        "try more --seeds, or --clock"
    )
    assert "no bitstream was written" in run.missed({**entry, "bitstream": None})
    console = Console(record=True, width=120)
    run.show(entry, console)
    shown = [line.split() for line in console.export_text().splitlines()]
    assert ["TRELLIS_FF", "8", "8", "83640", "0", "%"] in shown
    assert ["seed", "1:", "20.00", "MHz", "of", "24", "MHz"] in shown


@pytest.mark.parametrize(
    ("tool", "script", "message"),
    [
        (nextpnr.TOOL, "case \"$*\" in *--version*) exit 0;; esac; echo 'ERROR: no place' >&2; exit 1",
         r"^nextpnr failed: ERROR: no place \(log: .*seed-1.log\)$"),
        (nextpnr.TOOL, "case \"$*\" in *--version*) exit 0;; esac; exit 0", "left no timing report"),
        (nextpnr.TOOL, "echo broken >&2; exit 1", "does not run: broken"),
        (ecp5.PACKER, "echo 'Error: no such tile'; exit 1", "yowasp-ecppack failed: Error: no such tile"),
        (ecp5.UNPACKER, "echo 'Error: no preamble'; exit 1", "yowasp-ecpunpack failed: Error: no preamble"),
        (ecp5.UNPACKER, 'sed s/85F/45F/ "$2" > "$4"', "the bitstream is for LFE5U-45F, not for LFE5U-85F"),
        (ecp5.UNPACKER, 'sed s/0101/0111/ "$2" > "$4"', "has other lookup tables than were placed"),
        (ecp5.UNPACKER, 'sed s/001/002/ "$2" > "$4"', "has other contents of block RAM than were placed"),
        (ecp5.UNPACKER, 'head -2 "$2" > "$4"', "the bitstream is empty"),
        (ecp5.UNPACKER, 'sed "s/arc: A0 B0/arc: A0 C0/" "$2" > "$4"', "packed again, is another one"),
    ],
)  # fmt: skip
def test_tool_that_fails(small, pretend, tmp_path, tool, script, message):
    pretend[tool] = script
    with pytest.raises(UserError, match=message) as caught:
        run.build_design(small, None, tmp_path / "out")
    assert "\n" not in str(caught.value)
    left = {path.name for path in (tmp_path / "out" / "ecp5").iterdir()}
    assert not {"ulx3s-tiny.bit", "bitstream.json"} & left
    assert not [name for name in left if name.startswith(".")]
    assert not (tmp_path / "out" / "report.json").exists()


def test_too_large_before_place_and_route(ulx3s, pretend, tmp_path):
    small_part = replace(ulx3s, capacity={**ulx3s.capacity, "TRELLIS_FF": 5})
    design = plan(small_part, "tiny")
    design.__dict__["sources"] = {"board_top.v": SOURCE}
    with pytest.raises(UserError, match=r"it needs 8 TRELLIS_FF of 5, 3 too many \(60 %\)"):
        run.build_design(design, None, tmp_path / "out")
    assert not (tmp_path / "calls").exists()


def test_synthesis_that_fails(ulx3s, pretend, tmp_path):
    design = plan(ulx3s, "tiny")
    design.__dict__["sources"] = {"board_top.v": "module board_top(input clk); nonsense endmodule\n"}
    with pytest.raises(UserError, match=r"^Yosys failed: .*\(log: .*out/ecp5/synthesis\.log\)$"):
        run.build_design(design, None, tmp_path / "out")


def test_missing_tool(small, monkeypatch, tmp_path):
    monkeypatch.setitem(tools._PACKAGED, nextpnr.TOOL, ("absent_module", "absent-package"))
    with pytest.raises(tools.ToolMissing, match=f"{nextpnr.TOOL} is not installed: run `make setup`"):
        run.build_design(small, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_toolchain_that_only_writes(small, monkeypatch, tmp_path):
    """No runs, no bitstream: the user has to do the rest; reports of other toolchains stay."""

    class Writer:
        TITLE = "writer"

        @staticmethod
        def check():
            pass

        @staticmethod
        def build(design, directory, options, report):
            return Result({"writer": "1"}, {"TRELLIS_FF": 8}, notice=f"now run it in {directory}")

    out = tmp_path / "out"
    out.mkdir()
    (out / "report.json").write_text('{"builds": {"ecp5": {"mhz": 1}}}')
    monkeypatch.setattr(run, "load_toolchain", lambda name: Writer)
    board = replace(small.board, toolchains=("writer", "ecp5"))
    design = Design(board, small.config, small.system_hz, small.baud)
    design.__dict__["sources"] = {"board_top.v": SOURCE}
    entry = run.build_design(design, None, out)
    assert (entry["bitstream"], entry["runs"]) == (None, []) and run.missed(entry) is None
    assert entry["notice"] == f"now run it in {out / 'writer'}"
    assert set(json.loads((out / "report.json").read_text())["builds"]) == {"ecp5", "writer"}
    console = Console(record=True, width=120)
    run.show(entry, console)
    assert "8" in console.export_text()


def test_best_of_the_seeds():
    runs = tuple(Run(seed, mhz, {}, "a", "b", 1.0, 1.0) for seed, mhz in ((1, 20.0), (2, 30.0), (3, 25.0)))
    assert Result({}, runs=runs).best.seed == 2
    assert Result({}).best is None
