"""Fetch: asks for groups of 8 bytes along the predicted path, and cuts instructions out of them.

The program counter is 32 bits wide. A jump to an address of 2^32 or more is remembered in ``pc_high`` and
ends in an instruction access fault of the instruction there, with its full 64-bit address.

Two cycles: in the first a group is asked for, in the second it arrives, its prediction says what to ask for
next, and an instruction is cut out. ``d_pc`` is always the address of the next instruction of decode, also
while there is none: execute relies on it to find wrong predictions.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import CoreConfig
from .bus import InstructionBus
from .pmp import PMPEntry, PMPPairChecker
from .predictor import Predictor, Resolution, snapshot_layout

__all__ = ["FetchStage"]


_group_layout = data.StructLayout(
    {"words": 64, "fault": 2, "hit": 2, "odd": 2, "taken": 2, "target": 31, "counter": 4},
)
"""A fetched group. ``fault``: an access fault for each word; ``hit``, ``taken``, ``target`` and the rest:
its prediction (see ``predictor.py``)."""


class FetchStage(wiring.Component):
    """Fetch stage.

    ``redirect``/``redirect_target`` (64 bits, bytes): fetch goes on there, in the same cycle; what was
    fetched or asked for before is dropped. ``d_*``: the instruction that decode sees in this cycle; it is
    consumed in a cycle with ``d_valid`` and ``d_ready``. ``d_insn``: 32 bits, of which a compressed
    instruction is the lower 16. ``d_link``: address behind it. ``d_fault``: an access to it faults, and if
    ``d_fault_second``, only one to its second half, at ``d_link``, does. ``machine`` and ``pmp`` hold for
    what is fetched; when they change, fetch must be redirected afterwards. ``resolution``, ``m_taken``,
    ``m_wrong``: see ``predictor.py``. ``cut_pc``: address of the instruction that is to be cut out next;
    ``cut``: it moves on to decode, unless there is a redirect.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "bus": Out(InstructionBus),
                "redirect": In(1),
                "redirect_target": In(64),
                "resolution": In(Resolution(config.predictor)),
                "m_taken": In(1),
                "m_wrong": In(1),
                "machine": In(1),
                "pmp": In(data.ArrayLayout(PMPEntry, config.pmp_entries)),
                "d_valid": Out(1),
                "d_ready": In(1),
                "d_insn": Out(32),
                "d_pc": Out(32),
                "d_pc_high": Out(32),
                "d_link": Out(32),
                "d_fault": Out(1),
                "d_fault_second": Out(1),
                "d_snapshot": Out(snapshot_layout(config.predictor)),
                "cut_pc": Out(32),
                "cut": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        bus = self.bus
        predicting = config.predictor is not None

        # What was asked for and has not arrived: one group at a time.
        outstanding = Signal()
        discard = Signal()  # it belongs to a path that was left
        suppress = Signal()  # its prediction is known to be wrong
        again = Signal()  # what is asked for next has been fetched before, and its prediction was wrong
        r_pc = Signal(31, reset_less=True)  # bits [31:1]
        # Where to ask next when nothing is outstanding.
        pending = Signal(31, init=self._config.reset_vector >> 1)
        pc_high = Signal(32)

        m.submodules.pmp = pmp = PMPPairChecker(config.pmp_entries)
        response = Signal(_group_layout)
        arrived = Signal()
        m.d.comb += [
            pmp.entries.eq(self.pmp),
            pmp.address.eq(Cat(Const(0, 3), r_pc[2:])),
            pmp.user.eq(~self.machine),
            arrived.eq(bus.rvalid & ~discard),
            response.words.eq(bus.rdata),
            response.fault.eq(pmp.fault | bus.err.replicate(2)),
        ]

        # Two buffered groups in front of the response. While there is one, the next is asked for in the hope
        # that one leaves until it comes; else it is dropped and asked for again.
        overflow = Signal()
        retry = Signal()  # in the cycle after that
        first = Signal(_group_layout, reset_less=True)
        second = Signal(_group_layout, reset_less=True)
        level = Signal(2)

        # The next request. Only registered state decides about it, but for a redirect, which empties the
        # buffer, and the arrival of the last one.
        redo = Signal()  # the instruction contradicts the prediction of its group: fetch it again
        a_pc = Signal(31, init=self._config.reset_vector >> 1)
        following = Signal(31)
        f_pc = Signal(31)
        free = Signal()
        granted = Signal()
        m.d.comb += [
            following.eq(
                Mux(
                    (outstanding & ~discard) | retry,
                    Cat(r_pc[:2] & retry.replicate(2), r_pc[2:] + (~retry)),
                    pending,
                )
            ),
            f_pc.eq(following),
            free.eq(~outstanding | bus.rvalid),
            bus.req.eq(free & (self.redirect | ~level[1])),
            bus.addr.eq(Cat(Const(0, 3), f_pc[2:])),
            granted.eq(bus.req & bus.gnt),
        ]
        if predicting:
            m.submodules.predictor = predictor = Predictor(config.predictor)
            guess = predictor.group
            m.d.comb += [
                predictor.f_pc.eq(f_pc),
                predictor.f_enable.eq(free),
                predictor.use.eq(arrived & ~suppress),
                predictor.drop.eq(overflow),
                predictor.m_taken.eq(self.m_taken),
                predictor.m_wrong.eq(self.m_wrong),
                predictor.redirect.eq(self.redirect),
                response.hit.eq(guess.hit),
                response.odd.eq(guess.odd),
                response.taken.eq(guess.taken & (~suppress).replicate(2)),
                response.target.eq(guess.target),
                response.counter.eq(guess.counter),
            ]
            for name in self.resolution.signature.members:
                m.d.comb += getattr(predictor.x, name).eq(getattr(self.resolution, name))
            with m.If(outstanding & ~discard & (response.taken != 0)):
                m.d.comb += f_pc.eq(guess.target)
        with m.If(self.redirect):
            m.d.comb += f_pc.eq(self.redirect_target[1:32])

        m.d.sync += [
            outstanding.eq(granted | (outstanding & ~bus.rvalid)),
            discard.eq((outstanding & ~bus.rvalid & (discard | self.redirect | redo)) | (granted & redo)),
        ]
        with m.If(granted):
            m.d.sync += [r_pc.eq(f_pc), suppress.eq(again), again.eq(0)]
        # While something is outstanding the address behind it is not known yet.
        with m.If(self.redirect | free):
            m.d.sync += pending.eq(f_pc)
        with m.If(self.redirect):
            m.d.sync += pc_high.eq(self.redirect_target[32:])

        # Cut the instruction at a_pc out of the oldest group. What it has of an instruction that goes on in
        # the next one is stashed as soon as possible, so that the group can go.
        head = Signal(_group_layout)
        head_valid = Signal()
        stash = Signal()
        stashed = Signal()
        stashed_half = Signal(16, reset_less=True)
        m.d.comb += [
            head.eq(Mux(level != 0, first, response)),
            head_valid.eq((level != 0) | arrived),
        ]
        at = a_pc[:2]
        low = Signal(16)
        high = Signal(16)
        low_fault = Signal()
        high_fault = Signal()
        m.d.comb += [
            low.eq(head.words.word_select(at, 16)),
            low_fault.eq(head.fault.bit_select(at[1], 1)),
        ]
        with m.Switch(at):
            for position in range(3):
                with m.Case(position):
                    m.d.comb += [
                        high.eq(head.words.word_select(position + 1, 16)),
                        high_fault.eq(head.fault[(position + 1) >> 1]),
                    ]
            with m.Default():  # stashed
                m.d.comb += [high.eq(head.words[:16]), high_fault.eq(head.fault[0])]
        with m.If(stashed):
            m.d.comb += [low.eq(stashed_half), low_fault.eq(0)]
        full = Signal()  # the instruction has 32 bits
        wide = Signal()  # and all of it may be had
        crosses = Signal()  # its second half is not in this group
        last = Signal(2)  # its last halfword in this group
        m.d.comb += [
            full.eq((low[:2] == 3) & ~low_fault),
            crosses.eq(full & (at == 3) & ~stashed),
            wide.eq(full & ~high_fault),
            last.eq(Mux(stashed, 0, at + wide)),
        ]
        # How long the instruction is comes late: it chooses between two groups instead of adding.
        link = Signal(31)
        link_at = Signal(3)
        m.d.comb += [
            link_at.eq(at + Cat(~wide, wide)),
            link.eq(Cat(link_at[:2], Mux(link_at[2], a_pc[2:] + 1, a_pc[2:]))),
        ]

        # Where it ends, and what its prediction is.
        leaves = Signal()  # the predicted path leaves the group behind this instruction
        snapshot = Signal(snapshot_layout(config.predictor))
        if predicting:
            at_end = Signal()  # what is expected to end in this half of the group ends with this instruction
            at_start = Signal()  # or where it starts, though it goes on
            m.d.comb += [
                at_end.eq((head.odd.bit_select(last[1], 1) == last[0]) & ~crosses),
                at_start.eq(full & ~stashed & (head.odd.bit_select(at[1], 1) == at[0])),
                # What is taken is a hit, too.
                redo.eq(head_valid & at_start & head.taken.bit_select(at[1], 1) & ~self.redirect),
                leaves.eq(at_end & head.taken.bit_select(last[1], 1)),
                snapshot.hit.eq(at_end & head.hit.bit_select(last[1], 1)),
                snapshot.stale.eq(at_start & head.hit.bit_select(at[1], 1)),
                snapshot.counter.eq(head.counter.word_select(last[1], 2)),
                snapshot.second.eq(last[1] & head.hit[0]),
            ]

        delivered = Signal()
        pops = Signal()
        begins = Signal()  # another one begins with the last halfword of the group
        m.d.comb += [
            delivered.eq(head_valid & ~crosses & ~redo & (~self.d_valid | self.d_ready)),
            begins.eq((head.words[48:50] == 3) & ~head.fault[1] & ~(head.taken[1] & head.odd[1])),
            stash.eq(begins & ((head_valid & crosses) | (delivered & ~leaves & (last == 2)))),
            pops.eq((delivered & (leaves | (last == 3))) | stash),
        ]
        with m.If(self.redirect):
            m.d.sync += a_pc.eq(self.redirect_target[1:32])
        with m.Elif(delivered):
            m.d.sync += a_pc.eq(Mux(leaves, head.target, link))
        m.d.sync += retry.eq(overflow & ~self.redirect & ~redo)
        with m.If(overflow & ~self.redirect):
            m.d.sync += again.eq(suppress)
        with m.If(redo):
            m.d.sync += [pending.eq(a_pc), again.eq(1)]
        with m.If(self.redirect):
            m.d.sync += stashed.eq(0)
        with m.Elif(stash | delivered):
            m.d.sync += stashed.eq(stash)
        with m.If(stash):
            m.d.sync += stashed_half.eq(head.words[48:])

        # The buffer after this cycle: what remains of first, second and the response, moved up.
        remaining = Signal(2)
        m.d.comb += [
            overflow.eq(arrived & level[1] & ~pops),
            remaining.eq(level + (arrived & ~overflow) - pops),
        ]
        with m.If(self.redirect | redo):
            m.d.sync += level.eq(0)
        with m.Else():
            m.d.sync += level.eq(remaining)
        with m.If(pops | (level == 0)):
            m.d.sync += first.eq(Mux(level[1], second, response))
        with m.If(~level[1] | pops):
            m.d.sync += second.eq(response)

        # Decode's registers.
        with m.If(~self.d_valid | self.d_ready):
            m.d.sync += [
                self.d_valid.eq(delivered),
                self.d_insn.eq(Cat(low, high)),
                self.d_pc.eq(Cat(Const(0, 1), a_pc)),
                self.d_link.eq(Cat(Const(0, 1), link)),
                self.d_fault.eq(low_fault | ((low[:2] == 3) & high_fault)),
                self.d_fault_second.eq(~low_fault),
                self.d_snapshot.eq(snapshot),
            ]
        with m.If(self.redirect):
            m.d.sync += self.d_valid.eq(0)
        m.d.comb += [
            self.d_pc_high.eq(pc_high),
            self.cut_pc.eq(Cat(Const(0, 1), a_pc)),
            self.cut.eq(delivered),
        ]
        return m
