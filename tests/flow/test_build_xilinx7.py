"""The AC701 by Vivado and by openXC7: constraints, scripts, what is read back, and what goes wrong. The tools
are stood in for: a Vivado that runs the script in tclsh, where its commands are recorded and leave reports,
and shell scripts for the open ones."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from fides_core import cli
from fides_core.errors import UserError
from fides_core.flow import synthesis, tools
from fides_core.flow.build import (
    carry_taps,
    nextpnr_xilinx,
    openxc7,
    process,
    vivado,
    vivado_reports,
    xilinx7,
)
from fides_core.flow.build.boards import load_board
from fides_core.flow.build.design import Design, plan
from fides_core.flow.build.toolchain import Options

# Pins as the board's user guide UG952 lists them.
PINS = {
    "clock_p": ("R3", "LVDS_25"),
    "clock_n": ("P3", "LVDS_25"),
    "reset": ("U4", "LVCMOS15"),
    "uart_tx": ("U19", "LVCMOS18"),
    "uart_rx": ("T19", "LVCMOS18"),
    "led[0]": ("M26", "LVCMOS33"),
    "led[1]": ("T24", "LVCMOS33"),
    "led[2]": ("T25", "LVCMOS33"),
    "led[3]": ("R26", "LVCMOS33"),
}

# In place of the system: a multiplier, and memories that need two RAMB36, one RAMB18, and two RAMB36 for each
# of two bits.
SOC = """\
module fides_soc(input clk, input rst, input uart_rx, input external_interrupt, output uart_tx,
                 output reg exit_valid, output reg [31:0] exit_code, output [7:0] axi_violation);
  reg [35:0] large [0:2047];
  reg [17:0] small [0:1023];
  reg [1:0] deep [0:65535];
  reg [35:0] word;
  reg [17:0] half;
  reg [1:0] bits;
  reg [15:0] address;
  reg [15:0] left, right;
  reg [31:0] product;
  assign uart_tx = exit_code[0];
  assign axi_violation = 0;
  always @(posedge clk) begin
    address <= rst ? 0 : address + 1;
    if (uart_rx) begin
      large[address[10:0]] <= {product, 4'd5};
      small[address[9:0]] <= product[17:0];
      deep[address] <= product[19:18];
    end
    word <= large[address[10:0] ^ 11'd77];
    half <= small[address[9:0] ^ 10'd7];
    bits <= deep[address ^ 16'd3];
    left <= word[15:0];
    right <= half[15:0];
    product <= left * right;
    exit_code <= product + {word[35:4]} + bits;
    exit_valid <= product == exit_code;
  end
endmodule
"""

TIMING = """\
| Design Timing Summary
| ---------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)      THS(ns)  THS Failing Endpoints  THS Total Endpoints     WPWS(ns)     TPWS(ns)  TPWS Failing Endpoints  TPWS Total Endpoints
    -------      -------  ---------------------  -------------------      -------      -------  ---------------------  -------------------     --------     --------  ----------------------  --------------------
    {setup:7}        0.000                      0                 5000      {hold:7}        0.000                      0                 5000        1.100        0.000                       0                  2000

Max Delay Paths
--------------------------------------------------------------------------------------
Slack (MET) :             4.000ns  (required time - arrival time)
  Source:                 soc/other_reg/C
                            (rising edge-triggered cell FDRE clocked by fast  {{rise@0.000ns fall@5.000ns period=10.000ns}})
  Destination:            soc/another_reg/D
                            (rising edge-triggered cell FDRE clocked by fast  {{rise@0.000ns fall@5.000ns period=10.000ns}})
  Path Group:             fast
  Data Path Delay:        5.500ns  (logic 1.500ns (27.273%)  route 4.000ns (72.727%))

Slack ({word}) :        {setup}ns  (required time - arrival time)
  Source:                 soc/core/pc_reg[3]/C
                            (rising edge-triggered cell FDRE clocked by fast  {{rise@0.000ns fall@5.000ns period=10.000ns}})
  Destination:            soc/core/next_reg[5]/D
                            (rising edge-triggered cell FDRE clocked by fast  {{rise@0.000ns fall@5.000ns period=10.000ns}})
  Path Group:             fast
  Path Type:              Setup (Max at Slow Process Corner)
  Requirement:            10.000ns  (fast rise@10.000ns - fast rise@0.000ns)
  Data Path Delay:        10.100ns  (logic 3.200ns (31.683%)  route 6.900ns (68.317%))

Min Delay Paths
--------------------------------------------------------------------------------------
Slack (VIOLATED) :        -9.000ns  (arrival time - required time)
  Source:                 soc/hold_reg/C
  Destination:            soc/held_reg/D
  Data Path Delay:        0.200ns  (logic 0.100ns (50.000%)  route 0.100ns (50.000%))
"""  # noqa: E501

UTILIZATION = """\
|          Site Type         |  Used | Fixed | Prohibited | Available | Util% |
+----------------------------+-------+-------+------------+-----------+-------+
| Slice LUTs*                |  5123 |     0 |          0 |    133800 |  3.83 |
|   LUT as Logic             |  5000 |     0 |          0 |    133800 |  3.74 |
| Slice Registers            |  2345 |     0 |          0 |    267600 |  0.88 |
| Block RAM Tile    |  12.5 |     0 |          0 |       365 |  3.42 |
|   RAMB36/FIFO*    |    12 |     0 |          0 |       365 |  3.29 |
| DSPs           |   16 |     0 |          0 |       740 |  2.16 |
"""

# Commands by name, with the options that take a value. Anything else is an error, as in Vivado.
VIVADO = """\
#!/usr/bin/env tclsh
set fake [file dirname [info script]]
proc record {args} {
    set file [open $::fake/calls a]
    puts $file [join $args "\\t"]
    close $file
}
proc leave {name text} {
    set file [open $name w]
    puts -nonewline $file $text
    close $file
}
proc contents {name} {
    set file [open $name]
    set text [read $file]
    close $file
    return $text
}
set opened 0
set directive Default
proc needs {state name} {
    if {$::opened != $state} { error "$name: a design is [expr {$state ? "not " : ""}open" }
}
foreach name {opt_design phys_opt_design route_design} {
    proc $name {args} "needs 1 $name; record $name {*}\\$args"
}
foreach name {report_timing_summary report_utilization report_clock_utilization report_methodology report_drc
              report_cdc} {
    proc $name {args} "needs 1 $name; report $name {*}\\$args"
}
proc report {name args} {
    record $name {*}$args
    set kind [expr {$name eq "report_timing_summary" ? "timing-$::directive" : $name}]
    set text [expr {[file exists $::fake/$kind] ? [contents $::fake/$kind] : ""}]
    leave [lindex $args [lsearch $args -file]+1] $text
}
proc place_design {args} {
    needs 1 place_design
    record place_design {*}$args
    set ::directive [lindex $args 1]
}
proc read_verilog {file} { contents $file; record read_verilog $file }
proc read_xdc {file} { record read_xdc $file; uplevel #0 [list source $file] }
proc get_ports {name} { return $name }
proc current_design {} { return current_design }
proc set_property {args} { record set_property {*}$args }
proc create_clock {args} { record create_clock {*}$args }
proc set_false_path {args} { record set_false_path {*}$args }
proc synth_design {args} {
    needs 0 synth_design
    record synth_design {*}$args
    set ::opened 1
    if {[file exists $::fake/fail]} { error [contents $::fake/fail] }
    if {[file exists $::fake/hang]} { after 60000 }
    if {[file exists $::fake/leave]} { exit 0 }
}
proc write_checkpoint {args} {
    needs 1 write_checkpoint
    record write_checkpoint {*}$args
    leave [lindex $args end] checkpoint
}
proc write_bitstream {args} {
    needs 1 write_bitstream
    record write_bitstream {*}$args
    leave [lindex $args end] "bitstream, $::directive"
}
proc open_checkpoint {file} {
    needs 0 open_checkpoint
    record open_checkpoint [contents $file]
    set ::opened 1
}
proc close_project {} { needs 1 close_project; record close_project; set ::opened 0 }
proc version {args} { return 2023.2 }
record {*}$argv
leave [lindex $argv [lsearch $argv -log]+1] "CRITICAL WARNING: \\[X 1-1\\] odd\\nINFO: done\\n"
if {[catch {source [lindex $argv [lsearch $argv -source]+1]} message]} {
    puts $message
    exit 1
}
"""

NEXTPNR_LOG = """\
Info: Device utilisation:
Info: \t          SLICE_LUTX:  6012/269200     2%
Info: \t           SLICE_FFX:  2311/269200     0%
Info: \t            RAMB18E1:     3/  730     0%
Info: \t            RAMB36E1:    12/  365     3%
Info: \t             DSP48E1:    16/  740     2%

Info: Critical path report for clock 'clk' (posedge -> posedge):
Info:  0.5  0.5  Source soc.before_FDRE_Q.Q
Info:                Sink soc.routing_FDRE_Q.D
Info: 0.5 ns logic, 1.0 ns routing

Info: Max frequency for clock 'clk': 150.00 MHz (PASS at 100.00 MHz)

Info: Critical path report for clock 'clk' (posedge -> posedge):
Info: curr total
Info:  0.5  0.5  Source soc.core.pc_FDRE_Q_3.Q
Info:  1.0  1.5    Net soc.core.pc[3] budget 3.000000 ns (1,2) -> (3,4)
Info:                Sink soc.core.sum_LUT6_O_2.I3
Info:  0.1  1.6  Source soc.core.sum_LUT6_O_2.O6
Info:  6.0  7.6    Net soc.core.sum[2] budget 3.000000 ns (3,4) -> (5,6)
Info:                Sink soc.core.next_FDRE_Q_5.D
Info:  0.1  7.7  Setup soc.core.next_FDRE_Q_5.D
Info: 3.3 ns logic, 8.0 ns routing

Info: Critical path report for cross-domain path '<async>' -> 'posedge clk':
Info: curr total
Info:  0.0  0.0  Source reset.O
Info:                Sink synchronizer.PRE
Info: 0.0 ns logic, 9.0 ns routing

Warning: Max frequency for clock 'clk': {mhz} MHz ({word} at 100.00 MHz)

Info: Program finished normally.
"""

FASM = """\
CLBLL_L_X2Y1.SLICEL_X0.ALUT.INIT[63:0] = 64'b01
CLBLL_L_X2Y1.SLICEL_X0.BLUT.INIT[63:0] = 64'b01
CLBLL_L_X2Y1.SLICEL_X1.ALUT.INIT[63:0] = 64'b01
CLBLL_L_X2Y1.SLICEL_X1.AFF.ZINI
"""


def program(path, text):
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture(scope="module")
def design():
    """The top level of the AC701 as it is, around a small module."""
    found = plan(load_board("ac701"), "tiny", memory_bytes=16 << 10)
    from fides_core.flow import verilog
    from fides_core.soc.board_top import BoardTop

    top = verilog.convert(BoardTop(found.board, found.system_hz), "board_top")
    found.__dict__["sources"] = {"fides_soc.v": SOC, "board_top.v": top}
    return found


@pytest.fixture(scope="module")
def mapped(design, tmp_path_factory):
    """The design synthesised, in a folder, and what was reported."""
    directory, lines = tmp_path_factory.mktemp("mapped"), []
    return xilinx7.synthesise(design, directory, lines.append), lines


def test_the_shortest_path_is_taken(design, tmp_path, monkeypatch):
    """Of the targets that the mapper gets, and netlist, cells and timing are that target's."""
    read, seen = xilinx7.longest_path_ns, []

    def longest_path_ns(text):
        seen.append(text)
        return [5.5, 5.25, 5.75][len(seen) - 1]

    monkeypatch.setattr(xilinx7, "longest_path_ns", longest_path_ns)
    found = xilinx7.synthesise(design, tmp_path, lambda line: None)
    assert len(seen) == len(xilinx7.TARGETS_PS) == 3 and all(read(text) > 0 for text in seen)
    assert (found.path_ns, found.target_ps) == (5.25, xilinx7.TARGETS_PS[1])
    assert found.checks()["estimate"]["target_ps"] == xilinx7.TARGETS_PS[1]
    assert (tmp_path / "timing.txt").read_text() == seen[1]
    cells = json.loads(found.path.read_text())["modules"]["board_top"]["cells"].values()
    assert sum(cell["type"] == "FDRE" for cell in cells) == found.cells["FDRE"] > 0
    # Recalled, not made again.
    assert xilinx7.synthesise(design, tmp_path, lambda line: None) == found and len(seen) == 3


@pytest.fixture(scope="module")
def uncascaded(design, tmp_path_factory):
    """The design synthesised as for openXC7."""
    return xilinx7.synthesise(design, tmp_path_factory.mktemp("uncascaded"), lambda line: None, cascade=False)


@pytest.fixture
def out(design, mapped, uncascaded, tmp_path, monkeypatch):
    """A folder for `fides build` in which synthesis has been done, whatever the preset."""
    for toolchain, found in (("vivado", mapped[0]), ("openxc7", uncascaded)):
        folder = tmp_path / "out" / toolchain
        folder.mkdir(parents=True)
        for name in ("synthesis.json", xilinx7.NETLIST, "timing.txt"):
            shutil.copy(found.path.parent / name, folder)
    monkeypatch.setattr(
        Design, "sources", property(lambda self: self.__dict__.get("sources", design.__dict__["sources"]))
    )
    return tmp_path / "out"


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """A folder at the front of the PATH."""
    folder = tmp_path / "fakes"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def timing(setup, hold="0.050"):
    return TIMING.format(setup=setup, hold=hold, word="VIOLATED" if setup.startswith("-") else "MET")


@pytest.fixture
def fake_vivado(fakes):
    tools.find("tclsh")
    program(fakes / "vivado", VIVADO)
    (fakes / "timing-Default").write_text(timing("-0.500"))
    (fakes / "timing-Explore").write_text(timing("0.250"))
    (fakes / "report_utilization").write_text(UTILIZATION)
    return fakes


def fides(monkeypatch, capsys, *arguments):
    """`fides build ac701 tiny` in this process: exit code, standard output and standard error."""
    monkeypatch.setattr(sys, "argv", ["fides", "build", "ac701", "tiny", "--memory", "16", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    text = capsys.readouterr()
    return ended.value.code, text.out, text.err


def calls(folder):
    return [line.split("\t") for line in (folder / "calls").read_text().splitlines()]


def test_synthesis_counts_estimates_and_recalls(design, mapped, monkeypatch):
    found, lines = mapped
    assert found.needed["RAMB36"] == 7 and found.needed["DSP48E1"] >= 1
    # At least the blink, the reset's and the address.
    assert found.needed["FF"] >= 27 + 3 + 16 and found.needed["LUT"] > 10
    assert 0 < found.path_ns < 20
    assert found.estimate_mhz == pytest.approx(1000 / 1.5 / found.path_ns, abs=0.01)
    assert any(line.startswith(f"estimate of Fmax on AC701: {found.estimate_mhz:.1f} MHz") for line in lines)
    monkeypatch.setattr(tools, "run_yosys", None)
    assert xilinx7.synthesise(design, found.path.parent, lines.append) == found


def test_netlist_is_for_nextpnr(mapped):
    cells = mapped[0].cells
    assert {"IBUFDS", "MMCME2_BASE", "BUFG"} <= cells.keys() and "$scopeinfo" not in cells
    text = mapped[0].path.read_text()
    assert '"$scopeinfo"' not in text and '"RAMB36E1"' in text


def test_two_halves_of_block_ram_take_one_site():
    for count, sites in ((0, 5), (1, 6), (2, 6), (3, 7)):
        assert xilinx7.needed_sites({"RAMB36E1": 5, "RAMB18E1": count})["RAMB36"] == sites
    with pytest.raises(UserError, match="unknown to the area count"):
        xilinx7.needed_sites({"LUT7": 1})


def test_too_large_is_said_before_place_and_route(design, mapped):
    small = replace(design, board=replace(design.board, capacity={**design.board.capacity, "RAMB36": 2}))
    small.__dict__["sources"] = design.sources
    lines = []
    with pytest.raises(UserError, match=r"does not fit xc7a200t-2fbg676: it needs 7 RAMB36 of 2, 5 too many"):
        xilinx7.synthesise(small, mapped[0].path.parent, lines.append)
    assert lines


def test_board_of_another_family():
    with pytest.raises(UserError, match="ulx3s: LFE5U-85F-6BG381 is no part of the 7 series"):
        xilinx7.part_name(load_board("ulx3s"))


def test_sources_are_complete(design):
    """Every module is one of the files' or a primitive; every port of the top level has a pin."""
    text = "\n".join(design.sources.values())
    defined = set(re.findall(r"^module (\S+?) ?\(", text, re.MULTILINE))
    # Instances as Yosys writes them.
    used = set(re.findall(r"^  (\\?[\w.$]+) (?:#\(\n(?:    .*\n)+  \) )?\S+ +\(\n", text, re.MULTILINE))
    primitives = {"IBUFDS", "MMCME2_BASE", "BUFG"}
    assert primitives | {"fides_soc"} <= {name.lstrip("\\") for name in used}
    assert {name for name in used if name not in defined} <= primitives
    top = design.sources["board_top.v"]
    (head,) = re.findall(r"^module board_top\((.*)\);", top, re.MULTILINE)
    assert set(head.split(", ")) == {port.partition("[")[0] for port in PINS}
    assert "output [3:0] led;" in top


def test_constraints_as_nextpnr_reads_them(design):
    """Its parser knows one form of each command, and strips braces of a port in set_property alone."""
    lines = xilinx7.pin_constraints(design.board).splitlines()
    port = r"\[get_ports (\w+|\{\w+\[\d+\]\})\]"
    pattern = rf"set_property -dict \{{ PACKAGE_PIN \w+ IOSTANDARD \w+ \}} {port}"
    clocks = [line for line in lines if line.startswith("create_clock ")]
    assert clocks == ["create_clock -name oscillator -period 5.000 [get_ports clock_p]"]
    assert len(lines) == len(PINS) + 1
    assert all(re.fullmatch(pattern, line) for line in lines if line not in clocks)


def test_vivado_script(design, out, fake_vivado, monkeypatch, capsys):
    """What the script makes of Vivado, in tclsh: files, order, constraints, reports of two runs."""
    code, text, error = fides(monkeypatch, capsys, "--out", str(out), "--seeds", "2")
    assert (code, error) == (0, "")
    assert "estimate of Fmax on AC701" in text and "102.56 MHz" in text and "95.24 MHz" in text
    done = calls(fake_vivado)
    names = [call[0] for call in done]

    assert done[0][:4] == ["-mode", "batch", "-notrace", "-source"]
    assert [call[1] for call in done if call[0] == "read_verilog"] == list(design.sources)
    assert ["synth_design", "-top", "board_top", "-part", "xc7a200tfbg676-2"] in done
    flow = ("read_verilog", "read_xdc", "synth_design", "opt_design", "place_design", "phys_opt_design",
            "route_design", "write_bitstream")  # fmt: skip
    firsts = [names.index(name) for name in flow]
    assert firsts == sorted(firsts)
    assert Counter(names)["synth_design"] == 1 and Counter(names)["route_design"] == 2
    assert [call[2] for call in done if call[0] == "place_design"] == ["Default", "Explore"]
    # Reports are of the routed design, and there before the bitstream is.
    last = len(names) - 1 - names[::-1].index("route_design")
    after = {call[0] for call in done[last:]}
    assert {"report_timing_summary", "report_utilization", "report_methodology", "report_drc"} <= after
    assert ["report_utilization", "-hierarchical", "-file", "run-2/hierarchy.rpt"] in done

    pins = {call[3]: call[2].split() for call in done if call[:2] == ["set_property", "-dict"]}
    assert sum(call[:2] == ["set_property", "-dict"] for call in done) == len(PINS)
    assert {port: (words[1], words[3]) for port, words in pins.items()} == PINS
    assert all(words[::2] == ["PACKAGE_PIN", "IOSTANDARD"] for words in pins.values())
    assert len({words[1] for words in pins.values()}) == len(PINS)
    clocks = [call for call in done if call[0] == "create_clock"]
    assert clocks == [["create_clock", "-name", "oscillator", "-period", "5.000", "clock_p"]]
    paths = {tuple(call[1:]) for call in done if call[0] == "set_false_path"}
    assert paths == {("-from", "reset"), ("-from", "uart_rx"), ("-to", "uart_tx"), ("-to", "led[*]")}
    settings = {call[1]: call[2] for call in done if call[-1] == "current_design"}
    assert settings["CFGBVS"] == "VCCO" and settings["CONFIG_VOLTAGE"] == "3.3"

    assert (out / "vivado" / "ac701-tiny.bit").read_text() == "bitstream, Explore"


def test_pins_are_the_platforms(design):
    """Each pin and voltage of the constraints is that of a resource of the board's platform."""
    voltages = {}
    for resource in design.board.platform.resources:
        for part in resource.ios:
            ends = getattr(part, "ios", [part])
            for io in ends:
                names = io.names if hasattr(io, "names") else [*io.p.names, *io.n.names]
                voltages.update({name: resource.attrs["IOSTANDARD"] for name in names})
    for location, voltage in PINS.values():
        assert voltages[location] == voltage
    assert {
        pin.name: (pin.location, pin.attributes["IOSTANDARD"]) for pin in load_board("ac701").pins
    } == PINS
    assert design.board.clock_hz == 200e6


def test_vivado_reads_back(design, mapped, out, fake_vivado):
    directory = out / "vivado"
    for name, text in design.sources.items():
        (directory / name).write_text(text)
    options = Options((1, 2))
    result = vivado.build(design, directory, options, lambda line: None)
    assert result.tools["vivado"] == "2023.2" and not result.notice
    assert [run.mhz for run in result.runs] == [95.24, 102.56] and result.best.seed == 2
    first = result.runs[0]
    assert (first.path_from, first.path_to) == ("soc/core/pc_reg[3]", "soc/core/next_reg[5]")
    assert (first.logic_ns, first.routing_ns) == (3.2, 6.9)
    assert first.used == {"LUT": 5123, "FF": 2345, "RAMB36": 13, "DSP48E1": 16}
    assert result.checks["directives"] == {"1": "Default", "2": "Explore"}
    assert result.checks["critical_warnings"] == ["CRITICAL WARNING: [X 1-1] odd"]
    assert result.checks["estimate"]["mhz"] == mapped[0].estimate_mhz
    # Again without it: what it has left is of these files.
    (fake_vivado / "vivado").unlink()
    assert vivado.build(design, directory, options, lambda line: None) == result
    # Not of others.
    other = replace(design, system_hz=90e6)
    other.__dict__["sources"] = {**design.sources, "fides_soc.v": design.sources["fides_soc.v"] + "\n"}
    for name in (xilinx7.NETLIST, "synthesis.json"):
        (directory / name).unlink()
    small = replace(mapped[0], path=directory / xilinx7.NETLIST, key="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xilinx7, "_synthesise", lambda *arguments: small)
        assert not vivado.build(other, directory, options, lambda line: None).runs


def test_without_vivado(design, out, monkeypatch, capsys, tmp_path):
    """Nothing is wrong, nothing is built, the notice has the command, and after it the reports are read."""
    tools.find("tclsh")
    # Only what tclsh and Python need.
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "tclsh").symlink_to(tools.find("tclsh"))
    (bare / "env").symlink_to(shutil.which("env"))
    monkeypatch.setenv("PATH", str(bare))
    code, text, error = fides(monkeypatch, capsys, "--out", str(out))
    assert (code, error) == (0, "")
    assert "estimate of Fmax on AC701" in text and "bitstream:" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("vivado is not on the PATH")]
    assert "nothing was placed and routed" in line
    command = re.search(r"`(.*?)`", line)[1]

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    program(elsewhere / "vivado", VIVADO)
    (elsewhere / "timing-Default").write_text(timing("0.100"))
    (elsewhere / "report_utilization").write_text(UTILIZATION)
    path = f"{elsewhere}{os.pathsep}{bare}{os.pathsep}/usr/bin{os.pathsep}/bin"
    subprocess.run(command, shell=True, check=True, env={**os.environ, "PATH": path}, timeout=60)
    code, text, error = fides(monkeypatch, capsys, "--out", str(out))
    assert (code, error) == (0, "") and "101.01 MHz of 100 MHz" in text
    assert (out / "vivado" / "ac701-tiny.bit").exists()


def test_vivado_misses_timing(out, fake_vivado, monkeypatch, capsys):
    code, _, error = fides(monkeypatch, capsys, "--out", str(out))
    assert code == 1
    assert error.startswith(
        "fides: timing missed: 95.24 MHz of 100 MHz, 0.50 ns too slow on the path from soc/core/pc_reg[3] to "
        "soc/core/next_reg[5] (3.20 ns in cells, 6.90 ns on wires)"
    )


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ("INFO: x\nERROR: [Common 17-345] A valid license was not found for feature 'Synthesis'\n",
         "Vivado failed: it has no licence for xc7a200tfbg676-2, or none was found: ERROR: [Common 17-345]"),
        ("ERROR: [Coretcl 2-106] Specified part could not be found.\n",
         "Vivado failed: it has no part xc7a200tfbg676-2, install its Artix-7 devices: ERROR: [Coretcl"),
        ("ERROR: [Synth 8-2715] syntax error near 'wire' [/x/fides_soc.v:12]\nERROR: more\n",
         "Vivado failed: ERROR: [Synth 8-2715] syntax error near 'wire' [/x/fides_soc.v:12]"),
        ("", "Vivado failed: it gave no reason"),
    ],
)  # fmt: skip
def test_vivado_fails(out, fake_vivado, monkeypatch, capsys, says, message):
    (fake_vivado / "fail").write_text(says)
    code, _, error = fides(monkeypatch, capsys, "--out", str(out))
    assert code == 2 and error.startswith(f"fides: {message}") and error.count("\n") == 1
    log = re.search(r"\(log: (.*)\)$", error.strip())[1]
    assert says in open(log).read()


def test_vivado_misses_hold(out, fake_vivado, monkeypatch, capsys):
    (fake_vivado / "timing-Default").write_text(timing("0.100", hold="-0.070"))
    code, _, error = fides(monkeypatch, capsys, "--out", str(out))
    assert code == 2 and "hold time missed by 0.070 ns" in error


def test_vivado_hangs_or_leaves(out, fake_vivado, monkeypatch, capsys):
    (fake_vivado / "leave").touch()
    code, _, error = fides(monkeypatch, capsys, "--out", str(out))
    assert code == 2 and "Vivado ended before its script did" in error
    (fake_vivado / "leave").unlink()
    (fake_vivado / "hang").touch()
    code, _, error = fides(monkeypatch, capsys, "--out", str(out), "--timeout", "3")
    assert code == 2 and "vivado did not end within 3 s" in error


def test_vivado_has_no_seeds(out, monkeypatch, capsys):
    code, _, error = fides(monkeypatch, capsys, "--out", str(out), "--seed", "9")
    assert code == 2 and "Vivado has no seeds: its placer's 8 directives stand for them" in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no summary of slacks"),
        (TIMING.format(setup="NA", hold="0.100", word="MET"), "has timed no path"),
        (TIMING[: TIMING.index("Max Delay")].format(setup="1.000", hold="0.1"), "has no longest path"),
    ],
)
def test_vivado_reports_that_are_none(text, message):
    with pytest.raises(UserError, match=message):
        vivado_reports.read_timing(text)
    with pytest.raises(UserError, match="no line for DSPs"):
        vivado_reports.read_utilization(UTILIZATION.replace("DSPs", "None"))


@pytest.fixture
def open_tools(fakes, tmp_path, monkeypatch):
    """openXC7's programs and databases, as far as they are looked at."""
    (fakes / "log").write_text(NEXTPNR_LOG.format(mhz="88.50", word="FAIL"))
    (fakes / "fasm").write_text(FASM)
    program(
        fakes / "nextpnr-xilinx",
        f"""#!/bin/sh
        here={fakes}
        if [ "$1" = --version ]; then echo '"nextpnr-xilinx" -- Next (Version 0.8.2-1)' >&2; exit 0; fi
        echo nextpnr-xilinx "$@" >> $here/open-calls
        cat pins.xdc > $here/seen.xdc
        if [ -e $here/fail ]; then cat $here/fail >&2; exit 255; fi
        while [ $# -gt 0 ]; do if [ "$1" = --fasm ]; then cp $here/fasm "$2"; fi; shift; done
        cat $here/log >&2
        """,
    )
    program(
        fakes / "fasm2frames",
        f"""#!/bin/sh
        echo fasm2frames "$@" >> {fakes}/open-calls
        if [ -e {fakes}/no-frames ]; then echo "KeyError: 'unknown feature'"; exit 1; fi
        for last; do true; done; echo frames > "$last"
        """,
    )
    program(
        fakes / "xc7frames2bit",
        f"""#!/bin/sh
        echo xc7frames2bit "$@" >> {fakes}/open-calls
        for last; do true; done; cp {fakes}/bit "$last"
        """,
    )
    (fakes / "bit").write_bytes(b"head xc7a200tfbg676-2 head" + bytes.fromhex("ffffaa995566") + bytes(100))
    chips, database = tmp_path / "chips", tmp_path / "database"
    chips.mkdir()
    (chips / "xc7a200tfbg676.bin").touch()
    (database / "artix7" / "xc7a200tfbg676-2").mkdir(parents=True)
    (database / "artix7" / "xc7a200tfbg676-2" / "part.yaml").touch()
    (database / "artix7" / "xc7a200t").mkdir()
    (database / "artix7" / "xc7a200t" / "tilegrid.json").touch()
    (database / "artix7" / "xc7a200t" / "tileconn.json").touch()
    monkeypatch.setenv(openxc7.CHIPDB, str(chips))
    monkeypatch.setenv(openxc7.DATABASE, str(database))
    return fakes


def test_openxc7(out, open_tools, uncascaded, design, monkeypatch, capsys):
    """Commands and options, what is read of the log, and that it is recalled."""
    arguments = ("--out", str(out), "--toolchain", "openxc7", "--seeds", "2", "--jobs", "1")
    code, text, error = fides(monkeypatch, capsys, *arguments)
    assert code == 1 and "estimate of Fmax on AC701" in text
    assert (
        "timing missed: 88.50 MHz of 100 MHz, 1.30 ns too slow on the path from soc.core.pc to soc.core.next "
        "(3.30 ns in cells, 8.00 ns on wires)"
    ) in error
    first, second, assembled, packed = (open_tools / "open-calls").read_text().splitlines()
    assert "--freq 100.000000" in first and "--seed 1 " in first and "--seed 2 " in second
    assert f"--chipdb {os.environ[openxc7.CHIPDB]}/xc7a200tfbg676.bin" in first
    assert re.search(r"--xdc pins.xdc --json \S+/placed.json --fasm \S+.fasm", first)
    assert (open_tools / "seen.xdc").read_text() == xilinx7.pin_constraints(design.board)
    database = f"{os.environ[openxc7.DATABASE]}/artix7"
    assert f"fasm2frames --db-root {database} --part xc7a200tfbg676-2 " in assembled
    assert "--part_name xc7a200tfbg676-2 " in packed
    assert f"--part_file {database}/xc7a200tfbg676-2/part.yaml" in packed
    assert (out / "openxc7" / "ac701-tiny.bit").exists()
    assert "Max frequency" in (out / "openxc7" / "seed-1.log").read_text()

    result = openxc7.build(design, out / "openxc7", Options((1, 2)), lambda line: None)
    assert result.best.used == {"LUT": 3, "FF": 2311, "RAMB36": 14, "DSP48E1": 16}
    assert result.tools["nextpnr-xilinx"] == "0.8.2-1"
    assert result.synthesised == uncascaded.needed
    assert (open_tools / "open-calls").read_text().count("nextpnr-xilinx") == 2  # recalled


@pytest.mark.parametrize("missing", ["nextpnr-xilinx", "fasm2frames", "xc7frames2bit"])
def test_openxc7_program_missing(out, open_tools, monkeypatch, capsys, missing):
    (open_tools / missing).unlink()
    if shutil.which(missing):
        pytest.skip(f"{missing} is installed")
    code, text, error = fides(monkeypatch, capsys, "--out", str(out), "--toolchain", "openxc7")
    assert code == 2 and "Verilog" not in text  # before any work
    expected = f"{missing} is not installed: it is one of openXC7's tools, see docs/fpga-ac701.md"
    assert error == f"fides: {expected}\n"
    assert (tools.ROOT / "docs" / "fpga-ac701.md").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda at, env: env.delenv(openxc7.CHIPDB),
         "chip database is not installed: name it in OPENXC7_CHIPDB"),
        (lambda at, env: env.setenv(openxc7.DATABASE, "/absent"),
         "PRJXRAY_DB_DIR names /absent, which is not"),
        (lambda at, env: (at / "chips" / "xc7a200tfbg676.bin").unlink(),
         "part xc7a200tfbg676-2 is not in the database:"),
        (lambda at, env: shutil.rmtree(at / "database" / "artix7" / "xc7a200tfbg676-2"),
         "part xc7a200tfbg676-2 is not in the database:"),
        (lambda at, env: (at / "database" / "artix7" / "xc7a200t" / "tilegrid.json").unlink(),
         "part xc7a200tfbg676-2 is not complete in the database:"),
        (lambda at, env: (at / "fakes" / "fail").write_text("Info: x\nERROR: no Bel of type IOB\n"),
         "nextpnr-xilinx failed: ERROR: no Bel of type IOB (log: "),
        (lambda at, env: (at / "fakes" / "log").write_text("Info: nothing\n"),
         "nextpnr-xilinx reports on 0 clocks, not on one (log: "),
        (lambda at, env: (at / "fakes" / "no-frames").touch(),
         "fasm2frames failed: KeyError: 'unknown feature' (log: "),
        (lambda at, env: (at / "fakes" / "bit").write_bytes(b"xc7a35tcpg236-1" + bytes.fromhex("aa995566")),
         "the bitstream is not for xc7a200tfbg676-2"),
        (lambda at, env: (at / "fakes" / "bit").write_bytes(b"xc7a200tfbg676-2"),
         "xc7frames2bit wrote no bitstream"),
    ],
)  # fmt: skip
def test_openxc7_fails(out, open_tools, monkeypatch, capsys, tmp_path, spoil, message):
    spoil(tmp_path, monkeypatch)
    code, text, error = fides(monkeypatch, capsys, "--out", str(out), "--toolchain", "openxc7")
    assert code == 2 and message in error and error.count("\n") == 1
    # What is wrong with a database is known before the work.
    assert ("synthesis" in text) == ("DB" not in error)
    assert not (out / "openxc7" / "ac701-tiny.bit").exists()


