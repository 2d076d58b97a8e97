"""Capability check: may this instruction execute where it stands, and may control cross here? (contract,
section 5)

The current range is not held in registers: it is what the range table's block RAM puts out. A crossing takes
one cycle more than the same landing inside a compartment: in the first the landing pad reads the matrix and
the new range, in the second both are judged, and with the pad's leaving execute the context changes.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..config import XfidesConfig
from ..isa.causes import ControlFlowFault
from ..isa.csrs import Comsel, XfidesCSR
from ..isa.xfides import RANGE_ALIGN
from .registers import Context, RegisterPort, TableWindow, number_pattern

__all__ = ["CapabilityCheck"]

_GRAIN = (RANGE_ALIGN - 1).bit_length()
_MATRIX_WIDTH = 64


class CapabilityCheck(wiring.Component):
    """The unit.

    ``x_check`` says that the instruction at ``x_pc`` is to be judged; ``x_pad``/``x_local``/``x_cid``
    describe it if it is an entry or local pad; a handler pad (``x_handler``) is at home everywhere.
    Combinational: ``x_home``, and ``x_fault`` with ``x_reason``.

    A pad that is not at home, or at home with another cid, stays one cycle more (``x_wait``), in which the
    matrix and the new range are read; in the next it is judged, and ``x_crossing`` is high if it is not at
    home. ``x_obstacle`` is what else stands against it
    then (a ControlFlowFault, 0 for nothing; it counts after the matrix). ``x_advance``: the instruction
    leaves execute with this clock edge; ``x_commit``: and nothing undoes it, so that the context changes.

    ``rdata``: currcom; the bounds are read elsewhere (``readback.py``).

    ``restore``: the context becomes ``restore_context`` (return, unwinding); ``restore_read``: it may, so
    that the range of that context has to be there in the next cycle.
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
                "x_commit": In(1),
                "x_home": Out(1),
                "x_wait": Out(1),
                "x_crossing": Out(1),
                "x_fault": Out(1),
                "x_reason": Out(3),
                "restore_read": In(1),
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

        # In the second cycle of a crossing by an entry pad, ``current`` is the range of the compartment that
        # it leads to.
        judging = Signal()
        foreign = Signal(reset_less=True)  # what is judged enters another compartment
        in_current = Signal()
        in_any = Signal()
        in_par = Signal()

        def reached(bound):
            """Whether the instruction stands at or above ``bound`` (bits [31:6])."""
            return self.x_pc[_GRAIN:] >= bound

        above_any = reached(any_start)
        m.d.comb += [
            in_current.eq(reached(tables["starts"].data) & ~reached(tables["ends"].data)),
            in_any.eq(above_any & ~reached(any_end)),
            in_par.eq(~above_any & reached(par_start)),
            self.x_home.eq(in_any | Mux(context.restricted, in_par, in_current)),
        ]

        elsewhere = Signal()
        m.d.comb += elsewhere.eq(~in_current & ~in_par)
        allowed = Signal()
        implemented = Const(1) if cid_bits == 8 else (self.x_cid[cid_bits:] == 0)
        m.d.comb += allowed.eq(matrix_read.data.bit_select(self.x_cid[: min(6, cid_bits)], 1) & implemented)
        # Whether an instruction waits is on a long path to fetch, and the current range comes late. So a pad
        # with the current cid is taken to be at home; it fails at once where it is not. One with another cid
        # waits even at home.
        at_home = Signal(reset_less=True)
        expected = Signal()
        m.d.comb += [
            expected.eq(in_any | Mux(context.restricted, in_par, ~in_par & (self.x_cid == context.cid))),
            self.x_wait.eq(self.x_check & self.x_pad & ~judging & ~expected),
            self.x_crossing.eq(self.x_check & judging & ~at_home),
        ]
        with m.If(judging):
            with m.If(at_home):
                pass
            with m.Elif(self.x_local & ~in_current):
                m.d.comb += self.x_reason.eq(ControlFlowFault.ILLEGAL_ENTRY)
            with m.Elif(foreign & context.restricted):
                m.d.comb += self.x_reason.eq(ControlFlowFault.RESTRICTED)
            with m.Elif(foreign & ~allowed):
                m.d.comb += self.x_reason.eq(ControlFlowFault.DENIED)
            with m.Elif(self.x_obstacle != 0):
                m.d.comb += self.x_reason.eq(self.x_obstacle)
            with m.Elif(foreign & ~in_current):
                m.d.comb += self.x_reason.eq(ControlFlowFault.BAD_PAD)
        with m.Elif(~self.x_home & ~self.x_handler & ~self.x_wait):
            entry = self.x_pad & ~self.x_local
            m.d.comb += self.x_reason.eq(
                Mux(entry, ControlFlowFault.BAD_PAD, ControlFlowFault.ILLEGAL_ENTRY)
            )
        m.d.comb += self.x_fault.eq(self.x_check & (self.x_reason != 0))

        m.d.sync += judging.eq(self.x_wait | (self.x_check & judging & ~self.x_advance))
        with m.If(~judging):
            m.d.sync += [foreign.eq(elsewhere), at_home.eq(self.x_home)]

        # Range of the next cycle. After an instruction that is killed, the current one is there again before
        # the next instruction comes.
        range_address = Signal(8)
        m.d.comb += range_address.eq(context.cid)
        with m.If(self.restore_read):
            m.d.comb += range_address.eq(self.restore_context.cid)
        with m.Elif(Mux(judging, foreign, self.x_wait & elsewhere) & ~self.x_local):
            m.d.comb += range_address.eq(self.x_cid)
        for port in tables.values():
            m.d.comb += port.addr.eq(range_address)

        with m.If(self.restore):
            m.d.sync += context.eq(self.restore_context)
        with m.Elif(self.x_crossing & self.x_commit):
            m.d.sync += context.restricted.eq(~foreign & ~in_current)
            with m.If(foreign):
                m.d.sync += context.cid.eq(self.x_cid)

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
