"""A device as an AXI4-Lite subordinate."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..axi.signatures import AxiLite, Response
from .devices import DevicePort

__all__ = ["LiteDevice"]


class LiteDevice(wiring.Component):
    """One access at a time, without errors; a read comes before a write that waits with it. Address and data
    of a write are taken in the same cycle. A write without strobes does nothing."""

    bus: In(AxiLite())
    port: Out(DevicePort)

    def elaborate(self, platform):
        m = Module()
        bus, port = self.bus, self.port
        idle = ~bus.rvalid & ~bus.bvalid
        read = idle & bus.arvalid
        write = idle & ~bus.arvalid & bus.awvalid & bus.wvalid
        m.d.comb += [
            bus.arready.eq(idle),
            bus.awready.eq(write),
            bus.wready.eq(write),
            port.request.eq(read | (write & bus.wstrb.any())),
            port.wdata.eq(bus.wdata),
            port.address.eq(bus.awaddr),
            bus.rdata.eq(port.rdata),  # stays: there is no request while the response waits
            bus.rresp.eq(Response.OKAY),
            bus.bresp.eq(Response.OKAY),
        ]
        with m.If(read):
            m.d.comb += port.address.eq(bus.araddr)
            m.d.sync += bus.rvalid.eq(1)
        with m.Elif(write):
            m.d.comb += port.lanes.eq(bus.wstrb)
            m.d.sync += bus.bvalid.eq(1)
        with m.Elif(~idle):
            m.d.sync += [bus.rvalid.eq(bus.rvalid & ~bus.rready), bus.bvalid.eq(bus.bvalid & ~bus.bready)]
        return m
