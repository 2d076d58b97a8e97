"""What prebuilt functions do with their arguments, for the pass to check before it calls them."""

import re
from pathlib import Path

from fides_core.errors import UserError
from fides_core.text_file import read_text

__all__ = ["OF_THE_LIBRARY", "read_contracts"]

OF_THE_LIBRARY = Path(__file__).with_name("contracts.txt")

_FUNCTION = re.compile(r"[A-Za-z_.$][\w.$]*")
_FACTOR = r"(?:\d+|\$[1-9]\d?)"
_ARGUMENT = re.compile(rf"-|\??(?:pointer|string|wide|like\$[1-9]\d?|{_FACTOR}(?:\*{_FACTOR})?)(?:\.\.\.)?")
#: No object has more bytes.
_MOST = 1 << 24


def _checked(words: list[str]) -> None:
    """Raises ValueError."""
    function, *arguments = words
    if not _FUNCTION.fullmatch(function):
        raise ValueError(f"{function!r} is no name of a function")
    for number, word in enumerate(arguments, 1):
        if not _ARGUMENT.fullmatch(word):
            raise ValueError(f"{function}: {word!r} says nothing about an argument")
        if word.endswith("...") and number < len(arguments):
            raise ValueError(f"{function}: only the last argument can have more after it")
        for other in re.findall(r"\$(\d+)", word):
            if int(other) > len(arguments):
                raise ValueError(f"{function}: there is no argument {other}")
        if any(int(count) >= _MOST for count in re.findall(r"(?<![$\d])\d+", word)):
            raise ValueError(f"{function}: no object has {word} bytes")


def read_contracts(path: Path) -> list[str]:
    """The lines of ``path`` that say something, their words one space apart: a function and a word for each
    argument, as contracts.txt explains them. Raises UserError, naming file and line."""
    lines, seen = [], set()
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            _checked(words)
            if words[0] in seen:
                raise ValueError(f"{words[0]} is there twice")
        except ValueError as error:
            raise UserError(f"{path}:{number}: {error}") from None
        seen.add(words[0])
        lines.append(" ".join(words))
    return lines
