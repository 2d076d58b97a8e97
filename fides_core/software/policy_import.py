"""Policies of FIDES, as its public repositories have them (github.com/mirage-shakti-iitm).

- ``NAME.cap`` beside a source (ocaml-boot-riscv/src, ocaml-freestanding-riscv): lines ``function:number``,
  the compartment of each function of that source; 254 is restricted, 255 complete fluid (src/defs.h there).
- ``cap_table.txt`` (fides-utilities/cap_matrix): lines ``caller:callee``, the calls that are allowed.

Lists of ``caller:callee`` may have names instead of numbers.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fides_core.errors import UserError
from fides_core.isa.xfides import MAX_COMPARTMENTS
from fides_core.text_file import read_text

from .policy import Compartment, Located, Policy, PolicyError, policy_error

__all__ = ["import_policy"]

RESTRICTED, COMPLETE = 254, 255


@dataclass
class _Import:
    functions: dict[int, dict[str, None]] = field(default_factory=dict)
    calls: dict[str, dict[str, None]] = field(default_factory=dict)
    where: dict[str, tuple[str, str]] = field(default_factory=dict)  # function -> its compartment, and place

    def cap_file(self, path: Path) -> None:
        for place, function, text in _pairs(path):
            number = _number(text, place)
            known, before = self.where.setdefault(function, (text, place))
            if known != text:
                raise UserError(f"{place}: {function} is in {text}, but {before} says {known}")
            self.functions.setdefault(number, {})[function] = None

    def call_list(self, path: Path) -> None:
        for place, caller, callee in _pairs(path):
            for text in (caller, callee):
                if text.isdecimal():
                    _number(text, place)
            self.calls.setdefault(_name(caller), {})[_name(callee)] = None


def _name(text: str) -> str:
    """FIDES's compartments have numbers only."""
    return f"c{int(text)}" if text.isdecimal() else text


def _number(text: str, place: str) -> int:
    if not text.isdecimal() or int(text) >= MAX_COMPARTMENTS:
        raise UserError(f"{place}: {text} is not a compartment's number, 0..{MAX_COMPARTMENTS - 1}")
    return int(text)


def _pairs(path: Path) -> Iterable[tuple[str, str, str]]:
    """(file and line, before the colon, behind it) of each line that is not empty. Raises UserError."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        left, colon, right = (part.strip() for part in text.rpartition(":"))
        if not colon or not left or not right:
            raise UserError(f"{path}:{number}: {text!r} is not two words with a colon between them")
        yield f"{path}:{number}", left, right


def import_policy(paths: Iterable[Path], name: str) -> Policy:
    """The policy that FIDES's files say: ``.cap`` files and lists of calls. Compartments are called ``c`` and
    their number; those that a list of calls names otherwise get the free numbers from 1 on.

    Raises UserError, naming file and line, for what is malformed or contradicts itself.
    """
    found = _Import()
    for path in paths:
        if path.suffix == ".cap":
            found.cap_file(path)
        else:
            found.call_list(path)
    numbers = {f"c{number}": number for number in found.functions if number not in (RESTRICTED, COMPLETE)}
    fluid = {f"c{number}" for number in (RESTRICTED, COMPLETE) if number in found.functions}
    named = dict.fromkeys([*found.calls, *(callee for callees in found.calls.values() for callee in callees)])
    for text in named:
        if text in fluid:
            raise UserError(f"{text[1:]} is fluid code: it has no row and no column in the matrix")
        if text[:1] == "c" and text[1:].isdecimal():
            numbers.setdefault(text, int(text[1:]))
    free = iter(sorted(set(range(1, MAX_COMPARTMENTS)) - set(numbers.values())))
    for text in named:
        if text not in numbers:
            number = next(free, None)
            if number is None:
                raise UserError(f"more than {MAX_COMPARTMENTS} compartments")
            numbers[text] = number
    compartments = [
        Compartment(
            text,
            number,
            calls=tuple(Located(callee) for callee in found.calls.get(text, ()) if callee != text),
            functions=tuple(Located(function) for function in found.functions.get(number, ())),
        )
        for text, number in sorted(numbers.items(), key=lambda item: item[1])
    ]
    policy = Policy(
        name,
        tuple(compartments),
        complete_functions=tuple(map(Located, found.functions.get(COMPLETE, ()))),
        restricted_functions=tuple(map(Located, found.functions.get(RESTRICTED, ()))),
    )
    if not compartments:
        raise UserError("the files name no compartment")
    try:
        policy.check()
    except PolicyError as error:
        raise policy_error(Path("import"), error) from None
    return policy
