"""Object files as the linker sees them: sections, functions, references, and what the compiler noted.

An archive's member is an object of its own. Objects are read once, when they are known to be linked.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

from fides_core.errors import UserError

__all__ = [
    "NOTE_CHECKS", "NOTE_MAGIC", "NOTE_PADS", "Function", "ObjectFile", "Reference", "Section",
    "archive_member", "archive_members",
]  # fmt: skip

NOTE_MAGIC = 0x46494445
NOTE_PADS = 1
NOTE_CHECKS = 2

#: Types of relocations (RISC-V ELF psABI, section 8.1), which pyelftools has no names for.
_CALLS = frozenset({
    16,  # BRANCH
    17,  # JAL
    18,  # CALL
    19,  # CALL_PLT
    44,  # RVC_BRANCH
    45,  # RVC_JUMP
})  # fmt: skip
_ADDRESSES = frozenset({
    1,  # 32
    2,  # 64
    20,  # GOT_HI20
    23,  # PCREL_HI20
    26,  # HI20
    35,  # ADD32
    36,  # ADD64
    57,  # 32_PCREL
})  # fmt: skip
_ULEB128 = frozenset({
    60,  # SET_ULEB128
    61,  # SUB_ULEB128
})  # fmt: skip

_NOTYPE, _FUNC, _FILE = 0, 2, 4  # symbol types
_WEAK = 2  # bindings: 0 is local
_RESERVED_SECTIONS = 0xFF00  # absolute, common


class Symbol(NamedTuple):
    """An entry of the symbol table (ELF specification)."""

    name: str
    kind: int
    binding: int
    section: int
    value: int
    size: int

    @property
    def defined(self) -> bool:
        """Whether it is in one of the object's sections."""
        return 0 < self.section < _RESERVED_SECTIONS


@dataclass(frozen=True)
class Function:
    """A function's symbol: ``section`` is its number in the object, ``offset`` and ``size`` in bytes."""

    name: str
    section: int
    offset: int
    size: int
    visible: bool
    weak: bool = False


@dataclass(frozen=True)
class Reference:
    """One relocation: code or data at ``section``, ``offset`` names ``symbol``.

    ``call``: control goes there; otherwise the address is taken. For a symbol that the object defines
    itself ``target`` is its (section number, offset); for another None.
    """

    section: int
    offset: int
    symbol: str
    call: bool
    target: tuple[int, int] | None


@dataclass(frozen=True)
class Section:
    """``flags``: sh_flags of the ELF specification; ``kind``: its sh_type."""

    number: int
    name: str
    flags: int
    bytes: int
    kind: str

    @property
    def code(self) -> bool:
        """Whether it is executable."""
        return bool(self.flags & SH_FLAGS.SHF_EXECINSTR)

    @property
    def allocated(self) -> bool:
        """Whether it is part of the memory image."""
        return bool(self.flags & SH_FLAGS.SHF_ALLOC)

    @property
    def writable(self) -> bool:
        """Whether it is data that changes."""
        return bool(self.flags & SH_FLAGS.SHF_WRITE)


