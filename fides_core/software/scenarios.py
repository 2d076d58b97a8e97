"""What a demo program can be told to do: its legal run, and one attack by number.

The list is a TOML file beside the program's sources, tables ``[[attack]]`` in the order of their numbers
from 1. The program gets the numbers as ``scenarios.h`` and reads its own from ``program_argument`` (0: the
legal run).
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from fides_core.errors import UserError
from fides_core.isa.causes import ControlFlowFault, MemoryFault

__all__ = ["LEGAL", "SUCCEEDED", "Attack", "load_attacks", "scenarios_header"]

LEGAL = 0
#: Exit code of a program whose attack went through.
SUCCEEDED = 10

_CODES = {
    **{fault.name: 64 + fault for fault in ControlFlowFault},
    **{fault.name: 96 + fault for fault in MemoryFault},
}


@dataclass(frozen=True)
class Attack:
    """``cause``: the fault that stops it on a core with Xfides. ``evidence``: regular expression that the
    output matches on a core without."""

    number: int
    name: str
    title: str
    cause: str
    evidence: str

    @property
    def exit_code(self) -> int:
        """The monitor's exit code for ``cause`` (sw/monitor/hypercalls.h)."""
        return _CODES[self.cause]


def load_attacks(path: Path) -> tuple[Attack, ...]:
    """The attacks listed in ``path``. Raises UserError when it cannot be read or names an unknown cause."""
    try:
        rows = tomllib.loads(path.read_text())["attack"]
        attacks = tuple(Attack(number, **row) for number, row in enumerate(rows, 1))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a list of attacks ({error})") from None
    for attack in attacks:
        if attack.cause not in _CODES:
            raise UserError(f"{path}: {attack.name}: no fault is called {attack.cause}")
    return attacks


def scenarios_header(attacks: tuple[Attack, ...]) -> str:
    """The text of ``scenarios.h``."""
    lines = [
        "/* Generated from the program's list of attacks: do not edit. */",
        "#ifndef SCENARIOS_H", "#define SCENARIOS_H", "",
        f"#define SCENARIO_LEGAL {LEGAL}", f"#define EXIT_SUCCEEDED {SUCCEEDED}",
    ]  # fmt: skip
    for attack in attacks:
        lines.append(f"#define SCENARIO_{attack.name.upper().replace('-', '_')} {attack.number}")
    return "\n".join([*lines, "", "#endif", ""])
