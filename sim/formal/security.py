"""The core with Xfides in any state, with probes of the extension's registers: base of claims about it."""

from dataclasses import replace

from amaranth.hdl import Cat, Const, Fragment, Module, Mux, Signal
from amaranth.lib.memory import Memory

from fides_core.config import XfidesConfig, preset
from fides_core.core import core as core_module
from fides_core.core import decode as decode_module
from fides_core.core.atomics import AtomicStep
from fides_core.core.control import EFFECTS, Control, ExecuteRequest, MemoryRequest, SecurityOp
from fides_core.core.csr import implemented_csrs
from fides_core.core.decoder import Decoder
from fides_core.core.expander import Expander
from fides_core.core.fetch import FetchStage
from fides_core.isa.causes import ExceptionCause
from fides_core.security import capability_check as check_module
from fides_core.security import shadow_stack as stack_module

from .core import CoreTop
from .harness import release

__all__ = ["SecurityTop", "COMPARTMENTS", "ENTRIES"]

COMPARTMENTS = 4
ENTRIES = 16

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

    Fetch is cut: decode gets any instruction from any address in any cycle, which allows more than fetch
    does. So is the register file: a read gives anything. ``self.x``: the instruction in execute,
    ``self.x_word``; ``self.leaves``: it leaves without an exception; ``self.user``: in U-mode.
    ``verdict``: a val is judged "early", in the memory stage, in the core of ``tiny_fides`` without PMP
    entries, or "late", in writeback, in that of ``fides`` (``self.late``; ``self.w_fault``: it traps there).
    """

    unfolded = ("core.security.*",)

    def __init__(self, verdict: str = "early"):
        super().__init__()
        self._past = {}
        self.late = verdict == "late"

    def configuration(self):
        xfides = XfidesConfig(compartments=COMPARTMENTS, shadow_stack_entries=ENTRIES)
        if self.late:
            return replace(preset("fides").with_rvfi().core, xfides=xfides)
        return replace(preset("tiny_fides").with_rvfi().core, pmp_entries=0, xfides=xfides)

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
        self.sent = request = MemoryRequest(probe(MemoryRequest.as_shape().size, "core.execute.m_request"))
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
        self.w_fault = probe(1, "core.security.w_fault") if self.late else Const(0)
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
        same = x.control.as_value() == decoder.control.as_value()
        if self.configuration().late_alu:
            # What is left to the late ALU passes execute by another way.
            kept = [name for name in Control.as_shape().members if name not in ("alu", "result")]
            fields = Cat(x.control[name] for name in kept) == Cat(decoder.control[name] for name in kept)
            same |= x.late & decoder.deferrable & fields
            same &= ~x.late | decoder.deferrable
        same &= x.immediate == decoder.immediate.as_unsigned()
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
        self.later((phase == 0) | (phase == 6) | ~blocked, "phase_at_home", 1)
        slow = (x.control.security == SecurityOp.MINT) | (x.control.security == SecurityOp.REVOKE)
        runs = plain & slow & self.user & self.pointers_on & ~self.m_valid
        self.helper((phase == 0) | runs, "phase")
        named = self.probe(1, "core.security.fat_pointer.named")
        self.helper((phase == 0) | (named == (x.rs2[32:48] != 0)), "phase_named")
        early = self.probe(3, "core.security.fat_pointer.early")
        self.helper(~phase.matches(2, 4, 5) | (early == 0), "phase_early")
        reason = self.probe(3, "core.security.fat_pointer.w_reason")
        self.helper((phase != 3) | (reason != 0) | (early == 0), "phase_reason")
        step = self.probe(3, "core.execute.atomics.step")
        atomic = plain & x.control.atomic & ~self.m_valid
        begun = (step != AtomicStep.CHECK) | self.probe(1, "core.execute.atomics.loaded")
        self.helper(~begun | atomic, "atomic")
        waits = (
            (self.m_valid & self.memory.access)
            | (step == AtomicStep.READING) | (step == AtomicStep.WRITING)
            | (phase == 2) | (phase == 4)
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
