"""Address regions, decided on registered addresses."""

from collections.abc import Iterable

from amaranth.hdl import Const

__all__ = ["Region", "inside"]

#: Base and size in bytes; the size is a power of two and the base aligned to it.
Region = tuple[int, int]


def inside(address, regions: Iterable[Region]):
    """Whether the 32-bit value ``address`` lies in one of ``regions``.

    Raises ValueError when a region is not naturally aligned.
    """
    result = Const(0, 1)
    for base, size in regions:
        if size <= 0 or size & (size - 1) or base % size:
            raise ValueError(f"the region at {base:#x} of {size:#x} bytes is not naturally aligned")
        shift = size.bit_length() - 1
        result = result | (address[shift:] == base >> shift)
    return result
