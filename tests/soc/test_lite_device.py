"""The adapter of devices: what makes a request of a device, and what does not."""

from amaranth.sim import Simulator

from fides_core.soc.lite_device import LiteDevice

ADDRESS = 0x1_0008
READ = {"arvalid": 1, "araddr": ADDRESS}
WRITE = {"awvalid": 1, "awaddr": ADDRESS, "wvalid": 1, "wdata": 5}
INPUTS = ("arvalid", "araddr", "awvalid", "awaddr", "wvalid", "wdata", "wstrb", "rready", "bready")


def run(cycles):
    """(request, address, lanes) and the names of the transfers of each cycle."""
    unit = LiteDevice()
    seen = []

    async def testbench(ctx):
        for cycle in cycles:
            for name in INPUTS:
                ctx.set(getattr(unit.bus, name), cycle.get(name, 0))
            port = unit.port
            request = tuple(ctx.get(getattr(port, name)) for name in ("request", "address", "lanes"))
            bus = unit.bus
            moves = {
                channel
                for channel in ("ar", "aw", "w", "r", "b")
                if ctx.get(getattr(bus, f"{channel}valid") & getattr(bus, f"{channel}ready"))
            }
            seen.append((request if request[0] else None, moves))
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return seen


def test_read():
    seen = run([READ, {}, {"rready": 1}, READ | {"rready": 1}])
    assert seen == [((1, 8, 0), {"ar"}), (None, set()), (None, {"r"}), ((1, 8, 0), {"ar"})]


def test_write_needs_address_and_data():
    write = WRITE | {"wstrb": 0xF0}
    seen = run([write | {"wvalid": 0}, write | {"awvalid": 0}, write, write, {"bready": 1}])
    nothing = (None, set())
    assert seen == [nothing, nothing, ((1, 8, 0xF0), {"aw", "w"}), nothing, (None, {"b"})]


def test_write_without_strobes_is_no_read():
    assert run([WRITE, {"bready": 1}]) == [(None, {"aw", "w"}), (None, {"b"})]


def test_read_before_write():
    write = WRITE | {"wstrb": 1}
    seen = run([READ | write, write | {"rready": 1}, write])
    assert seen == [((1, 8, 0), {"ar"}), (None, {"r"}), ((1, 8, 1), {"aw", "w"})]
