"""The buses of the core: OBI-style (OpenHW OBI 1.2), a request channel and a response channel.

A request is transferred in a cycle in which ``req`` and ``gnt`` are both high; its response comes one or more
cycles later, in order, as one cycle of ``rvalid``. Unlike in OBI, a request that was not granted may be
changed or withdrawn; on cores with a late verdict one that was granted, too, in the next cycle (``withdraw``
of the core: it then has no effect and no response). ``gnt`` must not depend on ``req`` nor on any other
output of the core in that cycle. The core has at most one instruction request under way: it asks again in the
cycle of the response at the earliest. On the data bus it asks again no earlier than that either.
"""

from amaranth.lib.wiring import In, Out, Signature

__all__ = ["InstructionBus", "DataBus"]

#: Fetches whole 8-byte groups.
InstructionBus = Signature(
    {
        "req": Out(1),
        "addr": Out(32),  # bytes, a multiple of 8
        "gnt": In(1),
        "rvalid": In(1),
        "rdata": In(64),
        "err": In(1),  # with rvalid: nothing answers at that address
    }
)

DataBus = Signature(
    {
        "req": Out(1),
        "addr": Out(32),  # bytes; the access is naturally aligned and lies within 8 bytes
        "we": Out(1),
        "be": Out(8),  # byte lanes of the aligned 64-bit word, for reads too
        "wdata": Out(64),  # lanes that be does not select hold anything
        "gnt": In(1),
        "rvalid": In(1),  # for writes too
        "rdata": In(64),
        "err": In(1),
    }
)
