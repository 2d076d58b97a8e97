"""Protocol checkers in the SoC, and what their findings mean."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import enum

from ..axi.checker import Axi4Checker, AxiLiteChecker, Rule, observe
from ..axi.signatures import Axi4
from ..config import Config

__all__ = ["Place", "checked", "watch", "describe_violation"]


class Place(enum.IntEnum, shape=3):
    """Where a checker sits."""

    INSTRUCTION_PORT = 0  # of the tile
    DATA_PORT = 1  # of the tile
    INSTRUCTION_STALLED = 2  # the same behind the random waits
    DATA_STALLED = 3
    MAIN_MEMORY = 4
    BOOT_ROM = 5
    BRIDGE = 6  # from AXI4 to AXI4-Lite
    PERIPHERALS = 7  # any port of AXI4-Lite


def checked(config: Config) -> bool:
    """Whether the SoC of ``config`` has checkers: when asked for, and in every verification build."""
    return config.soc.axi_checker or config.soc.random_stalls is not None or config.core.rvfi


def watch(m: Module, ports, violation: Signal) -> None:
    """A checker on each of ``ports``, (Place, interface of Axi4 or AxiLite) pairs. ``violation`` (8 bits)
    holds the first finding: its Rule in [4:0] and its Place in [7:5]; 0 while there is none. The lowest
    place counts among findings of one cycle."""
    codes = []
    for place, port in ports:
        full = isinstance(port.signature, Axi4) or "arlen" in port.signature.members
        checker = Axi4Checker(len(port.arid)) if full else AxiLiteChecker()
        m.submodules[f"check_{len(codes)}_{place.name.lower()}"] = checker
        observe(m, checker, port)
        codes.append((place, checker))
    first = Signal(8)
    with m.If(first == 0):
        for place, checker in reversed(codes):
            with m.If(checker.violation):
                m.d.sync += first.eq(Cat(checker.code, place))
                m.d.comb += violation.eq(Cat(checker.code, place))
    with m.Else():
        m.d.comb += violation.eq(first)


def describe_violation(code: int) -> str:
    """``code``, a value of ``axi_violation`` other than 0, in words."""
    return f"{Rule(code & 31).name} at {Place(code >> 5).name}"
