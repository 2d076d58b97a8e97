"""Which range each piece of code goes to: the policy's patterns against objects and their functions.

The unit is a section of an object: with ``-ffunction-sections`` a function, else all of the object. A pattern
of functions comes before one of a file or archive member, and that before one of a whole archive.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePath

from fides_core.software.policy import Compartment, Located, Policy, PolicyError

from .objects import NOTE_PADS, Function, ObjectFile

__all__ = ["COMPLETE", "RESTRICTED", "LinkedObject", "Placement", "place"]

COMPLETE = "complete_fluid"
RESTRICTED = "restricted_fluid"
_SOURCES = {".c", ".s", ".S", ".cc", ".cpp", ".cxx", ".ml", ".i"}


@dataclass(frozen=True)
class LinkedObject:
    """An object that takes part. ``link_name``: what the linker script calls it; ``runtime``: of the runtime
    library; ``toolchain``: of the compiler's libraries, which complete fluid is made for."""

    file: ObjectFile
    link_name: str
    runtime: bool = False
    toolchain: bool = False


@dataclass
class Placement:
    """``owners``: (number of the object, number of its section) -> owner. ``warnings``: what looks wrong."""

    owners: dict[tuple[int, int], str]
    warnings: list[str] = field(default_factory=list)

    def of_object(self, number: int) -> set[str]:
        """The owners of the object's code."""
        return {owner for (item, _), owner in self.owners.items() if item == number}


def _is_pattern(text: str) -> bool:
    return any(character in text for character in "*?[")


def _parts(pattern: PurePath) -> list[str]:
    """Folders and name; those that lead out of the policy's folder say nothing of an object's."""
    return [part for part in pattern.parts if part not in ("..", ".", "/")]


def _tail_matches(path: PurePath, pattern: PurePath) -> bool:
    """Whether the last folders and the name of ``path`` match those of ``pattern``."""
    parts = _parts(pattern)
    if not 0 < len(parts) <= len(path.parts):
        return False
    return all(
        fnmatchcase(mine, wanted) for mine, wanted in zip(path.parts[-len(parts) :], parts, strict=True)
    )


def _file_match(item: ObjectFile, text: str) -> int:
    """How the pattern ``text`` of a policy names this object: 0 not at all, 1 its whole archive, 2 a source
    of this name, 3 the object itself, or a source of this name and folder."""
    archive, colon, member = text.partition(":")
    pattern = PurePath(archive)
    if colon:
        if item.member is None or not _tail_matches(item.path, pattern):
            return 0
        return 3 * (fnmatchcase(item.member, member) or item.member.rsplit(".", 1)[0] == member)
    if pattern.suffix == ".a":
        return int(item.member is not None and _tail_matches(item.path, pattern))
    if pattern.suffix in _SOURCES:
        return _source_match(item, pattern)
    return 3 * (item.member is None and _tail_matches(item.path, pattern))


def _source_match(item: ObjectFile, pattern: PurePath) -> int:
    name = item.member or item.path.name
    # file.o, file.c.o or, as automake does it, program-file.o
    stems = [f"{start}{stem}.o" for stem in (pattern.stem, pattern.name) for start in ("", "*-")]
    called = any(fnmatchcase(name, stem) for stem in stems)
    if not (called if item.source is None else fnmatchcase(item.source, pattern.name)):
        return 0
    beside = _tail_matches(item.path.parent / pattern.name, pattern)
    return 3 if item.member is None and called and beside else 2


def _function_match(item: ObjectFile, function: Function, text: str) -> bool:
    """Patterns of functions: ``name``, ``file.c:name``, ``archive.a:member.o:name``."""
    file, colon, name = text.rpartition(":")
    if not fnmatchcase(function.name, name):
        return False
    return not colon or _file_match(item, file) > 0


def _check_names(item: ObjectFile, owners: dict[int, str]) -> None:
    """The linker's script tells sections of an object by their names alone. Raises PolicyError when those of
    one name have different owners."""
    by_name: dict[str, str] = {}
    for number, owner in owners.items():
        name = item.sections[number].name
        if by_name.setdefault(name, owner) != owner:
            raise PolicyError(
                f"{item} has several sections {name}, which cannot be in {by_name[name]} and {owner}"
            )


