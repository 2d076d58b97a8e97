"""What every toolchain takes and gives. A toolchain is a module of this folder with

- ``TITLE``: a line for people;
- ``check()``: raises ToolMissing when it cannot start without what is missing;
- ``build(design, directory, options, report) -> Result``: synthesis, ``check_fits``, then place and route
  with each seed, then the bitstream. Files go to ``directory``, logs among them; what has not changed is
  recalled. ``report`` takes a line of progress. Raises UserError, in one line that names the log.
"""

import hashlib
import importlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from fides_core.errors import UserError

from .design import Design

__all__ = [
    "Options",
    "Report",
    "Result",
    "Run",
    "TIMEOUT",
    "check_fits",
    "key",
    "load_toolchain",
    "publish",
    "recall",
]

TIMEOUT = 3600.0
"""Seconds after which a step is taken for hung."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """``seeds``: of the runs of place and route; ``jobs``: of them at the same time; ``timeout``: seconds for
    each step."""

    seeds: tuple[int, ...] = (1,)
    jobs: int = 1
    timeout: float = TIMEOUT


@dataclass(frozen=True)
class Run:
    """One run of place and route: the highest clock frequency in MHz, sites used by kind (the kinds of
    ``Board.capacity``), and the longest path, from where to where, with its nanoseconds in cells and on
    wires. ``seed``: None where the tool has none."""

    seed: int | None
    mhz: float
    used: Mapping[str, int]
    path_from: str
    path_to: str
    logic_ns: float
    routing_ns: float


@dataclass(frozen=True)
class Result:
    """``tools``: versions by name; ``synthesised``: sites needed by kind, before placement; ``runs``: in the
    order of the seeds, none when nothing was run; ``bitstream``: of the fastest run, None when there is none;
    ``checks``: what was found of it, by name; ``notice``: what the user has to do himself."""

    tools: Mapping[str, str]
    synthesised: Mapping[str, int] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    bitstream: Path | None = None
    checks: Mapping[str, Any] = field(default_factory=dict)
    notice: str = ""

    @property
    def best(self) -> Run | None:
        """The fastest run."""
        return max(self.runs, key=lambda run: run.mhz, default=None)


def load_toolchain(name: str) -> ModuleType:
    """The module of a toolchain. Raises UserError when there is none of that name."""
    if re.fullmatch(r"[a-z][a-z0-9_]*", name):
        try:
            module = importlib.import_module(f"{__package__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{__package__}.{name}":
                raise
        else:
            if hasattr(module, "build") and hasattr(module, "TITLE"):
                return module
    raise UserError(f"toolchain {name!r} is not there")


def check_fits(design: Design, needed: Mapping[str, int]) -> None:
    """Raises UserError when the part has too few sites of a kind, with all that are missing."""
    capacity = design.board.capacity
    missing = [
        f"{count} {kind} of {capacity[kind]}, {count - capacity[kind]} too many "
        f"({100 * (count / capacity[kind] - 1):.0f} %)"
        for kind, count in needed.items()
        if count > capacity.get(kind, count)
    ]
    if missing:
        kib = design.config.soc.memory_bytes >> 10
        raise UserError(
            f"{design.config.name} with {kib} KiB of main memory does not fit {design.board.part}: "
            f"it needs {'; '.join(missing)}"
        )


def key(*parts: str) -> str:
    """A hash over texts, by which results are recalled."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def recall(path: Path, wanted: str) -> dict | None:
    """What is kept in the JSON file ``path`` if it was made of what ``wanted`` is the key of."""
    try:
        kept = json.loads(path.read_text())
        return kept if kept["key"] == wanted else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def publish(scratch: Path, directory: Path, names: Iterable[str]) -> None:
    """Move finished files of ``scratch`` to ``directory``, each in one step. Raises UserError."""
    for name in names:
        try:
            os.replace(scratch / name, directory / name)
        except OSError as error:
            raise UserError(f"cannot write {directory / name}: {error.strerror or error}") from None
