"""Pipelined multiplier: a product a cycle; the lower half in the memory stage (two cycles), the upper one in
writeback (three).

The operands are cut into pieces that fit one 25 x 18 signed DSP block, so that every product has a register
right behind it and no DSP blocks are cascaded.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Multiplier"]

_A_PIECES = ((0, 24), (24, 48), (48, 64))
_B_PIECES = ((0, 17), (17, 34), (34, 51), (51, 64))


def _pieces(value, is_signed, bounds):
    """Cut a 64-bit value into signed pieces; all but the top one are zero-extended."""
    for low, high in bounds:
        top = is_signed & value[63] if high == 64 else 0
        yield low, Cat(value[low:high], top).as_signed()


class Multiplier(wiring.Component):
    """mul, mulh, mulhsu, mulhu and mulw, by ``x_funct3`` and ``x_word`` (unprivileged ISA, section 7.1).

    Operands are taken in execute when ``m_enable`` is high. ``m_result`` (64 bits): mul and mulw, while the
    instruction is in the memory stage; ``w_result`` (64 bits): the others, while it is in writeback.
    """

    x_a: In(64)
    x_b: In(64)
    x_funct3: In(3)
    x_word: In(1)
    m_enable: In(1)
    m_result: Out(64)
    w_result: Out(64)

    def elaborate(self, platform):
        m = Module()
        a_signed = self.x_funct3[:2] != 3
        b_signed = ~self.x_funct3[1]

        m_word = Signal()
        rows = []
        for b_low, b in _pieces(self.x_b, b_signed, _B_PIECES):
            products = []
            for a_low, a in _pieces(self.x_a, a_signed, _A_PIECES):
                product = Signal(signed(len(a) + len(b)), name=f"product_{a_low}_{b_low}")
                with m.If(self.m_enable):
                    m.d.sync += product.eq(a * b)
                products.append(product)
            # The outer products do not overlap, but the sign of the lower one, which only the top piece of b
            # can make negative, takes one off the upper one.
            low, middle, high = products
            row = Signal(signed(84), name=f"row_{b_low}")
            outer = (
                Cat(low, low[-1].replicate(48 - len(low)), high - low[-1])
                if b_low == 51
                else Cat(low, Const(0, 48 - len(low)), high)
            )
            m.d.comb += row.eq(outer.as_signed() + (middle << 24))
            rows.append((b_low, row))
        with m.If(self.m_enable):
            m.d.sync += m_word.eq(self.x_word)

        # The lower half needs a few bits of the last addition only.
        first = Signal(signed(102))
        second = Signal(signed(102))
        low = Signal(64)
        m.d.comb += [
            first.eq(rows[0][1] + (rows[1][1] << 17)),
            second.eq(rows[2][1] + (rows[3][1] << 17)),
            low.eq(Cat(first[:34], first[34:64] + second[:30])),
            self.m_result.eq(Cat(low[:32], Mux(m_word, low[31].replicate(32), low[32:]))),
        ]
        w_first = Signal(signed(68))
        w_second = Signal(signed(102))
        total = Signal(94)
        m.d.sync += [w_first.eq(first[34:].as_signed()), w_second.eq(second)]
        m.d.comb += [total.eq(w_first + w_second), self.w_result.eq(total[30:])]
        return m
