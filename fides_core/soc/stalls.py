"""Random waits on buses, for verification."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

__all__ = ["RandomStalls", "AxiStalls"]


def _random_bits(m: Module, seed: int) -> Signal:
    """31 bits of a Fibonacci LFSR, x^31 + x^28 + 1."""
    lfsr = Signal(31, init=seed & 0x7FFFFFFF or 1)
    m.d.sync += lfsr.eq(Cat(lfsr[30] ^ lfsr[27], lfsr[:30]))
    return lfsr


class RandomStalls(wiring.Component):
    """Sits between the core (``upstream``) and a bus of ``bus.py`` (``downstream``), both of ``signature``.
    About half of the cycles refuse a grant, and responses wait for a random number of cycles in a queue.
    ``withdraw``: the request granted in the cycle before, if there was one, has no response. ``seed``: of its
    LFSR."""

    def __init__(self, signature, seed: int):
        self._seed = seed
        super().__init__({"upstream": In(signature), "downstream": Out(signature), "withdraw": In(1)})

    def elaborate(self, platform):
        m = Module()
        up, down = self.upstream, self.downstream
        lfsr = _random_bits(m, self._seed)
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
        asked = Signal()
        m.d.sync += [
            asked.eq(down.req & down.gnt),
            outstanding.eq(outstanding + (down.req & down.gnt) - up.rvalid - (asked & self.withdraw)),
        ]
        return m


class AxiStalls(wiring.Component):
    """Sits between an AXI manager (``upstream``) and what it talks to (``downstream``), both of
    ``signature``. Every transfer of each of the five channels waits in a register for a random number of
    cycles: ready is withheld and valid delayed, as the protocol allows. ``seed``: of its LFSR."""

    def __init__(self, signature, seed: int):
        self._signature, self._seed = signature, seed
        super().__init__({"upstream": In(signature), "downstream": Out(signature)})

    def elaborate(self, platform):
        m = Module()
        lfsr = _random_bits(m, self._seed)
        for number, channel in enumerate(("aw", "w", "b", "ar", "r")):
            source, sink = self.upstream, self.downstream
            if channel in ("b", "r"):
                source, sink = sink, source
            handshake = (f"{channel}valid", f"{channel}ready")
            payload = [
                name for name in self._signature.members
                if name.startswith(channel) and name not in handshake
            ]  # fmt: skip
            s_valid, s_ready = (getattr(source, name) for name in handshake)
            d_valid, d_ready = (getattr(sink, name) for name in handshake)
            full = Signal(name=f"{channel}_full")
            # About half of the channels hesitate in any cycle, and now and then all of them for a while.
            go = (lfsr[number] | lfsr[number + 11]) & (lfsr[20:24] != 0)
            m.d.comb += s_ready.eq(~full & go)
            with m.If(s_valid & s_ready):
                m.d.sync += [Value.cast(getattr(sink, name)).eq(getattr(source, name)) for name in payload]
                m.d.sync += full.eq(1)
            with m.If(d_valid):
                m.d.sync += [d_valid.eq(~d_ready), full.eq(~d_ready)]
            with m.Else():
                m.d.sync += d_valid.eq(full & go)
        return m
