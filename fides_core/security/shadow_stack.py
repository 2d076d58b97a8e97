"""Shadow stack: where crossings return to, and which handlers are armed (contract, sections 5 to 7).

The entries live in block RAM, whose output is the top entry whenever ``top_ready`` is high: a change of depth
makes it low for one cycle. An entry is written above the top while its instruction is in execute, and becomes
part of the stack when the instruction leaves it without an exception.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..config import XfidesConfig
from ..isa.csrs import Comsel, FidesContext, XfidesCSR
from .registers import Context, RegisterPort, TableWindow, number_pattern

__all__ = ["Frame", "ShadowStack"]


class Frame(data.Struct):
    """``kind``: 0 call, 1 armed handler; ``ra`` is the handler's address then. ``mark`` is fmark."""

    ra: 32
    sp: 32
    context: Context
    kind: 1
    mark: 16


class ShadowStack(wiring.Component):
    """The unit.

    ``x_target``, ``x_sp`` (64 bits) are compared with the top. ``x_write`` stores ``x_ra`` (32 bits), sp,
    ``x_kind``, ``x_context`` and ``x_mark`` above it, without effect unless ``push`` comes with it.
    ``wide``: target or sp is 2^32 or more, it matches nothing and must not be pushed.

    ``top``, ``matches`` (ra and sp are the top's, whatever its kind) are valid with ``top_ready`` and
    ``present``. ``present``: there is a top on chip; ``spilled``: there is none on chip but some in the
    monitor's memory; neither: the stack is empty. ``full``: no entry can be pushed.

    ``push``, ``pop`` (not both) change the depth at the end of the cycle; ``x_grows`` is high with ``push``
    and low with ``pop``. While ``machine`` is high the memory shows the entry that comsel selects instead of
    the top.
    """

    def __init__(self, config: XfidesConfig):
        self._capacity = config.shadow_stack_entries
        self._cid_bits = (config.compartments - 1).bit_length()  # others of an entry's cid are 0
        super().__init__(
            {
                "x_target": In(64),
                "x_ra": In(32),
                "x_sp": In(64),
                "x_context": In(Context),
                "x_mark": In(16),
                "x_kind": In(1),
                "x_write": In(1),
                "x_grows": In(1),
                "wide": Out(1),
                "push": In(1),
                "pop": In(1),
                "top": Out(Frame),
                "top_ready": Out(1),
                "matches": Out(1),
                "present": Out(1),
                "spilled": Out(1),
                "full": Out(1),
                "machine": In(1),
                "registers": In(RegisterPort),
                "window": In(TableWindow),
                "rdata": Out(64),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits = (self._capacity - 1).bit_length()
        registers, window = self.registers, self.window

        depth = Signal(16)
        base = Signal(16)
        changed = Signal()
        same_slot = Signal()
        m.d.comb += [
            same_slot.eq(depth[:bits] == base[:bits]),
            self.present.eq(~(same_slot & (depth[bits:] == base[bits:]))),
            self.spilled.eq(~self.present & (base != 0)),
            # The last depth is kept free: there the monitor declares the stack exhausted.
            self.full.eq((same_slot & self.present) | (depth == 0xFFFF)),
        ]

        # Three memories, because the window writes ra, sp and context one by one. Each is a true dual-port
        # block RAM: one port pushes, the other shows the top or, to the monitor, the entry that comsel
        # selects; that costs half a block RAM more than a simple dual-port memory, and saves a multiplexer of
        # 90 bits.
        frame = Signal(Frame)
        m.d.comb += [
            frame.ra.eq(self.x_ra),
            frame.sp.eq(self.x_sp),
            frame.context.eq(self.x_context),
            frame.kind.eq(self.x_kind),
            frame.mark.eq(self.x_mark),
        ]
        word = registers.wdata
        fields = (
            ("ra", Comsel.ENTRY_RA, frame.ra, word[:32], self.top.ra),
            ("sp", Comsel.ENTRY_SP, frame.sp, word[:32], self.top.sp),
            (
                "context",
                Comsel.ENTRY_CONTEXT,
                Cat(frame.context, frame.kind, frame.mark),
                Cat(
                    word[: self._cid_bits],
                    Const(0, 8 - self._cid_bits),
                    word[8:10],
                    word[FidesContext.FMARK : FidesContext.FMARK + 16],
                ),
                Cat(self.top.context, self.top.kind, self.top.mark),
            ),
        )
        for name, item, pushed, written, top in fields:
            memory = Memory(shape=len(top), depth=self._capacity, init=[], attrs={"ram_style": "block"})
            m.submodules[name] = memory
            push, write, read = memory.write_port(), memory.write_port(), memory.read_port()
            writing = Signal(name=f"writing_{name}")
            m.d.comb += [
                push.addr.eq(depth),
                push.data.eq(pushed),
                push.en.eq(self.x_write & ~self.full & ~self.machine),
                writing.eq(window.write & (window.item == item)),
                write.addr.eq(read.addr),
                write.data.eq(written),
                write.en.eq(writing),
                read.addr.eq(Mux(self.machine, window.number, depth - 1)),
                read.en.eq(~writing),
                top.eq(read.data),
            ]

        m.d.comb += [
            self.top_ready.eq(~changed),
            self.wide.eq(Cat(self.x_target[32:], self.x_sp[32:]) != 0),
            self.matches.eq(
                (self.top.ra == self.x_target[:32]) & (self.top.sp == self.x_sp[:32]) & ~self.wide
            ),
        ]
        m.d.sync += changed.eq(self.push | self.pop)
        # Written, incremented or decremented on one carry chain; whether an instruction leaves without a trap
        # is known late, so that it only enables the registers.
        selected = Signal()
        m.d.comb += selected.eq(registers.number.matches(number_pattern(XfidesCSR.SSDEPTH)))
        step = Cat(1, (~self.x_grows).replicate(15)) & (~selected).replicate(16)
        with m.If(self.push | self.pop | (registers.write & selected)):
            m.d.sync += depth.eq(step + Mux(selected, registers.wdata[:16], depth))

        with m.Switch(registers.number):
            with m.Case(number_pattern(XfidesCSR.SSDEPTH)):
                m.d.comb += self.rdata.eq(depth)
            with m.Case(number_pattern(XfidesCSR.SSBASE)):
                m.d.comb += self.rdata.eq(base)
                with m.If(registers.write):
                    m.d.sync += base.eq(registers.wdata)
            with m.Case(number_pattern(XfidesCSR.COMDATA)):
                with m.Switch(window.item):
                    with m.Case(Comsel.ENTRY_RA):
                        m.d.comb += self.rdata.eq(self.top.ra)
                    with m.Case(Comsel.ENTRY_SP):
                        m.d.comb += self.rdata.eq(self.top.sp)
                    with m.Case(Comsel.ENTRY_CONTEXT):
                        m.d.comb += self.rdata.eq(
                            Cat(self.top.context, self.top.kind, Const(0, 6), self.top.mark)
                        )
        return m
