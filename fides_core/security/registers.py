"""The register access port that the core's CSR file offers the units, and the window comsel/comdata."""

from amaranth.lib import data
from amaranth.lib.wiring import Out, Signature

from ..isa.csrs import MonitorCSR, XfidesCSR

__all__ = [
    "RegisterPort",
    "TableWindow",
    "Context",
    "extension_number",
    "number_pattern",
]

_CSRS = (*XfidesCSR, *MonitorCSR)


def _is_extension_number(number):
    """Whether a legal CSR number (12-bit value) is one of the extension's: all have 7 or 8 in bits [11:8]."""
    assert all(csr >> 8 in (7, 8) for csr in _CSRS)
    return (number[8:12] == 7) | (number[8:12] == 8)


def extension_number(number, accessed):
    """``number`` if it is one of the extension's and ``accessed`` is high, else a number that is nobody's,
    for RegisterPort."""
    assert not any(csr >> 11 and csr & 31 == 31 for csr in _CSRS)
    return number | (~(_is_extension_number(number) & accessed)).replicate(12)


def number_pattern(csr: XfidesCSR | MonitorCSR) -> str:
    """Pattern of the bits that tell ``csr`` from the other registers of the extension: [11] and [4:0]."""
    assert len({(other >> 11, other & 31) for other in _CSRS}) == len(_CSRS)
    return f"{csr >> 11:b}------{csr & 31:05b}"


#: A write strobe with number and data. The number is that of a CSR instruction in the memory stage, while
#: execute is empty. Any other CSR's arrives as one that is nobody's, so the units need not tell it from
#: theirs; each answers a read by driving its own ``rdata`` (0 when not selected).
RegisterPort = Signature({"number": Out(12), "write": Out(1), "wdata": Out(64)})

#: comsel as the units see it, and the strobe of a comdata write (the datum is the register port's ``wdata``).
TableWindow = Signature({"number": Out(16), "item": Out(4), "write": Out(1), "locked": Out(1)})


class Context(data.Struct):
    """``(currcom, restricted)`` of contract section 5."""

    cid: 8
    restricted: 1
