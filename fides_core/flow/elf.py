"""RV64 executables: what of them goes into the main memory, and the names of addresses in them."""

import bisect
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from fides_core.errors import UserError
from fides_core.soc.memory_map import MAIN_MEMORY_BASE

__all__ = ["Program", "image_bytes", "load_elf"]

# What pyelftools raises on files that are not what they seem.
_DAMAGE = (ELFError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, MemoryError)
# e_flags: passes arguments in floating-point registers (RISC-V ELF psABI, section "File Header")
_FLOAT_ABI = 0x6


@dataclass(frozen=True)
class Program:
    """What is put into the main memory before a run.

    ``segments``: (offset in bytes from the start of the main memory, contents). ``name``: for messages.
    ``symbols``: (address in bytes, name) of functions and labels.
    """

    segments: tuple[tuple[int, bytes], ...]
    name: str = "program"
    symbols: tuple[tuple[int, str], ...] = field(default=(), repr=False)

    @classmethod
    def from_words(cls, words, name: str = "program") -> "Program":
        """A program of 32-bit instruction words from the start of the main memory on."""
        return cls(((0, b"".join(word.to_bytes(4, "little") for word in words)),), name)

    def flat(self) -> bytes:
        """The contents of the main memory from its first byte to the last of the program, with zeros between
        segments."""
        contents = bytearray(max((offset + len(data) for offset, data in self.segments), default=0))
        for offset, data in self.segments:
            contents[offset : offset + len(data)] = data
        return bytes(contents)

    @cached_property
    def _sorted_symbols(self):
        return sorted(self.symbols)

    def describe(self, address: int) -> str:
        """``address`` in hexadecimal, with the symbol that it belongs to when there is one before it."""
        symbols = self._sorted_symbols
        at = bisect.bisect_right(symbols, (address, "\U0010ffff")) - 1
        end = MAIN_MEMORY_BASE + max((offset + len(data) for offset, data in self.segments), default=0)
        if at < 0 or address >= end:
            return f"{address:#x}"
        base, name = symbols[at]
        return f"{address:#x} ({name}+{address - base:#x})" if address != base else f"{address:#x} ({name})"


def load_elf(path: str | Path, memory_bytes: int) -> Program:
    """The loadable contents of an executable, by physical address.

    ``memory_bytes``: size of the main memory. Raises UserError when the file is missing, is no ELF file, is
    for another machine than RV64 without floating point, does not start at the main memory's first
    byte (where the boot ROM jumps to), or does not lie within the main memory.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            return _load(ELFFile(stream), path, memory_bytes)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except _DAMAGE as error:
        raise UserError(
            f"{path} is not an ELF file, or a damaged one ({error or type(error).__name__})"
        ) from None


def image_bytes(path: str | Path, memory_bytes: int) -> bytes:
    """The contents of the main memory from its first byte on, as a program in ``path`` needs them: of an
    executable (``load_elf``), or the file itself if its name ends in .bin.

    ``memory_bytes``: size of the main memory. Raises UserError when the file cannot be read, is empty or
    neither, or does not fit.
    """
    path = Path(path)
    if path.suffix != ".bin":
        return load_elf(path, memory_bytes).flat()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    if not data:
        raise UserError(f"{path} is empty")
    if data.startswith(b"\x7fELF"):
        raise UserError(f"{path} is an ELF file: give it another name than .bin")
    if len(data) > memory_bytes:
        raise UserError(f"{path} is too large: it needs {len(data)} of {memory_bytes} bytes of main memory")
    return data


def _load(elf: ELFFile, path: Path, memory_bytes: int) -> Program:
    if elf["e_machine"] != "EM_RISCV" or elf.elfclass != 64 or not elf.little_endian:
        raise UserError(
            f"{path} is for another machine ({elf.elfclass}-bit {elf.get_machine_arch()}), not for RV64"
        )
    if elf["e_type"] != "ET_EXEC":
        raise UserError(f"{path} is not an executable: link it statically, for address {MAIN_MEMORY_BASE:#x}")
    if elf["e_flags"] & _FLOAT_ABI:
        raise UserError(f"{path} uses floating-point registers, which the core does not have: use -mabi=lp64")
    segments = []
    for segment in elf.iter_segments("PT_LOAD"):
        size = segment["p_memsz"]
        if not size:
            continue
        start = segment["p_paddr"]
        offset = start - MAIN_MEMORY_BASE
        if not 0 <= offset < memory_bytes:
            raise UserError(
                f"{path} has a segment at {start:#x}, outside the main memory at "
                f"{MAIN_MEMORY_BASE:#x}..{MAIN_MEMORY_BASE + memory_bytes - 1:#x}"
            )
        if offset + size > memory_bytes:
            raise UserError(
                f"{path} is too large: it needs {offset + size} of {memory_bytes} bytes of main memory"
            )
        if segment["p_filesz"] > size or segment["p_offset"] + segment["p_filesz"] > path.stat().st_size:
            raise UserError(f"{path} is not an ELF file, or a damaged one (it ends inside a segment)")
        data = segment.data()
        segments.append((offset, data + bytes(size - len(data))))
    if not segments:
        raise UserError(f"{path} has nothing to load")
    if elf["e_entry"] != MAIN_MEMORY_BASE:
        raise UserError(
            f"{path} starts at {elf['e_entry']:#x}, but the boot ROM jumps to {MAIN_MEMORY_BASE:#x}"
        )
    return Program(tuple(segments), str(path), _symbols(elf))


def _symbols(elf: ELFFile) -> tuple[tuple[int, str], ...]:
    table = elf.get_section_by_name(".symtab")
    if table is None:
        return ()
    return tuple(
        (symbol["st_value"], symbol.name)
        for symbol in table.iter_symbols()
        if symbol.name
        and not symbol.name.startswith(("$", ".L"))
        and symbol["st_info"]["type"] in ("STT_FUNC", "STT_NOTYPE")
        and symbol["st_shndx"] not in ("SHN_ABS", "SHN_UNDEF")
    )
