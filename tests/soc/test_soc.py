"""The system around the core: what it is made of in each configuration, and that simulations stop when the
protocol is violated. The traffic itself is the business of sim/test_axi.py."""

import re
from dataclasses import replace

import pytest

from fides_core.axi.checker import Rule
from fides_core.config import PRESETS, preset
from fides_core.flow import simulation, verilog
from fides_core.flow.elf import Program
from fides_core.soc.checkers import Place, checked, describe_violation
from fides_core.soc.tile import Tile
from fides_core.soc.top import FidesSoC

CONFIGS = {
    config.name: config
    for name in ("tiny", "base")
    for config in (PRESETS[name], PRESETS[name].with_rvfi(), PRESETS[name].with_stalls(1))
}


@pytest.mark.parametrize("name", CONFIGS)
def test_parts_of_the_system(idle, name):
    config = CONFIGS[name]
    text = verilog.convert(FidesSoC(config), verilog.TOP)
    modules = set(re.findall(r"^module \\?([\w.]+)", text, re.MULTILINE))
    # The names that simulations use.
    memory = text[text.index("module \\fides_soc.main_memory ") :]
    assert f"reg [63:0] words [{config.soc.memory_bytes // 8 - 1}:0]" in memory[: memory.index("endmodule")]
    assert {"fides_soc.tile.core", "fides_soc.peripherals.uart"} <= modules
    cached = config.core.icache is not None
    assert ("fides_soc.bus.interconnect" in modules) == cached
    checkers = [module for module in modules if module.split(".")[-1].startswith("check_")]
    assert bool(checkers) == checked(config)
    top = text[text.index("module fides_soc(") :]
    top = top[: top.index("endmodule")]
    assert ("assign axi_violation = 8'h00;" in top) == (not checked(config))
    stalls = {module for module in modules if "stalls" in module.split(".")[-1]}
    if config.soc.random_stalls is None:
        assert not stalls
    else:
        expected = {"fides_soc.tile.ibus_stalls", "fides_soc.tile.dbus_stalls"}
        assert stalls == expected | ({"fides_soc.bus.stalls0", "fides_soc.bus.stalls1"} if cached else set())
    if checked(config):
        # Every port: those of the tile, what is behind the stalls, three subordinates; the bus of the
        # peripherals and three devices.
        axi = (7 if stalls else 5) if cached else 0
        assert len(checkers) == axi + 4


@pytest.mark.parametrize("name", ["tiny", "base"])
def test_ports_of_the_tile(idle, name):
    text = verilog.convert(Tile(PRESETS[name].core), verilog.TILE)
    header = text[text.index("module tile(") :].split(";")[0]
    ports = {port.strip() for port in header.split("(")[1].rstrip(")").split(",")}
    names = {port.split("__")[0] for port in ports}
    buses = {"iaxi", "daxi"} if PRESETS[name].core.icache else {"ibus", "dbus"}
    interrupts = {f"{kind}_interrupt" for kind in ("software", "timer", "external")}
    assert names == buses | interrupts | {"clk", "rst", "time"} or names == buses | interrupts | {
        "clk", "rst", "\\time"
    }  # fmt: skip


def test_simulation_stops_at_a_violation(idle, monkeypatch, tmp_path):
    monkeypatch.setattr(simulation, "SPLIT_SIGNALS", ())
    monkeypatch.setattr(idle, "breaks_at", 500)
    base = preset("base")
    config = replace(base, soc=replace(base.soc, memory_bytes=4096, axi_checker=True))
    program = Program(((0, b"\0" * 8),), "nothing")
    simulator = simulation.Simulator.build(config, directory=tmp_path)
    assert simulator.run(program, max_cycles=400).reason == "limit"
    with pytest.raises(RuntimeError, match=r"violation AR_DROPPED at DATA_PORT \(cycle 50\d\)"):
        simulator.run(program, max_cycles=10_000)


def test_violations_in_words():
    assert describe_violation(Rule.WLAST | Place.MAIN_MEMORY << 5) == "WLAST at MAIN_MEMORY"
