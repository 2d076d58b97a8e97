"""The system of a core with caches: AXI4 to memory and boot ROM, and through a bridge to the peripherals."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..axi.interconnect import Axi4Interconnect, Target
from ..axi.lite_bridge import LiteBridge
from ..axi.signatures import Axi4, AxiLite
from ..axi.sram import AxiSram, ReadPort, WritePort
from ..config import Config
from . import memory_map
from .checkers import Place, checked, watch
from .memory import BootROM, boot_words
from .stalls import AxiStalls

__all__ = ["Cached"]

_DATA_SIDE = 1  # number of daxi among the managers


class Cached(wiring.Component):
    """``iaxi`` and ``daxi``: the tile's. ``read`` (one port, an array as in TightlyCoupled) and ``write``: to
    the main memory. ``lite``: to the peripherals, where every other access of ``daxi`` below the main memory
    goes, writes to the boot ROM included. ``axi_violation``: see ``checkers.watch``, 0 without
    checkers. ``has_image``: see ``boot_words``."""

    def __init__(self, config: Config, *, has_image: bool = False):
        self._config = config
        self._boot_words = boot_words(config, has_image=has_image)
        super().__init__(
            {
                "iaxi": In(Axi4()),
                "daxi": In(Axi4()),
                "read": Out(ReadPort).array(1),
                "write": Out(WritePort),
                "lite": Out(AxiLite()),
                "axi_violation": Out(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        soc = self._config.soc
        memory, rom = memory_map.main_memory(soc.memory_bytes), memory_map.BOOT_ROM
        m.submodules.interconnect = interconnect = Axi4Interconnect(
            2,
            [
                Target(memory.base, memory.size),
                Target(rom.base, rom.size, writable=False),
                # The decoder of the peripherals knows what is there.
                Target(0, memory_map.MAIN_MEMORY_BASE, managers={_DATA_SIDE}),
            ],
        )
        m.submodules.memory_port = memory_port = AxiSram()
        m.submodules.boot_rom_port = rom_port = AxiSram()
        m.submodules.boot_rom = boot_rom = BootROM(self._boot_words)
        m.submodules.bridge = bridge = LiteBridge()

        watched = [(Place.INSTRUCTION_PORT, self.iaxi), (Place.DATA_PORT, self.daxi)]
        for number, (port, behind) in enumerate(
            ((self.iaxi, Place.INSTRUCTION_STALLED), (self.daxi, Place.DATA_STALLED))
        ):
            if soc.random_stalls is None:
                connect(m, flipped(port), interconnect.managers[number])
            else:
                m.submodules[f"stalls{number}"] = stalls = AxiStalls(Axi4(), soc.random_stalls * 2 + number)
                connect(m, flipped(port), stalls.upstream)
                connect(m, stalls.downstream, interconnect.managers[number])
                watched.append((behind, stalls.downstream))
        subordinates = (
            (Place.MAIN_MEMORY, memory_port.axi), (Place.BOOT_ROM, rom_port.axi), (Place.BRIDGE, bridge.axi)
        )  # fmt: skip
        for (place, port), source in zip(subordinates, interconnect.subordinates, strict=True):
            connect(m, source, port)
            watched.append((place, port))

        connect(m, memory_port.read, flipped(self.read[0]))
        connect(m, memory_port.write, flipped(self.write))
        connect(m, rom_port.read, boot_rom.read)
        connect(m, bridge.lite, flipped(self.lite))
        if checked(self._config):
            watch(m, watched, self.axi_violation)
        return m

