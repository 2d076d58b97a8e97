"""Interconnect, bridges, memory and peripherals under random traffic. Each run takes a new seed, which it
prints; FIDES_SEED=N repeats one."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from fides_core.axi.interconnect import Axi4Interconnect, Target
from fides_core.axi.signatures import Axi4
from fides_core.config import Config, CoreConfig, SoCConfig
from fides_core.core.bus import DataBus, InstructionBus
from fides_core.soc.cached import Cached
from fides_core.soc.checkers import Place, watch
from fides_core.soc.memory import MainMemory
from fides_core.soc.peripherals import Peripherals
from fides_core.soc.stalls import RandomStalls
from fides_core.soc.tightly_coupled import TightlyCoupled

pytestmark = pytest.mark.timeout(600)
MEMORY_BYTES = 1 << 14


class Watched(wiring.Component):
    """An interconnect with a checker on every port."""

    def __init__(self, managers, targets):
        self._inner = Axi4Interconnect(managers, targets)
        super().__init__(
            {
                "m": In(Axi4()).array(managers),
                "s": Out(Axi4()).array(len(targets)),
                "axi_violation": Out(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.interconnect = inner = self._inner
        for port, outside in zip(inner.managers, self.m, strict=True):
            connect(m, flipped(outside), port)
        for port, outside in zip(inner.subordinates, self.s, strict=True):
            connect(m, port, flipped(outside))
        ports = [*inner.managers, *inner.subordinates]
        watch(m, [(Place(number), port) for number, port in enumerate(ports)], self.axi_violation)
        return m


class System(wiring.Component):
    """The SoC without its tile, whose ports are here instead."""

    def __init__(self, config: Config):
        self._config = config
        if config.core.icache:
            ports = {"iaxi": In(Axi4()), "daxi": In(Axi4())}
        else:
            ports = {"ibus": In(InstructionBus), "dbus": In(DataBus)}
        self._ports = list(ports)
        super().__init__(
            ports
            | {
                "axi_violation": Out(8),
                "software_interrupt": Out(1),
                "exit_valid": Out(1),
                "exit_code": Out(32),
                "uart_tx": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        cached = config.core.icache is not None
        m.submodules.bus = bus = (Cached if cached else TightlyCoupled)(config)
        m.submodules.peripherals = peripherals = Peripherals(config)
        m.submodules.main_memory = memory = MainMemory(config.soc.memory_bytes, reads=len(bus.read))
        for source, port in zip(bus.read, memory.read, strict=True):
            connect(m, source, port)
        connect(m, bus.write, memory.write)
        connect(m, bus.lite, peripherals.bus)
        for name in self._ports:
            outside = flipped(getattr(self, name))
            if not cached and config.soc.random_stalls is not None:
                signature = InstructionBus if name == "ibus" else DataBus
                m.submodules[f"{name}_stalls"] = stalls = RandomStalls(signature, config.soc.random_stalls)
                connect(m, outside, stalls.upstream)
                outside = stalls.downstream
            connect(m, outside, getattr(bus, name))
        m.d.comb += [
            self.axi_violation.eq(peripherals.axi_violation | (bus.axi_violation if cached else 0)),
            *(getattr(self, name).eq(getattr(peripherals, name))
              for name in ("software_interrupt", "exit_valid", "exit_code", "uart_tx")),
        ]  # fmt: skip
        return m


def config(cached: bool, **soc) -> Config:
    core = CoreConfig() if cached else CoreConfig(icache=None, dcache=None)
    return Config("bench", core, SoCConfig(memory_bytes=MEMORY_BYTES, axi_checker=True, **soc))


def test_interconnect(run_bench):
    targets = [
        Target(0x2000, 0x1000, writable=False),
        Target(0x0000, 0x8000, managers={0, 2}),
        Target(0x1_0000, 0x1_0000),
    ]
    run_bench(Watched(3, targets), "axi_interconnect", ROUNDS=6000)


@pytest.mark.parametrize("stalls", [None, 1])
def test_cached_system(run_bench, stalls):
    unit = System(config(True, random_stalls=stalls))
    run_bench(unit, "axi_system", ROUNDS=15000, MEMORY_BYTES=MEMORY_BYTES, STALLS=stalls or 0)


@pytest.mark.parametrize("stalls", [None, 1])
def test_tightly_coupled_system(run_bench, stalls):
    unit = System(config(False, random_stalls=stalls))
    run_bench(unit, "tightly_coupled", ROUNDS=15000, MEMORY_BYTES=MEMORY_BYTES, STALLS=stalls or 0)
