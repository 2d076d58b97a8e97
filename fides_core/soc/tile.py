"""The tile: the core and its caches, with the ports to put into a system of one's own."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..axi.signatures import Axi4
from ..cache import MemorySystem
from ..config import CoreConfig
from ..core.bus import DataBus, InstructionBus
from ..core.core import Core
from ..core.rvfi import rvfi_signature
from .memory_map import BOOT_ROM, MAIN_MEMORY_BASE, Region
from .stalls import RandomStalls

__all__ = ["Tile"]


def _region(region: Region) -> tuple[int, int]:
    return region.base, region.size


class Tile(wiring.Component):
    """With caches the ports are ``iaxi`` (reads only) and ``daxi``, of AXI4; without them ``ibus`` and
    ``dbus`` of ``core/bus.py``. ``time``: mtime. Interrupts are level-sensitive. With ``config.rvfi`` the
    retirement port is ``rvfi``. ``random_stalls``: None, or the seed of random waits on the core's buses
    (verification builds only). ``cacheable``: base and size in bytes of the main memory; instructions are
    fetched from there and from the boot ROM only."""

    def __init__(
        self,
        config: CoreConfig,
        random_stalls: int | None = None,
        *,
        cacheable: tuple[int, int] = (MAIN_MEMORY_BASE, 1 << 31),
    ):
        self._config, self._random_stalls, self._cacheable = config, random_stalls, cacheable
        if config.icache:
            ports = {"iaxi": Out(Axi4()), "daxi": Out(Axi4())}
        else:
            ports = {"ibus": Out(InstructionBus), "dbus": Out(DataBus)}
        ports |= {
            "time": In(64),
            "software_interrupt": In(1),
            "timer_interrupt": In(1),
            "external_interrupt": In(1),
        }
        if config.rvfi:
            ports["rvfi"] = Out(rvfi_signature(config))
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.core = core = Core(config)
        for name in ("time", "software_interrupt", "timer_interrupt", "external_interrupt"):
            m.d.comb += getattr(core, name).eq(getattr(self, name))
        if config.rvfi:
            connect(m, core.rvfi, flipped(self.rvfi))

        ibus, dbus = core.ibus, core.dbus
        if self._random_stalls is not None:
            m.submodules.ibus_stalls = i_stalls = RandomStalls(InstructionBus, self._random_stalls * 2)
            m.submodules.dbus_stalls = d_stalls = RandomStalls(DataBus, self._random_stalls * 2 + 1)
            if config.late_verdict:
                m.d.comb += d_stalls.withdraw.eq(core.withdraw)
            connect(m, ibus, i_stalls.upstream)
            connect(m, dbus, d_stalls.upstream)
            ibus, dbus = i_stalls.downstream, d_stalls.downstream

        if config.icache:
            self._caches(m, core, ibus, dbus)
        else:
            connect(m, ibus, flipped(self.ibus))
            connect(m, dbus, flipped(self.dbus))
            m.d.comb += core.fence_i_done.eq(1)
        return m

    def _caches(self, m, core, ibus, dbus):
        m.submodules.caches = caches = MemorySystem(
            self._config, executable=(_region(BOOT_ROM), self._cacheable), cacheable=self._cacheable
        )
        connect(m, ibus, caches.ibus)
        connect(m, dbus, caches.dbus)
        connect(m, caches.iaxi, flipped(self.iaxi))
        connect(m, caches.daxi, flipped(self.daxi))
        if self._config.late_verdict:
            m.d.comb += caches.withdraw.eq(core.withdraw)
        m.d.comb += [
            caches.fence_i.eq(core.fence_i),
            core.fence_i_done.eq(caches.fence_i_done),
            core.icache_miss.eq(caches.icache_miss),
            core.dcache_miss.eq(caches.dcache_miss),
        ]
