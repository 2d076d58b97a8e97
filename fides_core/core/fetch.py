"""Fetch: keeps up to two requests or instructions ahead of decode.

The program counter is 32 bits wide. A jump to an address of 2^32 or more is remembered in ``pc_high`` and
ends in an instruction access fault of the instruction there, with its full 64-bit address.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bus import InstructionBus

__all__ = ["FetchStage"]


class FetchStage(wiring.Component):
    """Fetch stage.

    ``redirect``/``redirect_target`` (64 bits, bytes): fetch goes on there, in the same cycle; what was
    fetched or asked for before is dropped. ``d_*``: the instruction that decode sees in this cycle; it is
    consumed in a cycle with ``d_valid`` and ``d_ready``. ``d_pc`` is the address of the next instruction of
    decode even while ``d_valid`` is low, so it is the link value of a jump that is in execute.
    """

    bus: Out(InstructionBus)
    redirect: In(1)
    redirect_target: In(64)
    d_valid: Out(1)
    d_ready: In(1)
    d_insn: Out(32)
    d_err: Out(1)
    d_pc: Out(32)
    d_pc_high: Out(32)

    def __init__(self, reset_vector: int):
        self.reset_vector = reset_vector
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        bus = self.bus

        # Where fetch asked last; it goes on behind it once that was granted. The increment comes before the
        # choice, because a redirect is known late.
        asked_pc = Signal(30, init=self.reset_vector >> 2)
        was_granted = Signal()
        d_pc = Signal(30, init=self.reset_vector >> 2)
        pc_high = Signal(32)
        inflight = Signal(2)  # granted requests without a response
        discard = Signal(2)  # how many of them belong to the path that was left
        level = Signal(2)  # instructions waiting in the buffer
        buffer = [Signal(33, name=f"buffer{i}", reset_less=True) for i in range(2)]

        arrived = Signal()
        response = Cat(bus.rdata, bus.err)
        consumed = Signal()
        m.d.comb += [
            arrived.eq(bus.rvalid & (discard == 0)),
            self.d_valid.eq((level != 0) | arrived),
            Cat(self.d_insn, self.d_err).eq(Mux(level != 0, buffer[0], response)),
            self.d_pc.eq(Cat(0, 0, d_pc)),
            self.d_pc_high.eq(pc_high),
            consumed.eq(self.d_valid & self.d_ready),
        ]

        granted = Signal()
        request_pc = Signal(30)
        m.d.comb += [
            # Only registered state decides about a request, but for a redirect, which empties the buffer.
            bus.req.eq(Mux(self.redirect, inflight != 2, (inflight + level)[0:2] < 2)),
            request_pc.eq(Mux(self.redirect, self.redirect_target[2:32], asked_pc + was_granted)),
            bus.addr.eq(Cat(0, 0, request_pc)),
            granted.eq(bus.req & bus.gnt),
        ]
        m.d.sync += inflight.eq(inflight + granted - bus.rvalid)
        m.d.sync += [asked_pc.eq(request_pc), was_granted.eq(granted)]

        with m.If(self.redirect):
            m.d.sync += [
                discard.eq(inflight - bus.rvalid),
                level.eq(0),
                d_pc.eq(self.redirect_target[2:32]),
                pc_high.eq(self.redirect_target[32:]),
            ]
        with m.Else():
            with m.If(bus.rvalid & (discard != 0)):
                m.d.sync += discard.eq(discard - 1)
            with m.If(consumed):
                m.d.sync += d_pc.eq(d_pc + 1)
            m.d.sync += level.eq(level + arrived - consumed)
            # After this cycle the buffer's first entry is the oldest instruction that decode has not
            # consumed.
            with m.If(consumed):
                m.d.sync += buffer[0].eq(Mux(level == 2, buffer[1], response))
            with m.Elif(level == 0):
                m.d.sync += buffer[0].eq(response)
            with m.If(level == 1):
                m.d.sync += buffer[1].eq(response)
        return m
