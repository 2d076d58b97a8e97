"""Xilinx AC701 evaluation board. Pins and voltages as in the board's user guide UG952; docs/fpga.md says what
they were checked against."""

from amaranth.build import Attrs, Clock, DiffPairs, Pins, Resource, Subsignal
from amaranth.vendor import XilinxPlatform

from fides_core.soc.board import Board
from fides_core.soc.clocking import Mmcm

__all__ = ["AC701Platform", "BOARD"]


class AC701Platform(XilinxPlatform):
    device = "xc7a200t"
    package = "fbg676"
    speed = "2"
    default_clk = "clk200"
    resources = [
        Resource("clk200", 0, DiffPairs("R3", "P3", dir="i"), Clock(200e6), Attrs(IOSTANDARD="LVDS_25")),
        # Programmable, 156.25 MHz after power-up.
        Resource(
            "clk_user", 0, DiffPairs("M21", "M22", dir="i"), Clock(156.25e6), Attrs(IOSTANDARD="LVDS_25")
        ),
        Resource("cpu_reset", 0, Pins("U4", dir="i"), Attrs(IOSTANDARD="LVCMOS15")),
        Resource(
            "uart",
            0,
            # The bridge's own names are the other way round: its RX is at our transmitter.
            Subsignal("tx", Pins("U19", dir="o")),
            Subsignal("rx", Pins("T19", dir="i")),
            Attrs(IOSTANDARD="LVCMOS18"),
        ),
        *(
            Resource("led", number, Pins(pin, dir="o"), Attrs(IOSTANDARD="LVCMOS33"))
            for number, pin in enumerate(("M26", "T24", "T25", "R26"))
        ),
    ]
    connectors = []


BOARD = Board(
    name="ac701",
    title="Xilinx AC701, XC7A200T-2FBG676C",
    platform=AC701Platform,
    clock=("clk200", 0),
    clock_generator=Mmcm,
    system_hz=100e6,
    uart=("uart", 0),
    reset=("cpu_reset", 0),
    leds=tuple(("led", number) for number in range(4)),
    memory_bytes=1 << 20,
    largest_memory_bytes=1 << 20,
    toolchains=("vivado", "openxc7"),
    configuration={"CFGBVS": "VCCO", "CONFIG_VOLTAGE": "3.3"},
    capacity={"LUT": 134600, "FF": 269200, "RAMB36": 365, "DSP48E1": 740},
)
