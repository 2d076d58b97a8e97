"""Decoder and late ALU together against the golden model's arithmetic: every instruction that may be late,
with either operand late."""

from collections import Counter

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from fides_core.config import CoreConfig
from fides_core.core.alu import AluResult
from fides_core.core.decoder import Decoder
from fides_core.core.late_alu import DEFERRABLE, LateALU
from fides_core.isa.instructions import BY_NAME, instructions
from fides_core.model.arithmetic import BRANCHES

from .test_alu import expected, operand, seeded

SHIFTS = {"srliw", "sraiw"}


@pytest.mark.parametrize("second", [0, 1], ids=["first operand late", "second operand late"])
def test_every_instruction(second):
    m = Module()
    m.submodules.decoder = decoder = Decoder(CoreConfig())
    m.submodules.late_alu = unit = LateALU()
    m.d.comb += [
        unit.control.subtract.eq(decoder.control.alu.subtract),
        unit.control.unsigned.eq(decoder.control.alu.unsigned),
        unit.control.word.eq(decoder.control.alu.word),
        unit.control.second.eq(second),
        unit.control.shift.eq(decoder.control.alu.result == AluResult.SHIFT),
        unit.control.arithmetic.eq(decoder.control.alu.arithmetic),
        unit.funct3.eq(decoder.control.funct3),
    ]
    r = seeded()
    checked = Counter()

    async def bench(ctx):
        for name in sorted(DEFERRABLE):
            row = BY_NAME[name]
            if second and name in SHIFTS:  # their second operand is an immediate
                continue
            for _ in range(300):
                a, b = operand(r), operand(r)
                if r.random() < 0.2:
                    b = a ^ (1 << r.randrange(64) if r.random() < 0.5 else 0)
                ctx.set(decoder.insn, row.match | r.getrandbits(32) & ~row.mask & 0xFFFFFFFF)
                ctx.set(unit.late, b if second else a)
                ctx.set(unit.other, a if second else b)
                if name in BRANCHES:
                    taken = bool(BRANCHES[name](a, b))
                    assert ctx.get(unit.taken) == taken, (name, hex(a), hex(b))
                    checked[name, taken] += 1
                else:
                    assert ctx.get(unit.result) == expected(name, a, b), (name, hex(a), hex(b))
                    checked[name, None] += 1

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    assert {name for name, _ in checked} == (DEFERRABLE - SHIFTS if second else DEFERRABLE)
    assert all(checked[name, taken] > 10 for name in BRANCHES for taken in (True, False)), checked


def test_decoder_knows_them():
    """Of all instructions, with every free bit set or cleared."""
    decoder = Decoder(CoreConfig())
    names = set()

    async def bench(ctx):
        for row in instructions(xfides=False, bitmanip=True, zicond=True):
            for free in (0, 0xFFFFFFFF):
                ctx.set(decoder.insn, row.match | free & ~row.mask & 0xFFFFFFFF)
                assert ctx.get(decoder.deferrable) == (row.name in DEFERRABLE), row.name
                names.add(row.name)

    simulator = Simulator(decoder)
    simulator.add_testbench(bench)
    simulator.run()
    assert DEFERRABLE < names
    assert {"add", "addi", "subw", "beq", "bgeu", *SHIFTS} <= DEFERRABLE


def test_what_is_never_late():
    never = {"sraw", "srai", "roriw", "slliw", "xor", "sll", "slt", "sh1add", "add.uw", "amoadd.w", "mul", "jalr"}
    assert not DEFERRABLE & never
