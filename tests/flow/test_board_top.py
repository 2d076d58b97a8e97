"""The top level of boards as Verilog, with clock generator and system replaced: what is wired to what."""

import subprocess

import pytest

from fides_core.flow import tools, verilog
from fides_core.flow.build.boards import load_board
from fides_core.flow.build.design import TOP
from fides_core.soc.board_top import BoardTop

STUBS = """
module EHXPLLL(
  input CLKI, CLKFB, RST, STDBY, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG, PLLWAKESYNC,
  input ENCLKOP, ENCLKOS, output CLKOP, CLKOS, output reg LOCK
);
  parameter CLKI_DIV = 0, CLKFB_DIV = 0, CLKOP_DIV = 0, CLKOS_DIV = 0, CLKOP_CPHASE = 0, CLKOS_CPHASE = 0;
  parameter CLKOP_FPHASE = 0, CLKOS_FPHASE = 0, CLKOP_ENABLE = "", CLKOS_ENABLE = "", FEEDBK_PATH = "";
  parameter DPHASE_SOURCE = "", INTFB_WAKE = "", PLLRST_ENA = "", STDBY_ENABLE = "";
  assign CLKOS = CLKI, CLKOP = 0;
  reg [3:0] count = 0;
  initial LOCK = 0;
  always @(posedge CLKI) begin count <= count + 1; if (count == 9) LOCK <= 1; end
endmodule

module fides_soc(
  input clk, rst, uart_rx, external_interrupt, output uart_tx, exit_valid, output [31:0] exit_code,
  output [7:0] axi_violation
);
  // Ends after some cycles out of reset, with what the UART's input is.
  reg [4:0] cycles = 0;
  always @(posedge clk) if (rst) cycles <= 0; else if (~&cycles) cycles <= cycles + 1;
  assign uart_tx = ~uart_rx, exit_valid = &cycles, exit_code = uart_rx ? 32'h15 : 0, axi_violation = 0;
  always @(posedge clk) if (external_interrupt) $fatal(1, "interrupt");
endmodule
"""

BENCH = """
#include <cstdio>
#include "Vboard_top.h"
int main() {
  Vboard_top top;
  top.uart_rx = 1;
  for (int cycle = 0; cycle < 200; ++cycle) {
    top.reset = cycle == 100;
    if (cycle == 60) top.uart_rx = 0;
    top.clock = 0; top.eval();
    top.clock = 1; top.eval();
    std::printf("%d %d %d %d\\n", cycle, (int)top.led, (int)top.uart_tx, (int)top.high);
  }
}
"""

RUNNING, ENDED, WELL = 2, 4, 8


@pytest.fixture(scope="module")
def states(tmp_path_factory) -> dict[int, tuple[int, int, int]]:
    """LEDs, UART output and outputs held high after each cycle."""
    directory = tmp_path_factory.mktemp("top")
    (directory / "top.v").write_text(verilog.convert(BoardTop(load_board("ulx3s")), TOP) + STUBS)
    (directory / "bench.cpp").write_text(BENCH)
    command = [
        tools.find("verilator"), "--cc", "--exe", "--build", "--top", TOP, "-Wno-fatal", "-Wno-lint",
        "-Mdir", "objects", "-o", "bench", "-MAKEFLAGS", "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0",
        "top.v", "bench.cpp",
    ]  # fmt: skip
    options = {"cwd": directory, "check": True, "capture_output": True, "text": True, "timeout": 300}
    subprocess.run(command, env=tools.environment(), **options)
    done = subprocess.run([directory / "objects" / "bench"], **options)
    rows = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    return {cycle: tuple(rest) for cycle, *rest in rows}


def test_system_is_in_reset_until_the_clock_is_stable(states):
    running = [bool(led & RUNNING) for led, _, _ in states.values()]
    first = running.index(True)
    # Locked with the tenth edge, then three edges.
    assert 12 <= first <= 14
    assert all(running[first:100])


def test_program_that_ends(states):
    first = next(cycle for cycle, (led, _, _) in states.items() if led & RUNNING)
    ended = next(cycle for cycle, (led, _, _) in states.items() if led & ENDED)
    assert ended == first + 31
    # Exit code 0x15 first, then 0, because of the UART's input.
    assert states[59][0] & ~1 == RUNNING | ENDED | (0x5 << 4)
    assert states[60][0] & ~1 == RUNNING | ENDED | WELL


def test_button_resets(states):
    assert states[99][0] & ENDED
    assert not any(states[cycle][0] & (RUNNING | ENDED) for cycle in range(101, 103))
    assert states[104][0] & ~1 == RUNNING
    assert states[199][0] & ENDED


def test_serial_lines_and_outputs_held(states):
    assert states[30][1] == 0 and states[70][1] == 1
    assert all(high == 1 for _, _, high in states.values())
