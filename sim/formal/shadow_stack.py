"""The shadow stack against the contract, sections 4 to 7."""

from amaranth.hdl import Cat, Fragment, Mux, Signal
from amaranth.lib.memory import Memory

from fides_core.config import XfidesConfig
from fides_core.isa.csrs import Comsel, XfidesCSR
from fides_core.security import shadow_stack as unit_module
from fides_core.security.shadow_stack import Frame, ShadowStack

from .harness import FormalTop

__all__ = ["ShadowStackTop"]

_CAPACITY = 16
_COMPARTMENTS = 16
_BITS = 4


class _WatchedMemory(Memory):
    """A memory with one more read port, for invariants."""

    made = []

    def __init__(self, **parameters):
        super().__init__(**parameters)
        self.watch = self.read_port(domain="comb")
        self.made.append(self)


class ShadowStackTop(FormalTop):
    """For one entry number, any: what was pushed as that entry, or what the monitor wrote into it through
    comsel and comdata, is what the top shows when that entry is on top, and what comdata reads, as long as
    the entry is on chip; whatever else is pushed, popped, written above the top without being pushed, or
    moved by the monitor. ssdepth and ssbase change only by pushes, pops and their CSRs, and ``present``,
    ``spilled``, ``full``, ``wide`` and ``matches`` are what the contract makes of them. 16 entries.

    Assumed of the core: it pushes only what it wrote in this cycle, or in the one before it with the same
    depth, and never when full; pops only what is present; neither in M-mode, nor while a CSR instruction
    names a register; these CSRs are accessed in M-mode only. Of the monitor: it keeps
    ``0 <= ssdepth - ssbase <= 16``.
    """

    def properties(self):
        m = self.m
        _WatchedMemory.made = []
        unit_module.Memory = _WatchedMemory  # the module was imported for this top alone
        unit = ShadowStack(XfidesConfig(compartments=_COMPARTMENTS, shadow_stack_entries=_CAPACITY))
        m.submodules.unit = Fragment.get(unit, None)  # made now, so that its memories are known
        names = (
            "x_target",
            "x_ra",
            "x_sp",
            "x_mark",
            "x_kind",
            "x_write",
            "x_grows",
            "push",
            "pop",
            "machine",
        )
        for name in names:
            m.d.comb += getattr(unit, name).eq(self.free(len(getattr(unit, name)), name))
        for port, prefix in ((unit.registers, "csr"), (unit.window, "window")):
            for name in port.signature.members:
                signal = getattr(port, name)
                m.d.comb += signal.eq(self.free(len(signal), f"{prefix}_{name}"))
        m.d.comb += unit.x_context.as_value().eq(self.free(9, "x_context"))
        registers, window = unit.registers, unit.window

        # The environment.
        number = registers.number
        writes = {
            csr: registers.write & (number == int(csr)) for csr in (XfidesCSR.SSDEPTH, XfidesCSR.SSBASE)
        }
        depth, base = Signal(16), Signal(16)  # by the contract
        wrote = Signal()
        self.assume(~(unit.push & unit.pop))
        self.assume(~(unit.push | unit.pop) | ~unit.machine)
        self.assume(~unit.push | ((unit.x_write | wrote) & ~unit.full))
        self.assume(~unit.pop | unit.present)
        self.assume((~unit.push | unit.x_grows) & (~unit.pop | ~unit.x_grows))
        self.assume(~(unit.push | unit.pop) | (number == 0xFFF))
        # Which of the extension's registers it is, is told from bits [11] and [4:0].
        self.assume(number.matches(*(int(csr) for csr in XfidesCSR), 0xFFF))
        self.assume(~registers.write | unit.machine | (number[8:] != 7))
        self.assume(window.write == (registers.write & (number == int(XfidesCSR.COMDATA))))
        held = Signal(17)
        m.d.comb += held.eq(depth - base)
        self.assume(held <= _CAPACITY)

        # Depth and base.
        m.d.sync += depth.eq(depth + unit.push - unit.pop)
        with m.If(writes[XfidesCSR.SSDEPTH]):
            m.d.sync += depth.eq(registers.wdata)
        with m.If(writes[XfidesCSR.SSBASE]):
            m.d.sync += base.eq(registers.wdata)
        empty = depth == base
        self.always((number != int(XfidesCSR.SSDEPTH)) | (unit.rdata == depth), "depth")
        self.always((number != int(XfidesCSR.SSBASE)) | (unit.rdata == base), "base")
        self.helper(self.probe(16, "unit.depth") == depth, "depth_register")
        self.helper(self.probe(16, "unit.base") == base, "base_register")
        self.always(unit.present == ~empty, "present")
        self.always(unit.spilled == (empty & (base != 0)), "spilled")
        self.always(unit.full == ((held == _CAPACITY) | (depth == 0xFFFF)), "full")

        # What is written above the top.
        entry, pending = Signal(Frame), Signal(Frame)
        m.d.comb += [
            entry.ra.eq(unit.x_ra),
            entry.sp.eq(unit.x_sp),
            entry.context.eq(unit.x_context),
            entry.kind.eq(unit.x_kind),
            entry.mark.eq(unit.x_mark),
        ]
        moves = unit.push | unit.pop | writes[XfidesCSR.SSDEPTH]
        m.d.sync += wrote.eq(unit.x_write & ~unit.machine & ~unit.full & ~moves)
        with m.If(unit.x_write):
            m.d.sync += pending.eq(entry)

        # The entry that is watched, field by field as comdata has them.
        watched = self.rigid(16, "watched")
        live = Signal()
        m.d.comb += live.eq((base <= watched) & (watched < depth))
        slot = watched[:_BITS]
        word = registers.wdata
        selected = window.number[:_BITS] == slot
        fields = (
            ("ra", Comsel.ENTRY_RA, lambda f: f.ra, word[:32]),
            ("sp", Comsel.ENTRY_SP, lambda f: f.sp, word[:32]),
            (
                "context",
                Comsel.ENTRY_CONTEXT,
                lambda f: Cat(f.context, f.kind, f.mark),
                Cat(word[:8] & (_COMPARTMENTS - 1), word[8:10], word[16:32]),
            ),
        )
        # The top is there when the change of depth is a cycle ago, and the monitor's mode as well; comdata
        # when comsel and the datum are.
        was_user, was_quiet, last_number = Signal(), Signal(), Signal(_BITS)
        m.d.sync += [
            was_user.eq(~unit.machine),
            was_quiet.eq(unit.machine & ~window.write & ~registers.write),
            last_number.eq(window.number),
        ]
        pushed = unit.push & (depth == watched)
        for memory, (name, item, get, written) in zip(_WatchedMemory.made, fields, strict=True):
            m.d.comb += memory.watch.addr.eq(slot)
            known = Signal(name=f"{name}_known")
            value = Signal(len(written), name=f"{name}_value")
            with m.If(pushed):
                m.d.sync += [known.eq(1), value.eq(Mux(unit.x_write, get(entry), get(pending)))]
            with m.Elif(live & window.write & (window.item == item) & selected):
                m.d.sync += [known.eq(1), value.eq(written)]
            with m.Elif(~live):
                m.d.sync += known.eq(0)
            on_top = unit.top_ready & ~unit.machine & was_user & (depth - 1 == watched) & live & known
            self.always(~on_top | (get(unit.top) == value), f"top_{name}")
            shown = (
                unit.machine & was_quiet & (last_number == slot) & selected & live & known
                & (number == int(XfidesCSR.COMDATA)) & (window.item == item)
            )  # fmt: skip
            expected = Cat(value[:10], *([0] * 6), value[10:]) if name == "context" else value
            self.always(~shown | (unit.rdata == expected), f"comdata_{name}")
            cell = memory.watch.data
            self.helper(~(live & known) | (cell == value), f"cell_{name}")
            above = wrote & (depth == watched) & ~unit.full
            self.helper(~above | (cell == get(pending)), f"above_{name}")

        target, sp = unit.x_target, unit.x_sp
        same = (target == unit.top.ra) & (sp == unit.top.sp)  # all 64 bits
        self.always(unit.matches == same, "matches")
        self.always(unit.wide == ((target >= 1 << 32) | (sp >= 1 << 32)), "wide")
