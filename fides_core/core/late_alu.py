"""The late ALU: sums, differences, branches and shifts of words to the right, one of whose operands comes out
of the memory stage too late for execute. They pass execute without waiting and are done in memory, where that
operand stands in writeback. It has what is often met behind a load or a product, and is cheap.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .alu import ALU_CONTROL

__all__ = ["DEFERRABLE", "LateALU", "LateControl"]

# Sums, differences and branches need no other fields of AluControl.
_FIELDS = {"subtract", "unsigned", "word"}


def _is_deferrable(name: str) -> bool:
    control = {field for field, value in ALU_CONTROL[name].items() if value}
    return (not name.startswith("amo") and control <= _FIELDS) or name in ("srliw", "sraiw")


#: Instructions that the late ALU can do.
DEFERRABLE = frozenset(name for name in ALU_CONTROL if _is_deferrable(name))


class LateControl(data.Struct):
    """``subtract``, ``unsigned``, ``word`` and ``arithmetic``: as in ``AluControl``. ``second``: the late
    operand is the second one of the instruction. ``shift``: the late one is shifted, else it is a sum."""

    subtract: 1
    unsigned: 1
    word: 1
    second: 1
    shift: 1
    arithmetic: 1


class LateALU(wiring.Component):
    """``result`` (64 bits) of the operand that was ``late`` and the ``other`` one, as ``control`` says;
    combinational. ``taken``: the condition of the branch with ``funct3`` holds, for which
    ``control.subtract`` must be set.

    The other operand minus the late one is the inverse of late - other - 1, so both differences, and both
    comparisons, come from one adder that inverts the other operand.
    """

    late: In(64)
    other: In(64)
    control: In(LateControl)
    funct3: In(3)
    result: Out(64)
    taken: Out(1)

    def elaborate(self, platform):
        m = Module()
        late, other, control = self.late, self.other, self.control
        inverted = Signal()
        wide = Signal(66)
        less = Signal()
        total = Signal(64)
        m.d.comb += [
            inverted.eq(control.subtract & control.second),
            # The carry-in as an extra low bit keeps add and subtract on one carry chain.
            wide.eq(
                Cat(1, late)
                + Cat(control.subtract & ~control.second, other ^ control.subtract.replicate(64))
            ),
            less.eq(
                Mux(
                    late[63] ^ other[63],
                    Mux(control.unsigned ^ control.second, other[63], late[63]),
                    ~wide[65] ^ control.second,
                )
            ),
            # The difference is 0 where the operands are equal.
            self.taken.eq(Mux(self.funct3[2], less, total == 0) ^ self.funct3[0]),
        ]
        sign = control.arithmetic & late[31]
        shifted = late[:32]
        for log2 in range(5):
            shifted = Mux(other[log2], Cat(shifted[1 << log2 :], sign.replicate(1 << log2)), shifted)
        value = Signal(64)
        m.d.comb += [total.eq(wide[1:65] ^ inverted.replicate(64)), value.eq(total)]
        with m.If(control.shift):
            m.d.comb += value[:32].eq(shifted)
        m.d.comb += self.result.eq(Cat(value[:32], Mux(control.word, value[31].replicate(32), value[32:])))
        return m
