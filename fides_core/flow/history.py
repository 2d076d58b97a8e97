"""Area, path and CoreMark/MHz over time: docs/area-history.csv as a drawing."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from fides_core.errors import UserError

from . import tools
from .synthesis import HISTORY
from .verilog import replace_file

__all__ = ["FIGURES", "OUTPUT", "load_history", "svg", "write_history"]

OUTPUT = tools.ROOT / "build" / "history.svg"

FIGURES = {"lut": "LUT", "ff": "FF", "path_ns": "longest logic path, ns", "coremark_mhz": "CoreMark/MHz"}
"""The columns that are drawn, each with the title of its panel."""

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 190, 70, 120, 30, 20  # pixels
_FOOT = 40  # below the last panel, for the dates
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # told apart by all eyes

Point = tuple[int, float]


def load_history(path: Path = HISTORY) -> list[dict[str, str]]:
    """The rows of the history. Raises UserError when it cannot be read, or lacks a column or a number."""
    try:
        with path.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    for number, row in enumerate(rows, 2):
        missing = [name for name in ("date", "commit", "preset", *FIGURES) if row.get(name) is None]
        if missing:
            raise UserError(f"{path}, line {number}: no {missing[0]}")
        for name in FIGURES:
            try:
                if row[name] and not math.isfinite(float(row[name])):
                    raise ValueError
            except ValueError:
                raise UserError(f"{path}, line {number}: {name} is {row[name]!r}, not a number") from None
    return rows


def series(rows: Sequence[Mapping[str, str]]) -> tuple[list[str], dict[str, dict[str, list[Point]]]]:
    """The dates along the axis, and by figure and preset the points (index of the date, value).

    One place on the axis is one recorded state, that is date, commit and note; empty cells are no points.
    """
    states: dict[tuple[str, ...], int] = {}
    points: dict[str, dict[str, list[Point]]] = {name: {} for name in FIGURES}
    for row in rows:
        state = (row["date"], row["commit"], row.get("note", ""))
        index = states.setdefault(state, len(states))
        for name in FIGURES:
            if row[name]:
                points[name].setdefault(row["preset"], []).append((index, float(row[name])))
    return [state[0] for state in states], points


def _ticks(highest: float) -> list[float]:
    """Round values from 0 to at least ``highest``, two to five of them."""
    raw = (highest or 1) / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    return [step * i for i in range(max(1, math.ceil(highest / step - 1e-9)) + 1)]


def svg(rows: Sequence[Mapping[str, str]]) -> str:
    """The drawing: a panel for each figure, a line for each preset, all from 0."""
    dates, points = series(rows)
    presets = list(dict.fromkeys(row["preset"] for row in rows))
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(presets)}
    height = _PANEL * len(FIGURES) + _FOOT
    span = _WIDTH - _LEFT - _RIGHT

    def x(index: int) -> float:
        return _LEFT + span * (index + 0.5) / max(1, len(dates))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]

    def text(at_x: float, at_y: float, content: str, more: str = "") -> None:
        parts.append(f'<text x="{at_x:.1f}" y="{at_y:.1f}"{more}>{escape(content)}</text>')

    for number, (figure, title) in enumerate(FIGURES.items()):
        top, bottom = number * _PANEL + _TOP, (number + 1) * _PANEL - _BOTTOM
        lines = points[figure]
        text(_LEFT, top - 10, title, ' font-weight="bold"')
        if not lines:
            text(_LEFT + 8, (top + bottom) / 2, "not recorded yet", ' fill="#666"')
            continue
        ticks = _ticks(max(value for line in lines.values() for _, value in line))

        def y(value: float, bottom=bottom, scale=(bottom - top) / ticks[-1]) -> float:
            return bottom - value * scale

        for tick in ticks:
            level = f'y1="{y(tick):.1f}" y2="{y(tick):.1f}"'
            parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" {level} stroke="#ddd"/>')
            text(_LEFT - 6, y(tick) + 4, f"{tick:g}", ' text-anchor="end"')
        labels: list[float] = []
        for preset, line in sorted(lines.items(), key=lambda item: item[1][-1][1]):
            colour = colours[preset]
            path = " ".join(f"{x(index):.1f},{y(value):.1f}" for index, value in line)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
            for index, value in line:
                what = escape(f"{preset}, {dates[index]}: {value:g}")
                parts.append(
                    f'<circle cx="{x(index):.1f}" cy="{y(value):.1f}" r="3" fill="{colour}">'
                    f"<title>{what}</title></circle>"
                )
            index, value = line[-1]
            # Names of lines that end close to each other stand one above the other.
            place = min([y(value) + 4, *(label - 12 for label in labels)])
            labels.append(place)
            text(x(index) + 8, place, f"{preset} {value:g}", f' fill="{colour}"')
    shown = max(1, math.ceil(len(dates) / 8))  # room for eight dates
    for index, day in enumerate(dates):
        if index % shown == 0:
            text(x(index), height - _FOOT / 2, day, ' text-anchor="middle"')
    return "\n".join([*parts, "</svg>", ""])


def write_history(path: Path = OUTPUT, history: Path = HISTORY) -> Path:
    """Draw ``history`` into the file ``path``. Raises UserError when one of them cannot be used."""
    replace_file(path, svg(load_history(history)))
    return path
