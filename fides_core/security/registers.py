"""The register access port that the core's CSR file offers the units, and the window comsel/comdata."""

from amaranth.lib import data
from amaranth.lib.wiring import Out, Signature

__all__ = ["RegisterPort", "TableWindow", "Context"]

#: A write strobe with number and data; every unit answers a read by driving its own ``rdata`` (0 when not selected).
RegisterPort = Signature({"number": Out(12), "write": Out(1), "wdata": Out(64)})

#: comsel as the units see it, and the strobe of a comdata write (the datum is the register port's ``wdata``).
TableWindow = Signature({"number": Out(16), "item": Out(4), "write": Out(1), "locked": Out(1)})


class Context(data.Struct):
    """``(currcom, restricted)`` of contract section 5."""

    cid: 8
    restricted: 1
