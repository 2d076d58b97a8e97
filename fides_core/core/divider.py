"""Restoring divider, one quotient bit a cycle."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Divider"]


class Divider(wiring.Component):
    """div, divu, rem, remu and their 32-bit forms (unprivileged ISA, section 7.2).

    Operands must stay unchanged while ``x_request`` is high; ``x_done`` is high in the cycle in which
    ``x_result`` (64 bits) is valid: 65 cycles after the request, 33 for the 32-bit forms; it stays until
    ``x_take``. Without ``x_request`` the divider returns to idle, whatever it was doing, and ``x_result`` is
    ``x_a``.
    """

    x_request: In(1)
    x_a: In(64)
    x_b: In(64)
    x_funct3: In(3)
    x_word: In(1)
    x_take: In(1)
    x_done: Out(1)
    x_result: Out(64)

    def elaborate(self, platform):
        m = Module()
        is_signed = ~self.x_funct3[0]
        is_remainder = self.x_funct3[1]

        quotient = Signal(64, reset_less=True)
        remainder = Signal(64, reset_less=True)
        count = Signal(7, reset_less=True)
        running = Signal()
        done = Signal()

        # Operands widened to 64 bits.
        a_negative = Signal()
        b_negative = Signal()
        a = Signal(64)
        b = Signal(64)
        m.d.comb += [
            a_negative.eq(is_signed & Mux(self.x_word, self.x_a[31], self.x_a[63])),
            b_negative.eq(is_signed & Mux(self.x_word, self.x_b[31], self.x_b[63])),
            a.eq(Cat(self.x_a[:32], Mux(self.x_word, a_negative.replicate(32), self.x_a[32:]))),
            b.eq(Cat(self.x_b[:32], Mux(self.x_word, b_negative.replicate(32), self.x_b[32:]))),
        ]

        # One negator for the dividend at the start and the result at the end.
        value = Signal(64)
        negated = Signal(64)
        negate = Signal()
        m.d.comb += [
            value.eq(Mux(done, Mux(is_remainder, remainder, quotient), a)),
            negate.eq(
                self.x_request & Mux(done & ~is_remainder, (a_negative ^ b_negative) & (b != 0), a_negative)
            ),
            negated.eq((Cat(Const(1, 1), value ^ negate.replicate(64)) + negate)[1:65]),
            self.x_result.eq(Cat(negated[:32], Mux(self.x_word, negated[31].replicate(32), negated[32:]))),
            self.x_done.eq(done),
        ]

        # remainder - |b|, one bit wider; a negative divisor is added instead of subtracted.
        shifted = Cat(quotient[63], remainder)
        difference = Signal(67)
        subtract = Signal()
        m.d.comb += [
            subtract.eq(~b_negative),
            difference.eq(
                Cat(Const(1, 1), shifted, Const(0, 1))
                + Cat(subtract, Cat(b, b_negative, b_negative) ^ subtract.replicate(66))
            ),
        ]
        fits = ~difference[66]

        with m.If(~self.x_request | (done & self.x_take)):
            m.d.sync += [running.eq(0), done.eq(0)]
        with m.Elif(running):
            m.d.sync += [
                remainder.eq(Mux(fits, difference[1:65], shifted[:64])),
                quotient.eq(Cat(fits, quotient[:63])),
                count.eq(count - 1),
            ]
            with m.If(count == 1):
                m.d.sync += [running.eq(0), done.eq(1)]
        with m.Elif(~done):
            m.d.sync += [
                remainder.eq(0),
                quotient.eq(Mux(self.x_word, Cat(Const(0, 32), negated[:32]), negated)),
                count.eq(Mux(self.x_word, 32, 64)),
                running.eq(1),
            ]
        return m
