"""Where things are in the reference SoC: Shakti's map (contract, section 10), with an exit device for
simulation.

The SoC, the model, the monitor's header and the README's table are made from this one list.
"""

from dataclasses import dataclass

__all__ = [
    "Region",
    "BOOT_ROM",
    "UART",
    "EXIT",
    "CLINT",
    "PLIC",
    "MAIN_MEMORY_BASE",
    "REGIONS",
    "main_memory",
    "UartRegister",
]


@dataclass(frozen=True)
class Region:
    """``base`` and ``size`` in bytes; the size is a power of two and the base aligned to it."""

    name: str
    base: int
    size: int
    what: str

    def __post_init__(self):
        if self.size & (self.size - 1) or self.base % self.size:
            raise ValueError(f"{self.name}: the base must be aligned to the size, a power of two")


class UartRegister:
    """Byte offsets in the UART, each register 32 bits wide, and the bits of STATUS (Shakti's layout)."""

    BAUD = 0x0  # clock / (16 * baud rate)
    TRANSMIT = 0x4
    RECEIVE = 0x8
    STATUS = 0xC
    STATUS_TX_EMPTY = 1 << 0
    STATUS_TX_FULL = 1 << 1
    STATUS_RX_NOT_EMPTY = 1 << 2
    STATUS_RX_FULL = 1 << 3


BOOT_ROM = Region(
    "boot_rom", 0x0000_1000, 0x1000, "boot ROM, reset vector: jumps to main memory, a0 = mhartid"
)
UART = Region("uart", 0x0001_1300, 0x100, "UART: +0 baud, +4 transmit, +8 receive, +c status")
EXIT = Region("exit", 0x0010_0000, 0x1000, "exit device: a 32-bit store ends the simulation with that code")
CLINT = Region("clint", 0x0200_0000, 0x1_0000, "CLINT: msip +0, mtimecmp +0x4000, mtime +0xbff8")
PLIC = Region("plic", 0x0C00_0000, 0x400_0000, "PLIC (reserved: not in this SoC yet, accesses fault)")
MAIN_MEMORY_BASE = 0x8000_0000

REGIONS = (BOOT_ROM, UART, EXIT, CLINT)


def main_memory(size: int) -> Region:
    """The main memory, of ``size`` bytes."""
    return Region("main_memory", MAIN_MEMORY_BASE, size, "main memory")
