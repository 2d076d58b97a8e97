"""The top level on a board: clock and reset, and the system on a chip between the pins."""

import math

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .board import Board

__all__ = ["BoardTop", "ResetSynchronizer", "SOC"]

SOC = "fides_soc"
"""The module that is taken for the system: its Verilog stands in a file of its own."""


class ResetSynchronizer(wiring.Component):
    """``request``: asynchronous, high asks for a reset; a pulse is noted however short it is, and while the
    clock stands still. ``reset``: for domain ``sync``, high from power-up on and until two to three cycles
    after the request. It changes with the clock only: memories never get half an address when a reset begins.

    Of domain ``sync`` it uses the clock alone, so that the reset of that may be this component's."""

    request: In(1)
    reset: Out(1, init=1)

    def elaborate(self, platform):
        m = Module()
        caught = ClockDomain("caught", async_reset=True, local=True)
        plain = ClockDomain("plain", reset_less=True, local=True)
        m.domains += [caught, plain]
        m.d.comb += [
            caught.clk.eq(ClockSignal("sync")),
            caught.rst.eq(self.request),
            plain.clk.eq(ClockSignal("sync")),
        ]
        stages = [Signal(name=f"stage_{i}", init=1, attrs={"ASYNC_REG": "TRUE"}) for i in range(2)]
        for stage, before in zip(stages, [Const(0), *stages], strict=False):
            m.d.caught += stage.eq(before)
        held = Signal(init=1)
        m.d.plain += held.eq(stages[-1])
        m.d.comb += self.reset.eq(held)
        return m


class BoardTop(wiring.Component):
    """The ports are those of ``board.pins``. The system, module ``fides_soc``, runs on one clock of
    ``system_hz`` (Hz; default: the board's) and is in reset until that is stable, and while the reset button
    is pressed. LEDs, as far as there are: a blink each second, out of reset, the program has ended, it has
    ended with 0, and the lowest bits of its exit code.

    Raises ValueError when the clock generator cannot make that frequency."""

    def __init__(self, board: Board, system_hz: float | None = None):
        self._board = board
        self._generator = board.generator(system_hz)
        widths: dict[str, int] = {}
        for pin in board.pins:
            widths[pin.port] = widths.get(pin.port, 0) + 1
        outputs = {pin.port for pin in board.pins if pin.output}
        super().__init__({
            port: (Out if port in outputs else In)(width) for port, width in widths.items()
        })  # fmt: skip

    def _inverted(self, port: str) -> Const:
        return Const.cast(Cat(Const(pin.inverted, 1) for pin in self._board.pins if pin.port == port))

    def elaborate(self, platform):
        m = Module()
        board = self._board
        m.domains.sync = sync = ClockDomain()
        m.submodules.generator = generator = self._generator
        m.submodules.reset_synchronizer = synchronizer = ResetSynchronizer()
        source = Cat(self.clock_p, self.clock_n) if board.differential else self.clock
        m.d.comb += [
            generator.source.eq(source),
            sync.clk.eq(generator.clock),
            synchronizer.request.eq(~generator.locked | (self.reset ^ self._inverted("reset"))),
            sync.rst.eq(synchronizer.reset),
        ]

        exit_valid, exit_code, tx = Signal(), Signal(32), Signal()
        m.submodules.soc = Instance(
            SOC,
            i_clk=ClockSignal(),
            i_rst=ResetSignal(),
            i_uart_rx=self.uart_rx ^ self._inverted("uart_rx"),
            i_external_interrupt=Const(0),
            o_uart_tx=tx,
            o_exit_valid=exit_valid,
            o_exit_code=exit_code,
            o_axi_violation=Signal(8),
        )
        m.d.comb += self.uart_tx.eq(tx ^ self._inverted("uart_tx"))

        seconds = Signal(math.ceil(math.log2(generator.dividers.output_hz)))
        m.d.sync += seconds.eq(seconds + 1)
        shown = Cat(seconds[-1], ~ResetSignal(), exit_valid, exit_valid & (exit_code == 0), exit_code)
        if board.leds:
            m.d.comb += self.led.eq(shown[: len(self.led)] ^ self._inverted("led"))
        if board.high:
            m.d.comb += self.high.eq(~self._inverted("high"))
        return m
