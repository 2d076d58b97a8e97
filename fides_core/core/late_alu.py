"""The late ALU: simple arithmetic, logic and branches whose operand comes out of the memory stage too late
for execute. They pass execute without waiting and are done in memory, where the operand stands in writeback.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .alu import ALU_CONTROL, AluResult, Logic

__all__ = ["DEFERRABLE", "LateALU", "LateControl"]

_FIELDS = {"result", "function", "subtract", "unsigned", "word"}


def _is_deferrable(name: str) -> bool:
    control = {field: value for field, value in ALU_CONTROL[name].items() if value}
    if name.startswith("amo") or not control.keys() <= _FIELDS:
        return False
    result = control.get("result", AluResult.SUM)
    logic = result == AluResult.LOGIC and control.get("function", 0) in (Logic.XOR, Logic.OR, Logic.AND)
    return result == AluResult.SUM or logic


#: Instructions that the late ALU can do: sums, differences, logic of two operands, branches.
DEFERRABLE = frozenset(name for name in ALU_CONTROL if _is_deferrable(name))


class LateControl(data.Struct):
    """The fields of ``AluControl`` that the late ALU needs; ``logic``: the result is that of ``function``,
    else the sum or difference."""

    logic: 1
    function: 2
    subtract: 1
    unsigned: 1
    word: 1


class LateALU(wiring.Component):
    """``result`` (64 bits) of ``a`` and ``b`` as ``control`` says; combinational. ``taken``: the condition of
    the branch with ``funct3`` holds, for which ``control.subtract`` must be set."""

    a: In(64)
    b: In(64)
    control: In(LateControl)
    funct3: In(3)
    result: Out(64)
    taken: Out(1)

    def elaborate(self, platform):
        m = Module()
        a, b, control = self.a, self.b, self.control
        second = Signal(64)
        # The carry-in as an extra low bit keeps add and subtract on one carry chain.
        wide = Signal(66)
        total = wide[1:65]
        less = Signal()
        value = Signal(64)
        m.d.comb += [
            second.eq(b ^ control.subtract.replicate(64)),
            wide.eq(Cat(1, a) + Cat(control.subtract, second)),
            less.eq(Mux(a[63] ^ b[63], Mux(control.unsigned, b[63], a[63]), ~wide[65])),
            self.taken.eq(Mux(self.funct3[2], less, a == b) ^ self.funct3[0]),
            value.eq(total),
        ]
        with m.If(control.logic):
            with m.Switch(control.function):
                with m.Case(Logic.XOR):
                    m.d.comb += value.eq(a ^ second)
                with m.Case(Logic.OR):
                    m.d.comb += value.eq(a | second)
                with m.Default():
                    m.d.comb += value.eq(a & second)
        m.d.comb += self.result.eq(Cat(value[:32], Mux(control.word, value[31].replicate(32), value[32:])))
        return m
