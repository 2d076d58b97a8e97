"""Data cache: block RAM, write-back, write-allocate, blocking.

A request reads one word and the tag of every way; the next cycle answers it when it hits, and writes what a
store brings. What was written in one cycle is not yet read in that cycle: it stays one cycle longer in a
register, from which its bytes are taken. The same register carries what uncached accesses transfer, so that
the word that leaves for the core and for AXI4 is chosen in one place.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..axi.signatures import Axi4, Burst
from ..config import CacheConfig
from ..core.bus import DataBus
from .regions import Region, inside

__all__ = ["DataCache"]


class _State(enum.IntEnum, shape=4):
    RESET = 0  # makes every line invalid
    LOOKUP = 1
    EVICT = 2  # address of a line that is written back; its first word is being read
    EVICTING = 3
    EVICTED = 4  # waits for the response
    REQUEST = 5
    FILL = 6
    REPLAY = 7  # look up again
    READ = 8  # uncached
    READING = 9
    WRITE = 10
    WRITING = 11
    ANSWER = 12
    CLEAN = 13  # reads the tags of a set
    CLEANING = 14  # a line of it is looked at
    CLEANED = 15


class DataCache(wiring.Component):
    """``bus``: see ``core/bus.py``; a hit is answered in the next cycle, an access each cycle. Accesses
    outside ``cacheable`` are single transfers of their size, made once each. An error on AXI4 is answered
    with ``err``, and the line is not kept; an error of a line that is written back comes too late for the
    instruction that wrote it and is lost, ``writeback_error`` strobes.

    ``clean`` until ``clean_done``: every dirty line is written back and stays valid; requests are not granted
    meanwhile. ``miss``: one cycle for each line asked for.

    ``withdraw``, left out unless ``withdrawable``: the request granted in the cycle before, if there was one,
    is void, it has no effect and no response. There must be no request in that cycle, and none whose line has
    been fetched may just be looked up again.
    """

    def __init__(self, config: CacheConfig, cacheable: Region, *, withdrawable: bool = False):
        self._config = config
        self._cacheable = cacheable
        ports = {
            "bus": In(DataBus),
            "axi": Out(Axi4()),
            "clean": In(1),
            "clean_done": Out(1),
            "miss": Out(1),
            "writeback_error": Out(1),
        }
        self._withdrawable = withdrawable
        if withdrawable:
            ports["withdraw"] = In(1)
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config, bus, axi = self._config, self.bus, self.axi
        ways, beats = config.ways, config.line // 8
        beat_bits = (beats - 1).bit_length()
        index_bits = (config.sets - 1).bit_length()
        line_bit = 3 + beat_bits
        tag_bit = line_bit + index_bits
        word_bits = beat_bits + index_bits
        tag_layout = data.StructLayout({"valid": 1, "dirty": 1, "tag": 32 - tag_bit})

        state = Signal(_State)
        pending = Signal()
        due = pending & ~self.withdraw if self._withdrawable else pending
        address = Signal(32)  # its index walks through all sets after reset
        we = Signal(reset_less=True)
        lanes = Signal(8, reset_less=True)
        wdata = Signal(64, reset_less=True)
        beat = Signal(beat_bits, reset_less=True)
        failed = Signal(reset_less=True)
        victim = Signal(range(max(ways, 2)))
        cleaning = Signal()
        # The register behind a write, and for uncached data.
        held = Signal(64, reset_less=True)
        held_lanes = Signal(8)
        held_address = Signal(29, reset_less=True)
        held_way = Signal(ways, reset_less=True)

        def at(*states):
            return Cat(state == one for one in states).any()

        looking = state == _State.LOOKUP
        granted = Signal()
        known = Signal()
        cached = Signal()
        stores = Signal()
        sent = Signal()
        filling = Signal()
        m.d.comb += [
            bus.gnt.eq(looking & ~self.clean),
            granted.eq(bus.req & bus.gnt),
            cached.eq(inside(address, [self._cacheable])),
            stores.eq(looking & due & known & we),
            filling.eq((state == _State.FILL) & axi.rvalid),
        ]

        # Reads are of the word asked for, of the line that is written back, or of the tags of a set.
        index = address[line_bit:tag_bit]
        next_beat = Signal(beat_bits)
        read_word = Signal(word_bits)
        m.d.comb += [
            next_beat.eq(beat + sent),
            read_word.eq(bus.addr[3:tag_bit]),
        ]
        with m.If(~looking):
            m.d.comb += read_word.eq(Cat(Mux(state == _State.REPLAY, address[3:line_bit], next_beat), index))

        writes = Signal(64)
        m.d.comb += writes.eq(Mux(at(_State.FILL, _State.READING), axi.rdata, wdata))
        select = Signal(ways)
        hits = Signal(ways)
        chosen_tag = Signal(32 - tag_bit)
        old_tag = Signal(32 - tag_bit, reset_less=True)
        old_dirty = Signal()
        same_set = Signal()
        m.d.comb += same_set.eq((held_lanes != 0) & (held_address[beat_bits:word_bits] == index))
        words = []
        for way in range(ways):
            line_memory = Memory(shape=64, depth=1 << word_bits, init=[], attrs={"ram_style": "block"})
            tag_memory = Memory(shape=tag_layout, depth=config.sets, init=[], attrs={"ram_style": "block"})
            m.submodules[f"lines{way}"], m.submodules[f"tags{way}"] = line_memory, tag_memory
            line_read, line_write = line_memory.read_port(), line_memory.write_port(granularity=8)
            tag_read, tag_write = tag_memory.read_port(), tag_memory.write_port()
            chosen = victim == way if ways > 1 else Const(1)
            m.d.comb += [
                line_read.addr.eq(read_word),
                line_read.en.eq(looking | at(_State.EVICT, _State.REPLAY) | sent),
                tag_read.addr.eq(read_word[beat_bits:]),
                tag_read.en.eq(looking | at(_State.REPLAY, _State.CLEAN)),
                hits[way].eq(tag_read.data.valid & (tag_read.data.tag == address[tag_bit:])),
                select[way].eq(Mux(looking, hits[way], chosen)),
                line_write.addr.eq(Cat(Mux(looking, address[3:line_bit], beat), index)),
                line_write.data.eq(writes),
                line_write.en.eq(Mux(stores & hits[way], lanes, 0) | (filling & chosen).replicate(8)),
                tag_write.addr.eq(index),
                tag_write.data.tag.eq(Mux(cleaning, old_tag, address[tag_bit:])),
                tag_write.data.valid.eq(looking | cleaning | (filling & ~failed & ~axi.rresp[1])),
                tag_write.data.dirty.eq(looking),
                tag_write.en.eq(
                    (state == _State.RESET)
                    | (stores & hits[way])
                    | ((filling | (cleaning & (state == _State.EVICTED))) & chosen)
                ),
            ]
            with m.If(chosen):
                m.d.comb += [
                    chosen_tag.eq(tag_read.data.tag),
                    # A store of the cycle before was not read yet.
                    old_dirty.eq(
                        tag_read.data.valid & (tag_read.data.dirty | (held_way[way] & same_set & looking))
                    ),
                ]
            words.append(line_read.data)

        # The tag memories read on while a miss is found.
        with m.If(at(_State.LOOKUP, _State.CLEANING)):
            m.d.sync += old_tag.eq(chosen_tag)

        # The word that leaves.
        bypass = Signal(8)
        m.d.comb += [
            known.eq(hits.any()),
            bypass.eq(held_lanes & ((held_address == address[3:]) | ~looking).replicate(8)),
        ]
        word = Signal(64)
        chosen_word = words[-1]
        for way in range(ways - 1):
            chosen_word = Mux(select[way], words[way], chosen_word)
        m.d.comb += word.eq(
            Cat(Mux(bypass[i], held.word_select(i, 8), chosen_word.word_select(i, 8)) for i in range(8))
        )
        m.d.comb += [
            bus.rdata.eq(word),
            bus.rvalid.eq((looking & due & known) | (state == _State.ANSWER)),
            bus.err.eq(~looking & failed),
        ]

        # Size and place of an uncached access.
        size = Signal(2)
        ones = sum(lanes[i] for i in range(8))
        with m.Switch(ones):
            for log2 in range(4):
                with m.Case(1 << log2):
                    m.d.comb += size.eq(log2)
        uncached = at(_State.READ, _State.READING, _State.WRITE, _State.WRITING)
        line_address = Cat(Const(0, line_bit), address[line_bit:])
        old_address = Cat(Const(0, line_bit), index, old_tag)
        m.d.comb += [
            axi.arvalid.eq(at(_State.REQUEST, _State.READ)),
            axi.araddr.eq(Mux(uncached, address, line_address)),
            axi.arlen.eq(Mux(uncached, 0, beats - 1)),
            axi.arsize.eq(Mux(uncached, size, 3)),
            axi.arburst.eq(Burst.INCR),
            axi.rready.eq(1),
            axi.awaddr.eq(Mux(uncached, address, old_address)),
            axi.awlen.eq(axi.arlen),
            axi.awsize.eq(axi.arsize),
            axi.awburst.eq(Burst.INCR),
            axi.wdata.eq(word),
            axi.wstrb.eq(Mux(uncached, lanes, 0xFF)),
            axi.wlast.eq(uncached | (beat == beats - 1)),
            axi.bready.eq(at(_State.EVICTED, _State.WRITING)),
        ]
        # Address and data of a write are independent.
        address_sent = Signal()
        data_sent = Signal()
        writing = at(_State.EVICTING, _State.WRITE)
        m.d.comb += [
            axi.awvalid.eq(writing & ~address_sent),
            axi.wvalid.eq(writing & ~data_sent),
            sent.eq(axi.wvalid & axi.wready & (state == _State.EVICTING)),
        ]
        address_done = address_sent | axi.awready
        data_done = data_sent | (axi.wready & axi.wlast)
        with m.If(writing):
            m.d.sync += [address_sent.eq(address_done), data_sent.eq(data_done)]
        with m.Else():
            m.d.sync += [address_sent.eq(0), data_sent.eq(0)]
        m.d.comb += self.writeback_error.eq((state == _State.EVICTED) & axi.bvalid & axi.bresp[1])

        m.d.comb += self.miss.eq(looking & due & ~known & cached)
        m.d.sync += [pending.eq(granted), held_lanes.eq(0)]
        # Whether a request is made is known late; what is kept without one means nothing.
        with m.If(looking & (~pending | known)):
            m.d.sync += [
                address.eq(bus.addr),
                we.eq(bus.we),
                lanes.eq(bus.be),
                wdata.eq(bus.wdata),
            ]
        with m.If(looking | uncached):
            m.d.sync += [held.eq(writes), held_address.eq(address[3:]), held_way.eq(hits)]
        with m.If(filling | sent):
            m.d.sync += beat.eq(beat + 1)

        # A walk goes through all sets by way of the address, and through the ways by way of victim.
        last_way = victim == ways - 1 if ways > 1 else Const(1)
        with m.Switch(state):
            with m.Case(_State.RESET):
                m.d.sync += address[line_bit:tag_bit].eq(index + 1)
                with m.If(index == config.sets - 1):
                    m.d.sync += state.eq(_State.LOOKUP)
            with m.Case(_State.LOOKUP):
                m.d.sync += [beat.eq(0), failed.eq(0)]
                with m.If(stores):
                    m.d.sync += held_lanes.eq(lanes)
                with m.If(due & ~known):
                    with m.If(~cached):
                        m.d.sync += state.eq(Mux(we, _State.WRITE, _State.READ))
                        # What is sent leaves by way of the register.
                        m.d.sync += held_lanes.eq(0xFF)
                    with m.Elif(old_dirty):
                        m.d.sync += state.eq(_State.EVICT)
                    with m.Else():
                        m.d.sync += state.eq(_State.REQUEST)
                with m.Elif(self.clean & ~due & ~self.clean_done):
                    m.d.sync += [state.eq(_State.CLEAN), cleaning.eq(1)]
                    m.d.sync += address[line_bit:tag_bit].eq(0)
                    if ways > 1:
                        m.d.sync += victim.eq(0)
            with m.Case(_State.EVICT):
                m.d.sync += state.eq(_State.EVICTING)
            with m.Case(_State.EVICTING):
                with m.If(address_done & data_done):
                    m.d.sync += state.eq(_State.EVICTED)
            with m.Case(_State.EVICTED):
                m.d.sync += beat.eq(0)
                with m.If(axi.bvalid):
                    m.d.sync += state.eq(Mux(cleaning, _State.CLEAN, _State.REQUEST))
            with m.Case(_State.REQUEST):
                with m.If(axi.arready):
                    m.d.sync += state.eq(_State.FILL)
            with m.Case(_State.FILL):
                with m.If(axi.rvalid):
                    m.d.sync += failed.eq(failed | axi.rresp[1])
                    with m.If(axi.rlast):
                        m.d.sync += state.eq(Mux(failed | axi.rresp[1], _State.ANSWER, _State.REPLAY))
                        if ways > 1:
                            m.d.sync += victim.eq(victim + 1)
            with m.Case(_State.REPLAY):
                m.d.sync += [state.eq(_State.LOOKUP), pending.eq(1)]
            with m.Case(_State.READ):
                with m.If(axi.arready):
                    m.d.sync += state.eq(_State.READING)
            with m.Case(_State.READING):
                with m.If(axi.rvalid):
                    m.d.sync += [state.eq(_State.ANSWER), failed.eq(axi.rresp[1]), held_lanes.eq(0xFF)]
            with m.Case(_State.WRITE):
                m.d.sync += held_lanes.eq(0xFF)
                with m.If(address_done & data_done):
                    m.d.sync += state.eq(_State.WRITING)
            with m.Case(_State.WRITING):
                with m.If(axi.bvalid):
                    m.d.sync += [state.eq(_State.ANSWER), failed.eq(axi.bresp[1])]
            with m.Case(_State.ANSWER):
                m.d.sync += state.eq(_State.LOOKUP)
            with m.Case(_State.CLEAN):
                m.d.sync += state.eq(_State.CLEANING)
            with m.Case(_State.CLEANING):
                m.d.sync += beat.eq(0)
                with m.If(old_dirty):
                    m.d.sync += state.eq(_State.EVICT)
                with m.Else():
                    if ways > 1:
                        m.d.sync += victim.eq(victim + 1)
                    with m.If(last_way):
                        m.d.sync += [state.eq(_State.CLEAN), address[line_bit:tag_bit].eq(index + 1)]
                        with m.If(index == config.sets - 1):
                            m.d.sync += state.eq(_State.CLEANED)
            with m.Case(_State.CLEANED):
                m.d.sync += cleaning.eq(0)
                with m.If(~self.clean):
                    m.d.sync += state.eq(_State.LOOKUP)
        m.d.comb += self.clean_done.eq(state == _State.CLEANED)
        return m
