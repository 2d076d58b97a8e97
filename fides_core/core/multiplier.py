"""Pipelined multiplier: a product a cycle, its lower half in the memory stage, its upper half in writeback.

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

    Operands are taken in execute when ``m_enable`` is high. ``m_result`` (64 bits) is the result of mul
    and mulw
    while the instruction is in the memory stage; ``w_result`` (64 bits) that of the others in the cycle
    in which
    the instruction is in writeback.
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

        first = Signal(signed(102))
        second = Signal(signed(102))
        middle = Signal(31)
        m.d.comb += [
            first.eq(rows[0][1] + (rows[1][1] << 17)),
            second.eq(rows[2][1] + (rows[3][1] << 17)),
            # Bits [64:34] of the product, the highest of them the carry into the upper half.
            middle.eq(first[34:64] + second[:30]),
        ]
        low = Cat(first[:34], middle[:30])
        m.d.comb += self.m_result.eq(Cat(low[:32], Mux(m_word, low[31].replicate(32), low[32:])))

        w_first = Signal(signed(38), reset_less=True)
        w_second = Signal(64, reset_less=True)
        w_carry = Signal(reset_less=True)
        m.d.sync += [w_first.eq(first[64:].as_signed()), w_second.eq(second[30:94]), w_carry.eq(middle[30])]
        # The carry as an extra low bit keeps the sum on one carry chain.
        total = Signal(65)
        m.d.comb += [
            total.eq(Cat(w_carry, w_first).as_signed() + Cat(w_carry, w_second)),
            self.w_result.eq(total[1:]),
        ]
        return m
