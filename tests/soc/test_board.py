"""Boards: clocks that can and cannot be made, resets, and what a description of a board may not be."""

from dataclasses import replace

import pytest
from amaranth.build import Attrs, Clock, Connector, DiffPairs, Pins, PinsN, Resource, Subsignal
from amaranth.hdl import ClockDomain, Module, Signal
from amaranth.sim import Simulator

from fides_core.soc.board import Board
from fides_core.soc.board_top import ResetSynchronizer
from fides_core.soc.clocking import EcpPll, Mmcm, baud_divisor


@pytest.mark.parametrize(
    ("generator", "source", "wanted"),
    [(EcpPll, 25e6, hz) for hz in (24e6, 25e6, 30e6, 33.333333e6, 50e6, 100e6)]
    + [(Mmcm, 200e6, hz) for hz in (50e6, 75e6, 100e6, 120e6)]
    + [(Mmcm, 156.25e6, 100e6)],
)
def test_clock_that_can_be_made(generator, source, wanted):
    """Worked out again from the dividers, against the limits of the data sheets."""
    dividers = generator.solve(source, wanted)
    detector = source / dividers.reference
    oscillator = detector * dividers.multiplier
    assert oscillator / dividers.output == pytest.approx(wanted, rel=5e-4)
    assert dividers.output_hz == pytest.approx(oscillator / dividers.output)
    low, high, detects = (400e6, 800e6, 10e6) if generator is EcpPll else (600e6, 1440e6, 10e6)
    assert low <= oscillator <= high and detector >= detects
    assert dividers.multiplier % dividers.feedback == 0
    if generator is EcpPll:
        assert 3.125e6 <= detector * dividers.feedback <= 400e6


@pytest.mark.parametrize(
    ("generator", "source", "wanted", "message"),
    [
        (EcpPll, 25e6, 500e6, "the ECP5 PLL makes 3.125 MHz to 400 MHz, not 500 MHz"),
        (EcpPll, 25e6, 1e6, "makes 3.125 MHz to 400 MHz, not 1 MHz"),
        (EcpPll, 5e6, 24e6, "takes 8 MHz to 400 MHz, not 5 MHz"),
        (EcpPll, 25e6, 371e6, r"cannot make 371 MHz from 25 MHz: the nearest is 3\d\d.*MHz"),
        # No multiple of 48 MHz is one of 12.5 MHz within the oscillator's range.
        (EcpPll, 25e6, 48e6, r"cannot make 48 MHz from 25 MHz: the nearest is 48.0769 MHz"),
        (Mmcm, 200e6, 0.0, "makes 4.69 MHz to 933 MHz, not 0 MHz"),
    ],
)
def test_clock_that_cannot_be_made(generator, source, wanted, message):
    with pytest.raises(ValueError, match=message):
        generator.solve(source, wanted)


def test_oscillator_out_of_range(monkeypatch):
    monkeypatch.setattr(Mmcm, "OSCILLATOR", (601e6, 602e6))
    with pytest.raises(ValueError, match="its oscillator runs at 601 MHz to 602 MHz"):
        Mmcm.solve(200e6, 100e6)


def test_baud_rates():
    assert baud_divisor(24e6, 115200) == 13
    assert baud_divisor(100e6, 115200) == 54
    for hz, baud, message in (
        (25e6, 115200, r"115200 baud cannot be made from 25 MHz: the nearest is 111607, -3.1 %"),
        (24e6, 3_000_000, "no divisor makes 3000000 baud from 24 MHz: it would be 0"),
        (100e6, 10, "it would be 625000"),
        (24e6, 0, "a baud rate is positive, not 0"),
    ):
        with pytest.raises(ValueError, match=message):
            baud_divisor(hz, baud)


def _reset_bench(test):
    """Run ``test(context, synchronizer, counter, tick)``; the domain of the counter is reset by the
    synchroniser, the clock stands still between ticks."""
    m = Module()
    m.domains.sync = sync = ClockDomain()
    m.submodules.synchronizer = synchronizer = ResetSynchronizer()
    counter = Signal(8, init=3)
    m.d.sync += counter.eq(counter + 1)
    m.d.comb += sync.rst.eq(synchronizer.reset)
    simulator = Simulator(m)

    async def drive(context):
        async def tick(count=1):
            for _ in range(count):
                await context.delay(5e-9)
                context.set(sync.clk, 1)
                await context.delay(5e-9)
                context.set(sync.clk, 0)

        await test(context, synchronizer, counter, tick)

    simulator.add_testbench(drive)
    simulator.run()


def test_reset_at_power_up():
    async def test(context, synchronizer, counter, tick):
        seen = []
        for _ in range(6):
            seen.append(context.get(synchronizer.reset))
            await tick()
        assert seen == [1, 1, 1, 0, 0, 0]
        # It counts from its value at reset on, in the cycles without.
        assert context.get(counter) == 6

    _reset_bench(test)


