"""Arithmetic and logic of RV64I; combinational."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .control import AluControl
__all__ = ["ALU"]


class ALU(wiring.Component):
    """``funct3`` selects as in the manual's OP encodings (unprivileged ISA, section 2.4); ``subtract`` is set
    for sub, the set-less-than instructions and branches, ``arithmetic`` for sra; ``word`` gives the 32-bit
    forms.

    Outputs: ``result`` (64 bits), ``total`` (64 bits, the sum or difference), ``equal`` and ``less`` of the
    operands (``unsigned`` chooses the comparison; ``less`` needs ``subtract``).
    """

    a: In(64)
    b: In(64)
    control: In(AluControl)
    result: Out(64)
    total: Out(64)
    equal: Out(1)
    less: Out(1)

    def __init__(self, config):
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        a, b = self.a, self.b

        # The carry-in as an extra low bit keeps add and subtract on one carry chain.
        wide = Signal(66)
        m.d.comb += [
            wide.eq(Cat(1, a) + Cat(self.control.subtract, b ^ self.control.subtract.replicate(64))),
            self.total.eq(wide[1:65]),
            self.equal.eq(a == b),
            self.less.eq(Mux(a[63] ^ b[63], Mux(self.control.unsigned, b[63], a[63]), ~wide[65])),
        ]

        # One right shifter; left shifts pass through it reversed.
        left = self.control.funct3 == 1
        amount = Signal(6)
        fill = Signal()
        shift_in = Signal(64)
        shifted = Signal(64)
        upper = Mux(self.control.word, (self.control.arithmetic & a[31]).replicate(32), a[32:])
        m.d.comb += [
            amount.eq(Cat(b[:5], b[5] & ~self.control.word)),
            fill.eq(self.control.arithmetic & Mux(self.control.word, a[31], a[63])),
            shift_in.eq(Mux(left, a[::-1], Cat(a[:32], upper))),
            shifted.eq(Cat(shift_in, fill).as_signed() >> amount),
        ]

        value = Signal(64)
        with m.Switch(self.control.funct3):
            with m.Case(0):
                m.d.comb += value.eq(self.total)
            with m.Case(1):
                m.d.comb += value.eq(shifted[::-1])
            with m.Case(2, 3):
                m.d.comb += value.eq(self.less)
            with m.Case(4):
                m.d.comb += value.eq(a ^ b)
            with m.Case(5):
                m.d.comb += value.eq(shifted)
            with m.Case(6):
                m.d.comb += value.eq(a | b)
            with m.Case(7):
                m.d.comb += value.eq(a & b)
        with m.If(self.control.swap):
            m.d.comb += value.eq(b)
        with m.If(self.control.minmax):
            m.d.comb += value.eq(Mux(self.less ^ self.control.arithmetic, a, b))
        m.d.comb += self.result.eq(Cat(value[:32], Mux(self.control.word, value[31].replicate(32), value[32:])))
        return m
