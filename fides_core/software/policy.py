"""Policies: which compartments a program has, which code is in them, and who may call whom.

A policy is one TOML file. ``image.py`` compiles the sources that it lists, ``fides ld`` finds the code that
it names in objects and archives; both make the section of it that tells the monitor (``policy_section``).
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fides_core.errors import UserError
from fides_core.isa.xfides import COOKIE_BITS, INDEX_BITS, MAX_COMPARTMENTS, ZONE_ALIGN, pack_pointer
from fides_core.text_file import read_text

from .policy_section import COMPARTMENT, HEADER, MAGIC, NAME_BYTES, STATIC, VERSION, assembly
from .toml_lines import value_lines

__all__ = ["Compartment", "Located", "Policy", "PolicyError", "matrix_row", "static_cookie"]

#: Owners of code that are no compartments.
RESERVED_NAMES = ("monitor", "complete_fluid", "restricted_fluid")
HEAP_BYTES = 64 << 10
_TOP = {
    "name", "entry", "compartments", "fluid", "memory", "statics", "include", "scenarios", "rest",
}  # fmt: skip
_MEMORY = ("heap_bytes", "stack_bytes", "objects", "stack_objects")


class PolicyError(ValueError):
    """A policy contradicts itself or the program; ``line`` is where it stands, 0 if nowhere."""

    def __init__(self, message: str, line: int = 0):
        super().__init__(message)
        self.line = line


class Located(str):
    """A text of the policy with the ``line`` that it stands in, from 1; 0 for one that stands nowhere."""

    line: int

    def __new__(cls, text: str, line: int = 0):
        """``line`` 0: not from a file."""
        located = super().__new__(cls, text)
        located.line = line
        return located


@dataclass(frozen=True)
class Compartment:
    """What is in it: ``sources`` (source files, objects, archives, ``archive.a:member.o``) and ``functions``
    (names or patterns, for ``fides ld``); ``calls``: the compartments that it may call; ``entries``: its
    functions that others may call, None for all that others use; ``line``: of its table."""

    name: str
    cid: int
    sources: tuple[Located, ...] = ()
    calls: tuple[Located, ...] = ()
    functions: tuple[Located, ...] = ()
    entries: tuple[Located, ...] | None = None
    line: int = 0


@dataclass(frozen=True)
class Policy:
    """A program's policy. Sizes in bytes; ``objects`` and ``stack_objects`` are numbers of metadata entries.

    ``path``: its file; what it names is relative to that file's folder. Fluid code is given by files and, for
    ``fides ld``, by functions, as in a compartment. ``entry``: symbol of the first
    function and ``entry_compartment`` where it is, None for what ``fides ld`` takes by itself; ``rest``: the
    compartment of code that no other pattern names; ``heap_bytes`` None: not said; ``scenarios``: list of
    attacks, see scenarios.py. ``load`` raises UserError, naming file and line, when the description
    contradicts itself.
    """

    name: str
    compartments: tuple[Compartment, ...]
    entry: str | None = None
    entry_compartment: Located | None = None
    complete_fluid: tuple[Located, ...] = ()
    restricted_fluid: tuple[Located, ...] = ()
    complete_functions: tuple[Located, ...] = ()
    restricted_functions: tuple[Located, ...] = ()
    statics: tuple[Located, ...] = ()  # symbols whose address escapes
    include: tuple[Path, ...] = ()
    heap_bytes: int | None = None
    stack_bytes: int = 64 << 10
    objects: int = 1024
    stack_objects: int = 512
    rest: Located | None = None
    scenarios: Path | None = None
    path: Path = Path("policy.toml")

    @classmethod
    def load(cls, path: Path, *, files: bool = False) -> "Policy":
        """Reads ``path``. ``files``: it is a program's for ``image.py``, all of whose sources must be there.
        Raises UserError."""
        text = read_text(path)
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UserError(f"{path}: {error}") from None
        try:
            policy = _Reader(tables, value_lines(text), path).policy()
            policy.check()
            if files:
                policy.check_files()
        except PolicyError as error:
            raise policy_error(path, error) from None
        return policy

    def check(self) -> None:
        """Raises PolicyError when the description contradicts itself."""
        names = [compartment.name for compartment in self.compartments]
        for number, compartment in enumerate(self.compartments):
            for other in self.compartments[:number]:
                if compartment.cid == other.cid:
                    raise PolicyError(f"two compartments with the id {compartment.cid}", compartment.line)
        for text in (Located(self.name), *(Located(one.name, one.line) for one in self.compartments)):
            if not 1 <= len(text) < NAME_BYTES or not text.isascii() or not text.replace("_", "").isalnum():
                raise PolicyError(
                    f"{str(text)!r} must be 1 to {NAME_BYTES - 1} letters, digits and underscores", text.line
                )
            if text.line and text in RESERVED_NAMES:
                raise PolicyError(f"{text} is not a name for a compartment", text.line)
        for compartment in self.compartments:
            if not 0 <= compartment.cid < MAX_COMPARTMENTS:
                raise PolicyError(
                    f"{compartment.name}: the id {compartment.cid} is not in 0..{MAX_COMPARTMENTS - 1}",
                    compartment.line,
                )
            for callee in compartment.calls:
                if callee not in names:
                    raise PolicyError(
                        f"{compartment.name} may call {callee}: there is no such compartment", callee.line
                    )
        for what, name in (("the entry is in", self.entry_compartment), ("the rest is for", self.rest)):
            if name is not None and name not in names:
                raise PolicyError(f"{what} {name}: there is no such compartment", name.line)
        both = set(self.complete_fluid) & set(self.restricted_fluid)
        for name in self.restricted_fluid:
            if name in both:
                raise PolicyError(f"{name} is in complete and in restricted fluid", name.line)
        self._check_memory()

    def _check_memory(self) -> None:
        if len(set(self.statics)) < len(self.statics):
            raise PolicyError("a static stands twice in the list", self.statics[0].line)
        entries = self.objects + self.stack_objects
        if not len(self.statics) < self.objects <= entries < 1 << INDEX_BITS:
            raise PolicyError(
                f"{self.objects} objects and {self.stack_objects} stack objects must hold index 0 and "
                f"{len(self.statics)} statics, and be fewer than {1 << INDEX_BITS}"
            )
        for what in ("objects", "stack_objects"):
            if getattr(self, what) % ZONE_ALIGN:
                raise PolicyError(f"{what} must be a multiple of {ZONE_ALIGN}, not {getattr(self, what)}")
        for what in ("heap_bytes", "stack_bytes"):
            value = getattr(self, what)
            if value is not None and (value <= 0 or value % 4096):
                raise PolicyError(f"{what} must be a positive multiple of 4096, not {value}")

    def check_files(self) -> None:
        """Raises PolicyError for what ``image.py`` cannot build: it wants files that exist, and an entry."""
        if self.entry is None or self.entry_compartment is None:
            raise PolicyError("entry is missing")
        entries = [name for compartment in self.compartments for name in compartment.entries or ()]
        for name in (*(name for _, name in self.function_patterns()), *entries):
            raise PolicyError(f"{name}: only fides ld places functions", name.line)
        listed = [name for compartment in self.compartments for name in compartment.sources]
        for name in (*listed, *self.complete_fluid, *self.restricted_fluid):
            if not self.file(name).exists():
                raise PolicyError(f"there is no {name}", name.line)

    def file(self, name: str) -> Path:
        """The file called ``name`` in the policy."""
        return (self.path.parent / name).resolve()

    def owners(self) -> dict[str, tuple[int, tuple[Located, ...]]]:
        """Owner of code -> (cid in its landing pads, its sources); fluid code first, as it lies in memory."""
        return {
            "restricted_fluid": (0, self.restricted_fluid),
            "complete_fluid": (0, self.complete_fluid),
            **{compartment.name: (compartment.cid, compartment.sources) for compartment in self.compartments},
        }

    def function_patterns(self) -> list[tuple[str, Located]]:
        """(owner, pattern) of all functions that are placed by themselves."""
        return [
            *(("restricted_fluid", name) for name in self.restricted_functions),
            *(("complete_fluid", name) for name in self.complete_functions),
            *(
                (compartment.name, name)
                for compartment in self.compartments
                for name in compartment.functions
            ),
        ]

    def row(self, compartment: Compartment) -> tuple[int, ...]:
        """The compartment's row of the access matrix, as 64-bit words. Calls inside it need no bit."""
        by_name = {other.name: other.cid for other in self.compartments}
        return matrix_row(by_name[name] for name in compartment.calls)

    def section_source(self, sizes: dict[str, int], cookie_constant: int) -> str:
        """Assembly source of the policy section; the linker script defines the symbols that it names.

        ``sizes``: bytes of each symbol in ``statics``.
        """
        lines = ['.section .fides.policy, "a"', ".balign 8", ".globl policy_section", "policy_section:"]
        by_name = {compartment.name: compartment for compartment in self.compartments}
        lines += assembly(
            HEADER,
            magic=MAGIC,
            version=VERSION,
            bytes="policy_section_end - policy_section",
            compartments=len(self.compartments),
            statics=len(self.statics),
            entry_compartment=by_name[self.entry_compartment].cid,
            reserved=0,
            entry=self.entry,
            stack_top="__user_stack_top",
            text_start="__user_text_start",
            constants_start="__user_constants_start",
            data_start="__user_data_start",
            data_end="__user_data_end",
            bss_start="__user_bss_start",
            bss_end="__user_bss_end",
            restricted_start="__restricted_fluid_start",
            complete_start="__complete_fluid_start",
            complete_end="__complete_fluid_end",
            table_base="__metadata_table",
            stack_zone_start=self.objects,
            table_entries=self.objects + self.stack_objects,
            cookie_constant=cookie_constant,
            name=self.name,
        )
        for compartment in self.compartments:
            lines += assembly(
                COMPARTMENT,
                start=f"__{compartment.name}_start",
                end=f"__{compartment.name}_end",
                allowed=self.row(compartment),
                cid=compartment.cid,
                reserved=0,
                name=compartment.name,
            )
        for index, symbol in enumerate(self.statics, 1):
            lines += assembly(
                STATIC, base=symbol, size=sizes[symbol], index=index, cookie=static_cookie(symbol), reserved=0
            )
        lines += ["policy_section_end:", ""]
        return "\n".join(lines)

    def pointers_source(self, *, xfides: bool) -> str:
        """Assembly source of the constants ``static_pointer_<symbol>``: the fat pointers to the statics."""
        lines = ['.section .rodata.static_pointers, "a"', ".balign 8"]
        for index, symbol in enumerate(self.statics, 1):
            tag = pack_pointer(0, index, static_cookie(symbol)) if xfides else 0
            lines.append(f".globl static_pointer_{symbol}")
            lines.append(f"static_pointer_{symbol}: .dword {symbol} + {tag:#x}")
        return "\n".join([*lines, ""])


