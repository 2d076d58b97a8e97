"""The table of what options cost: its arithmetic, and that each row is the design it says."""

import re

from rich.console import Console

from fides_core.config import XfidesConfig
from fides_core.flow import option_costs
from fides_core.flow.synthesis import Area
from fides_core.flow.verilog import TILE


def area(lut: int, path_ns: float = 6.0) -> Area:
    return Area(lut=lut, lutram=0, ff=lut // 2, bram36=1, bram18=0, dsp=0, carry4=0, path_ns=path_ns)


def test_differences():
    console = Console(record=True, width=120)
    areas = {option_costs.REFERENCE: area(6000), "as in fides": area(7000, 7.25), "smaller": area(5990, 5.5)}
    option_costs.cost_table(areas, console)
    lines = [re.sub(" +", " ", line).strip() for line in console.export_text().splitlines()]
    assert lines[1:] == [
        "without Xfides 6000 3000 1 0 6.00",
        "as in fides 7000 (+1000) 3500 (+500) 1 (+0) 0 (+0) 7.25 (+1.25)",
        "smaller 5990 (-10) 2995 (-5) 1 (+0) 0 (+0) 5.50 (-0.50)",
    ]


def test_designs(monkeypatch, tmp_path):
    texts = {}

    def synthesised(source, top, directory, name):
        assert top == TILE and directory == tmp_path
        texts[name] = source
        return area(len(texts))

    monkeypatch.setattr(option_costs, "synthesise_module", synthesised)
    options = {option_costs.REFERENCE: None, "no pointers": XfidesConfig(fat_pointers=False)}
    monkeypatch.setattr(option_costs, "OPTIONS", options)
    said = []
    areas = option_costs.synthesise_options(tmp_path, jobs=1, report=said.append)
    assert list(areas) == list(options) and len(said) == 2
    units = ("capability_check", "shadow_stack", "fat_pointer")
    assert [unit for unit in units if unit in texts["without-Xfides"]] == []
    assert [unit for unit in units if unit in texts["no-pointers"]] == ["capability_check", "shadow_stack"]
    assert all("icache" in text for text in texts.values())
