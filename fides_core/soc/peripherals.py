"""The peripherals: UART, CLINT and exit device on an AXI4-Lite bus."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..axi.interconnect import Target
from ..axi.lite_decoder import LiteDecoder
from ..axi.signatures import AxiLite
from ..config import Config
from . import memory_map
from .checkers import Place, checked, watch
from .devices import CLINT, UART, ExitDevice
from .lite_device import LiteDevice

__all__ = ["Peripherals"]


class Peripherals(wiring.Component):
    """Everything that ``bus`` reaches; other addresses are answered DECERR. ``time``: mtime.
    ``axi_violation``: see ``checkers.watch``, 0 without checkers."""

    bus: In(AxiLite())
    uart_tx: Out(1, init=1)
    uart_rx: In(1)
    time: Out(64)
    software_interrupt: Out(1)
    timer_interrupt: Out(1)
    exit_valid: Out(1)
    exit_code: Out(32)
    axi_violation: Out(8)

    def __init__(self, config: Config):
        self._config = config
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        soc = self._config.soc
        m.submodules.uart = uart = UART(soc.uart_divisor)
        m.submodules.clint = clint = CLINT()
        devices = [(memory_map.UART, uart), (memory_map.CLINT, clint)]
        if soc.simulation_exit:
            m.submodules.exit = exit_device = ExitDevice()
            devices.append((memory_map.EXIT, exit_device))
            m.d.comb += [self.exit_valid.eq(exit_device.valid), self.exit_code.eq(exit_device.code)]

        m.submodules.decoder = decoder = LiteDecoder(
            [Target(region.base, region.size) for region, device in devices]
        )
        connect(m, flipped(self.bus), decoder.bus)
        for (region, device), port in zip(devices, decoder.subordinates, strict=True):
            m.submodules[f"{region.name}_bus"] = adapter = LiteDevice()
            connect(m, port, adapter.bus)
            connect(m, adapter.port, device.port)
        m.d.comb += [
            uart.rx.eq(self.uart_rx),
            self.uart_tx.eq(uart.tx),
            self.time.eq(clint.time),
            self.software_interrupt.eq(clint.software_interrupt),
            self.timer_interrupt.eq(clint.timer_interrupt),
        ]
        if checked(self._config):
            ports = [self.bus, *decoder.subordinates]
            watch(m, [(Place.PERIPHERALS, port) for port in ports], self.axi_violation)
        return m
