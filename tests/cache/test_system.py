"""The caches together: fence.i makes stores visible to instruction fetch. And regions of addresses."""

import gc
import random

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from fides_core.cache.regions import inside
from fides_core.cache.system import MemorySystem
from fides_core.config import CacheConfig, CoreConfig

BASE, BYTES = 0x8000_0000, 1 << 16
LINE = 32


async def until(ctx, condition, *values):
    """As ``ctx.tick().sample(*values).until(condition)``, for testbenches that never end: that one cannot be
    thrown away at the end of a simulation while it waits, Amaranth then leaves a RuntimeError behind."""
    while True:
        _, _, *sampled, done = await ctx.tick().sample(*values, condition)
        if done:
            return sampled


def axi_memory(axi, memory: dict[int, int]):
    """Answers one transfer after the other, in bursts without waits; the two channels of a write together."""

    async def process(ctx):
        while True:
            await ctx.tick()
            if ctx.get(axi.arvalid):
                address, beats = ctx.get(axi.araddr), ctx.get(axi.arlen) + 1
                ctx.set(axi.arready, 1)
                await ctx.tick()
                ctx.set(axi.arready, 0)
                for beat in range(beats):
                    ctx.set(axi.rvalid, 1)
                    ctx.set(axi.rdata, memory.get(address + 8 * beat, 0))
                    ctx.set(axi.rlast, beat == beats - 1)
                    await until(ctx, axi.rready)
                ctx.set(axi.rvalid, 0)
            elif ctx.get(axi.awvalid):
                address, beats = ctx.get(axi.awaddr), ctx.get(axi.awlen) + 1
                ctx.set(axi.awready, 1)
                await ctx.tick()
                ctx.set(axi.awready, 0)
                ctx.set(axi.wready, 1)
                for beat in range(beats):
                    (data,) = await until(ctx, axi.wvalid, axi.wdata)
                    memory[address + 8 * beat] = data
                ctx.set(axi.wready, 0)
                ctx.set(axi.bvalid, 1)
                await until(ctx, axi.bready)
                ctx.set(axi.bvalid, 0)

    return process


async def access(ctx, bus, address, data=None):
    """A load, fetch or (with ``data``) store, from the request to the response."""
    ctx.set(bus.addr, address)
    if data is not None or hasattr(bus, "we"):
        ctx.set(bus.we, data is not None)
        ctx.set(bus.be, 0xFF)
        ctx.set(bus.wdata, data or 0)
    ctx.set(bus.req, 1)
    await ctx.tick().until(bus.gnt)
    ctx.set(bus.req, 0)
    value, error = await ctx.tick().sample(bus.rdata, bus.err).until(bus.rvalid)
    assert not error
    return value


@pytest.mark.parametrize("ways", [1, 2, 4])
def test_fence_i_makes_stores_visible(ways):
    seed = random.SystemRandom().randrange(1 << 31)
    print(f"seed {seed}")
    rng = random.Random(seed)
    cache = CacheConfig(1024, ways, LINE)
    dut = MemorySystem(CoreConfig(icache=cache, dcache=cache), ((BASE, BYTES),), (BASE, BYTES))
    memory: dict[int, int] = {}
    stale = 0

    async def testbench(ctx):
        nonlocal stale
        await ctx.tick().repeat(3)
        words = [BASE + 1024 * i + LINE * j + 8 * k for i in range(3) for j in range(2) for k in range(4)]
        stored, visible = {}, {}
        for _ in range(25):
            for address in rng.sample(words, 4):
                stored[address] = rng.getrandbits(64)
                await access(ctx, dut.dbus, address, stored[address])
                assert await access(ctx, dut.dbus, address) == stored[address]
            for address in rng.sample(words, 3):  # before the fence, old and new may both be seen
                old = await access(ctx, dut.ibus, address)
                assert old in (visible.get(address, 0), stored.get(address, 0))
                stale += old != stored.get(address, 0)
            # A fetch is under way, or asked for, when the fence begins.
            address = rng.choice(words)
            ctx.set(dut.ibus.addr, address)
            ctx.set(dut.ibus.req, 1)
            await ctx.tick().until(dut.ibus.gnt)
            ctx.set(dut.ibus.req, 0)
            ctx.set(dut.fence_i, 1)
            answers = 0
            for _ in range(1000):
                done = ctx.get(dut.fence_i_done)
                if done:
                    break
                *_, valid, word = await ctx.tick().sample(dut.ibus.rvalid, dut.ibus.rdata)
                if valid:
                    assert word in (visible.get(address, 0), stored.get(address, 0))
                    answers += 1
            assert done and answers == 1
            visible = dict(stored)
            # Asked for in the very cycle of the end.
            address = rng.choice(words)
            ctx.set(dut.ibus.addr, address)
            ctx.set(dut.ibus.req, 1)
            assert ctx.get(dut.ibus.gnt)
            await ctx.tick()
            ctx.set(dut.fence_i, 0)
            ctx.set(dut.ibus.req, 0)
            value, _ = await ctx.tick().sample(dut.ibus.rdata, dut.ibus.err).until(dut.ibus.rvalid)
            assert value == stored.get(address, 0)
            for address in rng.sample(words, 3):
                assert await access(ctx, dut.ibus, address) == stored.get(address, 0)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.add_testbench(axi_memory(dut.iaxi, memory), background=True)
    sim.add_testbench(axi_memory(dut.daxi, memory), background=True)
    sim.run()
    assert stale  # else the fence has had nothing to do


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_a_system_needs_caches():
    with pytest.raises(ValueError, match="no caches"):
        MemorySystem(CoreConfig(icache=None, dcache=None), ((BASE, BYTES),), (BASE, BYTES))
    # Amaranth warns of every component that is thrown away, of those that refuse to be made, too. Let this
    # one go here, where that is ignored.
    gc.collect()


@pytest.mark.parametrize(
    ("base", "size"),
    [(0x1000, 0x1000), (BASE, BYTES), (0xFFFF_F000, 0x1000), (8, 8), (0, 1 << 31)],
)
def test_a_region_is_what_it_says(base, size):
    m = Module()
    address, found = Signal(32), Signal()
    m.d.comb += found.eq(inside(address, [(base, size)]))
    near = [edge + offset for edge in (base, base + size) for offset in (-9, -8, -1, 0, 1, 7, 8)]
    near += [base + size // 2, base ^ 1 << 31]

    async def testbench(ctx):
        for value in near:
            value %= 1 << 32
            ctx.set(address, value)
            assert ctx.get(found) == (base <= value < base + size), hex(value)

    sim = Simulator(m)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize(("base", "size"), [(0, 0), (4, 8), (0, 12), (0x1000, 0x2000)])
def test_a_region_that_is_none(base, size):
    with pytest.raises(ValueError, match="not naturally aligned"):
        inside(Signal(32), [(base, size)])