def test_fabric_of_a_small_part(tmp_path, monkeypatch):
    """A part that is a larger one's die with less of it usable has the grid in that one's folder."""
    family = tmp_path / "artix7"
    (family / "xc7a35tcpg236-1").mkdir(parents=True)
    (family / "xc7a35tcpg236-1" / "part.yaml").touch()
    (family / "mapping").mkdir()
    (family / "mapping" / "devices.yaml").write_text('"xc7a35t":\n  fabric: "xc7a50t"\n')
    monkeypatch.setenv(openxc7.DATABASE, str(tmp_path))
    board = load_board("ac701")
    platform = type("Small", (board.platform,), {"device": "xc7a35t", "package": "cpg236", "speed": "1"})
    small = replace(board, platform=platform)
    with pytest.raises(UserError, match="artix7/xc7a50t has no tilegrid.json"):
        openxc7.xray_part(small)
    (family / "xc7a50t").mkdir()
    (family / "xc7a50t" / "tilegrid.json").touch()
    (family / "xc7a50t" / "tileconn.json").touch()
    assert openxc7.xray_part(small) == family / "xc7a35tcpg236-1"


def test_log_of_nextpnr_xilinx():
    found = nextpnr_xilinx.read_log(NEXTPNR_LOG.format(mhz="120.25", word="PASS"))
    assert found == nextpnr_xilinx.Timing(120.25, "soc.core.pc", "soc.core.next", 3.3, 8.0)
    cells = {"soc.core.pc_FDRE_Q_3": {"connections": {"Q": [7]}}}
    nets = {"n": {"hide_name": 1, "bits": [7]}, "soc.pc": {"bits": [6, 7]}}
    name = nextpnr_xilinx.register_names({"cells": cells, "netnames": nets})
    found = nextpnr_xilinx.read_log(NEXTPNR_LOG.format(mhz="120.25", word="PASS"), name)
    assert (found.path_from, found.path_to) == ("soc.pc[1]", "soc.core.next")
    with pytest.raises(UserError, match="reports on 2 clocks"):
        nextpnr_xilinx.read_log(NEXTPNR_LOG + "Info: Max frequency for clock 'other': 9.00 MHz (PASS)")
    with pytest.raises(UserError, match="has no longest path"):
        nextpnr_xilinx.read_log("Info: Max frequency for clock 'clk': 9.00 MHz (PASS at 1.00 MHz)")
    with pytest.raises(UserError, match="does not say how many 'DSP48E1'"):
        nextpnr_xilinx.read_used(NEXTPNR_LOG.replace("DSP48E1", "DSP49"), FASM)


