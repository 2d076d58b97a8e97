"""Random waits on a bus, for verification: grants are withheld and responses delayed."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

__all__ = ["RandomStalls"]


class RandomStalls(wiring.Component):
    """Sits between a master (``upstream``) and the interconnect (``downstream``), both of ``signature``.
    About half of the cycles refuse a grant, and responses wait for a random number of cycles in a queue.
    ``seed``: of its LFSR."""

    def __init__(self, signature, seed: int):
        self._seed = seed & 0x7FFFFFFF or 1
        super().__init__({"upstream": In(signature), "downstream": Out(signature)})

    def elaborate(self, platform):
        m = Module()
        up, down = self.upstream, self.downstream
        # Fibonacci LFSR, x^31 + x^28 + 1.
        lfsr = Signal(31, init=self._seed)
        m.d.sync += lfsr.eq(Cat(lfsr[30] ^ lfsr[27], lfsr[:30]))
        m.submodules.queue = queue = SyncFIFO(width=len(down.rdata) + 1, depth=4)
        outstanding = Signal(3)
        allow = Signal()
        m.d.comb += [
            allow.eq((lfsr[0] | lfsr[7]) & (outstanding < 4)),
            down.req.eq(up.req & allow),
            up.gnt.eq(down.gnt & allow),
            down.addr.eq(up.addr),
            queue.w_en.eq(down.rvalid),
            queue.w_data.eq(Cat(down.rdata, down.err)),
            queue.r_en.eq(queue.r_rdy & (lfsr[3] | lfsr[12])),
            up.rvalid.eq(queue.r_en),
            Cat(up.rdata, up.err).eq(queue.r_data),
        ]
        if hasattr(up, "we"):
            m.d.comb += [down.we.eq(up.we), down.be.eq(up.be), down.wdata.eq(up.wdata)]
        m.d.sync += outstanding.eq(outstanding + (down.req & down.gnt) - up.rvalid)
        return m