def test_reset_begins_and_ends_with_the_clock():
    async def test(context, synchronizer, counter, tick):
        await tick(8)
        context.set(synchronizer.request, 1)
        await context.delay(1e-9)
        assert context.get(synchronizer.reset) == 0
        await tick(5)
        assert context.get(synchronizer.reset) == 1 and context.get(counter) == 3
        context.set(synchronizer.request, 0)
        await context.delay(1e-9)
        assert context.get(synchronizer.reset) == 1
        await tick(2)
        assert context.get(synchronizer.reset) == 1
        await tick(1)
        assert context.get(synchronizer.reset) == 0 and context.get(counter) == 3
        await tick(1)
        assert context.get(counter) == 4

    _reset_bench(test)


def test_short_request_is_noted_while_the_clock_stands_still():
    async def test(context, synchronizer, counter, tick):
        await tick(8)
        assert context.get(synchronizer.reset) == 0
        context.set(synchronizer.request, 1)
        await context.delay(1e-9)
        context.set(synchronizer.request, 0)
        await context.delay(100e-9)
        seen = []
        for _ in range(4):
            await tick()
            seen.append(context.get(synchronizer.reset))
        assert seen == [1, 1, 0, 0]

    _reset_bench(test)


class SmallPlatform:
    device, package, speed = "part", "P1", "1"
    resources = [
        Resource("osc", 0, Pins("A1", dir="i"), Clock(25e6), Attrs(V="3")),
        Resource("pair", 0, DiffPairs("A2", "A3", dir="i"), Clock(25e6)),
        Resource("silent", 0, Pins("A4", dir="i")),
        Resource("uart", 0, Subsignal("rx", Pins("B1", dir="i")),
                 Subsignal("tx", Pins("B2", dir="o"), Attrs(D=8)), Attrs(V="1", S=lambda platform: "x")),
        Resource("half", 0, Subsignal("rx", Pins("B1", dir="i"))),
        Resource("button", 0, PinsN("1", dir="i", conn=("j", 1))),
        Resource("led", 0, PinsN("C1", dir="o")),
        Resource("leds", 0, Pins("C1 C2", dir="o")),
        Resource("again", 0, Pins("B1", dir="o")),
    ]  # fmt: skip
    connectors = [Connector("j", 1, {"1": "D1"}, conn=None)]


BOARD = Board(
    name="small",
    title="",
    platform=SmallPlatform,
    clock=("osc", 0),
    clock_generator=EcpPll,
    system_hz=24e6,
    uart=("uart", 0),
    reset=("button", 0),
    leds=(("led", 0),),
    memory_bytes=4096,
    largest_memory_bytes=8192,
    toolchains=("ecp5",),
    capacity={},
)


def test_pins_of_a_board():
    pins = {pin.name: pin for pin in BOARD.pins}
    assert {name: pin.location for name, pin in pins.items()} == {
        "clock": "A1", "reset": "D1", "uart_rx": "B1", "uart_tx": "B2", "led[0]": "C1",
    }  # fmt: skip
    assert pins["clock"].clock_hz == 25e6 and pins["clock"].attributes == {"V": "3"}
    assert pins["uart_tx"].attributes == {"V": "1", "D": "8"} and pins["uart_tx"].output
    assert pins["led[0]"].inverted and pins["reset"].inverted and not pins["uart_rx"].inverted
    assert BOARD.part == "part-1P1"
    pair = replace(BOARD, clock=("pair", 0))
    assert [(pin.name, pin.location, pin.clock_hz) for pin in pair.pins[:2]] == [
        ("clock_p", "A2", 25e6), ("clock_n", "A3", None),
    ]  # fmt: skip
    assert pair.differential and not BOARD.differential


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a b"}, "'a b' cannot be the name of a board"),
        ({"toolchains": ()}, "has no toolchain"),
        ({"memory_bytes": 5000}, "the default memory must be a power of two, not 5000 bytes"),
        ({"largest_memory_bytes": 2048}, "the largest memory must be"),
        ({"memory_bytes": 16384}, "the default memory is larger than the largest"),
        ({"clock": ("silent", 0)}, "has no frequency"),
        ({"clock": ("osc", 1)}, "its platform has no resource osc 1"),
        ({"uart": ("half", 0)}, "resource half 0 has no part tx"),
        ({"reset": ("uart", 0)}, "has parts, name one of them"),
        ({"reset": ("led", 0)}, "is not an input"),
        ({"leds": (("button", 0),)}, "is not an output"),
        ({"leds": (("leds", 0),)}, "has 2 pins, not one"),
        ({"high": (("again", 0),)}, r"pin B1 is uart_rx and high\[0\]"),
    ],
)
def test_board_that_contradicts_itself(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(BOARD, **changes)
