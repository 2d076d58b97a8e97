"""Fetch alone: what it delivers from an address is what memory holds there."""

from amaranth.hdl import Mux, Signal

from fides_core.config import preset
from fides_core.core.fetch import FetchStage

from .harness import FormalTop

__all__ = ["FetchMatchTop"]


class FetchMatchTop(FormalTop):
    """For one address (any, of a halfword) and the two halfwords there (any): an instruction that decode gets
    from that address, without a fault, has these bits, and ``d_link`` is behind it.

    The bus answers in order, one request at a time, with these halfwords where a group contains them and
    anything elsewhere. Redirects, protection and privilege are free in every cycle.
    """

    def __init__(self, name: str):
        super().__init__()
        self._config = preset(name).core

    def properties(self):
        m = self.m
        m.submodules.fetch = fetch = FetchStage(self._config)
        bus = fetch.bus
        for name in ("redirect", "redirect_target", "machine", "d_ready", "m_taken", "m_wrong"):
            m.d.comb += getattr(fetch, name).eq(self.free(len(getattr(fetch, name)), name))
        m.d.comb += [
            fetch.pmp.as_value().eq(self.free(len(fetch.pmp.as_value()), "pmp")),
            bus.gnt.eq(self.free(1, "gnt")),
            bus.rvalid.eq(self.free(1, "rvalid")),
            bus.rdata.eq(self.free(64, "rdata")),
            bus.err.eq(self.free(1, "err")),
        ]
        for name in fetch.resolution.signature.members:
            signal = getattr(fetch.resolution, name)
            width = len(signal) if isinstance(signal, Signal) else len(signal.as_value())
            target = signal if isinstance(signal, Signal) else signal.as_value()
            if width:
                m.d.comb += target.eq(self.free(width, f"resolution_{name}"))

        watched = self.rigid(31, "watched")  # address of a halfword
        halves = [self.rigid(16, f"half{i}") for i in range(2)]

        def agrees(group, words):
            """``words``, 64 bits, are what memory holds at ``group``, as far as it is watched."""
            result = 1
            for i, half in enumerate(halves):
                where = Signal(31, name=f"where{i}")
                m.d.comb += where.eq(watched + i)
                result &= (group != where[2:]) | (words.word_select(where[:2], 16) == half)
            return result

        # The bus.
        asked = Signal(29)
        due = Signal()
        granted = bus.req & bus.gnt
        m.d.sync += due.eq(granted | (due & ~bus.rvalid))
        with m.If(granted):
            m.d.sync += asked.eq(bus.addr[3:])
        self.assume(due | ~bus.rvalid)
        self.assume(~bus.rvalid | agrees(asked, bus.rdata))
        self.always(~bus.req | ~due | bus.rvalid, "one_request_at_a_time")

        here = fetch.d_valid & ~fetch.d_fault & (fetch.d_pc[1:] == watched)
        full = halves[0][:2] == 3
        self.always(~here | (fetch.d_insn[:16] == halves[0]), "lower_half")
        self.always(~here | ~full | (fetch.d_insn[16:] == halves[1]), "upper_half")
        self.always(~here | (fetch.d_link[1:] == (watched + Mux(full, 2, 1))[:31]), "link")
        self.always(~fetch.d_pc[0] & ~fetch.d_link[0], "even")
        if self._config.predictor is None:
            self._invariant(m, agrees, asked, due, watched, halves[0])

    def _invariant(self, m, agrees, asked, due, watched, half):
        """Which groups the stage holds and asks for, which makes the claims inductive."""
        level = self.probe(2, "fetch.level")
        a_pc = self.probe(31, "fetch.a_pc")
        r_pc = self.probe(31, "fetch.r_pc")
        pending = self.probe(31, "fetch.pending")
        outstanding = self.probe(1, "fetch.outstanding")
        discard = self.probe(1, "fetch.discard")
        retry = self.probe(1, "fetch.retry")
        stashed = self.probe(1, "fetch.stashed")
        stashed_half = self.probe(16, "fetch.stashed_half")
        first = self.probe(64, "fetch.first.words")
        second = self.probe(64, "fetch.second.words")
        coming = outstanding & ~discard
        group = Signal(29)
        behind = Signal(29)
        m.d.comb += [group.eq(a_pc[2:] + stashed), behind.eq(group + level)]
        self.helper(outstanding == due, "due")
        self.helper(~outstanding | (asked == r_pc[2:]), "asked")
        self.helper(~discard | outstanding, "discard")
        self.helper(level != 3, "room")
        self.helper(~stashed | ((a_pc[:2] == 3) & (stashed_half[:2] == 3)), "stashed")
        self.helper(~stashed | (a_pc != watched) | (stashed_half == half), "stashed_half")
        self.helper(~retry | (~outstanding & (level == 2) & (r_pc[2:] == behind)), "retry")
        self.helper(~coming | (r_pc[2:] == behind), "coming")
        self.helper(coming | retry | (pending[2:] == behind), "pending")
        self.helper((level == 0) | agrees(group, first), "first")
        self.helper(~level[1] | agrees((group + 1)[:29], second), "second")
