"""Byte lanes: store data into a 64-bit word, load data out of it; combinational."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["StoreLanes", "LoadLanes"]


class StoreLanes(wiring.Component):
    """``size``: log2 of the bytes. The datum is repeated over the word; ``be`` selects the lanes that are
    meant. ``misaligned`` when ``offset`` (address bits [2:0]) is no multiple of the size.

    With ``tables``, ``table`` replaces all that by a metadata entry: ``table_word`` (64 bits) if
    ``table_set``
    is high, else 0, on all lanes. It is one selection with the sizes, to share their logic.
    """

    def __init__(self, *, tables: bool = False):
        self._tables = tables
        ports = {
            "size": In(2),
            "offset": In(3),
            "data": In(64),
            "word": Out(64),
            "be": Out(8),
            "misaligned": Out(1),
        }
        if tables:
            ports |= {"table": In(1), "table_set": In(1), "table_word": In(64)}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        selection = Signal(3)
        m.d.comb += selection.eq(self.size)
        if self._tables:
            with m.If(self.table):
                m.d.comb += selection.eq(4 | self.table_set)
        with m.Switch(selection):
            for size in range(4):
                with m.Case(size):
                    m.d.comb += [
                        self.word.eq(self.data[: 8 << size].replicate(8 >> size)),
                        self.be.eq(((1 << (1 << size)) - 1) << self.offset),
                        self.misaligned.eq((self.offset & ((1 << size) - 1)) != 0),
                    ]
            if self._tables:
                with m.Case(4):
                    m.d.comb += self.be.eq(0xFF)
                with m.Case(5):
                    m.d.comb += [self.word.eq(self.table_word), self.be.eq(0xFF)]
        return m


class LoadLanes(wiring.Component):
    """``funct3`` of the load gives size and extension, ``offset`` the address bits [2:0]; ``data`` is 64
    bits."""

    funct3: In(3)
    offset: In(3)
    word: In(64)
    data: Out(64)

    def elaborate(self, platform):
        m = Module()
        half = Signal(32)
        quarter = Signal(16)
        byte = Signal(8)
        unsigned = self.funct3[2]
        m.d.comb += [
            half.eq(self.word.word_select(self.offset[2], 32)),
            quarter.eq(half.word_select(self.offset[1], 16)),
            byte.eq(quarter.word_select(self.offset[0], 8)),
        ]
        sign8, sign16, sign32 = (x[-1] & ~unsigned for x in (byte, quarter, half))
        with m.Switch(self.funct3[:2]):
            with m.Case(0):
                m.d.comb += self.data.eq(Cat(byte, sign8.replicate(56)))
            with m.Case(1):
                m.d.comb += self.data.eq(Cat(quarter, sign16.replicate(48)))
            with m.Case(2):
                m.d.comb += self.data.eq(Cat(half, sign32.replicate(32)))
            with m.Case(3):
                m.d.comb += self.data.eq(self.word)
        return m
