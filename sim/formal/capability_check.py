"""The capability check against the contract, sections 4 and 5: what it decides is decided by what the monitor
wrote."""

from amaranth.hdl import Cat, Fragment, Module, Mux, Signal
from amaranth.lib.memory import Memory

from fides_core.config import XfidesConfig
from fides_core.isa.causes import ControlFlowFault
from fides_core.isa.csrs import Comsel, XfidesCSR
from fides_core.security import capability_check as unit_module
from fides_core.security.capability_check import CapabilityCheck
from fides_core.security.registers import Context

from .harness import FormalTop

__all__ = ["CapabilityCheckTop"]

_WORD_BITS = 6


def _memory(top: FormalTop, addresses):
    """A class for memories of which only one word is kept: that at the address that ``addresses`` has for a
    memory of that width. Reading another one gives anything, but the same as in the cycle before if it
    is the same word and nothing has been written meanwhile. A memory with all its words does no more."""

    class Cells(Memory):
        made = []

        def __init__(self, **parameters):
            super().__init__(**parameters)
            self.writes = []
            self.address = addresses[self.shape]
            self.cell = Signal(self.shape, reset_less=True)
            self.word = Signal(self.shape, reset_less=True)
            self.made.append(self)
            self.other = top.free(self.shape, f"other_word{len(self.made)}")

        def write_port(self, **parameters):
            self.writes.append(super().write_port(**parameters))
            return self.writes[-1]

        def read_port(self, **parameters):
            self.shown = super().read_port(**parameters)
            self.last = Signal(len(self.shown.addr), reset_less=True)
            return self.shown

        def elaborate(self, platform):
            m = Module()
            port, same, wrote = self.shown, Signal(), Signal()
            m.d.comb += [port.data.eq(self.word), same.eq((port.addr == self.last) & ~wrote)]
            m.d.sync += [self.last.eq(port.addr), wrote.eq(Cat(write.en for write in self.writes).any())]
            with m.If(port.addr == self.address):
                m.d.sync += self.word.eq(self.cell)
            with m.Elif(~same):
                m.d.sync += self.word.eq(self.other)
            for write in self.writes:
                with m.If(write.en & (write.addr == self.address)):
                    m.d.sync += self.cell.eq(write.data)
            return m

    return Cells


