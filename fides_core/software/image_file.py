"""A linked image as bytes that can be read and changed by address."""

import bisect
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from fides_core.errors import UserError

__all__ = ["ImageFile", "ImageSymbol"]


@dataclass(frozen=True)
class ImageSymbol:
    """``kind``: STT_FUNC and so on; ``visible``: not local to its object."""

    name: str
    address: int
    size: int
    kind: str
    visible: bool


class ImageFile:
    """``contents`` of an ELF executable. Raises UserError when it is none for RV64."""

    def __init__(self, contents: bytes, name: str = "image"):
        self.name = name
        self.contents = bytearray(contents)
        try:
            self.elf = ELFFile(io.BytesIO(contents))
        except ELFError as error:
            raise UserError(f"{name}: not an ELF file ({error})") from None
        if self.elf.elfclass != 64 or self.elf["e_machine"] != "EM_RISCV":
            raise UserError(f"{name}: not an RV64 image")
        if self.elf["e_type"] != "ET_EXEC":
            raise UserError(f"{name}: not an executable")
        self._places = sorted(
            (section["sh_addr"], section["sh_addr"] + section["sh_size"], section["sh_offset"])
            for section in self.elf.iter_sections()
            if section["sh_flags"] & 2 and section["sh_type"] != "SHT_NOBITS" and section["sh_size"]
        )

    @classmethod
    def read(cls, path: Path) -> "ImageFile":
        """Raises UserError."""
        try:
            return cls(path.read_bytes(), str(path))
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}") from None

    def _offset(self, address: int, count: int) -> int:
        number = bisect.bisect_right(self._places, (address, 1 << 64, 0)) - 1
        if number >= 0:
            start, end, offset = self._places[number]
            if start <= address and address + count <= end:
                return offset + address - start
        raise ValueError(f"{address:#x}: nothing is there in the image")

    def bytes(self, address: int, count: int) -> bytes:
        """``count`` bytes at ``address``. ValueError when the image has not brought them."""
        offset = self._offset(address, count)
        return bytes(self.contents[offset : offset + count])

    def word(self, address: int) -> int:
        """The 32-bit word at ``address``. ValueError as for ``bytes``."""
        return int.from_bytes(self.bytes(address, 4), "little")

    def write(self, address: int, data: bytes) -> None:
        """Changes the image. ValueError as for ``bytes``."""
        offset = self._offset(address, len(data))
        self.contents[offset : offset + len(data)] = data

    def section(self, name: str) -> bytes:
        """The contents of a section, empty when there is none."""
        section = self.elf.get_section_by_name(name)
        return b"" if section is None else section.data()

    @cached_property
    def symbols(self) -> tuple[ImageSymbol, ...]:
        """All symbols that lie in a section."""
        table = self.elf.get_section_by_name(".symtab")
        return tuple(
            ImageSymbol(
                symbol.name,
                symbol["st_value"],
                symbol["st_size"],
                symbol["st_info"]["type"],
                symbol["st_info"]["bind"] != "STB_LOCAL",
            )
            for symbol in (table.iter_symbols() if table else ())
            if symbol.name and symbol["st_shndx"] != "SHN_UNDEF"
        )

    @cached_property
    def addresses(self) -> dict[str, int]:
        """Global symbols -> their addresses."""
        return {symbol.name: symbol.address for symbol in self.symbols if symbol.visible}

    @cached_property
    def functions(self) -> dict[int, list[ImageSymbol]]:
        """Address -> the functions there."""
        found: dict[int, list[ImageSymbol]] = {}
        for symbol in self.symbols:
            if symbol.kind == "STT_FUNC":
                found.setdefault(symbol.address, []).append(symbol)
        return found

    @cached_property
    def _function_starts(self) -> list[int]:
        return sorted(self.functions)

    def function_at(self, address: int) -> ImageSymbol | None:
        """The function whose code ``address`` is in."""
        number = bisect.bisect_right(self._function_starts, address) - 1
        if number < 0:
            return None
        for symbol in self.functions[self._function_starts[number]]:
            if address < symbol.address + max(symbol.size, 1):
                return symbol
        return None
