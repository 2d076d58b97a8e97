"""What a higher-order function costs when the function that it calls back is behind a boundary.

A loop hands a function to an iterator, which calls it for each element (``sw/bench/callbacks``). The iterator
is in the loop's own compartment, in complete fluid code, in restricted fluid code, or in another compartment;
the published mechanism, which crosses in software, takes 1, 1, 1 and 5.4 times the time (FIDES, AsiaCCS
2026). What the last takes more than the first is a call and a return that cross.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fides_core.config import Config, preset
from fides_core.errors import UserError
from fides_core.software.image import build_image, with_argument

from .simulation import Simulator

__all__ = [
    "CASES", "ELEMENTS", "PRESETS_MEASURED", "PUBLISHED", "CallbackCost", "callback_image", "callback_costs",
    "measure_callbacks",
]  # fmt: skip

ELEMENTS = 100_000
#: The two who can judge a crossing, on one core.
PRESETS_MEASURED = ("fides", "fides_monitor")
#: Where the iterator is, by its name in the program; and the published cost beside that in the same
#: compartment.
CASES = {
    "same": "the same compartment",
    "complete": "complete fluid",
    "restricted": "restricted fluid",
    "another": "another compartment",
}
PUBLISHED = dict(zip(CASES.values(), (1.0, 1.0, 1.0, 5.4), strict=True))
_CYCLES_OF_AN_ELEMENT = 1000  # more than any takes
_CYCLES_OF_THE_REST = 2_000_000


@dataclass(frozen=True)
class CallbackCost:
    """Clock cycles and instructions for each element, loop, call, return and all that the monitor does for
    them."""

    case: str
    cycles: float
    instructions: float


def callback_image(config: Config, elements: int) -> Path:
    """The program, for so many ``elements``. Raises UserError when it cannot be built."""
    return with_argument(build_image("bench/callbacks", config), elements)


def callback_costs(outcome) -> list[CallbackCost]:
    """What an outcome of the program says. Raises RuntimeError when it did not end as it should."""
    rows = re.findall(r"^callbacks (\w+) (\d+) (\d+) (\d+)\r?$", outcome.uart.decode(), re.MULTILINE)
    if outcome.exit_code != 0 or [row[0] for row in rows] != list(CASES):
        raise RuntimeError(f"callbacks: exit code {outcome.exit_code}\n{outcome.uart.decode()}")
    return [
        CallbackCost(CASES[name], int(cycles) / int(elements), int(instructions) / int(elements))
        for name, elements, cycles, instructions in rows
    ]


def measure_callbacks(
    presets: Sequence[str] = PRESETS_MEASURED, *, elements: int = ELEMENTS, console: Console | None = None
) -> dict[str, list[CallbackCost]]:
    """Run the loop in all CASES on presets with compartments, and print a table for each.

    Raises UserError for any other preset, RuntimeError when a run does not end as it should.
    """
    console = console or Console(quiet=True)
    configs = []
    for name in presets:
        try:
            config = preset(name)
        except ValueError as error:
            raise UserError(str(error)) from None
        if not config.core.xfides:
            raise UserError(f"preset {name} has no compartments: use fides, tiny_fides or fides_monitor")
        configs.append(config)
    results = {}
    for config in configs:
        simulator = Simulator.build(config, report=lambda text: console.print(text, highlight=False))
        image = callback_image(config, elements)
        with console.status(f"{elements} callbacks of each kind on {config.name}"):
            limit = _CYCLES_OF_THE_REST + len(CASES) * elements * _CYCLES_OF_AN_ELEMENT
            costs = results[config.name] = callback_costs(simulator.run(image, limit))
        table = Table(title=f"{elements} callbacks on {config.name}", box=None, title_justify="left")
        for head in ("iterator in", "cycles", "instructions", "cycles, ratio", "published"):
            table.add_column(head, justify="left" if head == "iterator in" else "right")
        for cost in costs:
            table.add_row(
                cost.case, f"{cost.cycles:.2f}", f"{cost.instructions:.2f}",
                f"{cost.cycles / costs[0].cycles:.2f}", f"{PUBLISHED[cost.case]:.1f}",
            )  # fmt: skip
        console.print(table)
    return results
