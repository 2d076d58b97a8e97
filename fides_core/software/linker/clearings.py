"""Registers are cleared where compartments are entered and left: in entry points, not in other functions."""

import struct
from collections.abc import Iterable

from fides_core.errors import UserError
from fides_core.isa.compressed import encode_compressed
from fides_core.isa.encode import encode
from fides_core.isa.xfides import PadKind
from fides_core.software.image_file import ImageFile

from .finish import Pad
from .placement import COMPLETE

__all__ = ["skip_clearings"]


def _jump(image: ImageFile, address: int, count: int) -> bytes:
    """An instruction over ``count`` bytes, as long as the one at ``address``."""
    if int.from_bytes(image.bytes(address, 2), "little") & 3 == 3:
        return encode("jal", imm=count).to_bytes(4, "little")
    return encode_compressed("c.j", imm=count).to_bytes(2, "little")


def skip_clearings(image: ImageFile, pads: Iterable[Pad]) -> tuple[int, int]:
    """Lets functions without an entry pad, and complete fluid ones, which no crossing reaches, jump over the
    compiler's clearing of registers (``fides cc -ffides-clear``). Returns how many are left and how many are
    jumped over. Raises UserError when a record and the code disagree."""
    entries = {pad.address for pad in pads if pad.kind == PadKind.ENTRY and pad.owner != COMPLETE}
    section = image.section(".fides.clears")
    if len(section) % 16:
        raise UserError(f".fides.clears has {len(section)} bytes, not a multiple of 16")
    kept = skipped = 0
    for address, count, _ in struct.iter_unpack("<QII", section):
        function = image.function_at(address)
        if function is None or not 4 <= count < 256 or address + count > function.address + function.size:
            raise UserError(f"the clearing of registers at {address:#x} is not inside a function")
        if function.address in entries:
            kept += 1
        else:
            image.write(address, _jump(image, address, count))
            skipped += 1
    return kept, skipped
