"""What the linker fills into a linked image: ids of landing pads, tags of pointers, the policy section."""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from fides_core.errors import UserError
from fides_core.isa.instructions import BY_NAME
from fides_core.isa.xfides import SIZE_BITS, PadKind, checkcap, pack_pointer, pad_fields
from fides_core.software.image_file import ImageFile
from fides_core.software.policy import Compartment, Policy, PolicyError, matrix_row, static_cookie
from fides_core.software.policy_section import COMPARTMENT, HEADER, MAGIC, SECTION, STATIC, VERSION

from .placement import COMPLETE, RESTRICTED, LinkedObject, Placement
from .references import Uses
from .veneers import needs_veneers

__all__ = ["Memory", "Pad", "StaticObject", "fill_policy", "set_pads", "static_objects", "tag_pointers"]

NOP = BY_NAME["addi"].match


@dataclass(frozen=True)
class Pad:
    """A landing pad of the image; ``kind`` None: it was made a no-op, as no other may enter there."""

    address: int
    owner: str
    cid: int
    kind: PadKind | None

    @property
    def word(self) -> int:
        """The instruction."""
        return NOP if self.kind is None else checkcap(self.cid, self.kind)


@dataclass(frozen=True)
class StaticObject:
    """A static with a metadata entry of its own. ``base``, ``size``: bytes."""

    name: str
    base: int
    size: int
    index: int
    cookie: int

    @property
    def tag(self) -> int:
        """Bits [63:32] of a pointer to it, in place."""
        return pack_pointer(0, self.index, self.cookie)


@dataclass(frozen=True)
class Memory:
    """Numbers of entries of the metadata table."""

    objects: int
    stack_objects: int


def _entry_names(compartment: Compartment, uses: Uses) -> set:
    """Places of the functions that the policy names as entry points. Raises PolicyError for unknown ones."""
    places = set()
    for text in compartment.entries or ():
        found = {
            place
            for place, names in uses.functions.items()
            if uses.owners.get(place) == compartment.name and any(fnmatchcase(name, text) for name in names)
        }
        if not found:
            raise PolicyError(f"{compartment.name}: unknown function {text}", text.line)
        places |= found
    return places


def set_pads(
    image: ImageFile, objects: Sequence[LinkedObject], placement: Placement, uses: Uses, policy: Policy
) -> list[Pad]:
    """Writes every landing pad that the compiler has recorded: its compartment's id and its kind.

    A function that others use gets an entry pad (or those that the policy names as entries), one whose
    address is taken inside its owner a local pad, any other none. Raises UserError when records and code
    disagree, PolicyError when an entry has no place for a pad.
    """
    records = [
        (number, section, offset, kind)
        for number, item in enumerate(objects)
        for section, offset, kind in item.file.pads()
    ]
    addresses = list(struct.iter_unpack("<QII", image.section(".fides.pads")))
    if len(addresses) != len(records):
        raise UserError(f"the objects have {len(records)} landing pads, the image {len(addresses)}")
    cids = {owner: cid for owner, (cid, _) in policy.owners().items()}
    named = {one.name: _entry_names(one, uses) for one in policy.compartments if one.entries is not None}
    pads = []
    for (number, section, offset, kind), (address, _, _) in zip(records, addresses, strict=True):
        place = number, section, offset
        owner = placement.owners[number, section]
        fields = pad_fields(image.word(address))
        what = f"the landing pad of {objects[number].file} at {address:#x}"
        if address % 4 or fields is None or fields[0]:
            raise UserError(f"{what} is none, or not aligned, or has an id already")
        here = {symbol.name for symbol in image.functions.get(address, ())}
        if here and not here & set(uses.functions.get(place, ())):
            raise UserError(f"{what} is that of another function, {min(here)}")
        if kind != PadKind.HANDLER and owner != COMPLETE:
            if place not in uses.functions:
                raise UserError(f"{what} is not where a function begins")
            kind = uses.pad(place)
            if owner in named:
                others = PadKind.LOCAL if uses.taken(place) else None
                kind = PadKind.ENTRY if place in named[owner] else others
        pad = Pad(address, owner, cids[owner], None if kind is None else PadKind(kind))
        image.write(address, pad.word.to_bytes(4, "little"))
        pads.append(pad)
    _check_entries({record[:3] for record in records}, objects, uses, named)
    return pads


