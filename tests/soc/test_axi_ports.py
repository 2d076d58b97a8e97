"""AXI4 ports of a core without caches: every access of both buses is one transfer, as the protocol has it."""

import random

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from fides_core.axi.checker import Axi4Checker, Rule, observe
from fides_core.axi.signatures import Burst, Response
from fides_core.soc.axi_ports import AxiPorts

EXECUTABLE = ((0x1000, 0x1000), (0x8000_0000, 1 << 20))
ACCESSES = 400
FIELDS = ("len", "size", "burst", "id")


class Bench:
    """The ports with checkers on them, traffic on the buses, and a memory that waits at random."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.unit = AxiPorts(EXECUTABLE)
        self.m = Module()
        self.m.submodules.unit = self.unit
        self.checkers = []
        for name in ("iaxi", "daxi"):
            checker = Axi4Checker(outstanding=1)
            self.m.submodules[f"{name}_checker"] = checker
            observe(self.m, checker, getattr(self.unit, name))
            self.checkers.append(checker)
        self.transfers = {"iaxi": [], "daxi": []}  # what came out of each port
        self.ended = 0

    def response(self, address):
        """What the system answers at ``address``."""
        code = {1: Response.SLVERR, 2: Response.DECERR}.get(address >> 4 & 7, Response.OKAY)
        return code, address * 0x1_0001 & (1 << 64) - 1

    async def subordinate(self, ctx, name):
        port, draw = getattr(self.unit, name), self.draw
        while True:
            delay = draw.choice((0, 0, 1, 3))
            if ctx.get(port.arvalid):
                for _ in range(delay):
                    await ctx.tick()
                address = ctx.get(port.araddr)
                fields = {f: ctx.get(getattr(port, f"ar{f}")) for f in FIELDS}
                self.transfers[name].append(("read", address, fields, None))
                ctx.set(port.arready, 1)
                await ctx.tick()
                ctx.set(port.arready, 0)
                for _ in range(draw.choice((0, 0, 2))):
                    await ctx.tick()
                code, data = self.response(address)
                for field, value in (("valid", 1), ("data", data), ("resp", code), ("last", 1)):
                    ctx.set(getattr(port, f"r{field}"), value)
                await ctx.tick()  # ready is always high
                ctx.set(port.rvalid, 0)
            elif ctx.get(port.awvalid):
                order = draw.choice((("aw", "w"), ("w", "aw"), ("both",)))
                for step in order:
                    for _ in range(draw.choice((0, 1))):
                        await ctx.tick()
                    for channel in ("aw", "w"):
                        if step not in (channel, "both"):
                            continue
                        assert ctx.get(getattr(port, f"{channel}valid"))
                        if channel == "aw":
                            write = {f: ctx.get(getattr(port, f"aw{f}")) for f in FIELDS}
                            address = ctx.get(port.awaddr)
                        else:
                            data = (ctx.get(port.wdata), ctx.get(port.wstrb), ctx.get(port.wlast))
                        ctx.set(getattr(port, f"{channel}ready"), 1)
                    await ctx.tick()
                    ctx.set(port.awready, 0)
                    ctx.set(port.wready, 0)
                self.transfers[name].append(("write", address, write, data))
                ctx.set(port.bvalid, 1)
                ctx.set(port.bresp, self.response(address)[0])
                await ctx.tick()
                ctx.set(port.bvalid, 0)
            else:
                await ctx.tick()

    async def access(self, ctx, bus, **request):
        """One access; returns (rdata, err). Once it is granted the bus shows something else."""
        for name, value in request.items():
            ctx.set(getattr(bus, name), value)
        ctx.set(bus.req, 1)
        while not ctx.get(bus.gnt):
            assert not ctx.get(bus.rvalid)
            await ctx.tick()
        await ctx.tick()
        ctx.set(bus.req, 0)
        for name, value in request.items():
            ctx.set(getattr(bus, name), ~value & (1 << len(getattr(bus, name))) - 1)
        while not ctx.get(bus.rvalid):
            await ctx.tick()
        result = ctx.get(bus.rdata), ctx.get(bus.err)
        await ctx.tick()
        return result

    async def fetches(self, ctx):
        expected, refused = [], 0
        for _ in range(ACCESSES):
            address = self.draw.choice((0x1000, 0x1FF8, 0x8000_0000, 0x800F_FFF8, 0x2000, 0xFF8, 0x8010_0000))
            address ^= self.draw.randrange(16) << 3 if address & 0xFFF == 0 else 0
            data, error = await self.access(ctx, self.unit.ibus, addr=address)
            if not any(base <= address < base + size for base, size in EXECUTABLE):
                assert error
                refused += 1
                continue
            expected.append((address, 3))
            code, word = self.response(address)
            assert error == (code is not Response.OKAY)
            assert error or data == word
        assert refused > 20 and len(expected) > 20
        assert [(where, fields["size"]) for _, where, fields, _ in self.transfers["iaxi"]] == expected
        self.ended += 1

    async def data(self, ctx):
        expected, errors, sizes = [], 0, set()
        for _ in range(ACCESSES):
            size = self.draw.randrange(4)
            sizes.add(size)
            address = self.draw.getrandbits(32) >> size << size
            write = self.draw.randrange(2)
            lanes = (1 << (1 << size)) - 1 << (address & 7)
            value = self.draw.getrandbits(64)
            data, error = await self.access(
                ctx, self.unit.dbus, addr=address, we=write, be=lanes, wdata=value
            )
            code, word = self.response(address)
            assert error == (code is not Response.OKAY)
            assert write or error or data == word
            errors += error
            kind, beat = ("write", (value, lanes, 1)) if write else ("read", None)
            expected.append((kind, address, size, beat))
        assert errors > 20 and len(sizes) == 4
        assert [(kind, where, f["size"], data) for kind, where, f, data in self.transfers["daxi"]] == expected
        self.ended += 1


@pytest.mark.parametrize("seed", [1, 2])
def test_traffic_of_both_buses(seed):
    bench = Bench(seed)
    simulator = Simulator(bench.m)
    simulator.add_clock(1e-6)

    async def limit(ctx):
        for _ in range(20 * ACCESSES):
            await ctx.tick()
        pytest.fail(f"seed {seed}: still going: {bench.transfers['daxi'][-1:]}")

    for name in ("iaxi", "daxi"):
        async def subordinate(ctx, name=name):
            await bench.subordinate(ctx, name)

        simulator.add_testbench(subordinate, background=True)
    simulator.add_testbench(limit, background=True)
    simulator.add_testbench(bench.fetches)
    simulator.add_testbench(bench.data)

    async def verdict(ctx):
        while bench.ended < 2:
            await ctx.tick()
        for _ in range(3):
            await ctx.tick()
        assert [Rule(ctx.get(checker.code)) for checker in bench.checkers] == [Rule.NONE, Rule.NONE]

    simulator.add_testbench(verdict)
    simulator.run()
    for _, _, fields, _ in (*bench.transfers["iaxi"], *bench.transfers["daxi"]):
        assert (fields["len"], fields["burst"], fields["id"]) == (0, Burst.INCR, 0)
    assert all(kind == "read" for kind, *_ in bench.transfers["iaxi"])
