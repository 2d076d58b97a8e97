"""Where in a TOML file a value stands, which ``tomllib`` does not say."""

import re

__all__ = ["value_lines"]

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}\n#]*")
_STRINGS = [
    re.compile(pattern, re.S)
    for pattern in (
        r'"""(?:\\.|[^\\])*?"{3,5}(?!")', r"'''.*?'{3,5}(?!')", r'"(?:\\.|[^"\\])*"', r"'[^']*'",
    )
]  # fmt: skip


class _Scanner:
    """``text`` must be valid TOML: nothing is checked."""

    def __init__(self, text: str):
        self.text = text
        self.at = 0
        self.lines: dict[tuple, int] = {}
        self.arrays: dict[tuple, int] = {}  # arrays of tables -> how many so far

    def skip(self, pattern: re.Pattern) -> str:
        match = pattern.match(self.text, self.at)
        self.at = match.end()
        return match[0]

    def note(self, path: tuple) -> None:
        line = self.text.count("\n", 0, self.at) + 1
        for length in range(1, len(path) + 1):  # tables above it may have no header of their own
            self.lines.setdefault(path[:length], line)

    def string(self) -> str:
        for pattern in _STRINGS:
            if match := pattern.match(self.text, self.at):
                self.at = match.end()
                return match[0]
        raise AssertionError("not a string")

    def keys(self) -> tuple[str, ...]:
        """A dotted key."""
        keys = []
        while True:
            self.skip(_SPACE)
            quoted = self.text[self.at] in "\"'"
            keys.append(self.string()[1:-1] if quoted else self.skip(_BARE))
            self.skip(_SPACE)
            if self.text[self.at] != ".":
                return tuple(keys)
            self.at += 1

    def value(self, path: tuple) -> None:
        self.skip(_SPACE)
        self.note(path)
        character = self.text[self.at]
        if character in "\"'":
            self.string()
        elif character == "[":
            self.at += 1
            number = 0
            while self.skip(_BLANK) is not None and self.text[self.at] != "]":
                self.value((*path, number))
                number += 1
                self.comma()
            self.at += 1
        elif character == "{":
            self.at += 1
            while self.skip(_BLANK) is not None and self.text[self.at] != "}":
                self.pair(path)
                self.comma()
            self.at += 1
        else:
            self.skip(_SCALAR)

    def comma(self) -> None:
        self.skip(_BLANK)
        if self.text[self.at] == ",":
            self.at += 1

    def pair(self, table: tuple) -> None:
        start = self.at
        path = (*table, *self.keys())
        self.at, after = start, self.at
        self.note(path)
        self.at = after + 1  # the equals sign
        self.value(path)

    def table(self) -> tuple:
        """A header; returns the path of its table, in which elements of arrays are numbers."""
        array = self.text.startswith("[[", self.at)
        start = self.at
        self.at += 2 if array else 1
        path: tuple = ()
        names = self.keys()
        for depth, name in enumerate(names):
            path = (*path, name)
            if array and depth == len(names) - 1:
                self.arrays[path] = self.arrays.get(path, -1) + 1
            if path in self.arrays:
                path = (*path, self.arrays[path])
        self.at, after = start, self.at
        self.note(path)
        self.at = after + (2 if array else 1)
        return path

    def run(self) -> dict[tuple, int]:
        table: tuple = ()
        while True:
            self.skip(_BLANK)
            if self.at >= len(self.text):
                return self.lines
            if self.text[self.at] == "[":
                table = self.table()
            else:
                self.pair(table)


def value_lines(text: str) -> dict[tuple, int]:
    """The line, from 1, of every table, key and element of an array in the TOML ``text``, by its path:
    ``("compartments", "main", "calls", 0)`` is the first of the calls. ``text`` must be one that ``tomllib``
    accepts."""
    return _Scanner(text + "\n").run()
