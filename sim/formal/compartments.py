"""The core with Xfides: how the contract's state may change, and what may execute where (sections 3 to 7)."""

from dataclasses import replace

from amaranth.hdl import Cat, Const, Fragment, Module, Mux, Signal
from amaranth.lib.memory import Memory

from fides_core.config import XfidesConfig, preset
from fides_core.core import core as core_module
from fides_core.core import decode as decode_module
from fides_core.core.atomics import AtomicStep
from fides_core.core.control import EFFECTS, ExecuteRequest, MemoryRequest, SecurityOp
from fides_core.core.csr import implemented_csrs
from fides_core.core.decoder import Decoder
from fides_core.core.expander import Expander
from fides_core.core.fetch import FetchStage
from fides_core.isa.causes import ControlFlowFault, ExceptionCause
from fides_core.isa.csrs import XfidesCSR
from fides_core.security import capability_check as check_module
from fides_core.security import shadow_stack as stack_module
from fides_core.security.shadow_stack import Frame

from .core import CoreTop
from .harness import release

__all__ = ["SecurityTop", "CompartmentsTop"]

_COMPARTMENTS = 4
_ENTRIES = 16

#: Registers that may hold anything behind the reset, which is that of the pipeline alone: U-mode is too many
#: cycles away from the core's own.
_RELEASED = (
    "csr.machine", "csr.status", "csr.enabled", "csr.cause", "csr.counteren", "security.compartments_on",
    "security.pointers_on", "security.locked", "security.cause", "security.number", "security.item",
    "security.capability_check.context", "security.shadow_stack.depth", "security.shadow_stack.base",
    "security.fat_pointer.mark",
)  # fmt: skip


class _WatchedMemory(Memory):
    """A memory with more read ports, for claims. ``made``: all of them, in order."""

    made = []

    def __init__(self, **parameters):
        super().__init__(**parameters)
        self.shown = None  # the design's read port
        self.watch = [self.read_port(domain="comb") for _ in range(2)]
        self.made.append(self)

    def read_port(self, **parameters):
        port = super().read_port(**parameters)
        if not parameters:
            self.shown = port
        return port


class _Instruction:
    """What the contract calls the instruction ``word`` at ``pc`` (32 bits each; section 5, 7 and 9)."""

    def __init__(self, m, word, pc):
        funct3, imm = word[12:15], word[20:32]
        pad = (word[:20] == 0x0000B) & (imm[10:12] != 3) & (imm[8:10] == 0) & (pc[:2] == 0)
        self.cid = imm[:8]
        names = {
            "entry_pad": pad & (imm[10:12] == 0),
            "local_pad": pad & (imm[10:12] == 1),
            "handler_pad": pad & (imm[10:12] == 2),
            "is_return": word == 0x00008067,
            "arm": (word[:7] == 0x0B) & (word[7:12] == 0) & (funct3 == 1) & (imm == 0),
            "disarm": word == 0x0000300B,
            "mint": (word[:7] == 0x2B) & (funct3 == 4) & (word[25:] == 0),
        }
        for name, value in names.items():
            signal = Signal(name=name)
            m.d.comb += signal.eq(value)
            setattr(self, name, signal)