@dataclass
class ObjectFile:
    """One object. ``path``: the file or the archive; ``member``: the archive's member, else None."""

    path: Path
    member: str | None = None
    contents: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.path.name}:{self.member}" if self.member else str(self.path)

    @cached_property
    def _elf(self) -> ELFFile:
        try:
            data = self.path.read_bytes() if self.contents is None else self.contents
            elf = ELFFile(io.BytesIO(data))
        except OSError as error:
            raise UserError(f"{self}: {error.strerror or error}") from None
        except ELFError as error:
            raise UserError(f"{self}: not an ELF object ({error})") from None
        if elf["e_type"] != "ET_REL" or elf.elfclass != 64 or elf["e_machine"] != "EM_RISCV":
            raise UserError(f"{self}: not a relocatable RV64 object")
        return elf

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """All sections, at their numbers."""
        return tuple(
            Section(number, section.name, section["sh_flags"], section["sh_size"], section["sh_type"])
            for number, section in enumerate(self._elf.iter_sections())
        )

    @cached_property
    def _symbols(self) -> list[Symbol]:
        # By hand, as libraries have ten thousands of them.
        table = self._elf.get_section_by_name(".symtab")
        if table is None:
            return []
        names = self._elf.get_section(table["sh_link"]).data()
        symbols = []
        for name, info, _, section, value, size in struct.iter_unpack("<IBBHQQ", table.data()):
            text = names[name : names.index(b"\0", name)].decode(errors="replace") if name else ""
            symbols.append(Symbol(text, info & 15, info >> 4, section, value, size))
        return symbols

    @cached_property
    def source(self) -> str | None:
        """The source file's name without folders, where the compiler says it."""
        for symbol in self._symbols:
            if symbol.kind == _FILE and symbol.name:
                return Path(symbol.name).name
        return None

    @cached_property
    def flags(self) -> int | None:
        """What the compiler's note says, NOTE_PADS and so on; None without a note: prebuilt, without pads.

        An object made of several, by ``ld -r``, has what all of them have. Raises UserError for a wrong note.
        """
        section = self._elf.get_section_by_name(".fides.note")
        if section is None:
            return None
        data = section.data()
        if not data or len(data) % 8:
            raise UserError(f"{self}: .fides.note has {len(data)} bytes, not a multiple of 8")
        flags = ~0
        for magic, value in struct.iter_unpack("<II", data):
            if magic != NOTE_MAGIC:
                raise UserError(f"{self}: .fides.note begins with {magic:#x}, not {NOTE_MAGIC:#x}")
            flags &= value
        return flags

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        """Functions in its code, by address within their sections."""
        found = []
        for symbol in self._symbols:
            if not symbol.name or not symbol.defined or not self.sections[symbol.section].code:
                continue
            # Hand-written code often leaves the type out.
            if symbol.kind == _FUNC or symbol.kind == _NOTYPE and symbol.binding:
                found.append(
                    Function(
                        symbol.name, symbol.section, symbol.value, symbol.size, bool(symbol.binding),
                        symbol.binding == _WEAK,
                    )
                )  # fmt: skip
        return tuple(sorted(found, key=lambda function: (function.section, function.offset)))

    @cached_property
    def defined(self) -> dict[str, tuple[int, int, bool]]:
        """Global symbols that it defines -> (section number, offset, weak)."""
        return {
            symbol.name: (symbol.section, symbol.value, symbol.binding == _WEAK)
            for symbol in self._symbols
            if symbol.binding and symbol.defined
        }

    def pads(self) -> list[tuple[int, int, int]]:
        """(section number, offset, kind) of the landing pads that the compiler noted, in the order in which
        the linked image has their records. Raises UserError for one that is no place in this object."""
        found = []
        for relocations in self._elf.iter_sections("SHT_RELA"):
            section = self.sections[relocations["sh_info"]]
            if section.name != ".fides.pads":
                continue
            data = self._elf.get_section(section.number).data()
            places = {}
            for offset, info, addend in struct.iter_unpack("<QQq", relocations.data()):
                symbol = self._symbols[info >> 32]
                places[offset] = symbol.section, symbol.value + addend, symbol.defined
            if len(data) % 16 or sorted(places) != list(range(0, len(data), 16)):
                raise UserError(f"{self}: .fides.pads does not consist of records of 16 bytes")
            for offset in range(0, len(data), 16):
                number, at, defined = places[offset]
                if not defined:
                    raise UserError(f"{self}: .fides.pads names a place outside the object")
                found.append((number, at, int.from_bytes(data[offset + 8 : offset + 12], "little")))
        return found

    def too_new_to_relocate(self) -> bool:
        """Whether a section has relocations that GNU ld 2.40 takes for others and dies of. Clang makes them
        for DWARF 5."""
        # Records of 24 bytes, the type's low byte at 8: no type is above 255.
        return any(
            not _ULEB128.isdisjoint(relocations.data()[8::24])
            for relocations in self._elf.iter_sections("SHT_RELA")
        )

    def references(self) -> Iterator[Reference]:
        """What code and allocated data refer to."""
        symbols = self._symbols
        for relocations in self._elf.iter_sections("SHT_RELA"):
            section = self.sections[relocations["sh_info"]]
            if not section.allocated or section.name.startswith((".eh_frame", ".fides.")):
                continue
            for offset, info, addend in struct.iter_unpack("<QQq", relocations.data()):
                kind = info & 0xFFFFFFFF
                call = kind in _CALLS
                if not call and kind not in _ADDRESSES:
                    continue
                symbol = symbols[info >> 32]
                target = None
                if symbol.defined:
                    target = symbol.section, symbol.value + (0 if call else addend)
                yield Reference(section.number, offset, symbol.name, call, target)


def archive_member(archive: Path, name: str, occurrence: int = 0) -> bytes:
    """The contents of a member of a GNU or BSD ``ar`` archive; members of one name count from 0.

    Raises UserError when the archive cannot be read or has no such member.
    """
    for member, data in archive_members(archive):
        if member == name:
            if not occurrence:
                return data
            occurrence -= 1
    raise UserError(f"{archive}: has no member {name}")


def archive_members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """(name, contents) of every member. Raises UserError."""
    try:
        data = archive.read_bytes()
    except OSError as error:
        raise UserError(f"{archive}: {error.strerror or error}") from None
    if data[:8] == b"!<thin>\n":
        raise UserError(f"{archive}: a thin archive: give its objects themselves")
    if data[:8] != b"!<arch>\n":
        raise UserError(f"{archive}: not an archive")
    at, long_names = 8, b""
    while at + 60 <= len(data):
        header = data[at : at + 60]
        name = header[:16].rstrip()
        try:
            size = int(header[48:58])
        except ValueError:
            raise UserError(f"{archive}: not an archive") from None
        body = data[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
        if name == b"//":
            long_names = body
            continue
        if name in (b"/", b"/SYM64/", b"__.SYMDEF"):
            continue
        if name.startswith(b"#1/"):  # BSD: the name is before the contents
            length = int(name[3:])
            name, body = body[:length].rstrip(b"\0"), body[length:]
        elif name.startswith(b"/"):
            start = int(name[1:])
            name = long_names[start : long_names.index(b"\n", start)]
        yield name.removesuffix(b"/").decode(errors="replace"), body
