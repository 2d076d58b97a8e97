"""The core's data bus to AXI4-Lite, for systems without caches."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..core.bus import DataBus
from .signatures import AxiLite

__all__ = ["ObiBridge"]


class ObiBridge(wiring.Component):
    """One access at a time, held here until it is answered, because a request on ``obi`` may go away once it
    is granted. ``err`` is set by SLVERR and DECERR. The address goes on unaligned as the core gave it, so
    that a device can tell which of two registers in 64 bits a read means."""

    obi: In(DataBus)
    lite: Out(AxiLite())

    def elaborate(self, platform):
        m = Module()
        obi, lite = self.obi, self.lite
        busy = Signal()
        # What is still to be sent.
        address = Signal()
        write_address = Signal()
        write_data = Signal()
        held = {
            name: Signal(shape, reset_less=True, name=f"held_{name}")
            for name, shape in (("addr", 32), ("be", 8), ("wdata", 64), ("we", 1))
        }
        m.d.comb += [
            obi.gnt.eq(~busy),
            lite.arvalid.eq(address),
            lite.araddr.eq(held["addr"]),
            lite.awvalid.eq(write_address),
            lite.awaddr.eq(held["addr"]),
            lite.wvalid.eq(write_data),
            lite.wdata.eq(held["wdata"]),
            lite.wstrb.eq(held["be"]),
            lite.rready.eq(1),
            lite.bready.eq(1),
            obi.rvalid.eq(lite.rvalid | lite.bvalid),
            obi.rdata.eq(lite.rdata),
            obi.err.eq(Mux(held["we"], lite.bresp[1], lite.rresp[1])),
        ]
        with m.If(~busy):
            m.d.sync += [signal.eq(getattr(obi, name)) for name, signal in held.items()]
            m.d.sync += [
                busy.eq(obi.req),
                address.eq(obi.req & ~obi.we),
                write_address.eq(obi.req & obi.we),
                write_data.eq(obi.req & obi.we),
            ]
        with m.Else():
            with m.If(lite.arready):
                m.d.sync += address.eq(0)
            with m.If(lite.awready):
                m.d.sync += write_address.eq(0)
            with m.If(lite.wready):
                m.d.sync += write_data.eq(0)
            with m.If(obi.rvalid):
                m.d.sync += busy.eq(0)
        return m
