"""A core without a mind, to put into a tile: its buses ask for nothing."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from fides_core.core.bus import DataBus, InstructionBus
from fides_core.core.rvfi import RVFI


class IdleCore(wiring.Component):
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
            ports["rvfi"] = Out(RVFI)
        super().__init__(ports)

    def elaborate(self, platform):
        return Module()


class IdleCaches(wiring.Component):
    def __init__(self, config):
        from fides_core.axi.signatures import Axi4

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
        return Module()