class _Placer:
    def __init__(self, objects: Sequence[LinkedObject], policy: Policy, *, entry: str, xfides: bool):
        self.objects = objects
        self.policy = policy
        self.entry = entry
        self.xfides = xfides
        self.warnings: list[str] = []
        self.used: set[tuple[str, int, str]] = set()  # patterns that matched something
        self.by_name = {one.name: one for one in policy.compartments}

    def file_patterns(self) -> Iterable[tuple[str, Located]]:
        for owner, (_, names) in self.policy.owners().items():
            for name in names:
                yield owner, name

    def file_owner(self, item: ObjectFile) -> str | None:
        found: dict[int, dict[str, Located]] = {3: {}, 2: {}, 1: {}}
        for owner, name in self.file_patterns():
            level = _file_match(item, name)
            if level:
                found[level].setdefault(owner, name)
                self.used.add((owner, name.line, name))
        best = next((names for names in found.values() if names), {})
        owners = list(best)
        if len(owners) > 1:
            raise PolicyError(f"{item} is in {owners[0]} and in {owners[1]}", best[owners[1]].line)
        return owners[0] if owners else None

    def function_owners(self, item: ObjectFile) -> dict[int, str]:
        """Section -> the compartment that a pattern of functions gives it to."""
        by_place: dict[tuple[int, int], tuple[str, str]] = {}
        for owner, text in self.policy.function_patterns():
            for function in item.functions:
                if not _function_match(item, function, text):
                    continue
                self.used.add((owner, text.line, text))
                known, name = by_place.setdefault((function.section, function.offset), (owner, function.name))
                if known != owner:
                    raise PolicyError(
                        f"the function {name} of {item} is in {known} and in {owner}", text.line
                    )
        owners: dict[int, str] = {}
        for function in item.functions if by_place else ():
            owner, _ = by_place.get((function.section, function.offset), (None, None))
            others = [
                (name, other)
                for (section, _), (other, name) in by_place.items()
                if section == function.section and other != owner
            ]
            if others and (owner is not None or function.size):
                name, other = others[0]
                raise PolicyError(
                    f"{name} of {item} is to be in {other}, but {function.name}, which is not, lies in the "
                    "same section: compile with -ffunction-sections"
                )
            if owner is not None:
                owners[function.section] = owner
        return owners

    def entry_compartment(self) -> str:
        """Where the first function goes when no pattern names it."""
        policy = self.policy
        if policy.entry_compartment is not None:
            return policy.entry_compartment
        if len(policy.compartments) == 1:
            return policy.compartments[0].name
        for item in self.objects:
            for function in item.file.functions:
                if function.name == "main" and function.visible:
                    owner = self.function_owners(item.file).get(function.section)
                    owner = owner or self.file_owner(item.file) or policy.rest
                    if owner in self.by_name:
                        return owner
        raise PolicyError("it does not say which compartment the program begins in: [entry] compartment")

    def owner(self, item: LinkedObject) -> str:
        """Of an object's sections that no pattern of functions names."""
        owner = self.file_owner(item.file)
        if owner is not None:
            return owner
        if self.entry in item.file.defined:
            return self.entry_compartment()
        if item.runtime or item.toolchain:
            return COMPLETE
        if self.policy.rest is not None and (item.file.flags is not None or not self.xfides):
            return self.policy.rest
        without = "" if item.file.flags is not None or not self.xfides else " and has no landing pads"
        raise PolicyError(
            f"{item.file} is in no compartment{without}: name it in sources or fluid, or say rest = ..."
        )

    def run(self) -> Placement:
        owners: dict[tuple[int, int], str] = {}
        for number, item in enumerate(self.objects):
            code = [section for section in item.file.sections if section.code and section.bytes]
            self.file_owner(item.file)  # counts as used
            if not code:
                continue
            by_function = self.function_owners(item.file)
            rest = [section for section in code if section.number not in by_function]
            owner = self.owner(item) if rest else None
            for section in code:
                owners[number, section.number] = by_function.get(section.number, owner)
            _check_names(item.file, {section.number: owners[number, section.number] for section in code})
            if self.xfides and not (item.file.flags or 0) & NOTE_PADS:
                for name in {owners[number, section.number] for section in code} & set(self.by_name):
                    raise PolicyError(
                        f"{item.file} has no landing pads, so it can only be fluid code, not in {name}",
                        self.by_name[name].line,
                    )
        self.check_used(owners)
        return Placement(owners, self.warnings)

    def check_used(self, owners: dict[tuple[int, int], str]) -> None:
        filled = set(owners.values())
        for owner, text in self.policy.function_patterns():
            if (owner, text.line, text) not in self.used:
                what = "no function matches" if _is_pattern(text) else "unknown function"
                raise PolicyError(f"{owner}: {what} {text}", text.line)
        for compartment in self.policy.compartments:
            self.check_compartment(compartment)
            if compartment.name not in filled:
                raise PolicyError(f"the compartment {compartment.name} is empty", compartment.line)
        for owner, name in self.file_patterns():
            if owner in (COMPLETE, RESTRICTED) and (owner, name.line, name) not in self.used:
                self.warn(name.line, f"nothing that is linked is {name}")

    def check_compartment(self, compartment: Compartment) -> None:
        for text in compartment.sources:
            if (compartment.name, text.line, text) not in self.used:
                if ":" in text or text.endswith(".a"):  # not all of an archive is linked
                    self.warn(text.line, f"nothing that is linked is {text}")
                else:
                    raise PolicyError(f"{compartment.name}: nothing that is linked is {text}", text.line)

    def warn(self, line: int, text: str) -> None:
        self.warnings.append(f"{self.policy.path}:{line}: {text}" if line else text)


def place(objects: Sequence[LinkedObject], policy: Policy, *, entry: str, xfides: bool) -> Placement:
    """Decides for every section with code. ``entry``: symbol of the first function; ``xfides``: the core has
    the extension, so that code without landing pads can only be fluid.

    Raises PolicyError for an unknown function, code that two owners claim or that nobody does, an empty
    compartment, and code without pads in a compartment.
    """
    return _Placer(objects, policy, entry=entry, xfides=xfides).run()
