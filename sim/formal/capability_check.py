"""The capability check against the contract, sections 4 and 5: what it decides is decided by what the monitor
wrote."""

from amaranth.hdl import Cat, Const, Fragment, Mux, Signal
from amaranth.lib.memory import Memory

from fides_core.config import XfidesConfig
from fides_core.isa.causes import ControlFlowFault
from fides_core.isa.csrs import Comsel, XfidesCSR
from fides_core.security import capability_check as unit_module
from fides_core.security.capability_check import CapabilityCheck
from fides_core.security.registers import Context

from .harness import FormalTop

__all__ = ["CapabilityCheckTop"]

_WORD = 64


class _WatchedMemory(Memory):
    """A memory with more read ports, for invariants."""

    made = []

    def __init__(self, **parameters):
        super().__init__(**parameters)
        self.shown = None  # the design's read port
        self.watch = [self.read_port(domain="comb") for _ in range(4)]
        self.made.append(self)

    def read_port(self, **parameters):
        port = super().read_port(**parameters)
        if not parameters:
            self.shown = port
        return port


class CapabilityCheckTop(FormalTop):
    """For two compartments, any: when the monitor has written their ranges, the bit of the matrix from the
    first to the second, and the fluid bounds, each in any order and any number of times, then an instruction
    in the first that leaves execute has the verdict and the reason that the contract's order of checks makes
    of the values written last, as if the second were the one that its pad names; ``x_home`` is the
    contract's. LOCK keeps the values; writes for other compartments and other words of the matrix change
    none. The context changes by currcom, crossings and ``restore``, to what the contract says, and currcom
    reads it. Nothing but a pad waits, and that for one cycle. 256 compartments, as in the presets.

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
        _WatchedMemory.made = []
        unit_module.Memory = _WatchedMemory  # the module was imported for this top alone
        unit = CapabilityCheck(XfidesConfig(compartments=self._compartments))
        m.submodules.unit = Fragment.get(unit, None)  # made now, so that its memories are known
        starts, ends, matrix = _WatchedMemory.made
        bits = (self._compartments - 1).bit_length()
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

        # The two compartments, and what was written for them last.
        here, there = self.rigid(bits, "here"), self.rigid(bits, "there")
        selected = window.number[:bits]
        writes = window.write & ~window.locked
        known = []

        def written(name, width, condition, value):
            last, is_known = Signal(width, name=name), Signal(name=f"{name}_known")
            with m.If(condition):
                m.d.sync += [last.eq(value), is_known.eq(1)]
            known.append(is_known)
            return last

        ranges = {}
        for place, compartment in (("here", here), ("there", there)):
            for side, item, memory in (
                ("start", Comsel.RANGE_START, starts),
                ("end", Comsel.RANGE_END, ends),
            ):
                name = f"{place}_{side}"
                condition = writes & (window.item == item) & (selected == compartment)
                last = ranges[name] = written(name, 26, condition, datum[6:32])
                port = memory.watch[place == "there"]
                m.d.comb += port.addr.eq(compartment)
                self.helper(~known[-1] | (port.data == last), f"cell_{name}")
        word, bit = (there // _WORD, there % _WORD) if bits > 6 else (Const(0), there)
        condition = writes & (window.item == Comsel.MATRIX_WORD0 + word) & (selected == here)
        allowed = written("allowed", 1, condition, datum.bit_select(bit, 1))
        m.d.comb += matrix.watch[0].addr.eq(Cat(word[: max(bits - 6, 0)], here))
        self.helper(~known[-1] | (matrix.watch[0].data.bit_select(bit, 1) == allowed), "cell_allowed")
        bounds = []
        for csr in (XfidesCSR.PARCOMPCSTART, XfidesCSR.ANYCOMPCSTART, XfidesCSR.ANYCOMPCEND):
            condition = registers.write & (number == int(csr)) & ~window.locked
            name = csr.name.lower()
            bounds.append(written(name, 26, condition, datum[6:32]))
            register = self.probe(26, f"unit.{('par_start', 'any_start', 'any_end')[len(bounds) - 1]}")
            self.helper(~known[-1] | (register == bounds[-1]), f"register_{name}")

        # Section 5, with whole addresses.
        context, pc = unit.context, unit.x_pc

        def inside(start, end):
            return (Cat(Const(0, 6), start) <= pc) & (pc < Cat(Const(0, 6), end))

        names = ("in_cur", "in_new", "in_any", "in_par", "home", "asked", "crossing")
        in_cur, in_new, in_any, in_par, home, asked, crossing = (Signal(name=name) for name in names)
        par_start, any_start, any_end = bounds
        is_known = Signal()
        m.d.comb += [
            is_known.eq(Cat(known).all()),
            in_cur.eq(inside(ranges["here_start"], ranges["here_end"])),
            in_new.eq(inside(ranges["there_start"], ranges["there_end"])),
            in_any.eq(inside(any_start, any_end)),
            in_par.eq(inside(par_start, any_start)),
            home.eq(in_any | (in_cur & ~context.restricted) | (in_par & context.restricted)),
            asked.eq(is_known & check & (context.cid == here) & (unit.x_cid[:bits] == there)),
        ]
        reason = Signal(3)
        implemented = unit.x_cid < self._compartments
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
        leaves = asked & unit.x_advance & ~kill
        self.always(~leaves | (unit.x_fault == (reason != 0)), "fault")
        self.always(~leaves | ~unit.x_fault | (unit.x_reason == reason), "reason")
        self.always(~leaves | (reason != 0) | (unit.x_crossing == crossing), "crossing")
        # What else asks whether the instruction is at home is a handler pad.
        self.always(~(asked & ~kill & unit.x_handler) | (unit.x_home == home), "home")
        self.always(check | ~(unit.x_fault | unit.x_crossing | unit.x_wait), "judges_what_it_should")

        # The context.
        crosses = unit.x_commit & unit.x_crossing
        after = Signal(Context)
        m.d.comb += after.eq(context)
        with m.If(unit.restore):
            m.d.comb += after.eq(returned)
        with m.Elif(registers.write & (number == int(XfidesCSR.CURRCOM))):
            m.d.comb += [after.cid.eq(datum[:bits]), after.restricted.eq(datum[8])]
        with m.Elif(asked & unit.x_commit & crossing):
            m.d.comb += after.restricted.eq(~in_cur & in_par)
            with m.If(~in_cur & ~in_par):
                m.d.comb += after.cid.eq(unit.x_cid)
        expected, others, running = Signal(Context), Signal(), Signal()
        # A crossing between others than the two is one between the two for another choice of them.
        m.d.sync += [expected.eq(after), others.eq(crosses & ~asked), running.eq(self.running)]
        self.always(~running | others | (context == expected), "context")
        self.always(unit.rdata == Mux(number == int(XfidesCSR.CURRCOM), context, 0), "currcom_reads")

        # How long a pad waits.
        waited = Signal()
        m.d.sync += waited.eq(unit.x_wait & ~kill)
        self.always(~unit.x_wait | (unit.x_pad & ~waited), "waits_once")

        # What is kept for the second cycle.
        judging = self.probe(1, "unit.judging")
        foreign, at_home = self.probe(1, "unit.foreign"), self.probe(1, "unit.at_home")
        into = judging & foreign & ~unit.x_local
        for memory, name in ((starts, "starts"), (ends, "ends")):
            of_context, of_pad = memory.watch[2:]
            m.d.comb += [of_context.addr.eq(context.cid), of_pad.addr.eq(unit.x_cid)]
            value = Mux(into, of_pad.data, of_context.data)
            self.helper(~check | kill | (memory.shown.data == value), f"shown_{name}")
        as_found = (foreign == (~in_cur & ~in_par)) & (at_home == home) & ~in_any
        stands = is_known & check & (context.cid == here)
        self.helper(~(stands & judging) | (unit.x_pad & as_found), "judging")

    def _core(self, unit, kill, excepts, restores, returned):
        """What is assumed of the core."""
        m = self.m
        check, number = unit.x_check, unit.registers.number
        self.assume(~unit.x_local | unit.x_pad)
        self.assume(~(unit.x_handler & unit.x_pad))
        self.assume(~unit.x_wait | ~unit.x_advance)
        self.assume(~unit.x_fault | ~unit.x_advance | excepts)
        instruction = Cat(unit.x_pc, unit.x_pad, unit.x_local, unit.x_handler, unit.x_cid)
        last, stays, behind, raised, named = Signal(len(instruction)), Signal(), Signal(2), Signal(), Signal()
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
