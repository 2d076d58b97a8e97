"""The bridge of the data bus: what it holds, in which order, and which responses are errors."""

import pytest
from amaranth.sim import Simulator

from fides_core.axi.obi_bridge import ObiBridge
from fides_core.axi.signatures import Response

REQUEST = {"req": 1, "addr": 0x1234_5674, "be": 0xF0, "wdata": 0x1122_3344_5566_7788}
OTHER = {"req": 1, "addr": 4, "be": 1, "wdata": 1, "we": 1}


def run(testbench):
    unit = ObiBridge()

    async def process(ctx):
        async def cycle(obi=(), lite=()):
            """One cycle with these inputs high; what the outputs were in it."""
            for name in ("req", "addr", "we", "be", "wdata"):
                ctx.set(getattr(unit.obi, name), dict(obi).get(name, 0))
            for name in ("arready", "awready", "wready", "rvalid", "rdata", "rresp", "bvalid", "bresp"):
                ctx.set(getattr(unit.lite, name), dict(lite).get(name, 0))
            seen = {name: ctx.get(getattr(unit.obi, name)) for name in ("gnt", "rvalid", "rdata", "err")}
            for name in ("arvalid", "araddr", "awvalid", "awaddr", "wvalid", "wdata", "wstrb"):
                seen[name] = ctx.get(getattr(unit.lite, name))
            await ctx.tick()
            return seen

        await testbench(cycle)

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(process)
    simulator.run()


@pytest.mark.parametrize("response", [Response.OKAY, Response.SLVERR, Response.DECERR])
def test_read(response):
    wrong = Response.OKAY if response else Response.DECERR  # what the other channel says

    async def testbench(cycle):
        assert (await cycle(REQUEST))["gnt"]
        # The request is held, whatever the bus shows now.
        for ready in (0, 0, 1):
            seen = await cycle(OTHER, {"arready": ready})
            assert not seen["gnt"] and not seen["rvalid"]
            assert seen["arvalid"] and seen["araddr"] == REQUEST["addr"]
            assert not seen["awvalid"] and not seen["wvalid"]
        seen = await cycle()
        assert not seen["arvalid"] and not seen["rvalid"] and not seen["gnt"]
        seen = await cycle((), {"rvalid": 1, "rdata": 99, "rresp": response, "bresp": wrong})
        assert (seen["rvalid"], seen["rdata"], seen["err"]) == (1, 99, response != Response.OKAY)
        seen = await cycle()
        assert seen["gnt"] and not seen["rvalid"] and not seen["arvalid"]

    run(testbench)


@pytest.mark.parametrize("response", [Response.OKAY, Response.SLVERR, Response.DECERR])
@pytest.mark.parametrize("first", ["awready", "wready", "both"])
def test_write(response, first):
    wrong = Response.OKAY if response else Response.DECERR

    async def testbench(cycle):
        await cycle(REQUEST | {"we": 1})
        order = ("awready", "wready") if first == "both" else (first,)
        seen = await cycle(OTHER, dict.fromkeys(order, 1))
        assert seen["awvalid"] and seen["wvalid"] and not seen["arvalid"]
        assert (seen["awaddr"], seen["wdata"]) == (REQUEST["addr"], REQUEST["wdata"])
        assert seen["wstrb"] == REQUEST["be"]
        rest = {"awready", "wready"} - set(order)
        seen = await cycle(OTHER, dict.fromkeys(rest, 1))
        assert (seen["awvalid"], seen["wvalid"]) == ("awready" in rest, "wready" in rest)
        seen = await cycle((), {"bvalid": 1, "bresp": response, "rresp": wrong})
        assert (seen["rvalid"], seen["err"], seen["gnt"]) == (1, response != Response.OKAY, 0)
        assert (await cycle())["gnt"]

    run(testbench)
