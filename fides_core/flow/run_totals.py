"""What lockstep runs did, added up."""

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Self

__all__ = ["RunTotals"]


@dataclass
class RunTotals:
    """``mismatch``: the report of the first difference, None without one; ``programs``: that ran; ``exits``:
    those that reached their end; ``cycles``: of the clock; ``instructions``: retired; ``causes``: exceptions
    taken, and ``interrupts``, by cause. Classes that add numbers and counters of their own inherit their
    addition."""

    mismatch: str | None = None
    programs: int = 0
    exits: int = 0
    cycles: int = 0
    instructions: int = 0
    causes: Counter = field(default_factory=Counter)
    interrupts: Counter = field(default_factory=Counter)

    def add(self, other: Self) -> None:
        """Add another run to this one."""
        self.mismatch = self.mismatch or other.mismatch
        for name in (one.name for one in fields(self)):
            mine, its = getattr(self, name), getattr(other, name)
            if isinstance(mine, Counter):
                mine.update(its)
            elif isinstance(mine, int) and isinstance(its, int):
                setattr(self, name, mine + its)