def test_program_that_hangs(tmp_path):
    """It is ended with what it has started, a step that begins gives it time, and the log is kept."""
    script = tmp_path / "slow"
    program(script, "#!/bin/sh\nfor i in 1 2 3 4; do echo step $i; sleep 0.4; done\nsleep 60 & wait\n")
    log = tmp_path / "log"
    with pytest.raises(UserError, match=r"slow did not end within 1 s \(log: "):
        process.run([script], tmp_path, log, 1.0, lambda line: line.startswith("step"))
    assert log.read_text().splitlines() == [f"step {i}" for i in (1, 2, 3, 4)]
    program(script, "#!/bin/sh\nkill -9 $$\n")
    with pytest.raises(UserError, match="slow was ended by signal 9"):
        process.run([script], tmp_path, log, 1.0)
    with pytest.raises(UserError, match="cannot run"):
        process.run([tmp_path / "absent"], tmp_path, log, 1.0)


def test_timing_script_is_shared():
    """The estimate is of the same kind as the paths of `fides synth`."""
    commands = synthesis.TIMING.format(top="board_top")
    assert commands.replace("timing.txt", "timing-8000.txt") in xilinx7._MAP.format(target=8000)
    assert synthesis.TIMING in synthesis._SCRIPT


def carry(name, s, di, ci, cyinit, co, o):
    """A CARRY4 as Yosys writes it."""
    connections = {"CI": [ci], "CYINIT": [cyinit], "DI": di, "S": s, "CO": co, "O": o}
    directions = {port: "output" if port in ("CO", "O") else "input" for port in connections}
    return {name: {"type": "CARRY4", "port_directions": directions, "connections": connections}}


