"""What a higher-order function costs when the function that it calls back is behind a boundary.

A loop hands a function to an iterator, which calls it for each element. The iterator is in the loop's own
compartment, in complete fluid code, in restricted fluid code, or in another compartment; the published
mechanism, which crosses in software, takes 1, 1, 1 and 5.4 times the time (FIDES, AsiaCCS 2026).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fides_core.config import Config, preset
from fides_core.errors import UserError
from fides_core.isa.xfides import RANGE_ALIGN, checkcap
from fides_core.soc.memory_map import MAIN_MEMORY_BASE
from fides_core.software.episode_monitor import CODE, Episode, Layout, monitor_segments
from fides_core.software.label_code import LabelCode

from .elf import Program
from .simulation import Simulator

__all__ = ["CASES", "ELEMENTS", "PUBLISHED", "CallbackCost", "callback_program", "measure_callbacks"]

ELEMENTS = 100_000
_OWN, _OTHER = 1, 2
#: Where the iterator is: what its pad says, and its published cost beside that in the same compartment.
CASES = ("the same compartment", "complete fluid", "restricted fluid", "another compartment")
PUBLISHED = dict(zip(CASES, (1.0, 1.0, 1.0, 5.4), strict=True))

_RA, _SP, _LEFT, _FUNCTION, _SUM, _CALLBACK, _COUNT = 1, 2, 8, 9, 18, 10, 11


@dataclass(frozen=True)
class CallbackCost:
    """Clock cycles for each element, loop, call and return together."""

    case: str
    cycles: float


def _iterator(code: LabelCode, pad: int) -> None:
    code.align(4)
    code.label("iterate")
    code.word(checkcap(pad))
    code.op("addi", rd=_SP, rs1=_SP, imm=-16)
    code.op("sd", rs1=_SP, rs2=_RA)
    code.op("addi", rd=_LEFT, rs1=_COUNT)
    code.op("addi", rd=_FUNCTION, rs1=_CALLBACK)
    code.jump("beq", "iterated", rs1=_LEFT)
    code.label("element")
    code.op("jalr", rd=_RA, rs1=_FUNCTION)
    code.op("addi", rd=_LEFT, rs1=_LEFT, imm=-1)
    code.jump("bne", "element", rs1=_LEFT)
    code.label("iterated")
    code.op("ld", rd=_RA, rs1=_SP)
    code.op("addi", rd=_SP, rs1=_SP, imm=16)
    code.op("jalr", rs1=_RA)


def callback_program(config: Config, case: str, elements: int) -> Program:
    """The loop over so many ``elements`` with the iterator as ``case``, one of CASES, says."""
    code = LabelCode(CODE)
    bounds: dict[str, tuple[int, int]] = {}

    def region(name: str, *parts: Callable[[], None]) -> None:
        code.align(RANGE_ALIGN)
        start = code.at
        for part in parts:
            part()
        code.align(RANGE_ALIGN)
        bounds[name] = start, code.at

    def loop() -> None:
        code.align(4)
        code.label("main")
        code.word(checkcap(_OWN))
        code.op("addi", rd=_SP, rs1=_SP, imm=-16)
        code.op("sd", rs1=_SP, rs2=_RA)
        code.address(_CALLBACK, "callback")
        code.constant(_COUNT, elements)
        code.jump("jal", "iterate", rd=_RA)
        code.label("stub")
        code.op("ecall")
        code.align(4)
        code.label("callback")
        code.word(checkcap(_OWN))
        code.op("addi", rd=_SUM, rs1=_SUM, imm=3)
        code.op("jalr", rs1=_RA)

    def iterator(name: str, pad: int) -> list[Callable[[], None]]:
        return [lambda: _iterator(code, pad)] if case == name else []

    same, complete, restricted, another = CASES
    region("own", loop, *iterator(same, _OWN))
    region("other", *iterator(another, _OTHER))
    region("restricted", *iterator(restricted, 0))
    region("fluid", *iterator(complete, 0))
    layout = Layout(
        bounds["restricted"][0],
        *bounds["fluid"],
        ranges={_OWN: bounds["own"], _OTHER: bounds["other"]},
        allowed={_OWN: frozenset({_OTHER}), _OTHER: frozenset({_OWN})},
        spill=1, refill=1, seed=1, locked=True,
    )  # fmt: skip
    episodes = [Episode(code.labels["main"], _OWN, code.labels["stub"], 1), None]
    monitor = monitor_segments(config.core, layout, episodes, 1 << 40)
    return Program((*monitor, (CODE - MAIN_MEMORY_BASE, code.contents())), f"callbacks, {case}")


def measure_callbacks(
    preset_name: str = "fides",
    *,
    elements: int = ELEMENTS,
    directory: Path | None = None,
    console: Console | None = None,
) -> list[CallbackCost]:
    """Run the loop in all CASES on a preset with Xfides, and print a table.

    Raises UserError for any other preset, RuntimeError when a run does not end as it should.
    """
    console = console or Console(quiet=True)
    try:
        config = preset(preset_name)
    except ValueError as error:
        raise UserError(str(error)) from None
    if not config.core.xfides:
        raise UserError(f"preset {preset_name} has no compartments: use fides or tiny_fides")
    where = {} if directory is None else {"directory": directory}
    simulator = Simulator.build(config, report=lambda text: console.print(text, highlight=False), **where)
    costs = []
    for case in CASES:
        cycles = []
        for count in (elements, 0):
            with console.status(f"{case}, {count} elements"):
                outcome = simulator.run(callback_program(config, case, count), require_policy=False)
            if outcome.exit_code != 0:
                raise RuntimeError(f"callbacks, {case}: {outcome.message}")
            cycles.append(outcome.cycles)
        costs.append(CallbackCost(case, (cycles[0] - cycles[1]) / elements))
    table = Table(title=f"{elements} callbacks on {preset_name}", box=None, title_justify="left")
    for head in ("iterator in", "cycles for each", "ratio", "published ratio"):
        table.add_column(head, justify="left" if head == "iterator in" else "right")
    for cost in costs:
        ratio = cost.cycles / costs[0].cycles
        table.add_row(cost.case, f"{cost.cycles:.2f}", f"{ratio:.2f}", f"{PUBLISHED[cost.case]:.1f}")
    console.print(table)
    return costs
