"""Source lines of addresses, from DWARF."""

import bisect
from functools import cached_property
from pathlib import PurePath

from elftools.common.exceptions import DWARFError, ELFError

from .image_file import ImageFile

__all__ = ["SourceLines"]


class SourceLines:
    """Of one image; one that is built without ``-g`` has none."""

    def __init__(self, image: ImageFile):
        self._image = image

    @cached_property
    def _rows(self) -> tuple[list[int], list[tuple[str, int] | None]]:
        """Addresses in their order, and what begins there; None behind the end of a sequence."""
        rows: list[tuple[int, bool, tuple[str, int] | None]] = []
        try:
            if not self._image.elf.has_dwarf_info():
                return [], []
            dwarf = self._image.elf.get_dwarf_info(relocate_dwarf_sections=False)
            for unit in dwarf.iter_CUs():
                program = dwarf.line_program_for_CU(unit)
                if program is not None:
                    rows += _unit_rows(program)
        except (DWARFError, ELFError, KeyError, IndexError, AttributeError, UnicodeDecodeError):
            pass  # of a unit that is not understood there are no lines
        rows.sort(key=lambda row: row[:2])
        return [row[0] for row in rows], [row[2] for row in rows]

    def at(self, address: int) -> str | None:
        """``file:line`` of the instruction at ``address``, the file without its folders; None if unknown."""
        addresses, places = self._rows
        number = bisect.bisect_right(addresses, address) - 1
        place = places[number] if number >= 0 else None
        return None if place is None else f"{place[0]}:{place[1]}"


def _unit_rows(program) -> list[tuple[int, bool, tuple[str, int] | None]]:
    names = [entry.name.decode(errors="replace") for entry in program["file_entry"]]
    first = 0 if program["version"] >= 5 else 1
    rows = []
    for entry in program.get_entries():
        state = entry.state
        if state is None or not state.address:
            continue
        number = state.file - first
        name = PurePath(names[number]).name if 0 <= number < len(names) else "?"
        # What begins at an address comes after what ends there.
        rows.append(
            (state.address, not state.end_sequence, None if state.end_sequence else (name, state.line))
        )
    return rows
