"""The core with Xfides against the contract, sections 3 to 7: what may execute where, and how the contract's
state changes."""

from amaranth.hdl import Cat, Const, Mux, Signal

from fides_core.isa.causes import ControlFlowFault, ExceptionCause
from fides_core.isa.csrs import XfidesCSR
from fides_core.security.shadow_stack import Frame

from .security import COMPARTMENTS, ENTRIES, SecurityTop

__all__ = ["CompartmentsTop"]


class CompartmentsTop(SecurityTop):
    """In U-mode with CEN, what leaves execute without an exception is what sections 5 to 7 let pass, and what
    they do not let pass leaves with a control-flow exception and their reason. Context, ssdepth and fmark
    change, in any cycle of any mode, exactly as those sections and 9 say, with the instruction that does it.
    What is in the shadow stack is proved by ``shadow_stack``: here its top is what its memory holds.
    """

    def claim(self):
        m, x, i = self.m, self.x, self.is_
        pc, a, b = x.pc, x.rs1, x.rs2

        # The tables and the top of the stack.
        starts, ends, matrix = self.tables
        for memory in (starts, ends):
            m.d.comb += [memory.watch[0].addr.eq(self.cid), memory.watch[1].addr.eq(i.cid)]
        m.d.comb += matrix.watch[0].addr.eq(self.cid)
        top = Signal(Frame)
        for memory in self.entries:
            m.d.comb += memory.watch[0].addr.eq(self.depth - 1)
        ra, sp, rest = (memory.watch[0].data for memory in self.entries)
        m.d.comb += [top.ra.eq(ra), top.sp.eq(sp), Cat(top.context, top.kind, top.mark).eq(rest)]

        # Section 5. Bounds are multiples of 64 bytes.
        def inside(start, end):
            return (pc[6:] >= start) & ~(pc[6:] >= end)

        names = ("in_cur", "in_pad", "in_any", "in_par", "home")
        in_cur, in_pad, in_any, in_par, home = (Signal(name=name) for name in names)
        # What the table puts out is the current range or, in the second cycle of a crossing to another
        # compartment, that of the pad's: claimed below, as that the instruction in that cycle is the same.
        judging, foreign, at_home = (
            self.probe(1, f"core.security.capability_check.{name}")
            for name in ("judging", "foreign", "at_home")
        )
        into = Signal()
        shown = inside(starts.shown.data, ends.shown.data)
        m.d.comb += [
            into.eq(judging & foreign & ~i.local_pad),
            in_cur.eq(shown & ~into),
            in_pad.eq(shown & into),
            in_any.eq(inside(self.any_start, self.any_end)),
            in_par.eq(inside(self.par_start, self.any_start)),
            home.eq(in_any | (in_cur & ~self.restricted) | (in_par & self.restricted)),
        ]
        allowed = matrix.watch[0].data.bit_select(i.cid[:2], 1) & (i.cid < COMPARTMENTS)
        held = Signal(16)
        m.d.comb += held.eq(self.depth - self.base)
        # The monitor's duty; in U-mode nothing exceeds it.
        self.assume((self.past(self.running, "held") & self.user) | (held <= ENTRIES))
        self.always(held <= ENTRIES, "capacity")
        self.assume(self.past(self.running, "cid") | (self.cid < COMPARTMENTS))
        self.helper(self.cid < COMPARTMENTS, "implemented")
        self.assume(top.context.cid < COMPARTMENTS)
        empty = held == 0
        spilled = empty & (self.base != 0)
        full = (held == ENTRIES) | (self.depth == 0xFFFF)
        wide = (a[32:] != 0) | (b[32:] != 0)
        is_call = ~empty & ~top.kind
        tail, matching = Signal(), Signal()
        m.d.comb += [
            tail.eq(is_call & (a == top.ra) & (b == top.sp)),
            matching.eq(is_call & (Cat(Const(0, 1), a[1:]) == top.ra) & (b == top.sp)),
        ]

        # A handler pad pops in one cycle after another: the last entry it has popped.
        checked = Signal()
        m.d.comb += checked.eq(self.x_valid & ~self.early & self.user & self.checks_on & ~self.trap)
        pops = self.probe(1, "core.security.shadow_stack.pop")
        unwinds = Signal()
        m.d.comb += unwinds.eq(checked & i.handler_pad & pops)
        popping, last = Signal(), Signal(Frame)
        with m.If(self.fires):
            m.d.sync += popping.eq(0)
        with m.Elif(unwinds):
            m.d.sync += [popping.eq(1), last.eq(top)]
        found = Signal()
        m.d.comb += found.eq(popping & last.kind & (last.ra == pc) & (last.sp == b))

        reason, crossing, pushes = Signal(3), Signal(), Signal()
        new_cid, new_restricted = Signal(8), Signal()
        with m.If(~home & ~i.handler_pad):
            with m.If(~i.entry_pad & ~i.local_pad):
                m.d.comb += reason.eq(ControlFlowFault.ILLEGAL_ENTRY)
            with m.Elif(in_cur):
                m.d.comb += [crossing.eq(1), new_cid.eq(self.cid)]
            with m.Elif(i.local_pad):
                m.d.comb += reason.eq(ControlFlowFault.ILLEGAL_ENTRY)
            with m.Elif(in_par):
                m.d.comb += [crossing.eq(1), new_cid.eq(self.cid), new_restricted.eq(1)]
            with m.Elif(self.restricted):
                m.d.comb += reason.eq(ControlFlowFault.RESTRICTED)
            with m.Elif(i.cid == self.cid):
                m.d.comb += reason.eq(ControlFlowFault.BAD_PAD)
            with m.Elif(~allowed):
                m.d.comb += reason.eq(ControlFlowFault.DENIED)
            with m.Else():
                m.d.comb += [crossing.eq(1), new_cid.eq(i.cid)]
            with m.If(crossing):
                m.d.comb += pushes.eq(~tail)
                with m.If(wide):
                    m.d.comb += reason.eq(ControlFlowFault.BAD_PAD)
                with m.Elif(spilled):
                    m.d.comb += reason.eq(ControlFlowFault.SHADOW_UNDERFLOW)
                with m.Elif(~tail & full):
                    m.d.comb += reason.eq(ControlFlowFault.SHADOW_OVERFLOW)
                with m.Elif(~in_cur & ~in_par & ~in_pad):
                    m.d.comb += reason.eq(ControlFlowFault.BAD_PAD)
        with m.Elif(i.is_return):
            with m.If(spilled):
                m.d.comb += reason.eq(ControlFlowFault.SHADOW_UNDERFLOW)
        with m.Elif(i.arm):
            m.d.comb += pushes.eq(1)
            with m.If(wide):
                m.d.comb += reason.eq(ControlFlowFault.BAD_UNWIND)
            with m.Elif(full):
                m.d.comb += reason.eq(ControlFlowFault.SHADOW_OVERFLOW)
        with m.Elif(i.disarm):
            with m.If(spilled):
                m.d.comb += reason.eq(ControlFlowFault.SHADOW_UNDERFLOW)
            with m.Elif(empty | ~top.kind):
                m.d.comb += reason.eq(ControlFlowFault.BAD_UNWIND)
        with m.Elif(i.handler_pad):
            with m.If(found):
                m.d.comb += reason.eq(Mux(home, 0, ControlFlowFault.BAD_UNWIND))
            with m.Elif(spilled):
                m.d.comb += reason.eq(ControlFlowFault.SHADOW_UNDERFLOW)
            with m.Else():
                m.d.comb += reason.eq(ControlFlowFault.BAD_UNWIND)

        # What may leave execute.
        began = self.past(self.running, "running")
        passes = checked & self.leaves
        for fault in ControlFlowFault:
            self.later(~passes | (reason != int(fault)), fault.name.lower())
        refused = checked & self.fires & ~self.interrupt
        control_flow = self.exception & (self.cause == int(ExceptionCause.CONTROL_FLOW))
        self.later(~refused | (control_flow == (reason != 0)), "refused")
        raised = self.past(Mux(refused, reason, 0), "raised")
        self.later(~began | (raised == 0) | (self.probe(3, "core.security.recorded") == raised), "reason")
        self.later(~(checked & i.handler_pad & found) | ~pops, "no_pop_behind_the_match")
        # A handler pad that has found nothing pops everything.
        self.later(~(refused & i.handler_pad & ~found) | empty, "pops_everything")

        # What it does.
        returns = passes & i.is_return & matching
        crosses = passes & crossing
        restores = returns | unwinds
        context = Signal(9)
        depth, mark = Signal(16), Signal(16)
        m.d.comb += [context.eq(Cat(self.cid, self.restricted)), depth.eq(self.depth), mark.eq(self.mark)]
        with m.If(restores):
            m.d.comb += [context.eq(top.context), mark.eq(top.mark)]
        with m.Elif(crosses):
            m.d.comb += context.eq(Cat(new_cid, new_restricted))
        with m.Elif(self.written(XfidesCSR.CURRCOM)):
            m.d.comb += context.eq(Cat(self.csr_data[:2], Const(0, 6), self.csr_data[8]))
        with m.If(passes & pushes):
            m.d.comb += depth.eq(self.depth + 1)
        with m.Elif(restores | (passes & i.disarm)):
            m.d.comb += depth.eq(self.depth - 1)
        with m.Elif(self.written(XfidesCSR.SSDEPTH)):
            m.d.comb += depth.eq(self.csr_data)
        mints = self.leaves & ~self.early & self.user & self.pointers_on & i.mint & (b[32:48] == 0)
        with m.If(~restores):
            with m.If(mints):
                m.d.comb += mark.eq(self.mark + 1)
            with m.Elif(self.written(XfidesCSR.FMARK)):
                with m.If(~self.user | (self.csr_data[:16] < self.mark)):
                    m.d.comb += mark.eq(self.csr_data)
        now = {"context": Cat(self.cid, self.restricted), "depth": self.depth, "mark": self.mark}
        for name, expected in (("context", context), ("depth", depth), ("mark", mark)):
            self.later(~began | (now[name] == self.past(expected, name)), name)
        quiet = self.past(self.user, "user")
        self.later(~began | ~quiet | (self.fixed == self.past(self.fixed, "fixed")), "fixed_in_user_mode")
        own = self.csr_number[8:] == 7
        self.later(~(self.user & self.csr_write) | ~own, "no_csr_write_in_user_mode")

        # What a push leaves on top.
        entry, is_pushed = Signal(Frame), passes & pushes
        m.d.comb += [
            entry.ra.eq(a),
            entry.sp.eq(b),
            entry.kind.eq(i.arm),
            entry.context.cid.eq(self.cid),
            entry.context.restricted.eq(self.restricted),
            entry.mark.eq(self.mark),
        ]
        arrived = top.as_value() == self.past(entry.as_value(), "entry")
        self.later(~began | ~self.past(is_pushed, "pushes") | arrived, "entry")
        # What the proofs of the units assume.
        push, write, full_, present = (
            self.probe(1, f"core.security.shadow_stack.{name}")
            for name in ("push", "x_write", "full", "present")
        )
        self.always(~push | (write & ~full_ & self.user & ~pops), "push_allowed")
        self.always(~pops | (present & self.user), "pop_allowed")
        number = self.probe(12, "core.security.registers__number")
        self.always(~self.x_valid | (number == 0xFFF), "no_register_named")

        # What changed the state retires: nothing in the memory stage undoes it.
        effect = self.past(passes & (crossing | i.is_return | i.arm | i.disarm | i.handler_pad), "effect")
        self.later(~(began & effect) | self.commit, "retires")
        self._retires(passes)
        self._metadata()
        self._invariants()

        # The range that is shown, and the second cycle of a crossing.
        for memory, name in ((starts, "starts"), (ends, "ends")):
            expected = Mux(into, memory.watch[1].data, memory.watch[0].data)
            self.always(~checked | (memory.shown.data == expected), name)
        instruction = Cat(x.pc, self.x_insn, self.cid, self.restricted, a, b, self.depth, checked)
        waiting = judging | (self.probe(3, "core.security.fat_pointer.phase") != 0)
        self.always(~(checked & waiting) | (instruction == self.past(instruction, "instruction")), "stays")
        as_found = (foreign == (~in_cur & ~in_par)) & (at_home == home)
        as_found &= ~in_any & Mux(self.restricted, ~in_par, in_par | (i.cid != self.cid))
        self.later(~(checked & judging) | ((i.entry_pad | i.local_pad) & as_found), "judging", 1)
        self.helper(~(checked & judging) | (matrix.shown.data == matrix.watch[0].data), "matrix")
        self.helper(~popping | (checked & i.handler_pad & ~self.m_valid), "popping")
        self.helper(self.probe(1, "core.security.found") == found, "found")
        ready = self.probe(1, "core.security.shadow_stack.top_ready")
        for memory, name in zip(self.entries, ("ra", "sp", "context"), strict=True):
            self.helper(~(checked & ready) | (memory.shown.data == memory.watch[0].data), f"top_{name}")

    def _retires(self, passes):
        """What retires in U-mode with CEN has passed in execute, is what was there, and is reported."""
        m, x, rvfi = self.m, self.x, self.rvfi
        what = Cat(x.pc, self.x_insn)
        passed, fired = Signal(), Signal(len(what))
        with m.If(self.fires):
            m.d.sync += [passed.eq(passes), fired.eq(what)]
        checks = self.user & self.checks_on
        self.always(~(self.commit & checks) | passed, "judged")
        works = self.m_valid & ~self.memory.exception & ~self.memory.interrupt
        self.helper(~(works & checks) | passed, "judged_before")
        self.helper(~self.m_valid | (fired == Cat(self.memory.pc, self.probe(32, "core.m_insn"))), "fired")
        reported = rvfi.valid & ~rvfi.trap
        same = Cat(rvfi.pc_rdata[:32], rvfi.insn) == self.past(fired, "fired")
        began = self.past(self.running, "running")
        memory = self.memory
        for valid, stage, name in ((self.x_valid, x, "x"), (self.m_valid, memory, "m")):
            self.helper(~(valid & stage.far) | stage.exception | stage.interrupt, f"{name}_far")
        self.always(~(began & reported) | (rvfi.pc_rdata[32:] == 0), "in_address_space")
        self.always(~(began & reported) | (rvfi.mode[0] == ~self.past(self.user, "user")), "mode")
        retired = self.past(self.commit, "commit")
        if self.late:
            retired &= ~self.w_fault
        self.always(~began | (reported == retired), "reported")
        self.always(~(began & reported) | same, "reported_as_judged")

    def _metadata(self):
        """Whatever the data bus is asked in U-mode comes from the load, store or atomic in execute or, with
        FEN, from a val, mint or revoke there that may stand where it does, about its own entry of the
        metadata table; mint and revoke write what they should. Nothing is asked behind a trap."""
        x, word, bus = self.x, self.x_word, self.core.dbus
        funct3 = word[12:15]
        asked = bus.req & bus.gnt & self.user
        ordinary = word[:7].matches(0x03, 0x23, 0x2F)
        custom1 = word[:7] == 0x2B
        sized = (funct3 == 2) & (word[28:] == 0) & (word[25:28] <= 4)
        val = custom1 & (sized | ((funct3 == 3) & (word[7:12] <= 4)))
        mint = custom1 & (funct3 == 4) & (word[25:] == 0)
        revoke = custom1 & (funct3 == 5) & (word[20:] == 0) & (word[7:12] == 0)
        table = (val | mint | revoke) & self.pointers_on
        self.always(~asked | (self.x_valid & ~self.early), "asked_by_an_instruction")
        self.always(~(bus.req & self.trap), "none_behind_a_trap")
        self.always(~asked | ordinary | table, "who_asks")
        given = x.rs2[32:48]
        index = Mux(mint, Mux(given == 0, self.mark, given), x.rs1[40:56])
        entry = (Cat(Const(0, 3), self.table) + Cat(Const(0, 3), index))[:32]
        asks = asked & ~ordinary
        self.always(~asks | (bus.addr == entry), "table_entry")
        self.always(~asks | (bus.be == 0xFF), "lanes")
        self.always(~(asks & bus.we) | mint | revoke, "who_writes")
        self.always(~(asks & bus.we & revoke) | (bus.wdata == 0), "revoked")
        made = (bus.wdata[8:] == Cat(x.rs2[:24], x.rs1[:32])) & (bus.wdata[:8] != 0)
        self.always(~(asks & bus.we & mint) | made, "minted")
        stores = word[:7].matches(0x23, 0x2F)
        self.always(~(asked & ordinary & bus.we) | stores, "loads_write_nothing")
        checked = self.x_valid & ~self.early & self.user & self.checks_on
        fault = self.probe(1, "core.security.capability_check.x_fault")
        self.always(~(asked & checked) | ~fault | ordinary, "none_where_it_must_not_stand")
