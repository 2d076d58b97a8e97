"""What a board is to the flow: its part and pins, its oscillator, and what it has room for.

The description of a board is the value ``BOARD`` of a file in ``boards/``; pins and their electrical
attributes are those of an Amaranth platform.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from amaranth.build import DiffPairs, Subsignal

from .clocking import ClockGenerator, Dividers

__all__ = ["Board", "Pin", "ResourceName"]

ResourceName = tuple[str, int] | tuple[str, int, str]
"""Name and number of a resource of the platform, and of what of it where it has parts."""


@dataclass(frozen=True)
class Pin:
    """A pin of the package on a bit of a port of the top level. ``port``: name; ``bit``: number, None for a
    port of one bit that is no vector; ``location``: name of the package's pin; ``attributes``: the
    platform's, such as the voltage; ``output``: direction; ``inverted``: low means 1; ``clock_hz``: of the
    oscillator on it, in Hz, or None."""

    port: str
    bit: int | None
    location: str
    attributes: Mapping[str, str]
    output: bool
    inverted: bool
    clock_hz: float | None = None

    @property
    def name(self) -> str:
        """As in Verilog and in constraints: ``port`` or ``port[bit]``."""
        return self.port if self.bit is None else f"{self.port}[{self.bit}]"


@dataclass(frozen=True)
class Board:
    """A board. Resources are those of ``platform``, an Amaranth platform class, which also has the part.

    ``name``: as in ``fides build NAME``; ``title``: for people. ``clock``: the oscillator, a resource with a
    frequency, out of which ``clock_generator`` makes the system clock, ``system_hz`` unless asked otherwise.
    ``uart``: a resource with parts ``rx`` and ``tx`` as the FPGA sees them. ``reset``: a button, pressed is
    active. ``leds``: in order. ``high``: outputs that must be driven active for the board to work.
    ``memory_bytes``: of main memory unless asked otherwise, and ``largest_memory_bytes`` at most: powers of
    two. ``toolchains``: names of the files in flow/build that can build for it, the first is the default.
    ``capacity``: how many of each kind of site the part has, kinds as ``count`` of the toolchains names them.
    ``configuration``: properties of the whole design that the board asks for, such as the voltage of the
    configuration bank, by the names that its vendor's constraints have for them.
    Raises ValueError when a resource is not there or not of that kind, or a number contradicts another.
    """

    name: str
    title: str
    platform: type
    clock: ResourceName
    clock_generator: type[ClockGenerator]
    system_hz: float
    uart: ResourceName
    reset: ResourceName
    leds: tuple[ResourceName, ...]
    memory_bytes: int
    largest_memory_bytes: int
    toolchains: tuple[str, ...]
    capacity: Mapping[str, int]
    high: tuple[ResourceName, ...] = ()
    configuration: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        if not self.name.isidentifier():
            raise ValueError(f"{self.name!r} cannot be the name of a board: letters, digits and underscores")
        if not self.toolchains:
            raise ValueError(f"board {self.name} has no toolchain")
        for what, size in (("default", self.memory_bytes), ("largest", self.largest_memory_bytes)):
            if size < 4096 or size & (size - 1):
                raise ValueError(
                    f"board {self.name}: the {what} memory must be a power of two, not {size} bytes"
                )
        if self.memory_bytes > self.largest_memory_bytes:
            raise ValueError(f"board {self.name}: the default memory is larger than the largest")
        if self.clock_hz is None:
            raise ValueError(f"board {self.name}: resource {self.clock} has no frequency")
        used: dict[str, str] = {}
        for pin in self.pins:
            if (other := used.setdefault(pin.location, pin.name)) != pin.name:
                raise ValueError(f"board {self.name}: pin {pin.location} is {other} and {pin.name}")

    @cached_property
    def part(self) -> str:
        """The part, its package and speed grade, in the vendor's words."""
        platform = self.platform
        return f"{platform.device}-{platform.speed}{platform.package}"

    @property
    def clock_hz(self) -> float | None:
        """Of the oscillator, in Hz."""
        return self._resource(self.clock)[1]

    @property
    def differential(self) -> bool:
        """Whether the oscillator comes on two pins."""
        return isinstance(self._resource(self.clock)[0].ios[0], DiffPairs)

    def dividers(self, hz: float | None = None) -> Dividers:
        """Of the clock generator, for ``hz`` (default: ``system_hz``). Raises ValueError."""
        return self.clock_generator.solve(self.clock_hz, self.system_hz if hz is None else hz)

    def generator(self, hz: float | None = None) -> ClockGenerator:
        """A clock generator for ``hz`` (default: ``system_hz``). Raises ValueError."""
        wanted = self.system_hz if hz is None else hz
        return self.clock_generator(self.clock_hz, wanted, differential=self.differential)

    def _resource(self, name: ResourceName) -> tuple[Subsignal, float | None, dict[str, Any]]:
        """A resource or its part, the frequency on it, and its attributes with those around it."""
        label, number, *parts = name
        found = next((r for r in self.platform.resources if (r.name, r.number) == (label, number)), None)
        if found is None:
            raise ValueError(f"board {self.name}: its platform has no resource {label} {number}")
        attributes = dict(found.attrs)
        for part in parts:
            found = next((io for io in found.ios if isinstance(io, Subsignal) and io.name == part), None)
            if found is None:
                raise ValueError(f"board {self.name}: resource {label} {number} has no part {part}")
            attributes |= found.attrs
        return found, found.clock.frequency if found.clock else None, attributes

    def _locations(self, names: list[str]) -> list[str]:
        """Pins of connectors become pins of the package."""
        connected = {pin: to for connector in self.platform.connectors for pin, to in connector}
        result = []
        for name in names:
            while ":" in name:
                if name not in connected:
                    raise ValueError(f"board {self.name}: no connector has a pin {name}")
                name = connected[name]
            result.append(name)
        return result

    def _pin(self, port: str, name: ResourceName, output: bool, bit: int | None = None) -> list[Pin]:
        resource, clock_hz, attributes = self._resource(name)
        io = resource.ios[0]
        if isinstance(io, Subsignal):
            raise ValueError(f"board {self.name}: resource {name} has parts, name one of them")
        if len(io) != 1:
            raise ValueError(f"board {self.name}: resource {name} has {len(io)} pins, not one")
        if io.dir not in ("io", "-", "o" if output else "i"):
            direction = "an output" if output else "an input"
            raise ValueError(f"board {self.name}: resource {name} is not {direction}")
        attributes = {key: str(value) for key, value in attributes.items() if isinstance(value, str | int)}
        if isinstance(io, DiffPairs):
            positive, negative = self._locations([*io.p.names, *io.n.names])
            # The frequency is a matter of one of both: it is the same clock.
            return [
                Pin(f"{port}_p", bit, positive, attributes, output, io.invert, clock_hz),
                Pin(f"{port}_n", bit, negative, attributes, output, io.invert),
            ]
        (location,) = self._locations(io.names)
        return [Pin(port, bit, location, attributes, output, io.invert, clock_hz)]

    @cached_property
    def pins(self) -> tuple[Pin, ...]:
        """The pins of every port of the top level: ``clock`` (``clock_p`` and ``clock_n`` when differential),
        ``reset``, ``uart_rx``, ``uart_tx``, and vectors ``led`` and ``high``."""
        found = self._pin("clock", self.clock, False)
        found += self._pin("reset", self.reset, False)
        found += self._pin("uart_rx", (*self.uart, "rx"), False)
        found += self._pin("uart_tx", (*self.uart, "tx"), True)
        for port, names in (("led", self.leds), ("high", self.high)):
            for bit, name in enumerate(names):
                found += self._pin(port, name, True, bit)
        return tuple(found)
