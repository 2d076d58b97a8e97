"""The system of a core without caches: memory and boot ROM answer its buses in the next cycle, devices are
behind a bridge."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..axi.interconnect import selects
from ..axi.obi_bridge import ObiBridge
from ..axi.signatures import AxiLite
from ..axi.sram import ReadPort, WritePort
from ..config import Config
from ..core.bus import DataBus, InstructionBus
from . import memory_map
from .memory import BootROM, boot_words

__all__ = ["TightlyCoupled"]


class TightlyCoupled(wiring.Component):
    """``ibus`` and ``dbus``: the core's. ``read`` (fetch, data) and ``write``: to the main memory, its second
    read port shares the address of its write port. ``lite``: to the peripherals, where every data access goes
    that is neither for the main memory nor a read of the boot ROM. ``has_image``: see ``boot_words``."""

    def __init__(self, config: Config, *, has_image: bool = False):
        self._config = config
        self._boot_words = boot_words(config, has_image=has_image)
        super().__init__(
            {
                "ibus": In(InstructionBus),
                "dbus": In(DataBus),
                "read": Out(ReadPort).array(2),
                "write": Out(WritePort),
                "lite": Out(AxiLite()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        memory = memory_map.main_memory(self._config.soc.memory_bytes)
        self._fetch(m, memory)
        self._data(m, memory)
        return m

    def _boot_rom(self):
        return BootROM(self._boot_words)

    def _fetch(self, m, memory):
        ibus, port = self.ibus, self.read[0]
        m.submodules.boot_rom_fetch = rom = self._boot_rom()
        in_memory, in_rom = selects(ibus.addr, memory), selects(ibus.addr, memory_map.BOOT_ROM)
        from_memory = Signal()
        from_rom = Signal()
        m.d.comb += [
            ibus.gnt.eq(1),
            port.request.eq(ibus.req & in_memory),
            port.address.eq(ibus.addr),
            rom.read.request.eq(ibus.req & in_rom),
            rom.read.address.eq(ibus.addr),
            ibus.rdata.eq(Mux(from_memory, port.data, rom.read.data)),
            ibus.err.eq(~from_memory & ~from_rom),
        ]
        m.d.sync += ibus.rvalid.eq(ibus.req)
        with m.If(ibus.req):
            m.d.sync += [from_memory.eq(in_memory), from_rom.eq(in_rom)]

    def _data(self, m, memory):
        dbus, port = self.dbus, self.read[1]
        m.submodules.boot_rom_data = rom = self._boot_rom()
        m.submodules.bridge = bridge = ObiBridge()
        connect(m, bridge.lite, flipped(self.lite))
        in_memory = selects(dbus.addr, memory)
        in_rom = selects(dbus.addr, memory_map.BOOT_ROM) & ~dbus.we
        from_memory = Signal()
        from_rom = Signal()
        answer = Signal()
        granted = Signal()
        m.d.comb += [
            # The bridge is free, so answers stay in order.
            dbus.gnt.eq(bridge.obi.gnt),
            granted.eq(dbus.req & bridge.obi.gnt),
            port.request.eq(granted & in_memory & ~dbus.we),
            port.address.eq(dbus.addr),
            self.write.lanes.eq(dbus.be & (granted & in_memory & dbus.we).replicate(8)),
            self.write.address.eq(dbus.addr),
            self.write.data.eq(dbus.wdata),
            rom.read.request.eq(granted & in_rom),
            rom.read.address.eq(dbus.addr),
            bridge.obi.req.eq(dbus.req & ~in_memory & ~in_rom),
            bridge.obi.addr.eq(dbus.addr),
            bridge.obi.we.eq(dbus.we),
            bridge.obi.be.eq(dbus.be),
            bridge.obi.wdata.eq(dbus.wdata),
            dbus.rvalid.eq(answer | bridge.obi.rvalid),
            dbus.rdata.eq(Mux(from_memory, port.data, Mux(from_rom, rom.read.data, bridge.obi.rdata))),
            dbus.err.eq(~from_memory & ~from_rom & bridge.obi.err),
        ]
        m.d.sync += answer.eq(granted & (in_memory | in_rom))
        with m.If(granted):
            m.d.sync += [from_memory.eq(in_memory), from_rom.eq(in_rom)]
