"""A core and caches without a mind: their buses ask for nothing."""


import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from fides_core.axi.signatures import Axi4
from fides_core.core.bus import DataBus, InstructionBus
from fides_core.core.rvfi import rvfi_signature
from fides_core.soc import tile


class IdleCore(wiring.Component):
    """As simulations see it, it retires something in every other cycle."""

    def __init__(self, config):
        ports = {
            "ibus": Out(InstructionBus),
            "dbus": Out(DataBus),
            "fence_i": Out(1),
            "fence_i_done": In(1),
            "icache_miss": In(1),
            "dcache_miss": In(1),
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
        m_retire = Signal()
        m_pc = Signal(32)
        m.d.sync += m_retire.eq(~m_retire)
        m.d.sync += m_pc.eq(m_pc + 4)
        return m


class IdleCaches(wiring.Component):
    """``breaks_at``: number of the cycle in which a read is withdrawn, against the protocol."""

    breaks_at = None

    def __init__(self, config, executable, cacheable):
        super().__init__(
            {
                "ibus": In(InstructionBus),
                "dbus": In(DataBus),
                "fence_i": In(1),
                "fence_i_done": Out(1),
                "icache_miss": Out(1),
                "dcache_miss": Out(1),
                "iaxi": Out(Axi4()),
                "daxi": Out(Axi4()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if self.breaks_at is not None:
            cycle = Signal(32)
            m.d.sync += cycle.eq(cycle + 1)
            m.d.comb += [
                self.daxi.arvalid.eq(cycle == self.breaks_at - 1),
                self.daxi.arsize.eq(3),
                self.daxi.arburst.eq(1),
            ]
        return m


@pytest.fixture
def idle(monkeypatch):
    """The idle parts in the place of the core and its caches; returns the caches' class."""
    monkeypatch.setattr(tile, "Core", IdleCore)
    monkeypatch.setattr(tile, "MemorySystem", IdleCaches)
    monkeypatch.setattr(IdleCaches, "breaks_at", None)
    return IdleCaches
