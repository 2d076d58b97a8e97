"""Pipelined multiplier: a product a cycle, its lower half in the memory stage, its upper half in writeback.

The operands are cut into pieces that fit one 25 x 18 signed DSP block. Most blocks add something to their
product: what another block gives, as far as it lies above the lowest bit of this product; the bits below pass
by. Synthesis recognises that, and takes the block's adder. The registers between execute and memory are right
behind these sums where they reach into the lower half, which memory has to finish, and right behind the
products elsewhere.
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
    and mulw while the instruction is in the memory stage; ``w_result`` (64 bits) that of the others in the
    cycle in which the instruction is in writeback.
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

        def held(value, name):
            """``value`` of execute, in the memory stage."""
            register = Signal(value.shape(), name=name, reset_less=True)
            with m.If(self.m_enable):
                m.d.sync += register.eq(value)
            return register

        m_word = held(self.x_word, "m_word")
        products = {  # by the lowest bit of the pieces of a and b
            (a_low, b_low): a * b
            for b_low, b in _pieces(self.x_b, b_signed, _B_PIECES)
            for a_low, a in _pieces(self.x_a, a_signed, _A_PIECES)
        }

        def add(upper, lower, distance, width):
            """Signed ``upper`` * 2**distance + ``lower``, and how it is made: the bits of ``lower`` that
            pass by, the sum of the others with ``upper``, of ``width`` bits."""
            return lower[:distance], (upper + (lower >> distance))[:width].as_signed()

        # Four sums reach into the lower half, at bits 0, 24, 34 and 48; the first three are unsigned.
        sums = {}
        for at, upper, lower, distance, width in (
            (0, (0, 17), (0, 0), 17, 42),
            (24, (24, 17), (24, 0), 17, 42),
            (34, (24, 34), (0, 34), 24, 42),
            (48, (0, 51), (48, 0), 3, 39),
        ):
            below, total = add(products[upper], products[lower], distance, width)
            sums[at] = Cat(held(below, f"below_{at}"), held(total, f"at_{at}"))
        at_0, at_24, at_34, at_48 = sums[0][:58], sums[24][:58], sums[34][:66], sums[48].as_signed()
        # The others, from bit 65 on, do not.
        p = {
            at: held(products[at], f"product_{at[0]}_{at[1]}")
            for at in ((24, 51), (48, 17), (48, 34), (48, 51))
        }
        at_65 = Signal(63)
        low_10, total = add(p[24, 51], p[48, 17], 10, 40)
        low_7, total = add(p[48, 34], total, 7, 36)
        low_17, total = add(p[48, 51], total, 17, 32)
        m.d.comb += at_65.eq(Cat(low_10, low_7, low_17, total))

        # Above bit 64 these sums are added in writeback, but for the carry.
        first = Signal(82)
        second = Signal(signed(68))  # from bit 34 on
        middle = Signal(31)  # bits [64:34], the highest of them the carry
        m.d.comb += [
            first.eq(Cat(at_0[:24], at_0[24:] + at_24)),
            second.eq(Cat(at_34[:14], at_34[14:] + at_48)),
            middle.eq(first[34:64] + second[:30]),
        ]
        low = Cat(first[:34], middle[:30])
        m.d.comb += self.m_result.eq(Cat(low[:32], Mux(m_word, low[31].replicate(32), low[32:])))

        w_first = Signal(18, reset_less=True)
        w_second = Signal(signed(38), reset_less=True)
        w_third = Signal(63, reset_less=True)  # from bit 65 on
        w_carry = Signal(reset_less=True)
        m.d.sync += [
            w_first.eq(first[64:]),
            w_second.eq(second[30:]),
            w_third.eq(at_65),
            w_carry.eq(middle[30]),
        ]
        # The carry as an extra low bit keeps a sum on one carry chain.
        both = Signal(signed(39))
        total = Signal(65)
        m.d.comb += [
            both.eq(w_first + w_second),
            total.eq(Cat(w_carry, both).as_signed() + Cat(w_carry, Const(0, 1), w_third)),
            self.w_result.eq(total[1:]),
        ]
        return m
