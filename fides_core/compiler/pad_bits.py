"""Text that has the bits of a landing pad where none was put (contract, section 11).

They can only straddle two instructions when the second is a compressed one: a function that has them is
assembled without compressed instructions.
"""

import io
from pathlib import Path

from fides_core.isa.xfides import checkcap

__all__ = ["functions_with_stray_pads"]

#: The low half of a pad; its upper half may have any of its twelve upper bits.
_LOW = (checkcap(0) & 0xFFFF).to_bytes(2, "little")


def functions_with_stray_pads(path: Path) -> frozenset[str]:
    """Names of the functions in the object ``path`` with a pad's bits where its records name none."""
    data = path.read_bytes()
    if not _candidates(data):
        return frozenset()
    from elftools.elf.elffile import ELFFile

    elf = ELFFile(io.BytesIO(data))
    pads = _pads(elf)
    found = set()
    for number, section in enumerate(elf.iter_sections()):
        if not section["sh_flags"] & 4 or section["sh_type"] != "SHT_PROGBITS":  # SHF_EXECINSTR
            continue
        for offset in _candidates(section.data()):
            if (number, offset) not in pads:
                found |= _functions(elf, number, offset)
    return frozenset(found)


def _candidates(data: bytes) -> list[int]:
    offsets = []
    at = data.find(_LOW)
    while at >= 0:
        if at % 2 == 0 and at + 4 <= len(data) and data[at + 2] & 0xF == 0:
            offsets.append(at)
        at = data.find(_LOW, at + 1)
    return offsets


def _pads(elf) -> set[tuple[int, int]]:
    """(section, offset) of the pads that the object's records name."""
    symbols = elf.get_section_by_name(".symtab")
    pads = set()
    for name in (".rela.fides.pads",):
        section = elf.get_section_by_name(name)
        if section is None:
            continue
        for relocation in section.iter_relocations():
            symbol = symbols.get_symbol(relocation["r_info_sym"])
            pads.add((symbol["st_shndx"], symbol["st_value"] + relocation["r_addend"]))
    return pads


def _functions(elf, section: int, offset: int) -> set[str]:
    return {
        symbol.name
        for symbol in elf.get_section_by_name(".symtab").iter_symbols()
        if symbol["st_info"]["type"] == "STT_FUNC"
        and symbol["st_shndx"] == section
        and symbol["st_value"] <= offset + 2 < symbol["st_value"] + max(symbol["st_size"], 4)
    }