def evaluate(module, values):
    """Values of all bits, from those of the inputs: cells until nothing changes."""
    values = {"0": 0, "1": 1, **values}
    for _ in range(len(module["cells"]) + 1):
        for cell in module["cells"].values():
            at = cell["connections"]
            if cell["type"] == "LUT2":
                number = values.get(at["I0"][0], 0) + 2 * values.get(at["I1"][0], 0)
                values[at["O"][0]] = int(cell["parameters"]["INIT"][::-1][number])
                continue
            through = values.get(at["CI"][0], 0) | values.get(at["CYINIT"][0], 0)
            for i in range(4):
                select = values.get(at["S"][i], 0)
                values[at["O"][i]] = select ^ through
                through = through if select else values.get(at["DI"][i], 0)
                values[at["CO"][i]] = through
    return values


def test_carries_are_led_out_of_chains(tmp_path):
    """Two CARRY4 in a row: inside a chain a carry outside goes by a LUT, with the same value; at the end of
    it, and between the chain alone, it stays."""
    s, di = list(range(2, 10)), list(range(10, 18))
    cells = {
        **carry("low", s[:4], di[:4], "0", "1", [20, 21, 22, 23], [30, 31, "x", 33]),
        **carry("high", s[4:], di[4:], 23, "0", [24, 25, 26, 27], [34, 35, 36, 37]),
    }
    cells |= carry("short", s[:4], di[:4], "0", "0", [50, "x", "x", "x"], ["x"] * 4)
    # Carries 20, 23, and at the ends 27 and 50.
    for name, bits in (("a", (20, 31)), ("b", (23, 20)), ("c", (27, 23)), ("d", (50, 31))):
        cells[name] = {
            "type": "LUT2", "parameters": {"INIT": "0110"},
            "port_directions": {"I0": "input", "I1": "input", "O": "output"},
            "connections": {"I0": [bits[0]], "I1": [bits[1]], "O": [40 + ord(name) - ord("a")]},
        }  # fmt: skip
    ports = {"x": {"direction": "input", "bits": s + di},
             "y": {"direction": "output", "bits": [22, 33, 34, 37, 40, 41, 42, 43]}}  # fmt: skip
    module = {"ports": ports, "cells": cells, "netnames": {}}
    source = random.Random(1)
    numbers = [source.getrandbits(16) for _ in range(200)]
    given = [{bit: number >> i & 1 for i, bit in enumerate(s + di)} for number in numbers]
    before = [[evaluate(module, x)[bit] for bit in ports["y"]["bits"]] for x in given]
    assert len({tuple(values) for values in before}) > 20

    netlist = tmp_path / "netlist.json"
    netlist.write_text(json.dumps({"modules": {"board_top": module}}))
    assert openxc7._prepare(xilinx7.Mapped(netlist, "", {}, 1.0, 12_000), tmp_path)[1] == 2
    module = json.loads((tmp_path / openxc7.PLACED).read_text())["modules"]["board_top"]
    cells = module["cells"]
    assert [[evaluate(module, x)[bit] for bit in ports["y"]["bits"]] for x in given] == before
    at = {name: cells[name]["connections"] for name in cells}
    assert at["high"]["CI"] == [23] and at["c"]["I0"] == [27] and at["d"]["I0"] == [50]
    outside = [bit for name in "abc" for port in ("I0", "I1") for bit in at[name][port]]
    assert not {20, 23} & set(outside)
    assert carry_taps.tap_carries(module) == 0


