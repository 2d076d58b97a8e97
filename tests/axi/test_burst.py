"""Addresses and lanes of all bursts against the formulas of IHI 0022H, A3.4.2."""

from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from fides_core.axi.burst import byte_lanes, next_address
from fides_core.axi.signatures import Burst


def reference(start, length, size, burst):
    """(address, lanes) of each beat."""
    width, beats = 1 << size, length + 1
    aligned = start // width * width
    low = start // (width * beats) * width * beats
    for number in range(beats):
        address = start if number == 0 or burst == Burst.FIXED else aligned + number * width
        if burst == Burst.WRAP and address >= low + width * beats:
            address -= width * beats
        top = address // width * width + width
        yield address, sum(1 << byte % 8 for byte in range(address, top))


def test_every_beat():
    address, length, size, burst = Signal(12), Signal(8), Signal(3), Signal(Burst)
    following, lanes = Signal(12), Signal(8)
    m = Module()
    m.d.comb += [
        following.eq(next_address(address, length, size, burst)), lanes.eq(byte_lanes(address, size))
    ]  # fmt: skip
    checked = set()

    async def testbench(ctx):
        for kind in Burst:
            for log2 in range(4):
                for beats in {Burst.WRAP: (2, 4, 8, 16)}.get(kind, (1, 2, 5, 16)):
                    for start in (0x000, 0x208, 0x478, 0xA5B, 0xEFC, 0xF3F):
                        if kind == Burst.WRAP:
                            start = start >> log2 << log2
                        ctx.set(length, beats - 1)
                        ctx.set(size, log2)
                        ctx.set(burst, kind)
                        for number, (where, which) in enumerate(reference(start, beats - 1, log2, kind)):
                            if number:
                                assert ctx.get(following) == where, (kind, log2, beats, hex(start), number)
                            ctx.set(address, where)
                            assert ctx.get(lanes) == which
                            checked.add((kind, number))

    simulator = Simulator(m)
    simulator.add_testbench(testbench)
    simulator.run()
    assert len(checked) == 48
