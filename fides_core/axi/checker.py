"""Protocol checkers of AXI4 and AXI4-Lite ports (IHI 0022H), for verification builds.

A checker only observes: all signals of the port are its inputs. It is written to be read beside the
specification, and costs area that no product has.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, enum, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, Signature

from .burst import byte_lanes, next_address
from .signatures import Axi4, AxiLite, Burst, Response

__all__ = ["Rule", "Axi4Checker", "AxiLiteChecker", "observe"]


class Rule(enum.IntEnum, shape=5):
    """What was violated; the section of IHI 0022H in brackets."""

    NONE = 0
    RESET = 1  # a valid is high in the first cycle after reset [A3.1.2]
    AW_DROPPED = 2  # valid went away without ready [A3.2.1]
    W_DROPPED = 3
    B_DROPPED = 4
    AR_DROPPED = 5
    R_DROPPED = 6
    AW_CHANGED = 7  # payload changed while valid waited for ready [A3.2.1]
    W_CHANGED = 8
    B_CHANGED = 9
    AR_CHANGED = 10
    R_CHANGED = 11
    BURST = 12  # reserved type, or a wrapping burst that begins unaligned [A3.4.1]
    LENGTH = 13  # a wrapping burst of other than 2, 4, 8, 16 beats, a fixed one of more than 16 [A3.4.1]
    SIZE = 14  # beats wider than the bus [A3.4.1]
    CROSSES_4K = 15  # an incrementing burst leaves its 4 KiB [A3.4.1]
    WLAST = 16  # too early or missing [A3.4.1]
    STROBES = 17  # outside the lanes of the beat [A3.4.3]
    W_AHEAD = 18  # a beat transferred before its address is shown: legal, but not followed here
    B_EARLY = 19  # before the address and the last beat were transferred [A3.3.1]
    B_ID = 20  # nothing outstanding with this identifier [A5.3]
    R_ID = 21  # the same, of reads; also a response before the address was transferred
    RLAST = 22  # too early or missing [A3.4.1]
    RESPONSE = 23  # EXOKAY, and there are no exclusive accesses [A3.4.4]
    OUTSTANDING = 24  # more transactions than the checker was told
    READ_TIMEOUT = 25  # nothing moves for too long
    WRITE_TIMEOUT = 26


def _observed(signature: Signature) -> Signature:
    """The members of a port, all of them outputs of whoever is observed."""
    return Signature({name: Out(member.shape) for name, member in signature.members.items()})


def observe(m: Module, checker, port) -> None:
    """Connect ``checker`` (an Axi4Checker or AxiLiteChecker) to look at ``port``."""
    for name in checker.port.signature.members:
        m.d.comb += getattr(checker.port, name).eq(getattr(port, name))


class _Queue(wiring.Component):
    """``depth`` entries of ``width`` bits; ``head`` is the oldest, and ``tail`` itself when there are none. A
    push beyond the depth is ignored, as is a pop of nothing."""

    def __init__(self, width: int, depth: int):
        self._width, self._depth = width, depth
        super().__init__(
            {
                "push": In(1),
                "tail": In(width),
                "pop": In(1),
                "head": Out(width),
                "count": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        depth = self._depth
        m.submodules.entries = entries = Memory(shape=self._width, depth=depth, init=[])
        read, write = entries.read_port(domain="comb"), entries.write_port()
        first = Signal(range(depth))
        free = Signal(range(depth))
        push = Signal()
        pop = Signal()
        m.d.comb += [
            pop.eq(self.pop & ((self.count != 0) | self.push)),
            push.eq(self.push & ((self.count != depth) | self.pop)),
            read.addr.eq(first),
            write.addr.eq(free),
            write.data.eq(self.tail),
            write.en.eq(push),
            self.head.eq(Mux(self.count == 0, self.tail, read.data)),
        ]
        for step, pointer in ((push, free), (pop, first)):
            with m.If(step):
                m.d.sync += pointer.eq(Mux(pointer == depth - 1, 0, pointer + 1))
        m.d.sync += self.count.eq(self.count + push - pop)
        return m


_CHANNELS = {
    "aw": ("addr", "prot", "id", "len", "size", "burst", "cache"),
    "w": ("data", "strb", "last"),
    "b": ("id", "resp"),
    "ar": ("addr", "prot", "id", "len", "size", "burst", "cache"),
    "r": ("id", "data", "resp", "last"),
}


class Axi4Checker(wiring.Component):
    """``violation`` goes up in the cycle after the first violation and stays; ``code`` is its Rule, and 0
    before. ``id_bits``: of the port; ``outstanding``: reads, and writes, under way at a time, at most;
    ``timeout``: cycles that a channel may wait for the other side, and a request for its next beat."""

    def __init__(self, id_bits: int = 1, *, outstanding: int = 4, timeout: int = 1000):
        self._ids = 1 << id_bits
        self._outstanding, self._timeout = outstanding, timeout
        super().__init__(
            {"port": In(_observed(Axi4(id_bits))), "violation": Out(1), "code": Out(Rule)}
        )

    def elaborate(self, platform):
        m = Module()
        broken = {rule: Signal(name=f"broken_{rule.name}") for rule in Rule if rule is not Rule.NONE}
        self._broken = broken
        m.d.comb += self.violation.eq(self.code != Rule.NONE)
        with m.If(~self.violation):
            for rule, signal in reversed(broken.items()):  # the lowest wins
                with m.If(signal):
                    m.d.sync += self.code.eq(rule)

        self._channels(m)
        self._bursts(m)
        self._reads(m)
        self._writes(m)
        return m

    def _channels(self, m):
        port, broken = self.port, self._broken
        awake = Signal()
        m.d.sync += awake.eq(1)
        m.d.comb += broken[Rule.RESET].eq(
            ~awake & Cat(getattr(port, f"{channel}valid") for channel in _CHANNELS).any()
        )
        for channel, payload in _CHANNELS.items():
            valid, ready = getattr(port, f"{channel}valid"), getattr(port, f"{channel}ready")
            content = Cat(getattr(port, f"{channel}{name}") for name in payload)
            waiting = Signal(name=f"{channel}_waiting")
            before = Signal(len(content), name=f"{channel}_before")
            m.d.sync += [waiting.eq(valid & ~ready), before.eq(content)]
            m.d.comb += [
                broken[Rule[f"{channel.upper()}_DROPPED"]].eq(waiting & ~valid),
                broken[Rule[f"{channel.upper()}_CHANGED"]].eq(waiting & valid & (content != before)),
            ]
        m.d.comb += broken[Rule.RESPONSE].eq(
            (port.bvalid & (port.bresp == Response.EXOKAY)) | (port.rvalid & (port.rresp == Response.EXOKAY))
        )

    def _bursts(self, m):
        """Legal shapes of bursts, of both address channels."""
        port, broken = self.port, self._broken
        found = {rule: 0 for rule in (Rule.BURST, Rule.LENGTH, Rule.SIZE, Rule.CROSSES_4K)}
        for channel in ("aw", "ar"):
            valid, address, length, size, burst = (
                getattr(port, f"{channel}{name}") for name in ("valid", "addr", "len", "size", "burst")
            )
            wraps = burst == Burst.WRAP
            powers = Cat(length == beats - 1 for beats in (2, 4, 8, 16)).any()
            unaligned = (address[:7] & ((1 << size) - 1)[:7]).any()
            last = (address[:12] & ~((1 << size) - 1)) + (length << size)
            checks = {
                Rule.BURST: (burst == 3) | (wraps & unaligned),
                Rule.LENGTH: (wraps & ~powers) | ((burst == Burst.FIXED) & (length > 15)),
                Rule.SIZE: size > 3,
                Rule.CROSSES_4K: (burst == Burst.INCR) & (last >> 12).any(),
            }
            for rule, check in checks.items():
                found[rule] = found[rule] | (valid & check)
        m.d.comb += [broken[rule].eq(value) for rule, value in found.items()]

    def _stuck(self, m, name, waiting, moving):
        """High once ``waiting`` has been true for the time limit without a cycle of ``moving``."""
        count = Signal(range(self._timeout + 1), name=f"{name}_stuck")
        with m.If(~waiting | moving):
            m.d.sync += count.eq(0)
        with m.Elif(count != self._timeout):
            m.d.sync += count.eq(count + 1)
        return count == self._timeout

    def _reads(self, m):
        port, broken, depth = self.port, self._broken, self._outstanding
        asked = Signal()
        answered = Signal()
        m.d.comb += [asked.eq(port.arvalid & port.arready), answered.eq(port.rvalid & port.rready)]
        total = Signal(range(depth + 2))
        finished = Signal()
        m.d.comb += finished.eq(answered & port.rlast)
        # Reads of one identifier are answered in order: a queue of lengths for each.
        unknown, wrong_last = 0, 0
        for number in range(self._ids):
            m.submodules[f"lengths{number}"] = lengths = _Queue(8, depth + 1)
            beat = Signal(8, name=f"beat{number}")
            mine = Signal(name=f"response{number}")
            expected = Signal(name=f"last_due{number}")
            m.d.comb += [
                mine.eq(port.rvalid & (port.rid == number)),
                lengths.push.eq(asked & (port.arid == number)),
                lengths.tail.eq(port.arlen),
                expected.eq(beat == lengths.head),
                lengths.pop.eq(mine & port.rready & expected & (lengths.count != 0)),
            ]
            with m.If(mine & port.rready):
                m.d.sync += beat.eq(Mux(expected, 0, beat + 1))
            unknown = unknown | (mine & (lengths.count == 0))
            wrong_last = wrong_last | (mine & (lengths.count != 0) & (port.rlast != expected))
        m.d.sync += total.eq(total + asked - finished)
        too_many = total > depth
        m.d.comb += [
            broken[Rule.R_ID].eq(unknown),
            broken[Rule.RLAST].eq(wrong_last),
            broken[Rule.READ_TIMEOUT].eq(
                self._stuck(m, "ar", port.arvalid, port.arready)
                | self._stuck(m, "r", (total != 0), answered)
                | self._stuck(m, "r_taken", port.rvalid, port.rready)
            ),
        ]
        self._too_many_reads = too_many

    def _writes(self, m):
        port, broken, depth = self.port, self._broken, self._outstanding
        fields = ("addr", "len", "size", "burst")

        # An address counts from the cycle in which it is shown, for its data may be transferred before it.
        known = Signal()  # the address shown now has been put into the queue
        shown = Signal()
        m.d.comb += shown.eq(port.awvalid & ~known)
        m.d.sync += known.eq(port.awvalid & ~port.awready)

        # Addresses whose data is not complete, oldest first.
        slots = depth + 1
        shape = data.StructLayout({name: len(getattr(port, f"aw{name}")) for name in fields})
        m.submodules.addresses = addresses = _Queue(shape.size, slots)
        count, head = addresses.count, shape(addresses.head)
        m.d.comb += [
            addresses.push.eq(shown), addresses.tail.eq(Cat(getattr(port, f"aw{name}") for name in fields))
        ]  # fmt: skip

        beat = Signal(8)
        following = Signal(12)
        address = Signal(12)
        transferred = Signal()
        last_due = Signal()
        complete = Signal()
        addressed = Signal()
        m.d.comb += [
            addressed.eq((count != 0) | shown),
            transferred.eq(port.wvalid & port.wready & addressed),
            last_due.eq(beat == head["len"]),
            complete.eq(transferred & last_due),
            address.eq(Mux(beat == 0, head["addr"][:12], following)),
            broken[Rule.W_AHEAD].eq(port.wvalid & port.wready & ~addressed),
            broken[Rule.WLAST].eq(port.wvalid & addressed & (port.wlast != last_due)),
            broken[Rule.STROBES].eq(
                port.wvalid & addressed & (port.wstrb & ~byte_lanes(address, head["size"])).any()
            ),
        ]
        with m.If(transferred):
            m.d.sync += [
                beat.eq(Mux(last_due, 0, beat + 1)),
                following.eq(next_address(address, head["len"], head["size"], head["burst"])),
            ]
        m.d.comb += addresses.pop.eq(complete)

        # Writes, in the order of their addresses, become due for a response once both were transferred.
        accepted = Signal()
        m.d.comb += accepted.eq(port.awvalid & port.awready)
        ahead = Signal(signed(len(count) + 1))  # addresses transferred, less data completed
        due = Signal()
        m.d.comb += due.eq((accepted & (complete | (ahead < 0))) | (complete & (ahead > 0)))
        m.d.sync += ahead.eq(ahead + accepted - complete)

        m.submodules.order = order = _Queue(max(1, len(port.awid)), slots)
        m.d.comb += [order.push.eq(shown), order.tail.eq(port.awid), order.pop.eq(due)]

        answered = Signal()
        m.d.comb += answered.eq(port.bvalid & port.bready)
        total = Signal(range(slots + 1))
        waiting = 0
        m.d.sync += total.eq(total + shown - answered)
        unknown, early = 0, 0
        for number in range(self._ids):
            open_ = Signal(range(slots + 1), name=f"open{number}")
            ready = Signal(range(slots + 1), name=f"due{number}")
            mine = port.bid == number
            m.d.sync += [
                open_.eq(open_ + (shown & (port.awid == number)) - (answered & mine & (open_ != 0))),
                ready.eq(ready + (due & (order.head == number)) - (answered & mine & (ready != 0))),
            ]
            unknown = unknown | (port.bvalid & mine & (open_ == 0))
            early = early | (port.bvalid & mine & (open_ != 0) & (ready == 0))
            waiting = waiting | (ready != 0)
        m.d.comb += [
            broken[Rule.B_ID].eq(unknown),
            broken[Rule.B_EARLY].eq(early),
            broken[Rule.OUTSTANDING].eq(self._too_many_reads | (total > depth)),
            broken[Rule.WRITE_TIMEOUT].eq(
                self._stuck(m, "aw", port.awvalid, port.awready)
                | self._stuck(m, "w", count != 0, (port.wvalid & port.wready) | accepted)
                | self._stuck(m, "b", waiting, answered)
                | self._stuck(m, "b_taken", port.bvalid, port.bready)
            ),
        ]


class AxiLiteChecker(wiring.Component):
    """The same for a port of AXI4-Lite: one transaction after the other, all of one full-width beat. Low
    address bits may be anything."""

    def __init__(self, *, outstanding: int = 4, timeout: int = 1000):
        self._outstanding, self._timeout = outstanding, timeout
        super().__init__({"port": In(_observed(AxiLite())), "violation": Out(1), "code": Out(Rule)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.checker = checker = Axi4Checker(0, outstanding=self._outstanding, timeout=self._timeout)
        full, port = checker.port, self.port
        for name in AxiLite().members:
            m.d.comb += getattr(full, name).eq(getattr(port, name))
        for channel in ("aw", "ar"):
            address = getattr(port, f"{channel}addr")
            m.d.comb += [
                getattr(full, f"{channel}addr").eq(address & ~7),
                # They must be stable too, and this field is free.
                getattr(full, f"{channel}cache").eq(address[:3]),
                getattr(full, f"{channel}size").eq(3),
                getattr(full, f"{channel}burst").eq(Burst.INCR),
            ]
        m.d.comb += [
            full.wlast.eq(1),
            full.rlast.eq(1),
            self.violation.eq(checker.violation),
            self.code.eq(checker.code),
        ]
        return m
