"""AXI4 subordinate for memories that answer in the next cycle, such as block RAM."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, Signature

from .burst import next_address
from .signatures import Axi4

__all__ = ["AxiSram", "ReadPort", "WritePort"]

#: ``data`` belongs to ``address`` of the last cycle with ``request``, and stays until the next request.
ReadPort = Signature({"request": Out(1), "address": Out(32), "data": In(64)})

#: Bytes ``lanes`` of the aligned 64-bit word at ``address``; none: nothing is written.
WritePort = Signature({"lanes": Out(8), "address": Out(32), "data": Out(64)})


class AxiSram(wiring.Component):
    """One read and one write burst at a time, of any kind and size, without errors; a beat a cycle, the
    first of a read two cycles after its address. The writes of a burst are done before its response. A read
    and a write under way at the same time are not ordered. ``read`` and ``write`` get 32-bit byte
    addresses; bursts do not leave their aligned 4 KiB."""

    def __init__(self, id_bits: int = 1):
        super().__init__({"axi": In(Axi4(id_bits)), "read": Out(ReadPort), "write": Out(WritePort)})

    def elaborate(self, platform):
        m = Module()
        axi = self.axi

        # Reads: a request stage, and the memory's own register as the response stage.
        request = {name: Signal.like(getattr(axi, f"ar{name}"), name=f"r_{name}", reset_less=True)
                   for name in ("addr", "id", "len", "size", "burst")}  # fmt: skip
        asking = Signal()
        left = Signal(8, reset_less=True)
        advance = Signal()
        final = Signal()
        m.d.comb += [
            advance.eq(~axi.rvalid | axi.rready),
            final.eq(left == 0),
            axi.arready.eq(~asking),
            self.read.request.eq(asking & advance),
            self.read.address.eq(request["addr"]),
            axi.rdata.eq(self.read.data),
        ]
        with m.If(advance):
            m.d.sync += [axi.rvalid.eq(asking), axi.rlast.eq(final), axi.rid.eq(request["id"])]
        with m.If(~asking):
            m.d.sync += [signal.eq(getattr(axi, f"ar{name}")) for name, signal in request.items()]
            m.d.sync += [asking.eq(axi.arvalid), left.eq(axi.arlen)]
        with m.Elif(advance):
            m.d.sync += [asking.eq(~final), left.eq(left - 1)]
            m.d.sync += self._step(request)

        # Writes: address, data as it comes, response.
        target = {name: Signal.like(getattr(axi, f"aw{name}"), name=f"w_{name}", reset_less=True)
                  for name in ("addr", "id", "len", "size", "burst")}  # fmt: skip
        taking = Signal()
        m.d.comb += [
            axi.awready.eq(~taking & ~axi.bvalid),
            axi.wready.eq(taking),
            self.write.lanes.eq(axi.wstrb & (axi.wvalid & taking).replicate(8)),
            self.write.address.eq(target["addr"]),
            self.write.data.eq(axi.wdata),
            axi.bid.eq(target["id"]),
        ]
        with m.If(axi.awready):
            m.d.sync += [signal.eq(getattr(axi, f"aw{name}")) for name, signal in target.items()]
            m.d.sync += taking.eq(axi.awvalid)
        with m.If(axi.wvalid & axi.wready):
            m.d.sync += self._step(target)
            m.d.sync += [taking.eq(~axi.wlast), axi.bvalid.eq(axi.wlast)]
        with m.If(axi.bvalid & axi.bready):
            m.d.sync += axi.bvalid.eq(0)
        return m

    @staticmethod
    def _step(burst):
        """On to the next beat. Bursts stay within 4 KiB: only 12 bits of the address count."""
        low = next_address(burst["addr"][:12], burst["len"], burst["size"], burst["burst"])
        return burst["addr"][:12].eq(low)