class CapabilityCheckTop(FormalTop):
    """What decides is what the monitor wrote, and decides as the contract says.

    For any compartment: its start, its end, and its bit of the matrix for any other, are what was written
    last through comsel and comdata, the fluid bounds what was written into their CSRs; LOCK keeps them. An
    instruction is judged by the range of the current compartment, or by that of the one that its pad names
    once it has been found outside the former; a pad also by the word of the matrix for the two. By these,
    verdict and reason of what leaves execute are the contract's, in its order of checks, and so is ``x_home``
    of a handler pad. The context changes by currcom, crossings and ``restore``, to what the contract says,
    and currcom reads it. Nothing but a pad waits, and that for one cycle. 256 compartments, as in the
    presets.

    Assumed of the core: an instruction stays as it is until it leaves or is killed; one that waits does not
    leave; behind a kill there is none for two cycles, and one that leaves with an exception kills what is
    behind it in the next cycle; execute is empty while a CSR instruction names a register and in the cycle
    after; pads do not restore, handler pads only while they stay, others only as they leave.
    """

    def __init__(self, compartments: int = 256):
        super().__init__()
        self._compartments = compartments

    def properties(self):
        m = self.m
        bits = (self._compartments - 1).bit_length()
        here, there = self.rigid(bits, "here"), self.rigid(bits, "there")
        word, bit = there[_WORD_BITS:], there[:_WORD_BITS]
        cells = _memory(self, {26: here, min(64, self._compartments): Cat(word, here)})
        unit_module.Memory = cells  # the module was imported for this top alone
        unit = CapabilityCheck(XfidesConfig(compartments=self._compartments))
        m.submodules.unit = Fragment.get(unit, None)  # made now, so that its memories are known
        starts, ends, matrix = cells.made
        for name in ("x_check", "x_pc", "x_pad", "x_local", "x_handler", "x_cid", "x_obstacle", "x_advance"):
            m.d.comb += getattr(unit, name).eq(self.free(len(getattr(unit, name)), name))
        for port, prefix in ((unit.registers, "csr"), (unit.window, "window")):
            for name in port.signature.members:
                signal = getattr(port, name)
                m.d.comb += signal.eq(self.free(len(signal), f"{prefix}_{name}"))
        kill, excepts, restores = (self.free(1, name) for name in ("kill", "excepts", "restores"))
        returned = Signal(Context)
        m.d.comb += [
            returned.as_value().eq(self.free(9, "restore_context")),
            unit.restore_context.eq(returned),
            unit.x_commit.eq(unit.x_advance & ~kill & ~excepts),
        ]
        registers, window, check = unit.registers, unit.window, unit.x_check
        number, datum = registers.number, registers.wdata
        self._core(unit, kill, excepts, restores, returned)

        # What was written last.
        selected = window.number[:bits]
        writes = window.write & ~window.locked

        def holds(held, condition, value, name):
            last, is_known = Signal(len(held), name=name), Signal(name=f"{name}_known")
            with m.If(condition):
                m.d.sync += [last.eq(value), is_known.eq(1)]
            self.always(~is_known | (held == last), name)

        for memory, item in ((starts, Comsel.RANGE_START), (ends, Comsel.RANGE_END)):
            condition = writes & (window.item == item) & (selected == here)
            holds(memory.cell, condition, datum[6:32], item.name.lower())
        condition = writes & (window.item == Comsel.MATRIX_WORD0 + word) & (selected == here)
        cell = matrix.cell.bit_select(bit, 1)
        holds(cell, condition, datum.bit_select(bit, 1), "matrix")
        bounds = []
        for name, csr in (
            ("par_start", XfidesCSR.PARCOMPCSTART),
            ("any_start", XfidesCSR.ANYCOMPCSTART),
            ("any_end", XfidesCSR.ANYCOMPCEND),
        ):
            bounds.append(self.probe(26, f"unit.{name}"))
            condition = registers.write & (number == int(csr)) & ~window.locked
            holds(bounds[-1], condition, datum[6:32], name)

        # What decides: the words that the tables show.
        judging, foreign, at_home = (
            self.probe(1, f"unit.{name}") for name in ("judging", "foreign", "at_home")
        )
        into = judging & foreign & ~unit.x_local
        pair = Cat(unit.x_cid[_WORD_BITS:bits], unit.context.cid[:bits])
        for memory, address, when, name in (
            (starts, Mux(into, unit.x_cid, unit.context.cid)[:bits], check, "start"),
            (ends, Mux(into, unit.x_cid, unit.context.cid)[:bits], check, "end"),
            (matrix, pair, check & judging, "word"),
        ):
            shown = (memory.last == address) & (
                (memory.last != memory.address) | (memory.word == memory.cell)
            )
            self.always(~when | kill | shown, f"shown_{name}")

        # Section 5. Bounds are multiples of 64 bytes.
        context, place = unit.context, unit.x_pc[6:]

        def inside(start, end):
            return (place >= start) & ~(place >= end)

        names = ("in_cur", "in_new", "in_any", "in_par", "home", "crossing")
        in_cur, in_new, in_any, in_par, home, crossing = (Signal(name=name) for name in names)
        par_start, any_start, any_end = bounds
        in_shown = inside(starts.word, ends.word)
        m.d.comb += [
            in_cur.eq(in_shown & ~into),
            in_new.eq(in_shown & into),
            in_any.eq(inside(any_start, any_end)),
            in_par.eq(inside(par_start, any_start)),
            home.eq(in_any | (in_cur & ~context.restricted) | (in_par & context.restricted)),
        ]
        in_here = inside(starts.cell, ends.cell)
        self.always(~(check & into) | kill | (context.cid != here) | ~in_here, "outside")
        reason = Signal(3)
        implemented = unit.x_cid < self._compartments
        allowed = matrix.word.bit_select(unit.x_cid[: min(bits, _WORD_BITS)], 1)
        with m.If(~home & ~unit.x_handler):
            with m.If(~unit.x_pad):
                m.d.comb += reason.eq(ControlFlowFault.ILLEGAL_ENTRY)
            with m.Elif(in_cur):
                m.d.comb += [crossing.eq(1), reason.eq(unit.x_obstacle)]
            with m.Elif(unit.x_local):
                m.d.comb += reason.eq(ControlFlowFault.ILLEGAL_ENTRY)
            with m.Elif(in_par):
                m.d.comb += [crossing.eq(1), reason.eq(unit.x_obstacle)]
            with m.Elif(context.restricted):
                m.d.comb += reason.eq(ControlFlowFault.RESTRICTED)
            with m.Elif(unit.x_cid == context.cid):
                m.d.comb += reason.eq(ControlFlowFault.BAD_PAD)
            with m.Elif(~(allowed & implemented)):
                m.d.comb += reason.eq(ControlFlowFault.DENIED)
            with m.Else():
                bad_pad = Mux(in_new, 0, int(ControlFlowFault.BAD_PAD))
                m.d.comb += [crossing.eq(1), reason.eq(Mux(unit.x_obstacle != 0, unit.x_obstacle, bad_pad))]
        leaves = check & unit.x_advance & ~kill
        self.always(~leaves | (unit.x_fault == (reason != 0)), "fault")
        self.always(~leaves | ~unit.x_fault | (unit.x_reason == reason), "reason")
        self.always(~leaves | (reason != 0) | (unit.x_crossing == crossing), "crossing")
        # What else asks whether the instruction is at home is a handler pad.
        self.always(~(check & ~kill & unit.x_handler) | (unit.x_home == home), "home")
        self.always(check | ~(unit.x_fault | unit.x_crossing | unit.x_wait), "judges_what_it_should")

        # The context.
        after = Signal(Context)
        m.d.comb += after.eq(context)
        with m.If(unit.restore):
            m.d.comb += after.eq(returned)
        with m.Elif(registers.write & (number == int(XfidesCSR.CURRCOM))):
            m.d.comb += [after.cid.eq(datum[:bits]), after.restricted.eq(datum[8])]
        with m.Elif(check & unit.x_commit & crossing):
            m.d.comb += after.restricted.eq(~in_cur & in_par)
            with m.If(~in_cur & ~in_par):
                m.d.comb += after.cid.eq(unit.x_cid)
        expected, running = Signal(Context), Signal()
        m.d.sync += [expected.eq(after), running.eq(self.running)]
        self.always(~running | (context == expected), "context")
        self.always(unit.rdata == Mux(number == int(XfidesCSR.CURRCOM), context, 0), "currcom_reads")

        # How long a pad waits.
        waited = Signal()
        m.d.sync += waited.eq(unit.x_wait & ~kill)
        self.always(~unit.x_wait | (unit.x_pad & ~waited), "waits_once")

        # What is kept for the second cycle.
        as_found = (foreign == (~in_cur & ~in_par)) & (at_home == home) & ~in_any
        as_found &= Mux(context.restricted, ~in_par, in_par | (unit.x_cid != context.cid))
        self.helper(~(check & judging) | (unit.x_pad & as_found), "judging")
        self.helper(~self.behind[1] | ~judging, "behind")

    def _core(self, unit, kill, excepts, restores, returned):
        """What is assumed of the core."""
        m = self.m
        check, number = unit.x_check, unit.registers.number
        self.assume(~unit.x_local | unit.x_pad)
        self.assume(~(unit.x_handler & unit.x_pad))
        self.assume(~unit.x_wait | ~unit.x_advance)
        self.assume(~unit.x_fault | ~unit.x_advance | excepts)
        instruction = Cat(unit.x_pc, unit.x_pad, unit.x_local, unit.x_handler, unit.x_cid)
        last, stays, raised, named = Signal(len(instruction)), Signal(), Signal(), Signal()
        behind = self.behind = Signal(2, init=3)  # a kill, or a reset
        m.d.sync += [
            last.eq(instruction),
            stays.eq(check & ~unit.x_advance & ~kill),
            behind.eq(Cat(kill, behind[0])),
            raised.eq(unit.x_advance & ~kill & excepts),
            named.eq(number != 0xFFF),
        ]
        self.assume(~stays | (check & (instruction == last)))
        self.assume(~check | ((behind == 0) & ~named & (number == 0xFFF)))
        self.assume(~raised | kill)
        # Returns and handler pads.
        may = check & ~unit.x_pad & Mux(unit.x_handler, ~unit.x_advance & ~kill, unit.x_advance)
        self.assume(~restores | may)
        m.d.comb += [
            unit.restore_read.eq(restores),
            unit.restore.eq(restores & (unit.x_handler | unit.x_commit)),
        ]
        self.assume(returned.cid < self._compartments)
        # CSR instructions.
        self.assume(number.matches(*(int(csr) for csr in XfidesCSR), 0xFFF))
        self.assume(~unit.registers.write | (number != 0xFFF))
        writes = unit.registers.write & (number == int(XfidesCSR.COMDATA))
        self.assume(unit.window.write == writes)
