"""Who uses which function: calls and taken addresses between the owners of code, from relocations."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fides_core.isa.xfides import PadKind

from .placement import LinkedObject, Placement

__all__ = ["Use", "Uses", "find_uses"]

_CALLED_LISTS = (".preinit_array", ".init_array", ".fini_array")

Place = tuple[int, int, int]  # number of the object, of its section, offset in bytes


@dataclass(frozen=True)
class Use:
    """``owner``: who uses it, None for data that belongs to no one; ``call``: by a direct call."""

    owner: str | None
    call: bool


@dataclass
class Uses:
    """``functions``: place -> names there; ``uses``: place of a function -> its uses; ``owners``: place ->
    owner; ``between``: (owner of the user, owner of the function) for every use across owners."""

    functions: dict[Place, list[str]]
    owners: dict[Place, str]
    uses: dict[Place, set[Use]] = field(default_factory=dict)
    between: set[tuple[str | None, str]] = field(default_factory=set)

    def entry(self, place: Place) -> bool:
        """Whether others call the function or take its address."""
        return any(use.owner != self.owners[place] for use in self.uses.get(place, ()))

    def pad(self, place: Place) -> PadKind | None:
        """The kind of pad that the function needs; None for one that no other can enter."""
        if self.entry(place):
            return PadKind.ENTRY
        return PadKind.LOCAL if self.taken(place) else None

    def taken(self, place: Place) -> bool:
        """Whether anyone takes the function's address."""
        return any(not use.call for use in self.uses.get(place, ()))


def find_uses(objects: Sequence[LinkedObject], placement: Placement) -> Uses:
    """Resolves all references between the objects as the linker does."""
    definitions: dict[str, tuple[Place, bool]] = {}
    functions: dict[Place, list[str]] = {}
    for number, item in enumerate(objects):
        for name, (section, offset, weak) in item.file.defined.items():
            known = definitions.get(name)
            if known is None or known[1] and not weak:
                definitions[name] = (number, section, offset), weak
        for function in item.file.functions:
            functions.setdefault((number, function.section, function.offset), []).append(function.name)
    owners = {place: placement.owners[place[:2]] for place in functions if place[:2] in placement.owners}
    result = Uses(functions, owners)
    for number, item in enumerate(objects):
        of_object = placement.of_object(number) or {None}
        for reference in item.file.references():
            if reference.target is not None:
                place = (number, *reference.target)
            elif reference.symbol in definitions:
                place = definitions[reference.symbol][0]
            else:
                continue  # an undefined weak symbol, or one of the linker's
            if place not in owners:
                continue
            user = placement.owners.get((number, reference.section))
            # Data belongs to whoever has code in its object, but for lists that the first code calls.
            listed = item.file.sections[reference.section].name.startswith(_CALLED_LISTS)
            owners_of_data = {None} if listed else of_object
            for owner in owners_of_data if user is None else {user}:
                result.uses.setdefault(place, set()).add(Use(owner, reference.call))
                if owner != owners[place]:
                    result.between.add((owner, owners[place]))
    return result
