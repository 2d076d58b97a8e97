"""Decoder and ALU together: every instruction that the ALU executes, against the golden model's arithmetic;
and what the decoder takes for an instruction at all."""

import os
import random
from dataclasses import replace

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from fides_core.config import CoreConfig, XfidesConfig
from fides_core.core.alu import ALU, ALU_CONTROL
from fides_core.core.decoder import Decoder
from fides_core.isa.instructions import BY_NAME, find, instructions
from fides_core.isa.xfides import pad_fields
from fides_core.model.arithmetic import ATOMIC, BRANCHES, MASK64, REGISTER, UNARY, register_form

PLAIN = CoreConfig(bitmanip=False, zicond=False)
FULL = CoreConfig()


def seeded() -> random.Random:
    seed = int(os.environ.get("FIDES_SEED") or random.SystemRandom().randrange(1, 1 << 31))
    print(f"FIDES_SEED={seed}")
    return random.Random(seed)


def operand(r: random.Random) -> int:
    return r.choice(
        [
            r.getrandbits(64), r.getrandbits(64) >> r.randrange(64), 1 << r.randrange(64), r.getrandbits(32)
            << 32,
            r.getrandbits(64) & ~0xFF00FF0000FF, 0, MASK64, 1 << 63, (1 << 63) - 1, 1 << 31, r.randrange(64),
        ]
    )  # fmt: skip


def expected(name: str, a: int, b: int) -> int | None:
    """None for what is not the ALU's."""
    if name in UNARY:
        return UNARY[name](a) & MASK64
    if name in REGISTER:
        return REGISTER[name](a, b) & MASK64
    if register_form(name) in REGISTER and name not in ("sltiu",):
        return REGISTER[register_form(name)](a, b) & MASK64
    if name == "sltiu":
        return REGISTER["sltu"](a, b)
    return None


def amo(name: str, a: int, b: int) -> int:
    """The low bits that are stored; operands are sign-extended."""
    return ATOMIC[name.split(".")[0]](a, b)


@pytest.mark.parametrize("config", [PLAIN, FULL], ids=["plain", "full"])
def test_every_instruction(config):
    m = Module()
    m.submodules.decoder = decoder = Decoder(config)
    m.submodules.alu = alu = ALU(config)
    m.d.comb += alu.control.eq(decoder.control.alu)
    rows = instructions(xfides=False, bitmanip=config.bitmanip, zicond=config.zicond)
    r = seeded()
    checked = set()

    async def bench(ctx):
        for row in rows:
            name = row.name
            if name.startswith(("mul", "div", "rem")) or name not in ALU_CONTROL:
                continue
            free = ~row.mask & 0xFFFFFFFF
            for _ in range(150):
                a, b = operand(r), operand(r)
                if r.random() < 0.1:
                    b = a
                ctx.set(decoder.insn, row.match | r.getrandbits(32) & free)
                if name.startswith("amo") and name.endswith(".w"):
                    a, b = (((x & 0xFFFFFFFF) ^ 1 << 31) - (1 << 31) & MASK64 for x in (a, b))
                ctx.set(alu.a, a)
                ctx.set(alu.b, b)
                assert ctx.get(decoder.legal), name
                assert ctx.get(alu.equal) == (a == b)
                got = ctx.get(alu.result)
                if name in BRANCHES:
                    condition = ctx.get(alu.less) if name[1:3] in ("lt", "ge") else a == b
                    assert BRANCHES[name](a, b) == condition ^ (name in ("bne", "bge", "bgeu")), (name, a, b)
                elif name.startswith("amo"):
                    mask = MASK64 if name.endswith("d") else 0xFFFFFFFF
                    assert got & mask == amo(name, a, b) & mask, (name, hex(a), hex(b))
                else:
                    assert got == expected(name, a, b), (name, hex(a), hex(b), hex(got))
            checked.add(name)

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    assert checked == {row.name for row in rows if row.name in ALU_CONTROL}
    assert len(checked) == (94 if config.bitmanip else 52)


@pytest.mark.parametrize("xfides", [False, True])
@pytest.mark.parametrize("config", [PLAIN, FULL], ids=["plain", "full"])
def test_legality(config, xfides):
    decoder = Decoder(replace(config, xfides=XfidesConfig() if xfides else None))
    options = {"xfides": xfides, "bitmanip": config.bitmanip, "zicond": config.zicond}
    r = seeded()

    async def bench(ctx):
        seen = {True: 0, False: 0}
        for _ in range(12_000):
            row = r.choice(list(BY_NAME.values()))
            word = row.match | r.getrandbits(32) & ~row.mask & 0xFFFFFFFF
            for _ in range(r.choice([0, 0, 1, 2])):
                word ^= 1 << r.randrange(32)
            found = find(word, **options)
            legal = found is not None
            misaligned = r.getrandbits(1)
            if legal and found.name == "checkcap":
                legal = pad_fields(word) is not None and not misaligned
            ctx.set(decoder.insn, word)
            ctx.set(decoder.misaligned, misaligned)
            assert ctx.get(decoder.legal) == legal, (hex(word), found)
            seen[legal] += 1
        assert min(seen.values()) > 1000

    simulator = Simulator(decoder)
    simulator.add_testbench(bench)
    simulator.run()
