"""Physical memory protection (privileged ISA 1.12, section 3.7): TOR, NA4 and NAPOT, locked entries, 4-byte
grain."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AddressMatch", "PMPSettings", "PMPEntry", "PMPChecker", "PMPPairChecker"]


class AddressMatch(enum.IntEnum, shape=2):
    """pmpcfg.A."""

    OFF = 0
    TOR = 1
    NA4 = 2
    NAPOT = 3


class PMPSettings(data.Struct):
    """What pmpcfg says of an entry."""

    r: 1
    w: 1
    x: 1
    a: AddressMatch
    locked: 1


class PMPEntry(data.Struct):
    """One entry; ``address`` holds address bits [31:2] (pmpaddr[29:0]; the bits above are hard-wired to
    0)."""

    r: 1
    w: 1
    x: 1
    a: AddressMatch
    locked: 1
    address: 30


class _Bound:
    """Comparisons of the aligned pair of words with number ``pair`` (address bits [31:3]) with one entry's
    address, which serve both words: ``even_below`` and ``odd_below``: that word is below the address;
    ``equal``: the address lies in the pair; ``napot``: the pair is in the entry's NAPOT region, none of which
    is smaller than a pair."""

    def __init__(self, m, pair, entry, index: int):
        upper, lowest = entry.address[1:], entry.address[0]
        self.even_below = Signal(name=f"even_below{index}")
        self.odd_below = Signal(name=f"odd_below{index}")
        self.equal = Signal(name=f"equal{index}")
        self.napot = Signal(name=f"napot{index}")
        # NAPOT: the trailing ones and the zero above them are not compared.
        ignored = Signal(30, name=f"ignored{index}")
        m.d.comb += [
            # The odd word is the last one of its pair, so it is below a bound only if the whole pair is.
            self.odd_below.eq(pair < upper),
            self.equal.eq(pair == upper),
            self.even_below.eq(self.odd_below | (self.equal & lowest)),
            ignored.eq(entry.address ^ (entry.address + 1)),
            self.napot.eq(((pair ^ upper) & ~ignored[1:]) == 0),
        ]


def _bounds(m, entries, address, count: int):
    """For each entry: the entry, its own comparisons, and whether even and odd word are below the entry
    before it, which is where a TOR region begins."""
    even_before = odd_before = Const(0, 1)
    for index in range(count):
        bound = _Bound(m, address[3:], entries[index], index)
        yield index, entries[index], bound, even_before, odd_before
        even_before, odd_before = bound.even_below, bound.odd_below


class PMPChecker(wiring.Component):
    """Judges one access: ``fault`` is combinational. ``doubleword``: the access is 8 bytes long (and aligned
    to 8), any other access lies within 4 bytes. ``user``: made with U-mode rights."""

    def __init__(self, entries: int):
        super().__init__(
            {
                "entries": In(data.ArrayLayout(PMPEntry, entries)),
                "address": In(32),
                "doubleword": In(1),
                "read": In(1),
                "write": In(1),
                "execute": In(1),
                "user": In(1),
                "fault": Out(1),
            }
        )
        self._count = entries

    def elaborate(self, platform):
        m = Module()
        odd = self.address[2]
        matches = []
        for i, entry, bound, even_before, odd_before in _bounds(m, self.entries, self.address, self._count):
            # The first word of the access, and the second one of a doubleword.
            first_inside = Mux(
                odd, bound.odd_below & ~odd_before, bound.even_below & ~even_before
            )
            second_inside = bound.odd_below & ~odd_before
            any_byte = Signal(name=f"any_byte{i}")
            all_bytes = Signal(name=f"all_bytes{i}")
            with m.Switch(entry.a):
                with m.Case(AddressMatch.TOR):
                    m.d.comb += [
                        any_byte.eq(first_inside | (self.doubleword & second_inside)),
                        all_bytes.eq(~self.doubleword | (first_inside & second_inside)),
                    ]
                with m.Case(AddressMatch.NA4):
                    m.d.comb += [
                        any_byte.eq(bound.equal & (self.doubleword | (odd == entry.address[0]))),
                        all_bytes.eq(~self.doubleword),
                    ]
                with m.Case(AddressMatch.NAPOT):
                    m.d.comb += [any_byte.eq(bound.napot), all_bytes.eq(1)]
            allowed = ((entry.r | ~self.read) & (entry.w | ~self.write) & (entry.x | ~self.execute)) | ~(
                self.user | entry.locked
            )
            fault = Signal(name=f"fault{i}")
            m.d.comb += fault.eq(~all_bytes | ~allowed)
            matches.append((any_byte, fault))

        verdict = self.user if self._count else 0
        for any_byte, fault in reversed(matches):
            verdict = Mux(any_byte, fault, verdict)
        m.d.comb += self.fault.eq(verdict)
        return m


class PMPPairChecker(wiring.Component):
    """Judges instruction fetch, combinational: ``fault[0]`` is the verdict on the word at ``address`` (a
    multiple of 8), ``fault[1]`` that on the next word. ``user``: fetched in U-mode."""

    def __init__(self, entries: int):
        super().__init__(
            {
                "entries": In(data.ArrayLayout(PMPEntry, entries)),
                "address": In(32),
                "user": In(1),
                "fault": Out(2),
            }
        )
        self._count = entries

    def elaborate(self, platform):
        m = Module()
        matches = []
        for i, entry, bound, even_before, odd_before in _bounds(m, self.entries, self.address, self._count):
            inside = Signal(2, name=f"inside{i}")
            with m.Switch(entry.a):
                with m.Case(AddressMatch.TOR):
                    m.d.comb += inside.eq(
                        Cat(bound.even_below & ~even_before, bound.odd_below & ~odd_before)
                    )
                with m.Case(AddressMatch.NA4):
                    m.d.comb += inside.eq(
                        Cat(bound.equal & ~entry.address[0], bound.equal & entry.address[0])
                    )
                with m.Case(AddressMatch.NAPOT):
                    m.d.comb += inside.eq(bound.napot.replicate(2))
            refused = Signal(name=f"refused{i}")
            m.d.comb += refused.eq(~entry.x & (self.user | entry.locked))
            matches.append((inside, refused))

        for word in range(2):
            verdict = self.user if self._count else 0
            for inside, refused in reversed(matches):
                verdict = Mux(inside[word], refused, verdict)
            m.d.comb += self.fault[word].eq(verdict)
        return m
