"""The random waits between core and bus: a request that is withdrawn leaves no trace."""

import random

from amaranth.sim import Simulator

from fides_core.core.bus import DataBus
from fides_core.soc.stalls import RandomStalls

CYCLES = 3000


def test_withdrawn_requests_are_forgotten():
    """Each of the others is answered, in order, with its own datum, and there are grants to the end."""
    unit = RandomStalls(DataBus, 5)
    draw = random.Random(1)
    granted, answered, withdrawn, late = [], [], 0, 0

    async def bench(ctx):
        nonlocal withdrawn, late
        ctx.set(unit.downstream.gnt, 1)
        pending = None  # the request granted in the cycle before
        for cycle in range(CYCLES + 50):
            withdraw = pending is not None and draw.random() < 0.3
            ctx.set(unit.withdraw, withdraw)
            ctx.set(unit.downstream.rvalid, pending is not None and not withdraw)
            ctx.set(unit.downstream.rdata, pending or 0)
            withdrawn += withdraw
            if pending is not None and not withdraw:
                granted.append(pending)
            ctx.set(unit.upstream.req, cycle < CYCLES and not withdraw)
            if ctx.get(unit.upstream.rvalid):
                answered.append(ctx.get(unit.upstream.rdata))
            asks = ctx.get(unit.downstream.req)
            assert asks == (ctx.get(unit.upstream.req) & ctx.get(unit.upstream.gnt))
            pending = cycle if asks else None
            late += bool(asks) and cycle > CYCLES - 100
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert answered == granted
    assert withdrawn > 100 and len(answered) > 500 and late > 10
