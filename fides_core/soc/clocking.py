"""Clocks of boards: the system clock out of a board's oscillator, by the clock generator of its FPGA family.

The dividers are computed and checked against the ranges of the data sheets; what the part cannot make raises
ValueError.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from amaranth.hdl import Const, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ClockGenerator", "Dividers", "EcpPll", "Mmcm", "baud_divisor"]

TOLERANCE = 0.0005
"""Of the system clock, relative: beyond, it is refused rather than another frequency made in silence."""

BAUD_TOLERANCE = 0.02
"""Of the baud rate, relative. A receiver that samples the middle of bits has 5 % for both ends together."""


def _mhz(hz: float) -> str:
    return f"{hz / 1e6:.6g} MHz"


def baud_divisor(clock_hz: float, baud: int) -> int:
    """The UART's divisor, clock / (16 * baud rate), rounded; ``clock_hz``: of the system, in Hz.

    Raises ValueError for a rate that is not positive, out of the divisor's range, or more than 2 % off.
    """
    if baud <= 0:
        raise ValueError(f"a baud rate is positive, not {baud}")
    divisor = round(clock_hz / (16 * baud))
    if not 1 <= divisor < 1 << 16:
        raise ValueError(f"no divisor makes {baud} baud from {_mhz(clock_hz)}: it would be {divisor}")
    actual = clock_hz / (16 * divisor)
    error = actual / baud - 1
    if abs(error) > BAUD_TOLERANCE:
        raise ValueError(
            f"{baud} baud cannot be made from {_mhz(clock_hz)}: "
            f"the nearest is {actual:.0f}, {100 * error:+.1f} %"
        )
    return divisor


@dataclass(frozen=True)
class Dividers:
    """``input_hz`` / ``reference`` is what the phase detector sees, times ``multiplier`` the oscillator's
    frequency, divided by ``output`` the system clock. ``feedback``: what of the multiplier is in the loop's
    own divider, where the family has two in a row."""

    input_hz: float
    reference: int
    multiplier: int
    output: int
    feedback: int = 1

    @property
    def detector_hz(self) -> float:
        return self.input_hz / self.reference

    @property
    def oscillator_hz(self) -> float:
        return self.detector_hz * self.multiplier

    @property
    def output_hz(self) -> float:
        return self.oscillator_hz / self.output


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


class ClockGenerator(wiring.Component):
    """``source``: the oscillator's pin, or both of a differential one, positive first. ``clock``: the system
    clock, on the part's clock wires. ``locked``: it is stable.

    ``input_hz``, ``output_hz``: what there is and what is wanted, in Hz; ``dividers`` says what is made.
    Raises ValueError when the part cannot make it. Subclasses have the ranges of a family, in Hz."""

    family: ClassVar[str]
    INPUT: ClassVar[tuple[float, float]]
    DETECTOR: ClassVar[tuple[float, float]]
    OSCILLATOR: ClassVar[tuple[float, float]]
    OUTPUT: ClassVar[tuple[float, float]]
    REFERENCE: ClassVar[range]
    DIVIDER: ClassVar[range]

    def __init__(self, input_hz: float, output_hz: float, *, differential: bool = False):
        self.differential = differential
        self.dividers = self.solve(input_hz, output_hz)
        super().__init__({"source": In(2 if differential else 1), "clock": Out(1), "locked": Out(1)})

    @classmethod
    def _candidates(cls, input_hz: float) -> Iterator[tuple[int, int, int]]:
        """(reference, multiplier, feedback) that the family can have, but for the oscillator's range."""
        raise NotImplementedError

    @classmethod
    def _references(cls, input_hz: float) -> list[int]:
        return [n for n in cls.REFERENCE if _within(input_hz / n, cls.DETECTOR)]

    @classmethod
    def solve(cls, input_hz: float, output_hz: float) -> Dividers:
        """The dividers for ``output_hz`` from ``input_hz``. Raises ValueError as the class does."""
        for does, hz, (low, high) in (("takes", input_hz, cls.INPUT), ("makes", output_hz, cls.OUTPUT)):
            if not low <= hz <= high:
                raise ValueError(f"the {cls.family} {does} {_mhz(low)} to {_mhz(high)}, not {_mhz(hz)}")
        found = []
        for reference, multiplier, feedback in cls._candidates(input_hz):
            oscillator = input_hz / reference * multiplier
            if not _within(oscillator, cls.OSCILLATOR):
                continue
            nearest = round(oscillator / output_hz)
            for output in {nearest, nearest + 1, nearest - 1} & set(cls.DIVIDER):
                found.append(Dividers(input_hz, reference, multiplier, output, feedback))
        if not found:
            raise ValueError(
                f"the {cls.family} cannot make {_mhz(output_hz)} from {_mhz(input_hz)}: "
                f"its oscillator runs at {_mhz(cls.OSCILLATOR[0])} to {_mhz(cls.OSCILLATOR[1])}"
            )
        middle = sum(cls.OSCILLATOR) / 2
        # The exact frequency first, then the fastest phase detector, then the middle of the range.
        best = min(found, key=lambda d: (
            round(abs(d.output_hz / output_hz - 1), 9),
            d.reference,
            d.feedback,
            abs(d.oscillator_hz - middle),
            d.output,
        ))  # fmt: skip
        if abs(best.output_hz / output_hz - 1) > TOLERANCE:
            raise ValueError(
                f"the {cls.family} cannot make {_mhz(output_hz)} from {_mhz(input_hz)}: "
                f"the nearest is {_mhz(best.output_hz)}"
            )
        return best