def policy_error(path: Path, error: PolicyError) -> UserError:
    """``error`` with file and line."""
    return UserError(f"{path}:{error.line}: {error}" if error.line else f"{path}: {error}")


def matrix_row(cids: Iterable[int]) -> tuple[int, ...]:
    """A row of the access matrix, as 64-bit words: the bits ``cids`` are set."""
    bits = sum(1 << cid for cid in set(cids))
    return tuple(bits >> 64 * word & (1 << 64) - 1 for word in range(MAX_COMPARTMENTS // 64))


def static_cookie(symbol: str) -> int:
    """The cookie of a static: 1..255, the same in every build, so that the linker can write the pointer."""
    value = 0
    for byte in symbol.encode():
        value = (value * 31 + byte) % ((1 << COOKIE_BITS) - 1)
    return value + 1


@dataclass(frozen=True)
class _Reader:
    """The tables of a policy, read with the kinds of their values checked."""

    tables: dict
    lines: dict[tuple, int]
    path: Path

    def line(self, *path) -> int:
        return self.lines.get(path, 0)

    def table(self, *path) -> dict:
        value = self.tables
        for key in path:
            value = value.get(key, {})
        if not isinstance(value, dict):
            raise PolicyError(f"{path[-1]} is not a table", self.line(*path))
        return value

    def known(self, keys: Iterable[str], *path) -> None:
        for key in self.table(*path):
            if key not in keys:
                where = f" in {'.'.join(path)}" if path else ""
                raise PolicyError(f"unknown key {key}{where}", self.line(*path, key))

    def text(self, *path) -> Located | None:
        """None when it is absent."""
        value = self.table(*path[:-1]).get(path[-1])
        if value is not None and not isinstance(value, str):
            raise PolicyError(f"{path[-1]} is not a text", self.line(*path))
        return None if value is None else Located(value, self.line(*path))

    def needed(self, *path) -> Located:
        value = self.text(*path)
        if value is None:
            raise PolicyError(f"{path[-1]} is missing", self.line(*path[:-1]))
        return value

    def number(self, *path) -> int:
        value = self.table(*path[:-1]).get(path[-1])
        if value is None:
            raise PolicyError(f"{path[-1]} is missing", self.line(*path[:-1]))
        if not isinstance(value, int) or isinstance(value, bool):
            raise PolicyError(f"{path[-1]} is not a whole number", self.line(*path))
        return value

    def texts(self, *path) -> tuple[Located, ...]:
        values = self.table(*path[:-1]).get(path[-1], [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise PolicyError(f"{path[-1]} is not a list of texts", self.line(*path))
        return tuple(Located(value, self.line(*path, number)) for number, value in enumerate(values))

    def compartment(self, name: str) -> Compartment:
        at = ("compartments", name)
        table = self.table(*at)
        self.known(("id", "sources", "calls", "functions", "entries", "devices"), *at)
        if "devices" in table:
            raise PolicyError(
                f"{name}: no preset's hardware can limit a device to a compartment", self.line(*at, "devices")
            )
        if "sources" not in table and "functions" not in table:
            raise PolicyError(f"{name} has neither sources nor functions", self.line(*at))
        return Compartment(
            name,
            self.number(*at, "id"),
            self.texts(*at, "sources"),
            self.texts(*at, "calls"),
            self.texts(*at, "functions"),
            self.texts(*at, "entries") if "entries" in table else None,
            self.line(*at),
        )

    def files(self, names: Iterable[Located]) -> tuple[Path, ...]:
        found = []
        for name in names:
            found.append((self.path.parent / name).resolve())
            if not found[-1].exists():
                raise PolicyError(f"there is no {name}", name.line)
        return tuple(found)

    def policy(self) -> Policy:
        self.known(_TOP)
        self.known(("function", "compartment"), "entry")
        self.known(("complete", "restricted", "complete_functions", "restricted_functions"), "fluid")
        self.known(_MEMORY, "memory")
        if not self.table("compartments"):
            raise PolicyError("there are no compartments")
        scenarios = self.text("scenarios")
        return Policy(
            name=self.needed("name"),
            compartments=tuple(self.compartment(name) for name in self.table("compartments")),
            entry=self.text("entry", "function"),
            entry_compartment=self.text("entry", "compartment"),
            complete_fluid=self.texts("fluid", "complete"),
            restricted_fluid=self.texts("fluid", "restricted"),
            complete_functions=self.texts("fluid", "complete_functions"),
            restricted_functions=self.texts("fluid", "restricted_functions"),
            statics=self.texts("statics"),
            include=self.files(self.texts("include")),
            rest=self.text("rest"),
            scenarios=self.files([scenarios])[0] if scenarios else None,
            path=self.path,
            **{key: self.number("memory", key) for key in _MEMORY if key in self.table("memory")},
        )
