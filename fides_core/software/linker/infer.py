"""A starting policy from objects: one compartment for each, and the calls that they make."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from fides_core.errors import UserError
from fides_core.isa.xfides import MAX_COMPARTMENTS
from fides_core.software.policy import RESERVED_NAMES, Compartment, Located, Policy
from fides_core.software.policy_section import NAME_BYTES

from .link import ENTRIES
from .objects import ObjectFile, archive_members
from .placement import COMPLETE, LinkedObject, Placement
from .references import find_uses

__all__ = ["infer_policy"]


def _read(paths: Iterable[Path]) -> list[ObjectFile]:
    objects = []
    for path in paths:
        try:
            with path.open("rb") as stream:
                magic = stream.read(8)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}") from None
        if magic.startswith(b"!<"):
            objects += [ObjectFile(path, name, data) for name, data in archive_members(path)]
        else:
            objects.append(ObjectFile(path))
    return objects


def _identifier(text: str, taken: set[str]) -> str:
    """``text`` as a compartment's name that is not in ``taken``."""
    plain = "".join(character if character.isascii() and character.isalnum() else "_" for character in text)
    name = plain = plain[: NAME_BYTES - 1] or "compartment"
    number = 2
    while name in taken:
        suffix = f"_{number}"
        name = plain[: NAME_BYTES - 1 - len(suffix)] + suffix
        number += 1
    taken.add(name)
    return name


def _pattern(item: ObjectFile, members: bool, alone: bool) -> str:
    """How the policy names the object; ``alone``: no other object has its file name."""
    if item.member is not None:
        return f"{item.path.name}:{item.member}" if members else item.path.name
    return item.path.name if alone else str(item.path)


def _join_start(
    objects: Sequence[LinkedObject], owners: dict[tuple[int, int], str], names: dict[str, str]
) -> None:
    """The first code of a program goes where ``main`` is, which it calls."""
    main = {owners.get(place) for place in _defining(objects, ("main",))} & set(names.values())
    for place in _defining(objects, ENTRIES) if len(main) == 1 else ():
        old, new = owners.get(place), min(main)
        if old not in (None, COMPLETE, new) and list(names.values()).count(old) == 1:
            for key, owner in owners.items():
                owners[key] = new if owner == old else owner
            for pattern, owner in names.items():
                names[pattern] = new if owner == old else owner


def _defining(objects: Sequence[LinkedObject], symbols: Iterable[str]) -> Iterable[tuple[int, int]]:
    """(object, section) where any of ``symbols`` is."""
    for number, item in enumerate(objects):
        for symbol in symbols:
            if symbol in item.file.defined:
                yield number, item.file.defined[symbol][0]


def infer_policy(paths: Sequence[Path], name: str, *, members: bool = False) -> Policy:
    """The policy that allows what the objects and archives at ``paths`` do among themselves.

    Each object is a compartment, and each archive, or each of its members when ``members`` is set; what is
    built without landing pads is complete fluid. Raises UserError when a file cannot be read, or when there
    are more compartments than ids.
    """
    objects = [LinkedObject(item, f"o{number:05}.o") for number, item in enumerate(_read(paths))]
    file_names = [item.file.path.name for item in objects if item.file.member is None]
    owners: dict[tuple[int, int], str] = {}
    taken = set(RESERVED_NAMES)
    names: dict[str, str] = {}  # pattern -> compartment
    fluid: dict[str, None] = {}
    for number, item in enumerate(objects):
        code = [section.number for section in item.file.sections if section.code and section.bytes]
        if not code:
            continue
        pattern = _pattern(item.file, members, file_names.count(item.file.path.name) == 1)
        if item.file.flags is None:
            fluid[pattern] = None
            owner = COMPLETE
        elif pattern in names:
            owner = names[pattern]
        else:
            stem = Path(item.file.member or item.file.path).stem if members else item.file.path.stem
            owner = names[pattern] = _identifier(stem, taken)
        owners |= {(number, section): owner for section in code}
    for pattern in fluid.keys() & names.keys():
        raise UserError(f"{pattern}: some of its members have landing pads, others not: use --members")
    if not names:
        raise UserError("no object has landing pads: compile with fides cc")
    if len(names) >= MAX_COMPARTMENTS:
        raise UserError(f"{len(names)} compartments, but ids are 1..{MAX_COMPARTMENTS - 1}")
    _join_start(objects, owners, names)
    uses = find_uses(objects, Placement(owners))
    order = list(dict.fromkeys(names.values()))
    compartments = tuple(
        Compartment(
            owner,
            number,
            tuple(Located(pattern) for pattern, other in names.items() if other == owner),
            tuple(Located(other) for other in order if other != owner and (owner, other) in uses.between),
        )
        for number, owner in enumerate(order, 1)
    )
    main = {
        uses.owners.get(place) for place, functions in uses.functions.items() if "main" in functions
    } & set(order)
    return Policy(
        name,
        compartments,
        entry_compartment=Located(min(main)) if main else None,
        complete_fluid=tuple(map(Located, fluid)),
    )
