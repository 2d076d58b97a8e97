"""Expander of compressed instructions: combinational, made from the table of ``isa.compressed``."""

from amaranth.hdl import Cat, Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..isa.compressed import COMPRESSED, CompressedInstruction, Field

__all__ = ["Expander"]


def _pattern(row: CompressedInstruction) -> str:
    """The row's bits [15:0] as an Amaranth pattern."""
    return "".join(str(row.match >> bit & 1) if row.mask >> bit & 1 else "-" for bit in range(15, -1, -1))


def _free_bits(row: CompressedInstruction) -> list[int]:
    return [bit for bit in range(16) if not row.mask >> bit & 1]


def _equivalent(row: CompressedInstruction, insn) -> Cat:
    """The 32-bit equivalent: every bit of it is a constant or a copy of one free bit of the halfword."""
    constant = row.expand(row.match)
    bits = [Const(constant >> bit & 1, 1) for bit in range(32)]
    for free in _free_bits(row):
        copies = row.expand(row.match | 1 << free) ^ constant
        for bit in range(32):
            if copies >> bit & 1:
                bits[bit] = insn[free]
    return Cat(bits)


def _operand_bits(row: CompressedInstruction, name: str) -> list[int]:
    """The free bits of the halfword that operand ``name`` is made of; it is 0 when they are."""
    if name == "imm":
        bits = [here for here, _ in row.immediate.bits]
    else:
        place = row.operands[name]
        assert place in (Field.LOW, Field.HIGH), "x8 to x15 are never 0"
        low, width = place.value
        bits = list(range(low, low + width))
    return [bit for bit in bits if bit in _free_bits(row)]


class Expander(wiring.Component):
    """``insn``, the bits of an instruction from its lowest halfword on, to ``word``, the 32-bit equivalent.

    ``compressed``: the instruction has 16 bits, and insn[31:16] is not looked at. ``legal``: it is no
    reserved compressed encoding; 32-bit instructions, which pass as they are, are for the decoder to judge.
    ``word`` means nothing without ``legal``.
    """

    insn: In(32)
    word: Out(32)
    compressed: Out(1)
    legal: Out(1)

    def elaborate(self, platform):
        m = Module()
        insn = self.insn
        m.d.comb += self.compressed.eq(insn[:2] != 3)
        with m.Switch(insn[:16]):
            # The first one that matches: rows with more fixed bits are the exceptions of others.
            for row in sorted(COMPRESSED, key=lambda row: -row.mask.bit_count()):
                with m.Case(_pattern(row)):
                    nonzero = [
                        Cat(insn[bit] for bit in _operand_bits(row, name)).any() for name in row.nonzero
                    ]
                    # Not all() of nothing: Yosys writes that to Verilog as 0.
                    legal = Cat(nonzero).all() if nonzero else 1
                    m.d.comb += [self.word.eq(_equivalent(row, insn)), self.legal.eq(legal)]
            with m.Default():
                m.d.comb += [self.word.eq(insn), self.legal.eq(~self.compressed)]
        return m
