"""A module without wide ports around a mapped one, so that it can be placed alone on a part with few pins.

Every input comes out of a flip-flop of one long shift register, every output goes into a flip-flop of
another, through an exclusive or with the bit before it: all paths of the module begin and end at a register,
nothing in it is without a use, and four pins are enough.
"""

from collections.abc import Mapping
from typing import Any

from fides_core.errors import UserError

__all__ = ["NAME", "harness"]

NAME = "harness"
"""The module around the other; an instance of that is called ``dut``."""

_TEXT = """\
(* blackbox *)
module {top}({declarations});
endmodule

module {name}(input clk, input rst, input scan_in, output scan_out);
  reg [1:0] reset;
  reg [{last_input}:0] stimulus;
  reg [{last_output}:0] signature;
  wire [{last_output}:0] answer;
  always @(posedge clk) begin
    reset <= {{reset[0], rst}};
    stimulus <= {{stimulus, scan_in}};
    signature <= {{signature, 1'b0}} ^ answer;
  end
  assign scan_out = signature[{last_output}];
  {top} dut ({connections});
endmodule
"""


def harness(top: str, ports: Mapping[str, Mapping[str, Any]]) -> str:
    """Verilog of the harness of module ``top`` and a black box for that.

    ``ports``: as Yosys writes them as JSON. ``clk`` is the clock and ``rst``, if there is one, the reset,
    which the harness has in a register. Raises UserError for a module that cannot be timed: without clock,
    other input or output, or with a port that is both.
    """
    widths = {name: len(port["bits"]) for name, port in ports.items()}
    of = {direction: [name for name, port in ports.items() if port["direction"] == direction]
          for direction in ("input", "output", "inout")}  # fmt: skip
    inputs = [name for name in of["input"] if name not in ("clk", "rst")]
    for lacks, there in (("clock clk", "clk" in of["input"]), ("input", inputs), ("output", of["output"])):
        if not there:
            raise UserError(f"module {top} cannot be timed: it has no {lacks}")
    if of["inout"]:
        raise UserError(f"module {top} cannot be timed: port {of['inout'][0]} is input and output")
    connections = [".clk(clk)", *([".rst(reset[1])"] if "rst" in of["input"] else [])]
    last = {}
    for register, names in (("stimulus", inputs), ("answer", of["output"])):
        used = 0
        for name in names:
            # Names are escaped, because some are words of Verilog.
            connections.append(f".\\{name} ({register}[{used + widths[name] - 1}:{used}])")
            used += widths[name]
        last[register] = used - 1
    return _TEXT.format(
        top=top,
        name=NAME,
        declarations=", ".join(
            f"{port['direction']} [{widths[name] - 1}:0] \\{name} " for name, port in ports.items()
        ),
        connections=", ".join(connections),
        last_input=last["stimulus"],
        last_output=last["answer"],
    )
