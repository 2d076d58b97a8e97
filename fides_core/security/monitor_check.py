"""Range check of a core whose crossings the monitor judges: is this instruction at home, and if not, what is
it? (docs/ablation.md)

The mechanism that was published for FIDES, to compare with: the current range is in registers that the
monitor writes, and every instruction outside traps to it. There is no matrix, no range table and no stack.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import XfidesConfig
from ..core.control import SecurityOp
from ..isa.causes import CrossingTrap
from ..isa.csrs import MonitorCSR, XfidesCSR
from ..isa.xfides import RANGE_ALIGN
from .registers import Context, RegisterPort, number_pattern

__all__ = ["MonitorCheck"]

_GRAIN = (RANGE_ALIGN - 1).bit_length()


class MonitorCheck(wiring.Component):
    """The unit, combinational but for its registers.

    ``x_check`` says that the instruction ``x_op`` at ``x_pc`` is to be judged. ``x_reason``: a CrossingTrap
    when it traps to the monitor, else 0. ``locked``: writes to fluid bounds are ignored. ``rdata``: currcom;
    the fluid bounds are read elsewhere (``readback.py``), the current range is not.
    """

    x_check: In(1)
    x_pc: In(32)
    x_op: In(SecurityOp)
    x_reason: Out(3)
    locked: In(1)
    registers: In(RegisterPort)
    rdata: Out(64)

    def __init__(self, config: XfidesConfig):
        self._compartments = config.compartments
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        registers = self.registers
        context = Signal(Context)
        cid_bits = (self._compartments - 1).bit_length()

        # Bounds, bits [31:6].
        current_start = Signal(26, reset_less=True)
        current_end = Signal(26, reset_less=True)
        par_start = Signal(26, reset_less=True)
        any_start = Signal(26, reset_less=True)
        any_end = Signal(26, reset_less=True)

        place = self.x_pc[_GRAIN:]
        above_any = Signal()
        home = Signal()
        m.d.comb += [
            above_any.eq(place >= any_start),
            home.eq(
                (above_any & (place < any_end))
                | Mux(
                    context.restricted,
                    (place >= par_start) & ~above_any,
                    (place >= current_start) & (place < current_end),
                )
            ),
        ]
        with m.If(self.x_check):
            with m.If(self.x_op == SecurityOp.HANDLER_PAD):
                m.d.comb += self.x_reason.eq(CrossingTrap.HANDLER_PAD)
            with m.Elif(home):
                with m.Switch(self.x_op):
                    with m.Case(SecurityOp.ARM):
                        m.d.comb += self.x_reason.eq(CrossingTrap.ARM)
                    with m.Case(SecurityOp.DISARM):
                        m.d.comb += self.x_reason.eq(CrossingTrap.DISARM)
            with m.Else():
                with m.Switch(self.x_op):
                    with m.Case(SecurityOp.ENTRY_PAD):
                        m.d.comb += self.x_reason.eq(CrossingTrap.ENTRY_PAD)
                    with m.Case(SecurityOp.LOCAL_PAD):
                        m.d.comb += self.x_reason.eq(CrossingTrap.LOCAL_PAD)
                    with m.Default():
                        m.d.comb += self.x_reason.eq(CrossingTrap.OUTSIDE)

        with m.Switch(registers.number):
            with m.Case(number_pattern(XfidesCSR.CURRCOM)):
                m.d.comb += self.rdata.eq(context.as_value())
                with m.If(registers.write):
                    m.d.sync += [
                        context.cid.eq(registers.wdata[:cid_bits]),
                        context.restricted.eq(registers.wdata[8]),
                    ]
            with m.Case(number_pattern(MonitorCSR.COMRANGE)):
                with m.If(registers.write):
                    m.d.sync += [
                        current_start.eq(registers.wdata[_GRAIN:32]),
                        current_end.eq(registers.wdata[32 + _GRAIN :]),
                    ]
            for csr, bound in (
                (XfidesCSR.PARCOMPCSTART, par_start),
                (XfidesCSR.ANYCOMPCSTART, any_start),
                (XfidesCSR.ANYCOMPCEND, any_end),
            ):
                with m.Case(number_pattern(csr)):
                    with m.If(registers.write & ~self.locked):
                        m.d.sync += bound.eq(registers.wdata[_GRAIN:32])
        return m
