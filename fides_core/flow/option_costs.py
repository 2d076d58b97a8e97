"""What each option of the extension costs on the core of ``base``: the core alone, synthesised with and
without it."""

import concurrent.futures
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fides_core.config import PRESETS, XfidesConfig

from . import tools
from .synthesis import Area, synthesise_module
from .verilog import TILE, convert

__all__ = ["OPTIONS", "REFERENCE", "cost_table", "synthesise_options"]

REFERENCE = "without Xfides"
#: Configurations by what is special about them; ``fides`` has 256 compartments and 512 entries on chip.
OPTIONS: dict[str, XfidesConfig | None] = {
    REFERENCE: None,
    "as in fides": XfidesConfig(),
    "64 compartments": XfidesConfig(compartments=64),
    "16 compartments": XfidesConfig(compartments=16),
    "64 shadow-stack entries": XfidesConfig(shadow_stack_entries=64),
    "2048 shadow-stack entries": XfidesConfig(shadow_stack_entries=2048),
    "without fat pointers": XfidesConfig(fat_pointers=False),
    "without compartments": XfidesConfig(compartments=0),
    "crossings in the monitor": XfidesConfig(crossings="monitor", shadow_stack_entries=0),
    "crossings in the monitor, without fat pointers": XfidesConfig(
        crossings="monitor", shadow_stack_entries=0, fat_pointers=False
    ),
}


def synthesise_options(
    directory: Path | None = None, *, jobs: int = 2, report: Callable[[str], None] = lambda text: None
) -> dict[str, Area]:
    """The areas of the core of ``base`` with each of OPTIONS, ``jobs`` at a time.

    Results are kept in ``directory`` (default: build/synth/options); ``report`` gets a line for each that is
    done. Raises ToolMissing without Yosys, UserError when synthesis fails.
    """
    from fides_core.soc.tile import Tile  # takes a second

    directory = directory or tools.ROOT / "build" / "synth" / "options"
    tools.yosys_command()
    core = PRESETS["base"].core

    def one(name: str) -> Area:
        text = convert(Tile(replace(core, xfides=OPTIONS[name])), TILE)
        area = synthesise_module(text, TILE, directory, name.replace(" ", "-"))
        report(f"{name}: {area.lut} LUT, {area.ff} FF")
        return area

    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        return dict(zip(OPTIONS, pool.map(one, OPTIONS), strict=True))


def cost_table(areas: dict[str, Area], console: Console) -> None:
    """Print the figures of each, and what it has more than the one without Xfides."""
    columns = {"lut": "LUT", "ff": "FF", "bram36": "RAMB36", "bram18": "RAMB18", "path_ns": "path, ns"}
    table = Table(box=None)
    table.add_column("Xfides")
    for head in columns.values():
        table.add_column(head, justify="right")
    reference = areas[REFERENCE].figures()
    for name, area in areas.items():
        cells = []
        for column in columns:
            value = area.figures()[column]
            more = value - reference[column]
            digits = 2 if column == "path_ns" else 0
            cells.append(f"{value:.{digits}f}" + (f" ({more:+.{digits}f})" if name != REFERENCE else ""))
        table.add_row(name, *cells)
    console.print(table)
