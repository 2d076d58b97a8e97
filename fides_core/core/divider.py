"""Restoring divider: a quotient bit a cycle, but for leading zeros of the quotient, of which whole bytes are
skipped.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Divider"]


class Divider(wiring.Component):
    """div, divu, rem, remu and their 32-bit forms (unprivileged ISA, section 7.2).

    Operands must stay unchanged while ``x_request`` is high; ``x_done`` is high in the cycle in which
    ``x_result`` (64 bits) is valid: 65 cycles after the request, 33 for the 32-bit forms, or earlier, as the
    operands are; it stays until ``x_take``. Without ``x_request`` the divider returns to idle, whatever
    it was
    doing, and ``x_result`` is ``x_a``, if ``x_word`` is low, too.

    A byte of the dividend takes one cycle instead of eight when it is a leading zero, or when it is one
    of the
    first after those and the divisor has more bytes than it makes; 32 leading zeros take one cycle.
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

        # The divisor is widened to 64 bits. Of the dividend of a 32-bit form nothing above is used.
        a_negative = Signal()
        b_negative = Signal()
        b = Signal(64)
        b_zero = Signal()
        m.d.comb += [
            a_negative.eq(is_signed & Mux(self.x_word, self.x_a[31], self.x_a[63])),
            b_negative.eq(is_signed & Mux(self.x_word, self.x_b[31], self.x_b[63])),
            b.eq(Cat(self.x_b[:32], Mux(self.x_word, b_negative.replicate(32), self.x_b[32:]))),
        ]

        # One negator for the dividend at the start and the result at the end.
        value = Signal(64)
        negated = Signal(64)
        negate = Signal()
        m.d.comb += [
            value.eq(Mux(done, Mux(is_remainder, remainder, quotient), self.x_a)),
            negate.eq(
                self.x_request & Mux(done & ~is_remainder, (a_negative ^ b_negative) & ~b_zero, a_negative)
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

        # Skipping. ``filled``: bytes of the remainder in use; the divisor is greater than all
        # numbers of so many
        # bytes, and one more, when its bits above those are not all its sign.
        skipping = Signal(reset_less=True)
        filled = Signal(3, reset_less=True)
        first = Signal(reset_less=True)
        leading = Signal()
        room = Signal()
        skip = Signal()
        skip_word = Signal()
        longer = [(b[at : at + 8] ^ b_negative.replicate(8)).any() for at in range(8, 64, 8)]
        b_more = Signal(8)
        for at in range(7):
            m.d.comb += b_more[at].eq(longer[at] | (b_more[at + 1] if at < 6 else 0))
        m.d.comb += [
            b_zero.eq(~b[:8].any() & ~b_negative & ~b_more[0]),
            leading.eq((filled == 0) & ~quotient[56:].any()),
            room.eq(b_more.bit_select(filled, 1)),
            skip.eq(skipping & (leading | room)),
            skip_word.eq(first & ~quotient[32:].any()),
        ]

        with m.If(~self.x_request | (done & self.x_take)):
            m.d.sync += [running.eq(0), done.eq(0)]
        with m.Elif(running):
            # Bits of the quotient that are skipped are zeros, or ones of a division by zero.
            m.d.sync += [
                remainder.eq(Mux(fits, difference[1:65], shifted[:64])),
                quotient.eq(Cat(fits, quotient[:63])),
                skipping.eq(0),
                first.eq(0),
                count.eq(count - 1),
            ]
            with m.If(skip):
                m.d.sync += [
                    remainder.eq(Cat(quotient[56:], remainder[:56])),
                    quotient.eq(Cat(b_zero.replicate(8), quotient[:56])),
                    skipping.eq(1),
                    filled.eq(filled + ~leading),
                    count.eq(Cat(count[:3], count[3:] - 1)),
                ]
            with m.If(skip_word):
                m.d.sync += [
                    remainder.eq(0),
                    quotient.eq(Cat(b_zero.replicate(32), quotient[:32])),
                    filled.eq(0),
                    count.eq(32),
                ]
            with m.If((count[4:] == 0) & Mux(skip, count[3], count[:4] == 1)):
                m.d.sync += [running.eq(0), done.eq(1)]
        with m.Elif(~done):
            m.d.sync += [
                remainder.eq(0),
                quotient.eq(Mux(self.x_word, Cat(Const(0, 32), negated[:32]), negated)),
                count.eq(Mux(self.x_word, 32, 64)),
                first.eq(~self.x_word),
                skipping.eq(1),
                filled.eq(0),
                running.eq(1),
            ]
        return m
