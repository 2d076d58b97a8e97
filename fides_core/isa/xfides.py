"""Fields of the Xfides instructions, pointers and metadata entries (contract, sections 5, 7 and 9)."""

from enum import IntEnum

from .instructions import BY_NAME

__all__ = [
    "PadKind", "checkcap", "pad_fields", "CID_BITS", "MAX_COMPARTMENTS", "RANGE_ALIGN", "ZONE_ALIGN",
    "INDEX_BITS", "COOKIE_BITS", "SIZE_BITS", "pack_pointer", "unpack_pointer", "pack_entry", "unpack_entry",
]  # fmt: skip

CID_BITS = 8
MAX_COMPARTMENTS = 1 << CID_BITS
RANGE_ALIGN = 64  # bytes
ZONE_ALIGN = 64  # entries: granularity of fstackbase and fstackend
INDEX_BITS = 16
COOKIE_BITS = 8
SIZE_BITS = 24


class PadKind(IntEnum):
    """checkcap imm[11:10]. The fourth value is an illegal instruction."""

    ENTRY = 0
    LOCAL = 1
    HANDLER = 2


def checkcap(cid: int, kind: PadKind = PadKind.ENTRY) -> int:
    """The 32-bit word of a landing pad. Raises ValueError when ``cid`` is not in 0..255."""
    if not 0 <= cid < MAX_COMPARTMENTS:
        raise ValueError(f"compartment {cid} is not in 0..{MAX_COMPARTMENTS - 1}")
    return BY_NAME["checkcap"].match | (kind << 10 | cid) << 20


def pad_fields(word: int) -> tuple[int, PadKind] | None:
    """(cid, kind) of a landing pad's word; None if the word is no pad or has reserved bits set."""
    row = BY_NAME["checkcap"]
    kind = word >> 30 & 3
    if word & row.mask != row.match or word >> 28 & 3 or kind == 3:
        return None
    return word >> 20 & 0xFF, PadKind(kind)


def pack_pointer(address: int, index: int = 0, cookie: int = 0) -> int:
    """A 64-bit fat pointer: [63:56] 0, [55:40] index, [39:32] cookie, [31:0] address."""
    return (index & 0xFFFF) << 40 | (cookie & 0xFF) << 32 | address & 0xFFFFFFFF


def unpack_pointer(pointer: int) -> tuple[int, int, int]:
    """(address, index, cookie) of a 64-bit fat pointer."""
    return pointer & 0xFFFFFFFF, pointer >> 40 & 0xFFFF, pointer >> 32 & 0xFF


def pack_entry(base: int, size: int, cookie: int) -> int:
    """A 64-bit metadata entry: [63:32] base, [31:8] size in bytes, [7:0] cookie."""
    return (base & 0xFFFFFFFF) << 32 | (size & 0xFFFFFF) << 8 | cookie & 0xFF


def unpack_entry(entry: int) -> tuple[int, int, int]:
    """(base, size, cookie) of a 64-bit metadata entry."""
    return entry >> 32, entry >> 8 & 0xFFFFFF, entry & 0xFF
