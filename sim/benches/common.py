"""What the benches share: access to the ports of a unit, its clock, and functional coverage."""

import os
import random
from collections import Counter

from cocotb.triggers import Timer

from fides_core.config import XfidesConfig
from fides_core.isa.csrs import XfidesCSR

__all__ = [
    "Unit", "Coverage", "by_lane", "seeded", "setting", "configuration", "differs", "ADDRESSES", "WORD",
    "DOUBLE", "NOBODYS",
]  # fmt: skip

WORD = (1 << 32) - 1
DOUBLE = (1 << 64) - 1
ADDRESSES = 1 << 32
#: What a register port has for a number while no CSR of the extension is accessed: these bits are set.
NOBODYS = 0x81F


def setting(name: str, default: int) -> int:
    """A number that the test gave the simulator."""
    return int(os.environ.get(name, default))


def by_lane(word: int) -> int:
    """Address bits [31:2] as the PMP checkers take them: those of the same remainder by 3 together."""
    return int("".join(f"{word:030b}"[2 - lane :: 3] for lane in (2, 1, 0)), 2)


def configuration() -> XfidesConfig:
    """The configuration that the test built."""
    return XfidesConfig(
        compartments=setting("COMPARTMENTS", 256), shadow_stack_entries=setting("SHADOW_STACK_ENTRIES", 16)
    )


def seeded() -> random.Random:
    """Random numbers of this run."""
    return random.Random(setting("FIDES_SEED", 0))


def differs(what: str, expected, seen) -> None:
    """Raises AssertionError unless the two are equal."""
    if expected != seen:
        show = [f"{value:#x}" if isinstance(value, int) else repr(value) for value in (expected, seen)]
        raise AssertionError(f"{what}: expected {show[0]}, seen {show[1]}")


class Unit:
    """Ports of a unit by their Amaranth names, with ``__`` between the members of an interface.

    Inputs that are set take effect with ``settle``; ``clock`` is one cycle, from just after one rising edge
    to just after the next.
    """

    def __init__(self, dut):
        self._dut = dut
        self._handles = {}
        self._values = {}
        self.cycles = 0

    def _handle(self, name: str):
        handle = self._handles.get(name)
        if handle is None:
            try:
                handle = getattr(self._dut, name)
            except AttributeError:
                handle = getattr(self._dut, name.replace("__", "___05F"))
            self._handles[name] = handle
        return handle

    def set(self, **values: int) -> None:
        """Drive inputs."""
        known = self._values
        for name, value in values.items():
            value = int(value)
            if known.get(name) != value:
                known[name] = value
                self._handle(name).value = value

    def get(self, name: str) -> int:
        """An output, as it is since the last ``settle``."""
        return int(self._handle(name).value)

    async def settle(self) -> None:
        """Let outputs follow the inputs."""
        await Timer(1, "ns")

    async def clock(self) -> None:
        """A rising edge; inputs must have settled."""
        self.set(clk=1)
        await Timer(1, "ns")
        self.set(clk=0)
        self.cycles += 1

    async def reset(self, **inputs: int) -> None:
        """All ``inputs`` at 0 unless given, and one cycle of reset."""
        self.set(clk=0, rst=1, **inputs)
        await self.settle()
        await self.clock()
        self.set(rst=0)
        await self.settle()

    async def write(self, csr: XfidesCSR, value: int) -> None:
        """One cycle with a write to a register."""
        self.set(registers__number=csr, registers__write=1, registers__wdata=value)
        await self.settle()
        await self.clock()
        self.set(registers__write=0, registers__number=NOBODYS)

    async def read(self, csr: XfidesCSR) -> int:
        """The register's value as an instruction sees it; takes no cycle."""
        self.set(registers__number=csr)
        await self.settle()
        value = self.get("rdata")
        self.set(registers__number=NOBODYS)
        return value


class Coverage:
    """What has happened, and what must happen for the silence of a bench to mean something."""

    def __init__(self, required):
        self.required = list(required)
        self.seen = Counter()

    def hit(self, *what) -> None:
        """Something happened."""
        self.seen[what if len(what) > 1 else what[0]] += 1

    def check(self, log) -> None:
        """Log the counts; AssertionError when something required is missing."""
        for what in self.required:
            log.info("%8d  %s", self.seen[what], what)
        missing = [what for what in self.required if not self.seen[what]]
        assert not missing, f"not covered: {missing}"
