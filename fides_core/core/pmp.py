"""Physical memory protection (privileged ISA 1.12, section 3.7): TOR, NA4 and NAPOT, locked entries, 4-byte
grain."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

__all__ = [
    "AddressMatch", "PMPSettings", "PMPEntry", "PMPChecker", "PMPPairChecker", "by_lane", "napot_ignored",
]  # fmt: skip


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


#: Address bits [31:2] with those of the same remainder by 3 together: bit i of a word number is bit i // 3
#: of lane i % 3. Three bits next to each other, which one LUT compares, are so at the same place of three
#: vectors, and simulators compare all groups at once.
Lanes = data.ArrayLayout(10, 3)


class PMPEntry(data.Struct):
    """One entry; ``address`` holds address bits [31:2] (pmpaddr[29:0]; the bits above are hard-wired to
    0) by lane. ``ignored``, which must be ``by_lane(napot_ignored(...))`` of the address, are those that
    NAPOT does not compare; a register of its own spares both checkers finding them."""

    r: 1
    w: 1
    x: 1
    a: AddressMatch
    locked: 1
    address: Lanes
    ignored: Lanes


def by_lane(word):
    """A word number (30 bits) as ``Lanes``, or its low bits only when it has fewer."""
    return Cat(word[lane::3] for lane in range(3))


def napot_ignored(address):
    """The address bits [31:2] that NAPOT does not compare: of ``address``, pmpaddr[29:0], the trailing ones
    and the zero above them. 30 bits, the lowest of which is always set."""
    return (address ^ (address + 1))[:30]


def _every(bits):
    """Whether all ``bits`` are set, on a carry chain: in LUTs, synthesis mixes this with what the bits are
    made of, and takes more of them."""
    return (bits + 1)[len(bits)]


class _Bound:
    """Comparisons of words with one entry's address: ``word`` is by lane the number of a word (address bits
    [31:2]) or, with the lowest bit set, of an aligned pair. ``below``: the word, or the last one of the pair,
    is below the address; ``equal``: the address lies in the word's pair; ``napot``: the pair is in the
    entry's NAPOT region, none of which is smaller than a pair; ``partial``: only the first word of the pair
    is below."""

    def __init__(self, m, word, entry, index: int):
        self.below = Signal(name=f"below{index}")
        self.equal = Signal(name=f"equal{index}")
        self.napot = Signal(name=f"napot{index}")
        self.partial = Signal(name=f"partial{index}")
        # Three bits at a time, one LUT says that they are less, another one that they are equal, and a carry
        # chain goes on from there.
        less, same = Signal(10, name=f"less{index}"), Signal(10, name=f"same{index}")
        different = [Signal(10, name=f"different{index}_{lane}") for lane in range(3)]
        lower = Const(0, 10)
        for lane in range(3):
            above = ~word[lane] & entry.address[lane]
            lower = above | (~different[lane] & lower)
            m.d.comb += different[lane].eq(word[lane] ^ entry.address[lane])
        same_pair = ~(different[1][0] | different[2][0])
        compared = [bits & ~ignored for bits, ignored in zip(different, entry.ignored, strict=True)]
        m.d.comb += [
            less.eq(lower),
            same.eq(~(different[0] | different[1] | different[2])),
            self.below.eq((less + (less | same))[10]),
            self.equal.eq(_every(Cat(same_pair, same[1:]))),
            self.napot.eq(_every(~Cat(compared[0] | compared[1], compared[2][:5] | compared[2][5:]))),
            self.partial.eq(self.equal & entry.address[0][0]),
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
        word = Signal(Lanes)
        m.d.comb += word.eq(by_lane(self.address[2:]))
        matches = []
        # Whether the first word of the access, and its last one, are below the entry before, which is where
        # a TOR region begins.
        first_before = last_before = Const(0, 1)
        for i in range(self._count):
            entry = self.entries[i]
            bound = _Bound(m, word, entry, i)
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
                        bound.equal & (self.doubleword | (odd == entry.address[0][0])),
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
        last = Signal(Lanes)  # the last word of the pair
        m.d.comb += last.eq(by_lane(Cat(1, self.address[3:])))
        matches = []
        even_before = odd_before = Const(0, 1)  # below the entry before
        for i in range(self._count):
            entry = self.entries[i]
            bound = _Bound(m, last, entry, i)
            even_below = bound.below | bound.partial
            inside = Signal(2, name=f"inside{i}")
            with m.Switch(entry.a):
                with m.Case(AddressMatch.TOR):
                    m.d.comb += inside.eq(Cat(even_below & ~even_before, bound.below & ~odd_before))
                with m.Case(AddressMatch.NA4):
                    m.d.comb += inside.eq(
                        Cat(bound.equal & ~entry.address[0][0], bound.equal & entry.address[0][0])
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
