"""Physical memory protection (privileged ISA 1.12, section 3.7): TOR, NA4 and NAPOT, locked entries, 4-byte
grain."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AddressMatch", "PMPEntry", "PMPChecker"]


class AddressMatch(enum.IntEnum, shape=2):
    """pmpcfg.A."""

    OFF = 0
    TOR = 1
    NA4 = 2
    NAPOT = 3


class PMPEntry(data.Struct):
    """One entry; ``address`` holds address bits [31:2] (pmpaddr[29:0]; the bits above are hard-wired to
    0)."""

    r: 1
    w: 1
    x: 1
    a: AddressMatch
    locked: 1
    address: 30


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
        word = self.address[2:]
        upper = self.address[3:]

        # Are the first and the second word of the access below the previous entry's address?
        first_below_previous = second_below_previous = 0
        matches = []
        for i in range(self._count):
            entry = self.entries[i]
            # A doubleword starts at an even word, so its second word is below a bound only if the upper bits
            # are.
            below_upper = Signal(name=f"below_upper{i}")
            equal_upper = Signal(name=f"equal_upper{i}")
            first_below = Signal(name=f"first_below{i}")
            m.d.comb += [
                below_upper.eq(upper < entry.address[1:]),
                equal_upper.eq(upper == entry.address[1:]),
                first_below.eq(below_upper | (equal_upper & ~word[0] & entry.address[0])),
            ]
            first_inside = first_below & ~first_below_previous
            second_inside = below_upper & ~second_below_previous
            # NAPOT: the trailing ones and the zero above them are not compared.
            ignored = Signal(30, name=f"ignored{i}")
            napot = Signal(name=f"napot{i}")
            m.d.comb += [
                ignored.eq(entry.address ^ (entry.address + 1)),
                napot.eq(((word ^ entry.address) & ~ignored) == 0),
            ]
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
                        any_byte.eq(equal_upper & (self.doubleword | (word[0] == entry.address[0]))),
                        all_bytes.eq(~self.doubleword),
                    ]
                with m.Case(AddressMatch.NAPOT):
                    m.d.comb += [any_byte.eq(napot), all_bytes.eq(1)]
            allowed = ((entry.r | ~self.read) & (entry.w | ~self.write) & (entry.x | ~self.execute)) | ~(
                self.user | entry.locked
            )
            fault = Signal(name=f"fault{i}")
            m.d.comb += fault.eq(~all_bytes | ~allowed)
            matches.append((any_byte, fault))
            first_below_previous, second_below_previous = first_below, below_upper

        verdict = self.user if self._count else 0
        for any_byte, fault in reversed(matches):
            verdict = Mux(any_byte, fault, verdict)
        m.d.comb += self.fault.eq(verdict)
        return m


class PMPPairChecker(wiring.Component):
    def __init__(self, entries):
        self._n = entries
        super().__init__({"entries": In(data.ArrayLayout(PMPEntry, entries)), "address": In(32), "user": In(1), "fault": Out(2)})

    def elaborate(self, platform):
        m = Module()
        for i in range(2):
            m.submodules[f"c{i}"] = c = PMPChecker(self._n)
            m.d.comb += [c.entries.eq(self.entries), c.address.eq(self.address | 4 * i), c.user.eq(self.user), c.execute.eq(1), self.fault[i].eq(c.fault)]
        return m
