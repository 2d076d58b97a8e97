"""The SoC: the tile, its memory and peripherals, on the map of ``memory_map.py``."""

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from ..config import Config
from ..core.rvfi import rvfi_fields
from . import memory_map
from .boot_loader import check_power_up_image
from .cached import Cached
from .checkers import checked
from .memory import MainMemory
from .peripherals import Peripherals
from .tightly_coupled import TightlyCoupled
from .tile import Tile

__all__ = ["FidesSoC"]


class FidesSoC(wiring.Component):
    """The top level: serial lines, one external interrupt, and what the exit device says. With
    ``config.core.rvfi`` the core's retirement report comes out as ``rvfi_*``. ``axi_violation``: what the
    protocol checkers found (``checkers.watch``), always 0 without them. Everything runs on the one clock of
    domain ``sync``.

    ``image``: contents of the main memory after power-up (on an FPGA: configuration; a reset does not bring
    them back), run from the first byte on; None for a memory that is filled by other means. Raises ValueError
    when it is empty, larger than the memory, or, for the boot loader, begins with a word of 0."""

    def __init__(self, config: Config, image: bytes | None = None):
        self._config, self._image = config, image
        if image is not None:
            check_power_up_image(image, config.soc)
        memory_bytes, reads = config.soc.memory_bytes, 1 if config.core.icache else 2
        self._memory = MainMemory(memory_bytes, reads, image or b"")
        ports = {
            "uart_tx": Out(1),
            "uart_rx": In(1, init=1),
            "external_interrupt": In(1),
            "exit_valid": Out(1),
            "exit_code": Out(32),
            "axi_violation": Out(8),
        }
        if config.core.rvfi:
            ports |= {f"rvfi_{name}": Out(width) for name, width in rvfi_fields(config.core).items()}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config = self._config
        has_image = self._image is not None
        m.submodules.tile = tile = Tile(
            config.core,
            config.soc.random_stalls,
            cacheable=(memory_map.MAIN_MEMORY_BASE, config.soc.memory_bytes),
        )
        m.submodules.peripherals = peripherals = Peripherals(config)
        if config.core.icache:
            m.submodules.bus = bus = Cached(config, has_image=has_image)
            connect(m, tile.iaxi, bus.iaxi)
            connect(m, tile.daxi, bus.daxi)
            violation = Mux(bus.axi_violation != 0, bus.axi_violation, peripherals.axi_violation)
        else:
            m.submodules.bus = bus = TightlyCoupled(config, has_image=has_image)
            connect(m, tile.ibus, bus.ibus)
            connect(m, tile.dbus, bus.dbus)
            violation = peripherals.axi_violation
        m.submodules.main_memory = memory = self._memory
        for source, port in zip(bus.read, memory.read, strict=True):
            connect(m, source, port)
        connect(m, bus.write, memory.write)
        connect(m, bus.lite, peripherals.bus)

        m.d.comb += [
            peripherals.uart_rx.eq(self.uart_rx),
            self.uart_tx.eq(peripherals.uart_tx),
            self.exit_valid.eq(peripherals.exit_valid),
            self.exit_code.eq(peripherals.exit_code),
            self.axi_violation.eq(violation if checked(config) else 0),
            tile.time.eq(peripherals.time),
            tile.software_interrupt.eq(peripherals.software_interrupt),
            tile.timer_interrupt.eq(peripherals.timer_interrupt),
            tile.external_interrupt.eq(self.external_interrupt),
        ]
        if config.core.rvfi:
            for name in rvfi_fields(config.core):
                m.d.comb += getattr(self, f"rvfi_{name}").eq(getattr(tile.rvfi, name))
        return m
