"""The memory that holds mcycle, minstret, the event counters and other whole registers, with one adder.

A counter with a register and an adder of its own takes 64 flip-flops and more than 64 LUTs. Here all values
are words of one distributed memory. A counter's increments gather in a few flip-flops, and every cycle one
counter's are added to its word: the scan. A CSR instruction takes the scan's place for its cycle and sees the
exact value, the word and what has gathered. The scan stores its sum by way of the instructions' write data,
which so needs no second multiplexer.
"""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

__all__ = ["CSRAccess", "CounterMemory"]

_RETIRED = 2  # minstret


class CSRAccess(enum.IntEnum, shape=2):
    """What a CSR instruction does; the values are funct3[1:0]."""

    NONE = 0
    WRITE = 1
    SET = 2
    CLEAR = 3


class CounterMemory(wiring.Component):
    """``slots`` words of 64 bits, the first ``counters`` of which count (slot 1 excepted: the number of time,
    which is no counter here, is free for storage). All words are 0 before the first write; a reset leaves
    them as they are (privileged ISA, section 3.4) but for increments that still wait.

    ``increment``: bit i is counter i's, one count for every cycle in which it is high.

    ``access``: a CSR instruction addresses ``slot``. To leave room for the scan it must not be high in two
    consecutive cycles. ``rdata`` (64 bits) is then the slot's exact value, with all increments of earlier
    cycles, or'ed with ``other``, the value of a register that is elsewhere (the slot must hold 0 then, and
    ``other`` be 0 for a slot in use). ``wdata`` is what ``operation`` makes of ``rdata`` and ``operand``, but
    the bits of ``fixed`` stay as they are in the slot. In a cycle with ``write``, which only goes with
    ``access``, the slot becomes ``wdata``, and an increment of that cycle is lost. Without ``access`` the
    outputs mean nothing and ``operation`` must be NONE.

    ``retired_late``: minstret's increment is one of the cycle before; an access sees it.
    """

    def __init__(self, counters: int, slots: int, *, retired_late: bool = False):
        self._counters = counters
        self._retired_late = retired_late
        self._slots = slots
        super().__init__(
            {
                "increment": In(counters),
                "access": In(1),
                "slot": In(range(slots)),
                "operation": In(CSRAccess),
                "operand": In(64),
                "other": In(64),
                "fixed": In(64),
                "write": In(1),
                "rdata": Out(64),
                "wdata": Out(64),
            }
        )

    def elaborate(self, platform):
        m = Module()
        counters = self._counters
        m.submodules.words = words = Memory(
            shape=64, depth=self._slots, init=[], attrs={"ram_style": "distributed"}
        )
        read, write = words.read_port(domain="comb"), words.write_port()

        scan = Signal(range(counters))
        with m.If(~self.access):
            m.d.sync += scan.eq(Mux(scan == counters - 1, 0, scan + 1))
        slot = Signal(range(self._slots))
        store = Signal()
        m.d.comb += [slot.eq(Mux(self.access, self.slot, scan)), store.eq(~self.access | self.write)]

        # Accesses can double the time in which the scan comes round, no more.
        width = (2 * counters).bit_length()
        waiting = Signal(width)
        for i in (0, *range(2, counters)):
            pending = Signal(width, name=f"pending{i}")
            here = Signal(name=f"here{i}")
            m.d.comb += here.eq(slot == i)
            more = Signal(width, name=f"more{i}")
            late = i == _RETIRED and self._retired_late
            with m.If(here):
                m.d.comb += waiting.eq(more if late else pending)
            m.d.comb += more.eq(pending + self.increment[i])
            if i == _RETIRED and not late:
                # Whether an instruction retires is known late: a choice takes less time than the sum.
                one_more = Signal(width)
                m.d.comb += [one_more.eq(pending + 1), more.eq(Mux(self.increment[i], one_more, pending))]
            left = Const(0) if late else self.increment[i] & ~self.access
            m.d.sync += pending.eq(Mux(here & store, left, more))

        value = Signal(64)
        m.d.comb += [
            read.addr.eq(slot),
            write.addr.eq(slot),
            write.en.eq(store),
            write.data.eq(self.wdata),
            value.eq(read.data + waiting),
            self.rdata.eq(value | self.other),
        ]
        # The word itself is what the scan stores and what fixed bits keep.
        result = Signal(64)
        with m.Switch(self.operation):
            with m.Case(CSRAccess.NONE):
                m.d.comb += result.eq(value)
            with m.Case(CSRAccess.WRITE):
                m.d.comb += result.eq(self.operand)
            with m.Case(CSRAccess.SET):
                m.d.comb += result.eq(self.rdata | self.operand)
            with m.Case(CSRAccess.CLEAR):
                m.d.comb += result.eq(self.rdata & ~self.operand)
        m.d.comb += self.wdata.eq((value & self.fixed) | (result & ~self.fixed))
        return m
