"""Capability check: may this instruction execute where it stands, and may control cross here? (contract,
section 5)

The current range is not held in registers: it is what the range table's block RAM puts out. A crossing takes
one cycle more than the same landing inside a compartment: in execute the landing pad reads the matrix and the
new range, in the memory stage both are judged and the context changes, while execute waits.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..config import XfidesConfig
from ..isa.causes import ControlFlowFault
from ..isa.csrs import Comsel, XfidesCSR
from .registers import Context, RegisterPort, TableWindow, number_pattern

__all__ = ["CapabilityCheck"]

_GRAIN = 6  # log2 of the range granularity in bytes
_MATRIX_WIDTH = 64


class CapabilityCheck(wiring.Component):
    """The unit.

    Execute: ``x_check`` says that the instruction at ``x_pc`` is to be judged;
    ``x_pad``/``x_local``/``x_cid`` describe it if it is an entry or local pad; a handler pad (``x_handler``)
    is at home everywhere. Combinational: ``x_home``, ``x_crossing`` (a pad whose crossing has to be judged in
    the memory stage) and ``x_fault`` with ``x_reason``. ``x_obstacle`` is what else stands against the
    crossing (a ControlFlowFault, 0 for nothing; judged after the matrix). ``x_advance``: the instruction
    moves to the memory stage with this clock edge, unless the instruction before it traps.

    Memory stage: ``m_crossing`` while a crossing is there (one cycle; execute must wait), at address
    ``m_pc``;
    ``m_fault``/``m_reason`` its verdict; the context changes at the end of the cycle with ``m_commit``.

    ``rdata``: currcom; the bounds are read elsewhere (``readback.py``).

    ``restore``: the context becomes ``restore_context`` (return, unwinding); the range follows in the next
    cycle.
    """

    def __init__(self, config: XfidesConfig):
        self._compartments = config.compartments
        super().__init__(
            {
                "x_check": In(1),
                "x_pc": In(32),
                "x_pad": In(1),
                "x_local": In(1),
                "x_handler": In(1),
                "x_cid": In(8),
                "x_obstacle": In(3),
                "x_advance": In(1),
                "x_home": Out(1),
                "x_crossing": Out(1),
                "x_fault": Out(1),
                "x_reason": Out(3),
                "m_pc": In(32),
                "m_commit": In(1),
                "m_crossing": Out(1),
                "m_fault": Out(1),
                "m_reason": Out(3),
                "restore": In(1),
                "restore_context": In(Context),
                "context": Out(Context),
                "registers": In(RegisterPort),
                "window": In(TableWindow),
                "rdata": Out(64),
            }
        )

    def elaborate(self, platform):
        m = Module()
        cid_bits = (self._compartments - 1).bit_length()
        context = self.context

        # Fluid bounds, bits [31:6].
        par_start = Signal(26, reset_less=True)
        any_start = Signal(26, reset_less=True)
        any_end = Signal(26, reset_less=True)

        # Range table: two memories, so that start and end can be written one by one.
        tables = {}
        for name, item in (("starts", Comsel.RANGE_START), ("ends", Comsel.RANGE_END)):
            table = Memory(shape=26, depth=self._compartments, init=[], attrs={"ram_style": "block"})
            m.submodules[name] = table
            write = table.write_port()
            m.d.comb += [
                write.en.eq(self.window.write & ~self.window.locked & (self.window.item == item)),
                write.addr.eq(self.window.number),
                write.data.eq(self.registers.wdata[_GRAIN:32]),
            ]
            tables[name] = table.read_port()
        current_start, current_end = tables["starts"].data, tables["ends"].data

        # Access matrix, read as words of one row.
        width = min(_MATRIX_WIDTH, self._compartments)
        words = self._compartments // width
        word_bits = (words - 1).bit_length()
        m.submodules.matrix = matrix = Memory(
            shape=width, depth=self._compartments * words, init=[], attrs={"ram_style": "block"}
        )
        matrix_write, matrix_read = matrix.write_port(), matrix.read_port()
        item_word = (self.window.item - Comsel.MATRIX_WORD0)[:word_bits]
        m.d.comb += [
            matrix_write.en.eq(
                self.window.write
                & ~self.window.locked
                & (self.window.item >= Comsel.MATRIX_WORD0)
                & (self.window.item < Comsel.MATRIX_WORD0 + words)
            ),
            matrix_write.addr.eq(Cat(item_word, self.window.number[:cid_bits])),
            matrix_write.data.eq(self.registers.wdata),
            matrix_read.addr.eq(Cat(self.x_cid[6 : 6 + word_bits], context.cid[:cid_bits])),
        ]

        # One set of comparators: for the instruction in execute, or for a crossing's pad against its new
        # range.
        m_cid = Signal(8, reset_less=True)
        m_stays = Signal(reset_less=True)  # the crossing is into restricted fluid, or back out of it
        m_restricted = Signal(reset_less=True)
        m_obstacle = Signal(3, reset_less=True)
        in_current = Signal()
        in_any = Signal()
        in_par = Signal()
        place = Signal(26)
        m.d.comb += place.eq(Mux(self.m_crossing, self.m_pc[_GRAIN:], self.x_pc[_GRAIN:]))

        def reached(bound):
            """Whether the instruction stands at or above ``bound`` (bits [31:6])."""
            return place >= bound

        above_any = reached(any_start)
        m.d.comb += [
            in_current.eq(reached(current_start) & ~reached(current_end)),
            in_any.eq(above_any & ~reached(any_end)),
            in_par.eq(~above_any & reached(par_start)),
        ]

        restricted = Mux(self.m_crossing, m_restricted, context.restricted)
        home = Signal()
        m.d.comb += home.eq(in_any | Mux(restricted, in_par, in_current))

        outside = Signal()
        foreign = Signal()
        m.d.comb += [
            self.x_home.eq(home),
            outside.eq(self.x_check & ~self.m_crossing & ~home & ~self.x_handler),
            foreign.eq(~in_current & ~in_par),
        ]
        with m.If(outside):
            with m.If(~self.x_pad | (self.x_local & ~in_current)):
                m.d.comb += [self.x_fault.eq(1), self.x_reason.eq(ControlFlowFault.ILLEGAL_ENTRY)]
            with m.Elif(foreign & context.restricted):
                m.d.comb += [self.x_fault.eq(1), self.x_reason.eq(ControlFlowFault.RESTRICTED)]
            with m.Else():
                m.d.comb += self.x_crossing.eq(1)

        m.d.sync += self.m_crossing.eq(self.x_crossing & self.x_advance)
        with m.If(~self.m_crossing):
            m.d.sync += [
                m_cid.eq(self.x_cid),
                m_stays.eq(~foreign),
                m_restricted.eq(~in_current & in_par),
                m_obstacle.eq(self.x_obstacle),
            ]

        # The tables are read at execute; while a crossing is judged the ranges stay, so that they are current
        # after it.
        range_address = Signal(8)
        m.d.comb += range_address.eq(context.cid)
        with m.If(self.restore):
            m.d.comb += range_address.eq(self.restore_context.cid)
        with m.Elif(self.x_crossing & self.x_advance & foreign):
            m.d.comb += range_address.eq(self.x_cid)
        for port in tables.values():
            m.d.comb += [port.addr.eq(range_address), port.en.eq(~self.m_crossing)]

        allowed = Signal()
        implemented = Const(1) if cid_bits == 8 else (m_cid[cid_bits:] == 0)
        m.d.comb += allowed.eq(
            m_stays | (matrix_read.data.bit_select(m_cid[: min(6, cid_bits)], 1) & implemented)
        )
        with m.If(self.m_crossing):
            with m.If(~allowed):
                m.d.comb += [self.m_fault.eq(1), self.m_reason.eq(ControlFlowFault.DENIED)]
            with m.Elif(m_obstacle != 0):
                m.d.comb += [self.m_fault.eq(1), self.m_reason.eq(m_obstacle)]
            with m.Elif(~home):
                m.d.comb += [self.m_fault.eq(1), self.m_reason.eq(ControlFlowFault.BAD_PAD)]

        with m.If(self.restore):
            m.d.sync += context.eq(self.restore_context)
        with m.Elif(self.m_crossing & self.m_commit):
            m.d.sync += context.restricted.eq(m_restricted)
            with m.If(~m_stays):
                m.d.sync += context.cid.eq(m_cid)

        self._registers(m, par_start, any_start, any_end, cid_bits)
        return m

    def _registers(self, m, par_start, any_start, any_end, cid_bits):
        registers = self.registers
        with m.Switch(registers.number):
            with m.Case(number_pattern(XfidesCSR.CURRCOM)):
                m.d.comb += self.rdata.eq(self.context.as_value())
                with m.If(registers.write):
                    m.d.sync += [
                        self.context.cid.eq(registers.wdata[:cid_bits]),
                        self.context.restricted.eq(registers.wdata[8]),
                    ]
            for csr, bound in (
                (XfidesCSR.PARCOMPCSTART, par_start),
                (XfidesCSR.ANYCOMPCSTART, any_start),
                (XfidesCSR.ANYCOMPCEND, any_end),
            ):
                with m.Case(number_pattern(csr)):
                    with m.If(registers.write & ~self.window.locked):
                        m.d.sync += bound.eq(registers.wdata[_GRAIN:32])