class SecurityTop(CoreTop):
    """The core with 4 compartments and 16 shadow-stack entries in any mode. Tables, shadow stack and all
    registers but those of the pipeline hold anything at the beginning.

    Fetch is cut: decode gets any instruction from any address in any cycle, which allows more than fetch does.
    So is the register file: a read gives anything. ``self.x``: the instruction in execute, ``self.x_word``;
    ``self.leaves``: it leaves without an exception; ``self.user``: in U-mode.
    """

    unfolded = ("core.security.*",)

    def __init__(self):
        super().__init__()
        self._past = {}

    def configuration(self):
        xfides = XfidesConfig(compartments=_COMPARTMENTS, shadow_stack_entries=_ENTRIES)
        return replace(preset("tiny").with_rvfi().core, pmp_entries=0, xfides=xfides)

    def core_submodule(self, core):
        # The modules were imported for this top alone.
        _WatchedMemory.made = []
        check_module.Memory = stack_module.Memory = _WatchedMemory
        core_module.FetchStage = self._free_fetch()
        decode_module.Memory = self._free_registers()
        fragment = Fragment.get(core, None)
        release(fragment, _RELEASED)
        self.tables, self.entries = _WatchedMemory.made[:3], _WatchedMemory.made[3:]
        return fragment

    def _free_fetch(self):
        free = {
            name: self.free(width, f"fetch_{name}")
            for name, width in (("cut", 1), ("pc", 31), ("insn", 32), ("fault", 1), ("second", 1))
        }

        class FreeFetch(FetchStage):
            def elaborate(self, platform):
                m = Module()
                moves = ~self.d_valid | self.d_ready
                m.d.comb += [
                    self.cut.eq(free["cut"] & moves),
                    self.cut_pc.eq(Cat(Const(0, 1), free["pc"])),
                    self.d_link.eq(self.d_pc + Mux(self.d_insn[:2] == 3, 4, 2)),
                ]
                with m.If(moves):
                    m.d.sync += [
                        self.d_valid.eq(self.cut),
                        self.d_pc.eq(self.cut_pc),
                        self.d_insn.eq(free["insn"]),
                        self.d_fault.eq(free["fault"]),
                        self.d_fault_second.eq(free["second"]),
                    ]
                with m.If(self.redirect):
                    m.d.sync += [self.d_valid.eq(0), self.d_pc_high.eq(self.redirect_target[32:])]
                return m

        return FreeFetch

    def _free_registers(self):
        free = iter([self.free(64, name) for name in ("rs1", "rs2")])
        reads = []

        class FreeMemory(Memory):
            def read_port(self, **parameters):
                port = super().read_port(**parameters)
                reads.append((port, next(free)))
                return port

            def elaborate(self, platform):
                m = Module()
                m.d.comb += [port.data.eq(Mux(port.addr == 0, 0, value)) for port, value in reads]
                return m

        return FreeMemory

    def claims(self):
        m, probe = self.m, self.probe
        security, check = "core.security.", "core.security.capability_check."
        pointer = "core.security.fat_pointer."
        self.depth, self.base = (probe(16, f"{security}shadow_stack.{name}") for name in ("depth", "base"))
        context = probe(9, check + "context")
        self.cid, self.restricted = context[:8], context[8]
        self.mark = probe(16, pointer + "mark")
        self.user = ~probe(1, "core.csr.machine")
        self.checks_on = probe(1, security + "compartments_on")
        self.pointers_on = probe(1, security + "pointers_on")
        self.par_start, self.any_start, self.any_end = (
            probe(26, check + name) for name in ("par_start", "any_start", "any_end")
        )
        self.table = probe(29, pointer + "table")
        self.fixed = Cat(
            self.checks_on, self.pointers_on, probe(1, security + "locked"), probe(4, security + "number"),
            probe(4, security + "item"), self.base, self.par_start, self.any_start, self.any_end, self.table,
            probe(10, pointer + "zone_start"), probe(10, pointer + "zone_end"),
        )  # fmt: skip

        # Execute, and what becomes of what leaves it.
        self.x = x = ExecuteRequest(probe(ExecuteRequest.as_shape().size, "core.execute.x"))
        self.x_valid = probe(1, "core.execute.valid")
        self.fires = probe(1, "core.execute.m_valid")
        request = MemoryRequest(probe(MemoryRequest.as_shape().size, "core.execute.m_request"))
        self.exception, self.interrupt, self.cause = request.exception, request.interrupt, request.cause
        x_insn = probe(32, "core.x_insn")
        m.submodules.x_expander = expander = Expander()
        self.x_word = Signal(32)
        self.leaves = Signal()
        self.early = Signal()  # an interrupt or instruction access fault takes its place
        m.d.comb += [
            expander.insn.eq(x_insn),
            self.x_word.eq(expander.word),
            self.leaves.eq(self.fires & ~self.exception & ~self.interrupt),
            self.early.eq(
                x.interrupt | (x.exception & (x.cause == int(ExceptionCause.INSTRUCTION_ACCESS_FAULT)))
            ),
        ]
        self.memory = MemoryRequest(probe(MemoryRequest.as_shape().size, "core.memory.current"))
        self.m_valid, self.commit = probe(1, "core.memory.valid"), probe(1, "core.memory.commit")
        self.trap = probe(1, "core.memory.trap")
        self.csr_write = probe(1, "core.csr.m_write")
        self.csr_number = probe(12, "core.csr.m_number")
        self.csr_data = probe(64, "core.csr.m_wdata")
        self.is_ = _Instruction(m, self.x_word, x.pc)
        self.x_insn = x_insn
        self.x_expander = expander
        self.claim()

    def claim(self):
        """What is claimed."""
        raise NotImplementedError

    def _invariants(self):
        """What is in execute is what decode makes of its word."""
        m, x, i = self.m, self.x, self.is_
        m.submodules.x_decoder = decoder = Decoder(self.configuration())
        m.d.comb += [decoder.insn.eq(self.x_word), decoder.misaligned.eq(x.pc[1])]
        plain = self.x_valid & ~x.exception & ~x.interrupt
        same = (x.control.as_value() == decoder.control.as_value()) & (
            x.immediate == decoder.immediate.as_unsigned()
        )
        self.helper(~plain | (same & decoder.legal & self.x_expander.legal), "decoded")
        even = ~self.probe(32, "core.fetch.d_pc")[0]
        self.helper((~self.x_valid | ~x.pc[0]) & even, "even")
        cid = Cat(x.rd, x.control.size)
        pads = i.entry_pad | i.local_pad | i.handler_pad
        self.helper(~(plain & pads) | (cid == i.cid), "pad_cid")
        known = pads | i.is_return | i.arm | i.disarm | i.mint
        self.helper(~(self.x_valid & x.exception & ~self.early) | ~known, "legal")
        # mint and revoke between their accesses.
        phase = self.probe(3, "core.security.fat_pointer.phase")
        blocked = self.probe(1, "core.security.capability_check.x_fault")
        self.later((phase == 0) | ~blocked, "phase_at_home", 1)
        slow = (x.control.security == SecurityOp.MINT) | (x.control.security == SecurityOp.REVOKE)
        runs = plain & slow & self.user & self.pointers_on & ~self.m_valid
        self.helper((phase == 0) | runs, "phase")
        self.helper((phase == 0) | (self.probe(3, "core.security.fat_pointer.early") == 0), "phase_early")
        step = self.probe(3, "core.execute.atomics.step")
        atomic = plain & x.control.atomic & ~self.m_valid
        begun = (step != AtomicStep.READ) | self.probe(1, "core.execute.atomics.loaded")
        self.helper(~begun | atomic, "atomic")
        waits = (
            (self.m_valid & self.memory.access)
            | (step == AtomicStep.READING) | (step == AtomicStep.WRITING)
            | (phase == 1) | (phase == 3)
        )  # fmt: skip
        self.helper(self.due["dbus"] == waits, "due")
        # A CSR instruction or mret in the memory stage is alone, and legal in its mode.
        memory = self.memory
        alone = self.m_valid & (memory.csr | memory.mret)
        self.helper(~(alone & self.x_valid), "alone")
        self.helper(~(self.m_valid & memory.csr & memory.mret), "one_of_them")
        numbers = sorted(implemented_csrs(self.configuration()))
        for valid, csr, number, mret, name in (
            (self.x_valid, x.control.csr, x.immediate[5:17], x.control.mret, "x"),
            (self.m_valid, memory.csr, memory.csr_number, memory.mret, "m"),
        ):
            legal = number.matches(*numbers) & (~self.user | (number[8:10] == 0))
            self.helper(~(valid & csr) | legal, f"{name}_csr")
            self.helper(~(valid & mret) | ~self.user, f"{name}_mret")
        raised = self.x_valid & x.exception & ~x.interrupt
        self.helper(~raised | x.cause.matches(1, 2, 3, 8, 11), "raised_in_decode")
        nothing = (x.control.security == 0) & ~Cat(x.control[name] for name in EFFECTS).any()
        self.helper(~(self.x_valid & (x.exception | x.interrupt)) | nothing, "nothing")

    def past(self, value, name):
        """``value`` one cycle ago."""
        if name in self._past:
            return self._past[name]
        signal = self._past[name] = Signal(len(value), name=f"past_{name}")
        self.m.d.sync += signal.eq(value)
        return signal

    def later(self, condition, name, cycles=2):
        """``always``, but claimed some cycles later, when what it follows from has been proved. With one
        cycle: a helper."""
        if cycles == 1 and not self.with_helpers:
            return
        for _ in range(cycles if self.with_helpers else 0):
            held = Signal(init=1, name=f"held_{name}")
            self.m.d.sync += held.eq(condition)
            condition = held
        self.always(condition, name)

    def written(self, csr):
        """A CSR instruction writes a register in this cycle."""
        return self.csr_write & (self.csr_number == int(csr))


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
        judging, foreign = (
            self.probe(1, f"core.security.capability_check.{name}") for name in ("judging", "foreign")
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
        allowed = matrix.watch[0].data.bit_select(i.cid[:2], 1) & (i.cid < _COMPARTMENTS)
        held = Signal(16)
        m.d.comb += held.eq(self.depth - self.base)
        # The monitor's duty; in U-mode nothing exceeds it.
        self.assume((self.past(self.running, "held") & self.user) | (held <= _ENTRIES))
        self.always(held <= _ENTRIES, "capacity")
        self.assume(self.past(self.running, "cid") | (self.cid < _COMPARTMENTS))
        self.helper(self.cid < _COMPARTMENTS, "implemented")
        self.assume(top.context.cid < _COMPARTMENTS)
        empty = held == 0
        spilled = empty & (self.base != 0)
        full = (held == _ENTRIES) | (self.depth == 0xFFFF)
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
        crossing_pad = Signal()
        m.d.comb += crossing_pad.eq(~home & (i.entry_pad | i.local_pad))
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
        self.later(
            ~(refused & i.handler_pad & ~found) | empty, "pops_everything"
        )

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
        own = (self.csr_number[8:] == 7)
        self.later(~(self.user & self.csr_write) | ~own, "no_csr_write_in_user_mode")

        # What changed the state retires: nothing in the memory stage undoes it.
        effect = self.past(
            passes & (crossing | i.is_return | i.arm | i.disarm | i.handler_pad), "effect"
        )
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
        self.later(~(checked & judging) | (crossing_pad & (foreign == (~in_cur & ~in_par))), "judging", 1)
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
        self.always(~began | (reported == self.past(self.commit, "commit")), "reported")
        self.always(~(began & reported) | same, "reported_as_judged")

    def _metadata(self):
        """Whatever the data bus is asked in U-mode comes from the load, store or atomic in execute or, with
        FEN, from a val, mint or revoke there that may stand where it does, about its own entry of the metadata
        table; mint and revoke write what they should. Nothing is asked behind a trap."""
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
        self.always(~asks | (bus.addr == entry), "entry")
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