def _check_entries(with_pad: set, objects: Sequence[LinkedObject], uses: Uses, named: dict[str, set]) -> None:
    """Raises PolicyError for functions that others use, or the policy names, but that have no pad."""
    for place, names in uses.functions.items():
        owner = uses.owners.get(place)
        if owner in (None, COMPLETE) or place in with_pad:
            continue
        if owner == RESTRICTED and needs_veneers(objects[place[0]]):
            continue
        wanted = place in named[owner] if owner in named else uses.entry(place)
        if wanted:
            raise PolicyError(
                f"{names[0]} of {objects[place[0]].file}, in {owner}, is used by others but has no pad"
            )


def static_objects(image: ImageFile) -> list[StaticObject]:
    """The objects that the compiler's records name, by address, numbered from 1. Raises UserError for one
    that no symbol gives a size, or that is too large for an entry."""
    symbols: dict[int, tuple[int, str]] = {}
    for symbol in image.symbols:
        if symbol.kind in ("STT_OBJECT", "STT_NOTYPE", "STT_COMMON") and symbol.size:
            known = symbols.get(symbol.address)
            if known is None or known[0] < symbol.size:
                symbols[symbol.address] = symbol.size, symbol.name
    bases = sorted({base for _, base in _pointers(image) if base})
    objects = []
    for index, base in enumerate(bases, 1):
        if base not in symbols:
            raise UserError(f"the object at {base:#x} has no symbol with a size")
        size, name = symbols[base]
        if size >> SIZE_BITS:
            raise UserError(f"{name} has {size} bytes, a metadata entry holds up to {(1 << SIZE_BITS) - 1}")
        objects.append(StaticObject(name, base, size, index, static_cookie(name)))
    return objects


def _pointers(image: ImageFile) -> list[tuple[int, int]]:
    """(address of a cell, base of the object it points to)"""
    data = image.section(".fides.pointers")
    if len(data) % 16:
        raise UserError(f".fides.pointers has {len(data)} bytes, not a multiple of 16")
    return list(struct.iter_unpack("<QQ", data))


def tag_pointers(image: ImageFile, objects: Sequence[StaticObject]) -> dict[int, StaticObject]:
    """Puts the tags of ``objects`` into the cells that point to them; returns cell -> object. Cells of absent
    weak symbols stay 0. Raises UserError for a cell that is tagged already."""
    by_base = {one.base: one for one in objects}
    cells: dict[int, StaticObject] = {}
    for cell, base in _pointers(image):
        if not base or cell in cells:
            continue
        value = int.from_bytes(image.bytes(cell, 8), "little")
        if value >> 32:
            raise UserError(f"the pointer at {cell:#x} is {value:#x}, not an address")
        image.write(cell, (value | by_base[base].tag).to_bytes(8, "little"))
        cells[cell] = by_base[base]
    return cells


def fill_policy(
    image: ImageFile,
    policy: Policy,
    entry: str,
    compartment: str,
    statics: Sequence[StaticObject],
    memory: Memory,
) -> None:
    """Writes the policy section. ``entry``: the first function, in ``compartment``."""
    at = image.addresses
    cids = {one.name: one.cid for one in policy.compartments}
    records = [
        COMPARTMENT.pack(
            start=at[f"__{one.name}_start"],
            end=at[f"__{one.name}_end"],
            allowed=matrix_row(cids[name] for name in one.calls),
            cid=one.cid,
            reserved=0,
            name=one.name,
        )
        for one in policy.compartments
    ]
    records += [
        STATIC.pack(base=one.base, size=one.size, index=one.index, cookie=one.cookie, reserved=0)
        for one in statics
    ]
    header = HEADER.pack(
        magic=MAGIC,
        version=VERSION,
        bytes=HEADER.bytes + sum(map(len, records)),
        compartments=len(policy.compartments),
        statics=len(statics),
        entry_compartment=cids[compartment],
        reserved=0,
        entry=at[entry],
        stack_top=at["__user_stack_top"],
        text_start=at["__user_text_start"],
        constants_start=at["__user_constants_start"],
        data_start=at["__user_data_start"],
        data_end=at["__user_data_end"],
        bss_start=at["__user_bss_start"],
        bss_end=at["__user_bss_end"],
        restricted_start=at["__restricted_fluid_start"],
        complete_start=at["__complete_fluid_start"],
        complete_end=at["__complete_fluid_end"],
        table_base=at["__metadata_table"],
        stack_zone_start=memory.objects,
        table_entries=memory.objects + memory.stack_objects,
        cookie_constant=int.from_bytes(hashlib.sha256(policy.name.encode()).digest()[:8], "little"),
        name=policy.name,
    )
    section = header + b"".join(records)
    reserved = image.elf.get_section_by_name(SECTION)["sh_size"]
    if len(section) > reserved:
        raise UserError(f"the policy needs {len(section)} bytes, {reserved} were kept for it")
    image.write(at["policy_section"], section)
