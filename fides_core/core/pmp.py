"""Physical memory protection (privileged ISA 1.12, section 3.7): TOR, NA4 and NAPOT, locked entries, 4-byte
grain."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AddressMatch", "PMPSettings", "PMPEntry", "PMPChecker", "PMPPairChecker", "napot_ignored"]


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
    0). ``ignored``, which must be ``napot_ignored(address)``, are the address bits [31:3] that NAPOT does not
    compare; a register of its own spares both checkers finding them."""

    r: 1
    w: 1
    x: 1
    a: AddressMatch
    locked: 1
    address: 30
    ignored: 29


def napot_ignored(address):
    """The bits [31:3] of addresses that NAPOT does not compare (29 bits), of address bits [31:2] (30 bits):
    the trailing ones and the zero above them."""
    return (address ^ (address + 1))[1:30]


def _every(bits):
    """Whether all ``bits`` are set, on a carry chain: in LUTs, synthesis mixes this with what the bits are
    made of, and takes more of them."""
    return (bits + 1)[len(bits)]


class _Bound:
    """Comparisons of words with one entry's address: ``word`` is the number of a word (address bits [31:2])
    or, without the lowest bit, of an aligned pair. ``below``: the word, or the last one of the pair, is below
    the address; ``equal``: the address lies in the word's pair; ``napot``: the pair is in the entry's NAPOT
    region, none of which is smaller than a pair; ``partial``: only the first word of the pair is below."""

    def __init__(self, m, word, entry, index: int):
        address = entry.address[30 - len(word) :]
        pair, upper = word[-29:], entry.address[1:]
        self.below = Signal(name=f"below{index}")
        self.equal = Signal(name=f"equal{index}")
        self.napot = Signal(name=f"napot{index}")
        self.partial = Signal(name=f"partial{index}")
        # Three bits at a time, one LUT says that they are less, another one that they are equal, and a carry
        # chain goes on from there. The lowest group is that of the two lowest bits of pairs.
        tops = range(len(word) - 27, len(word) + 1, 3)
        less, same = Signal(10, name=f"less{index}"), Signal(10, name=f"same{index}")
        for group, top in enumerate(tops):
            low = max(top - 3, 0)
            m.d.comb += [
                less[group].eq(word[low:top] < address[low:top]),
                same[group].eq(word[low:top] == address[low:top]),
            ]
        same_pair = pair[:2] == upper[:2]
        different = Signal(29, name=f"different{index}")
        m.d.comb += [
            self.below.eq((less + (less | same))[10]),
            self.equal.eq(_every(Cat(same_pair, same[1:]))),
            different.eq((pair ^ upper) & ~entry.ignored),
            self.napot.eq(_every(Cat(~different[low : low + 2].any() for low in range(0, 29, 2)))),
            self.partial.eq(self.equal & entry.address[0]),
        ]


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
        # Whether the first word of the access, and its last one, are below the entry before, which is where
        # a TOR region begins.
        first_before = last_before = Const(0, 1)
        for i in range(self._count):
            entry = self.entries[i]
            bound = _Bound(m, self.address[2:], entry, i)
            first_below = bound.below
            last_below = Signal(name=f"last_below{i}")
            m.d.comb += last_below.eq(first_below & ~(self.doubleword & bound.partial))
            tor = entry.a == AddressMatch.TOR
            in_tor = Signal(name=f"in_tor{i}")
            in_power = Signal(name=f"in_power{i}")  # of two
            split = Signal(name=f"split{i}")
            m.d.comb += [
                in_tor.eq(tor & ((first_below & ~first_before) | (last_below & ~last_before))),
                in_power.eq(
                    Mux(
                        entry.a[0],
                        bound.napot,
                        bound.equal & (self.doubleword | (odd == entry.address[0])),
                    )
                ),
                split.eq(
                    (tor & ~(last_below & ~first_before)) | ((entry.a == AddressMatch.NA4) & self.doubleword)
                ),
            ]
            first_before, last_before = first_below, last_below
            any_byte = in_tor | (entry.a[1] & in_power)
            allowed = ((entry.r | ~self.read) & (entry.w | ~self.write) & (entry.x | ~self.execute)) | ~(
                self.user | entry.locked
            )
            fault = Signal(name=f"fault{i}")
            m.d.comb += fault.eq(split | ~allowed)
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
        even_before = odd_before = Const(0, 1)  # below the entry before
        for i in range(self._count):
            entry = self.entries[i]
            bound = _Bound(m, self.address[3:], entry, i)
            even_below = bound.below | bound.partial
            inside = Signal(2, name=f"inside{i}")
            with m.Switch(entry.a):
                with m.Case(AddressMatch.TOR):
                    m.d.comb += inside.eq(Cat(even_below & ~even_before, bound.below & ~odd_before))
                with m.Case(AddressMatch.NA4):
                    m.d.comb += inside.eq(
                        Cat(bound.equal & ~entry.address[0], bound.equal & entry.address[0])
                    )
                with m.Case(AddressMatch.NAPOT):
                    m.d.comb += inside.eq(bound.napot.replicate(2))
            even_before, odd_before = even_below, bound.below
            refused = Signal(name=f"refused{i}")
            m.d.comb += refused.eq(~entry.x & (self.user | entry.locked))
            matches.append((inside, refused))

        for word in range(2):
            verdict = self.user if self._count else 0
            for inside, refused in reversed(matches):
                verdict = Mux(inside[word], refused, verdict)
            m.d.comb += self.fault[word].eq(verdict)
        return m
