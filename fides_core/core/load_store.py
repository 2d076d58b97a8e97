"""Byte lanes: store data into a 64-bit word, load data out of it; combinational."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["StoreLanes", "LoadLanes"]


class StoreLanes(wiring.Component):
    """``size``: log2 of the bytes. The datum is repeated over the word; ``be`` selects the lanes that are
    meant. ``misaligned`` when ``offset`` (address bits [2:0]) is no multiple of the size."""

    size: In(2)
    offset: In(3)
    data: In(64)
    word: Out(64)
    be: Out(8)
    misaligned: Out(1)

    def elaborate(self, platform):
        m = Module()
        with m.Switch(self.size):
            for size in range(4):
                with m.Case(size):
                    m.d.comb += [
                        self.word.eq(self.data[: 8 << size].replicate(8 >> size)),
                        self.be.eq(((1 << (1 << size)) - 1) << self.offset),
                        self.misaligned.eq((self.offset & ((1 << size) - 1)) != 0),
                    ]
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
