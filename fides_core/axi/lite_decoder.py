"""AXI4-Lite decoder: one manager, subordinates by address."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .interconnect import Target, selects
from .signatures import AxiLite, Response

__all__ = ["LiteDecoder"]


class LiteDecoder(wiring.Component):
    """One read and one write at a time, passed on in the same cycle. What no target covers, and writes to
    one that is not writable, are answered DECERR. Address and data of a write are shown to the subordinate
    together, and taken together."""

    def __init__(self, targets: Sequence[Target]):
        self._targets = tuple(targets)
        super().__init__(
            {"bus": In(AxiLite()), "subordinates": Out(AxiLite()).array(len(self._targets))}
        )

    def elaborate(self, platform):
        m = Module()
        bus, ports = self.bus, self.subordinates

        def answer(name, where):
            return (Cat(*(getattr(port, name) for port in ports), 1) & where).any()

        def route(channel, hits):
            route = Signal(len(ports) + 1, name=f"{channel}_route")
            m.d.comb += route.eq(Cat(*hits, ~Cat(*hits).any()))
            target = Signal.like(route, name=f"{channel}_target")
            return route, target

        def back(name, target, default):
            value = Mux(target[-1], default, 0)
            for bit, port in zip(target, ports, strict=False):
                value = value | Mux(bit, Value.cast(getattr(port, name)), 0)
            m.d.comb += getattr(bus, name).eq(value)

        for port in ports:
            m.d.comb += [
                port.araddr.eq(bus.araddr), port.arprot.eq(bus.arprot), port.awaddr.eq(bus.awaddr),
                port.awprot.eq(bus.awprot), port.wdata.eq(bus.wdata), port.wstrb.eq(bus.wstrb),
            ]  # fmt: skip

        r_route, r_target = route("ar", [selects(bus.araddr, where) for where in self._targets])
        r_busy = Signal()
        m.d.comb += [
            bus.arready.eq(~r_busy & answer("arready", r_route)),
            bus.rvalid.eq(r_busy & answer("rvalid", r_target)),
        ]
        back("rdata", r_target, 0)
        back("rresp", r_target, Response.DECERR)
        for i, port in enumerate(ports):
            m.d.comb += [
                port.arvalid.eq(bus.arvalid & ~r_busy & r_route[i]),
                port.rready.eq(bus.rready & r_busy & r_target[i]),
            ]
        with m.If(~r_busy):
            m.d.sync += [r_target.eq(r_route), r_busy.eq(bus.arvalid & bus.arready)]
        with m.Elif(bus.rvalid & bus.rready):
            m.d.sync += r_busy.eq(0)

        w_route, w_target = route(
            "aw", [selects(bus.awaddr, where) & where.writable for where in self._targets]
        )
        w_busy = Signal()
        aw_sent = Signal()
        w_sent = Signal()
        both = Signal()
        aw_done = Signal()
        w_done = Signal()
        take = Signal()
        m.d.comb += [
            both.eq(bus.awvalid & bus.wvalid & ~w_busy),
            aw_done.eq(aw_sent | answer("awready", w_route)),
            w_done.eq(w_sent | answer("wready", w_route)),
            take.eq(both & aw_done & w_done),
            bus.awready.eq(take),
            bus.wready.eq(take),
            bus.bvalid.eq(w_busy & answer("bvalid", w_target)),
        ]
        back("bresp", w_target, Response.DECERR)
        for i, port in enumerate(ports):
            m.d.comb += [
                port.awvalid.eq(both & ~aw_sent & w_route[i]),
                port.wvalid.eq(both & ~w_sent & w_route[i]),
                port.bready.eq(bus.bready & w_busy & w_target[i]),
            ]
        with m.If(both):
            m.d.sync += [aw_sent.eq(aw_done & ~take), w_sent.eq(w_done & ~take)]
        with m.If(~w_busy):
            m.d.sync += [w_target.eq(w_route), w_busy.eq(take)]
        with m.Elif(bus.bvalid & bus.bready):
            m.d.sync += w_busy.eq(0)
        return m
