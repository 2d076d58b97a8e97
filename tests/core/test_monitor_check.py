"""The range check of a core whose crossings the monitor judges, against the words of contract section 5.
Every run takes a new seed, which it prints; FIDES_SEED=N repeats one."""

import os
import random
from collections import Counter

from amaranth.sim import Simulator

from fides_core.config import XfidesConfig
from fides_core.core.control import SecurityOp
from fides_core.isa.causes import CrossingTrap
from fides_core.isa.csrs import MonitorCSR, XfidesCSR
from fides_core.security.monitor_check import MonitorCheck

NOTHING = 0x7FF  # a number that is no register's
ROUNDS, PLACES = 60, 40
PADS = {SecurityOp.ENTRY_PAD: CrossingTrap.ENTRY_PAD, SecurityOp.LOCAL_PAD: CrossingTrap.LOCAL_PAD}
CALLS = {SecurityOp.ARM: CrossingTrap.ARM, SecurityOp.DISARM: CrossingTrap.DISARM}


def expected(op, home: bool) -> int:
    if op == SecurityOp.HANDLER_PAD:
        return CrossingTrap.HANDLER_PAD
    return CALLS.get(op, 0) if home else PADS.get(op, CrossingTrap.OUTSIDE)


def test_every_place_and_instruction():
    seed = int(os.environ.get("FIDES_SEED") or random.SystemRandom().randrange(1, 1 << 31))
    print(f"FIDES_SEED={seed}")
    draw = random.Random(seed)
    unit = MonitorCheck(XfidesConfig(crossings="monitor", shadow_stack_entries=0))
    seen = Counter()

    async def write(ctx, csr, value):
        ctx.set(unit.registers.number, int(csr))
        ctx.set(unit.registers.wdata, value)
        ctx.set(unit.registers.write, 1)
        await ctx.tick()
        ctx.set(unit.registers.write, 0)
        ctx.set(unit.registers.number, NOTHING)

    async def bench(ctx):
        for _ in range(ROUNDS):
            # Neighbours and gaps, some of them empty, near the middle or an end of the 32-bit addresses.
            base = draw.choice((0, 0x8000_0000, (1 << 32) - 64 * 12))
            start, end, par, first, last = (base + 64 * draw.randrange(12) for _ in range(5))
            end, first, last = max(start, end), max(par, first), max(par, first, last)
            restricted, cid = draw.getrandbits(1), draw.getrandbits(8)
            bits = draw.getrandbits(6)  # below the granularity
            await write(ctx, MonitorCSR.COMRANGE, (end | bits) << 32 | start | bits)
            await write(ctx, XfidesCSR.PARCOMPCSTART, par | bits)
            await write(ctx, XfidesCSR.ANYCOMPCSTART, first | bits)
            await write(ctx, XfidesCSR.ANYCOMPCEND, last | bits)
            await write(ctx, XfidesCSR.CURRCOM, restricted << 8 | cid)
            ctx.set(unit.registers.number, int(XfidesCSR.CURRCOM))
            assert ctx.get(unit.rdata) == restricted << 8 | cid
            ctx.set(unit.locked, 1)
            for csr in (XfidesCSR.PARCOMPCSTART, XfidesCSR.ANYCOMPCSTART, XfidesCSR.ANYCOMPCEND):
                await write(ctx, csr, draw.getrandbits(32))  # ignored
            ctx.set(unit.locked, 0)
            for _ in range(PLACES):
                edge = draw.choice((start, end, par, first, last))
                pc = edge + draw.choice((-2, 0, 2, draw.randrange(-64, 64, 2)))
                pc = min(max(pc, 0), (1 << 32) - 2)
                op = draw.choice((*SecurityOp,))
                in_cur, in_any, in_par = start <= pc < end, first <= pc < last, par <= pc < first
                home = in_any or (in_cur and not restricted) or (in_par and bool(restricted))
                ctx.set(unit.x_pc, pc)
                ctx.set(unit.x_op, op)
                for check in (0, 1):
                    ctx.set(unit.x_check, check)
                    reason = expected(op, home) if check else 0
                    bounds = [hex(bound) for bound in (start, end, par, first, last)]
                    where = (hex(pc), op, restricted, bounds)
                    assert ctx.get(unit.x_reason) == reason, where
                seen[home, reason] += 1

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert {reason for _, reason in seen} == {0, *CrossingTrap}
    assert sum(count for (home, _), count in seen.items() if home) > 100


def test_register_numbers_stay_apart():
    assert {int(csr) for csr in MonitorCSR}.isdisjoint(int(csr) for csr in XfidesCSR)
    assert all(csr >> 8 == 7 for csr in MonitorCSR)  # M-mode, read and write
