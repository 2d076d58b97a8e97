"""AXI4 to AXI4-Lite, for devices."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .signatures import Axi4, AxiLite, Response

__all__ = ["LiteBridge"]


class LiteBridge(wiring.Component):
    """Passes transactions of one beat on, one read and one write at a time. Bursts, which devices with side
    effects have no use for, are answered SLVERR, with all their beats, and reach nothing. The address goes
    on as it is: in the place of AxSIZE, which AXI4-Lite does not have, devices may look at its low bits.

    An AW is accepted together with the data of the beat, so that nothing has to be stored.
    """

    def __init__(self, id_bits: int = 1):
        super().__init__({"axi": In(Axi4(id_bits)), "lite": Out(AxiLite())})

    def elaborate(self, platform):
        m = Module()
        axi, lite = self.axi, self.lite

        r_busy = Signal()
        r_refused = Signal()
        r_left = Signal(8, reset_less=True)
        r_id = Signal(len(axi.arid), reset_less=True)
        single = Signal()
        m.d.comb += [
            single.eq(axi.arlen == 0),
            lite.arvalid.eq(axi.arvalid & single & ~r_busy),
            lite.araddr.eq(axi.araddr),
            lite.arprot.eq(axi.arprot),
            axi.arready.eq(~r_busy & (lite.arready | ~single)),
            axi.rvalid.eq(r_busy & (lite.rvalid | r_refused)),
            axi.rid.eq(r_id),
            axi.rdata.eq(lite.rdata),
            axi.rresp.eq(Mux(r_refused, Response.SLVERR, lite.rresp)),
            axi.rlast.eq(r_left == 0),
            lite.rready.eq(r_busy & ~r_refused & axi.rready),
        ]
        with m.If(~r_busy):
            m.d.sync += [r_left.eq(axi.arlen), r_id.eq(axi.arid), r_refused.eq(~single)]
            m.d.sync += r_busy.eq(axi.arvalid & axi.arready)
        with m.Elif(axi.rvalid & axi.rready):
            m.d.sync += [r_left.eq(r_left - 1), r_busy.eq(r_left != 0)]

        # Address and data have been taken; the response is due.
        w_busy = Signal()
        w_refused = Signal()
        aw_sent = Signal()
        w_sent = Signal()
        w_id = Signal(len(axi.awid), reset_less=True)
        w_single = Signal()
        both = Signal()
        aw_done = Signal()
        w_done = Signal()
        take = Signal()
        m.d.comb += [
            w_single.eq(axi.awlen == 0),
            both.eq(axi.awvalid & axi.wvalid & ~w_busy),
            lite.awvalid.eq(both & w_single & ~aw_sent),
            lite.awaddr.eq(axi.awaddr),
            lite.awprot.eq(axi.awprot),
            lite.wvalid.eq(both & w_single & ~w_sent),
            lite.wdata.eq(axi.wdata),
            lite.wstrb.eq(axi.wstrb),
            aw_done.eq(aw_sent | lite.awready | ~w_single),
            w_done.eq(w_sent | lite.wready | ~w_single),
            axi.wready.eq(both & aw_done & w_done),
            take.eq(axi.wready & axi.wlast),
            axi.awready.eq(take),
            axi.bvalid.eq(w_busy & (lite.bvalid | w_refused)),
            axi.bid.eq(w_id),
            axi.bresp.eq(Mux(w_refused, Response.SLVERR, lite.bresp)),
            lite.bready.eq(w_busy & ~w_refused & axi.bready),
        ]
        with m.If(both):
            m.d.sync += [aw_sent.eq(~take & aw_done & w_single), w_sent.eq(~take & w_done & w_single)]
        with m.If(~w_busy):
            m.d.sync += [w_busy.eq(take), w_id.eq(axi.awid), w_refused.eq(~w_single)]
        with m.Elif(axi.bvalid & axi.bready):
            m.d.sync += w_busy.eq(0)
        return m
