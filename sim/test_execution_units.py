"""Decoder with ALU, multiplier and divider against Python. Each run takes a new seed, which it prints;
FIDES_SEED=N repeats one."""

import pytest
from amaranth.hdl import Cat, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from fides_core.config import CoreConfig
from fides_core.core.alu import ALU
from fides_core.core.decoder import Decoder
from fides_core.core.divider import Divider
from fides_core.core.multiplier import Multiplier

pytestmark = pytest.mark.timeout(600)


class DecodedALU(wiring.Component):
    """The ALU as execute has it: the second operand is ``b`` or the immediate."""

    insn: In(32)
    a: In(64)
    b: In(64)
    legal: Out(1)
    alu_result: Out(64)
    total: Out(64)
    equal: Out(1)
    less: Out(1)

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.decoder = decoder = Decoder(self._config)
        m.submodules.alu = alu = ALU(self._config)
        immediate = Cat(decoder.immediate, decoder.immediate[31].replicate(32))
        m.d.comb += [
            decoder.insn.eq(self.insn),
            self.legal.eq(decoder.legal),
            alu.control.eq(decoder.control.alu),
            alu.a.eq(self.a),
            alu.b.eq(Mux(decoder.control.b_immediate, immediate, self.b)),
            self.alu_result.eq(alu.result),
            self.total.eq(alu.total),
            self.equal.eq(alu.equal),
            self.less.eq(alu.less),
        ]
        return m


@pytest.mark.parametrize("bitmanip", [0, 1])
@pytest.mark.parametrize("zicond", [0, 1])
def test_alu(run_bench, bitmanip, zicond):
    config = CoreConfig(bitmanip=bool(bitmanip), zicond=bool(zicond))
    run_bench(DecodedALU(config), "alu", BITMANIP=bitmanip, ZICOND=zicond, ROUNDS=200)


def test_multiplier(run_bench):
    run_bench(Multiplier(), "multiplier", ROUNDS=20000)


def test_divider(run_bench):
    run_bench(Divider(), "divider", ROUNDS=2000)
