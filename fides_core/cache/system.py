"""Both caches, and what fence.i asks of them."""

from amaranth.hdl import Module, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..axi.signatures import Axi4
from ..config import CoreConfig
from ..core.bus import DataBus, InstructionBus
from .data_cache import DataCache
from .instruction_cache import InstructionCache
from .regions import Region

__all__ = ["MemorySystem"]


class _Step(enum.IntEnum, shape=2):
    IDLE = 0
    CLEAN = 1
    INVALIDATE = 2
    DONE = 3


class MemorySystem(wiring.Component):
    """``ibus``, ``dbus``: the core's; ``iaxi``, ``daxi``: AXI4 managers, the first only reads.
    ``executable``:
    where instructions may be fetched from, ``cacheable``: what the data cache holds, bases and sizes in
    bytes. ``withdraw``: see ``DataCache``, only with a late verdict.

    ``fence_i`` is held high, without data requests, until ``fence_i_done``: first the data cache is written
    back, then the instruction cache forgets what it holds. ``icache_miss``, ``dcache_miss``: strobes.

    Raises ValueError for a configuration without caches.
    """

    def __init__(self, config: CoreConfig, executable: tuple[Region, ...], cacheable: Region):
        if config.icache is None or config.dcache is None:
            raise ValueError("a core with tightly-coupled memory has no caches")
        self._config = config
        self._executable, self._cacheable = executable, cacheable
        ports = {
            "ibus": In(InstructionBus),
            "dbus": In(DataBus),
            "iaxi": Out(Axi4()),
            "daxi": Out(Axi4()),
            "fence_i": In(1),
            "fence_i_done": Out(1),
            "icache_miss": Out(1),
            "dcache_miss": Out(1),
        }
        if config.late_verdict:
            ports["withdraw"] = In(1)
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        m.submodules.icache = icache = InstructionCache(self._config.icache, self._executable)
        late_verdict = self._config.late_verdict
        m.submodules.dcache = dcache = DataCache(
            self._config.dcache, self._cacheable, withdrawable=late_verdict
        )
        if late_verdict:
            m.d.comb += dcache.withdraw.eq(self.withdraw)
        connect(m, flipped(self.ibus), icache.bus)
        connect(m, flipped(self.dbus), dcache.bus)
        connect(m, icache.axi, flipped(self.iaxi))
        connect(m, dcache.axi, flipped(self.daxi))
        m.d.comb += [self.icache_miss.eq(icache.miss), self.dcache_miss.eq(dcache.miss)]

        step = Signal(_Step)
        m.d.comb += [
            dcache.clean.eq(step == _Step.CLEAN),
            icache.invalidate.eq(step == _Step.INVALIDATE),
            self.fence_i_done.eq(step == _Step.DONE),
        ]
        with m.Switch(step):
            with m.Case(_Step.IDLE):
                with m.If(self.fence_i):
                    m.d.sync += step.eq(_Step.CLEAN)
            with m.Case(_Step.CLEAN):
                with m.If(dcache.clean_done):
                    m.d.sync += step.eq(_Step.INVALIDATE)
            with m.Case(_Step.INVALIDATE):
                with m.If(icache.invalidated):
                    m.d.sync += step.eq(_Step.DONE)
            with m.Case(_Step.DONE):
                m.d.sync += step.eq(_Step.IDLE)
        return m
