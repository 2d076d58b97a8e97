"""Instruction cache: block RAM, blocking, filled by whole lines.

A request reads one word and the tag of every way; the next cycle answers it, or starts a fill. The word that
was asked for is answered as it arrives from memory.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..axi.signatures import Axi4, Burst
from ..config import CacheConfig
from ..core.bus import InstructionBus
from .regions import Region, inside

__all__ = ["InstructionCache"]


class _State(enum.IntEnum, shape=2):
    WALK = 0  # no line is valid afterwards
    LOOKUP = 1
    REQUEST = 2
    FILL = 3


class InstructionCache(wiring.Component):
    """``bus``: see ``core/bus.py``; a hit is answered in the next cycle, a group each cycle. ``axi``: reads
    only, whole lines. ``executable``: regions that can be fetched from; any other request is answered with
    ``err`` without an access. A fill that fails leaves no line.

    ``invalidate`` until ``invalidated``: forget everything; requests are not granted meanwhile. ``miss``: one
    cycle for each line asked for.
    """

    def __init__(self, config: CacheConfig, executable: tuple[Region, ...]):
        self._config = config
        self._executable = executable
        super().__init__(
            {
                "bus": In(InstructionBus),
                "axi": Out(Axi4()),
                "invalidate": In(1),
                "invalidated": Out(1),
                "miss": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, bus, axi = self._config, self.bus, self.axi
        ways = config.ways
        beat_bits = (config.line // 8 - 1).bit_length()
        index_bits = (config.sets - 1).bit_length()
        line_bit = 3 + beat_bits
        tag_bit = line_bit + index_bits
        word_bits = beat_bits + index_bits

        state = Signal(_State)
        pending = Signal()  # a request is being looked up
        address = Signal(32, reset_less=True)
        beat = Signal(beat_bits, reset_less=True)
        failed = Signal(reset_less=True)
        victim = Signal(range(max(ways, 2)))
        walk = Signal(index_bits)
        tag_layout = data.StructLayout({"valid": 1, "tag": 32 - tag_bit})

        looking = state == _State.LOOKUP
        granted = Signal()
        beat_here = Signal()
        last = Signal()
        m.d.comb += [
            bus.gnt.eq(looking & ~self.invalidate),
            granted.eq(bus.req & bus.gnt),
            beat_here.eq((state == _State.FILL) & axi.rvalid),
            last.eq(beat_here & axi.rlast),
        ]

        hits, words = [], []
        for way in range(ways):
            lines = Memory(shape=64, depth=1 << word_bits, init=[], attrs={"ram_style": "block"})
            tags = Memory(shape=tag_layout, depth=config.sets, init=[], attrs={"ram_style": "block"})
            m.submodules[f"lines{way}"], m.submodules[f"tags{way}"] = lines, tags
            line_write, line_read = lines.write_port(), lines.read_port()
            tag_write, tag_read = tags.write_port(), tags.read_port()
            chosen = victim == way if ways > 1 else Const(1)
            hit = Signal(name=f"hit{way}")
            m.d.comb += [
                line_read.addr.eq(bus.addr[3:]),
                line_read.en.eq(looking),
                tag_read.addr.eq(bus.addr[line_bit:]),
                tag_read.en.eq(looking),
                hit.eq(tag_read.data.valid & (tag_read.data.tag == address[tag_bit:])),
                line_write.addr.eq(Cat(beat, address[line_bit:tag_bit])),
                line_write.data.eq(axi.rdata),
                line_write.en.eq(beat_here & chosen),
                tag_write.addr.eq(Mux(state == _State.WALK, walk, address[line_bit:])),
                tag_write.data.tag.eq(address[tag_bit:]),
                tag_write.data.valid.eq(last & ~failed & ~axi.rresp[1]),
                tag_write.en.eq((state == _State.WALK) | (last & chosen)),
            ]
            hits.append(hit)
            words.append(line_read.data)

        known = Signal()
        outside = Signal()
        asked_for = Signal()
        m.d.comb += [
            known.eq(Cat(hits).any()),
            outside.eq(~inside(address, self._executable)),
            asked_for.eq(beat_here & (beat == address[3:line_bit])),
            bus.rvalid.eq((looking & pending & (known | outside)) | asked_for),
            bus.err.eq(Mux(looking, outside, axi.rresp[1])),
        ]
        cached = words[-1]
        for hit, word in zip(hits[:-1], words[:-1], strict=True):
            cached = Mux(hit, word, cached)
        m.d.comb += bus.rdata.eq(Mux(looking, cached, axi.rdata))

        m.d.comb += [
            axi.arvalid.eq(state == _State.REQUEST),
            axi.araddr.eq(Cat(Const(0, line_bit), address[line_bit:])),
            axi.arlen.eq(config.line // 8 - 1),
            axi.arsize.eq(3),
            axi.arburst.eq(Burst.INCR),
            axi.rready.eq(1),
            self.miss.eq(looking & pending & ~known & ~outside),
        ]
        m.d.sync += [pending.eq(granted), self.invalidated.eq(0)]
        with m.If(granted):
            m.d.sync += address.eq(bus.addr)
        with m.Switch(state):
            with m.Case(_State.WALK):
                m.d.sync += walk.eq(walk + 1)
                with m.If(walk == config.sets - 1):
                    m.d.sync += [state.eq(_State.LOOKUP), self.invalidated.eq(self.invalidate)]
            with m.Case(_State.LOOKUP):
                with m.If(self.miss):
                    m.d.sync += state.eq(_State.REQUEST)
                with m.Elif(self.invalidate & ~pending & ~self.invalidated):
                    m.d.sync += state.eq(_State.WALK)
            with m.Case(_State.REQUEST):
                m.d.sync += [beat.eq(0), failed.eq(0)]
                with m.If(axi.arready):
                    m.d.sync += state.eq(_State.FILL)
            with m.Case(_State.FILL):
                with m.If(axi.rvalid):
                    m.d.sync += [beat.eq(beat + 1), failed.eq(failed | axi.rresp[1])]
                    with m.If(axi.rlast):
                        m.d.sync += state.eq(_State.LOOKUP)
                        if ways > 1:
                            m.d.sync += victim.eq(victim + 1)
        return m