class EcpPll(ClockGenerator):
    """EHXPLLL of the ECP5 (Lattice FPGA-DS-02012, sysCLOCK PLL timing). The loop is closed over output CLKOP,
    the system clock is CLKOS, so that the ratio is not bound to the loop's."""

    family = "ECP5 PLL"
    INPUT = (8e6, 400e6)
    DETECTOR = (10e6, 400e6)
    OSCILLATOR = (400e6, 800e6)
    OUTPUT = (3.125e6, 400e6)
    REFERENCE = range(1, 129)
    DIVIDER = range(1, 129)

    @classmethod
    def _candidates(cls, input_hz):
        for reference in cls._references(input_hz):
            for feedback in range(1, 81):
                # Output CLKOP has to be within its range, too.
                if not _within(input_hz / reference * feedback, cls.OUTPUT):
                    continue
                for divider in cls.DIVIDER:
                    yield reference, feedback * divider, feedback

    def elaborate(self, platform):
        m = Module()
        dividers = self.dividers
        loop = Signal()
        loop_divider = dividers.multiplier // dividers.feedback
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_CLKI_DIV=dividers.reference,
            p_CLKFB_DIV=dividers.feedback,
            p_FEEDBK_PATH="CLKOP",
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=loop_divider,
            p_CLKOP_CPHASE=loop_divider - 1,
            p_CLKOP_FPHASE=0,
            p_CLKOS_ENABLE="ENABLED",
            p_CLKOS_DIV=dividers.output,
            p_CLKOS_CPHASE=dividers.output - 1,
            p_CLKOS_FPHASE=0,
            p_PLLRST_ENA="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            i_CLKI=self.source[0],
            i_CLKFB=loop,
            i_RST=Const(0),
            i_STDBY=Const(0),
            i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(0),
            i_PHASESTEP=Const(0),
            i_PHASELOADREG=Const(0),
            i_PLLWAKESYNC=Const(0),
            i_ENCLKOP=Const(0),
            i_ENCLKOS=Const(0),
            o_CLKOP=loop,
            o_CLKOS=self.clock,
            o_LOCK=self.locked,
        )
        return m


class Mmcm(ClockGenerator):
    """MMCME2_BASE of 7-series parts, speed grade -2 (DS181, MMCM specification), with whole dividers, and the
    buffers of its input and its output."""

    family = "MMCM"
    INPUT = (10e6, 933e6)
    DETECTOR = (10e6, 500e6)
    OSCILLATOR = (600e6, 1440e6)
    OUTPUT = (4.69e6, 933e6)
    REFERENCE = range(1, 107)
    DIVIDER = range(1, 129)

    @classmethod
    def _candidates(cls, input_hz):
        for reference in cls._references(input_hz):
            for multiplier in range(2, 65):
                yield reference, multiplier, 1

    def elaborate(self, platform):
        m = Module()
        dividers = self.dividers
        source, loop, fast = Signal(), Signal(), Signal()
        if self.differential:
            m.submodules.input_buffer = Instance(
                "IBUFDS", i_I=self.source[0], i_IB=self.source[1], o_O=source
            )
        else:
            m.submodules.input_buffer = Instance("IBUF", i_I=self.source[0], o_O=source)
        m.submodules.mmcm = Instance(
            "MMCME2_BASE",
            p_BANDWIDTH="OPTIMIZED",
            p_CLKIN1_PERIOD=1e9 / dividers.input_hz,
            p_DIVCLK_DIVIDE=dividers.reference,
            p_CLKFBOUT_MULT_F=float(dividers.multiplier),
            p_CLKOUT0_DIVIDE_F=float(dividers.output),
            i_CLKIN1=source,
            i_CLKFBIN=loop,
            i_RST=Const(0),
            i_PWRDWN=Const(0),
            o_CLKFBOUT=loop,
            o_CLKOUT0=fast,
            o_LOCKED=self.locked,
        )
        m.submodules.output_buffer = Instance("BUFG", i_I=fast, o_O=self.clock)
        return m