def cascades(netlist):
    """Of the RAMB36 of a netlist: RAM_EXTENSION of both ports, and how many wires go from one to another."""
    cells = json.loads(netlist.read_text())["modules"]["board_top"]["cells"].values()
    rams = [cell for cell in cells if cell["type"] == "RAMB36E1"]
    extensions = Counter(cell["parameters"][f"RAM_EXTENSION_{port}"] for cell in rams for port in "AB")
    outward, inward = (
        {bit for cell in rams for port in "AB" for bit in cell["connections"].get(f"CASCADE{way}{port}", [])}
        for way in ("OUT", "IN")
    )
    return extensions, len(outward & inward - {"0", "1", "x"})


def test_openxc7_gets_no_cascaded_block_ram(out, open_tools, mapped, uncascaded, monkeypatch, capsys):
    """nextpnr-xilinx fails in the router on the pairs that Yosys makes of 64 Ki words unless told not to."""
    extensions, wires = cascades(mapped[0].path)
    assert extensions["LOWER"] and extensions["LOWER"] == extensions["UPPER"] and wires
    fides(monkeypatch, capsys, "--out", str(out), "--toolchain", "openxc7")
    assert cascades(out / "openxc7" / openxc7.PLACED) == (Counter(NONE=2 * 6), 0)
    assert uncascaded.needed["RAMB36"] == mapped[0].needed["RAMB36"]


def test_memories_are_mapped_as_synth_xilinx_does(tmp_path):
    """But for cascades: the commands are those that Yosys gives itself."""
    (tmp_path / "one.v").write_text("module one(input a, output b); assign b = a; endmodule\n")
    script = "read_verilog one.v\necho on\nsynth_xilinx -family xc7 -top one -run map_memory:map_ffram\n"
    log = tools.run_yosys(script, tmp_path, "commands").read_text()
    given = [line for line in re.findall(r"^yosys> (.*)", log, re.MULTILINE) if "synth_xilinx" not in line]
    assert given[0].startswith("memory_libmap ") and " -D HAS_CASCADE " in given[0]
    own = xilinx7._COARSE_UNCASCADED.replace("\\\n  ", "").splitlines()
    assert own[1:-1] == [given[0].replace("-D HAS_CASCADE ", ""), *given[1:]]
