"""Radiona ULX3S with an LFE5U-85F, pins by amaranth-boards. docs/fpga.md says what each line is for."""

from amaranth_boards.ulx3s import ULX3S_85F_Platform

from fides_core.soc.board import Board
from fides_core.soc.clocking import EcpPll

BOARD = Board(
    name="ulx3s",
    title="Radiona ULX3S, LFE5U-85F",
    platform=ULX3S_85F_Platform,
    clock=("clk25", 0),
    clock_generator=EcpPll,
    system_hz=24e6,  # 115,200 baud to 0.2 %
    uart=("uart", 0),
    reset=("button_fire", 0),
    leds=tuple(("led", number) for number in range(8)),
    high=(("esp32", 0, "gpio0"),),  # low, the ESP32 would take the board over
    memory_bytes=256 << 10,
    largest_memory_bytes=256 << 10,
    toolchains=("ecp5",),
    capacity={"TRELLIS_COMB": 83640, "TRELLIS_FF": 83640, "DP16KD": 208, "MULT18X18D": 156},
)
