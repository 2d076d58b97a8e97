"""Compartments: landing pads, the shadow stack, returns and unwinding (contract, sections 5 to 7).

Nothing here knows instructions, privilege or CSR numbers: the hart calls in when checks apply (section 3),
and the benches of the hardware units use the same class as their reference.
"""

from enum import Enum
from typing import NamedTuple

from ..isa.causes import ControlFlowFault
from ..isa.xfides import RANGE_ALIGN, PadKind

__all__ = ["ControlFlowTrap", "Crossing", "ShadowEntry", "StackMark", "CompartmentState"]

ADDRESS_LIMIT = 1 << 32
DEPTH_LIMIT = (1 << 16) - 1
RANGE_MASK = (ADDRESS_LIMIT - 1) & ~(RANGE_ALIGN - 1)


class ControlFlowTrap(Exception):
    """A control-flow exception (mcause 24); ``reason`` is its comcause (contract, section 8)."""

    def __init__(self, reason: ControlFlowFault):
        super().__init__(reason.name)
        self.reason = reason


class Crossing(Enum):
    """What one instruction or return did to the compartment state."""

    NONE = "no crossing"
    CALL = "an entry was pushed and the context changed"
    TAIL_CALL = "the context changed, the caller's entry serves"
    RETURN = "the top entry matched and was popped"
    UNWIND = "a handler pad popped down to its entry"


class ShadowEntry(NamedTuple):
    """A shadow-stack entry. ``kind``: 0 call, 1 handler; ``ra``, ``sp``: 32 bits; ``fmark``: 16 bits."""

    kind: int = 0
    ra: int = 0
    sp: int = 0
    cid: int = 0
    restricted: bool = False
    fmark: int = 0


class StackMark:
    """The fmark register, 16 bits: the shadow stack saves and restores it, ``mint`` allocates with it."""

    def __init__(self, value: int = 0):
        self.value = value


class CompartmentState:
    """Context, ranges, access matrix and shadow stack of one hart, and the rules that change them.

    ``compartments``: number implemented, 2..256; ``capacity``: shadow-stack entries on chip; ``mark``: the
    fmark register, shared with the pointer unit. A method that raises :class:`ControlFlowTrap` has changed
    nothing, but for the completed pops of :meth:`handler` (section 3).
    """

    def __init__(self, compartments: int = 256, capacity: int = 512, mark: StackMark | None = None):
        self.compartments = compartments
        self.capacity = capacity
        self.mark = mark or StackMark()
        self.currcom = 0
        self.restricted = False
        self.current_start = 0
        self.current_end = 0
        self.restricted_fluid_start = 0  # parcompcstart; it ends at fluid_start
        self.fluid_start = 0  # anycompcstart
        self.fluid_end = 0  # anycompcend
        self.range_start = [0] * compartments
        self.range_end = [0] * compartments
        self.allowed = [0] * compartments  # allowed[caller] bit callee
        self.slots = [ShadowEntry()] * capacity
        self.ssdepth = 0
        self.ssbase = 0
        #: Entries popped by the last :meth:`handler`, for cost and coverage figures.
        self.unwound = 0

    # Context

    @property
    def context(self) -> tuple[int, bool]:
        """(currcom, restricted)."""
        return self.currcom, self.restricted

    def set_context(self, cid: int, restricted: bool) -> None:
        """Change the context and load the current range from the table (sections 4 and 5)."""
        self.currcom = cid % self.compartments
        self.restricted = bool(restricted)
        self.current_start = self.range_start[self.currcom]
        self.current_end = self.range_end[self.currcom]

    def home(self, pc: int) -> bool:
        """Whether ``pc`` may be executed without a crossing (section 5)."""
        if self.fluid_start <= pc < self.fluid_end:
            return True
        if self.restricted:
            return self.restricted_fluid_start <= pc < self.fluid_start
        return self.current_start <= pc < self.current_end

    def _home_in(self, context: tuple[int, bool], pc: int) -> bool:
        """:meth:`home` as it would be after :meth:`set_context`."""
        cid, restricted = context
        if self.fluid_start <= pc < self.fluid_end:
            return True
        if restricted:
            return self.restricted_fluid_start <= pc < self.fluid_start
        return self.range_start[cid] <= pc < self.range_end[cid]

    # Shadow stack

    def entry(self, number: int) -> ShadowEntry:
        """Entry ``number`` (not checked to be on chip)."""
        return self.slots[number % self.capacity]

    def top(self) -> ShadowEntry | None:
        """The top entry, None when the stack is empty. Raises SHADOW_UNDERFLOW when the monitor has it."""
        if self.ssdepth != self.ssbase:
            return self.entry(self.ssdepth - 1)
        if self.ssdepth:
            raise ControlFlowTrap(ControlFlowFault.SHADOW_UNDERFLOW)
        return None

    @property
    def full(self) -> bool:
        """No room for another entry: the chip's part is full, or ssdepth is at its limit (contract notes)."""
        return (self.ssdepth - self.ssbase) & DEPTH_LIMIT == self.capacity or self.ssdepth == DEPTH_LIMIT

    def _push(self, kind: int, ra: int, sp: int) -> None:
        entry = ShadowEntry(kind, ra, sp, self.currcom, self.restricted, self.mark.value)
        self.slots[self.ssdepth % self.capacity] = entry
        self.ssdepth += 1

    def _pop_and_restore(self, top: ShadowEntry) -> None:
        self.ssdepth -= 1
        self.set_context(top.cid, top.restricted)
        self.mark.value = top.fmark

    # Rules

    def execute(self, pc: int, pad: tuple[int, PadKind] | None, ra: int, sp: int) -> Crossing:
        """What every instruction at ``pc`` does before anything else (section 5).

        ``pad``: (cid, kind) as :func:`fides_core.isa.xfides.pad_fields` gives it, None for any other
        instruction; ``ra``, ``sp``: x1 and x2, 64 bits. Raises ControlFlowTrap.
        """
        if pad and pad[1] is PadKind.HANDLER:
            return self.handler(pc, sp)
        if self.home(pc):
            return Crossing.NONE
        if pad is None:
            raise ControlFlowTrap(ControlFlowFault.ILLEGAL_ENTRY)
        cid, kind = pad
        if self.current_start <= pc < self.current_end:
            new = self.currcom, False  # call back out of restricted fluid
        elif kind is PadKind.LOCAL:
            raise ControlFlowTrap(ControlFlowFault.ILLEGAL_ENTRY)
        elif self.restricted_fluid_start <= pc < self.fluid_start:
            new = self.currcom, True  # call into restricted fluid
        elif self.restricted:
            raise ControlFlowTrap(ControlFlowFault.RESTRICTED)
        elif cid == self.currcom:
            raise ControlFlowTrap(ControlFlowFault.BAD_PAD)  # outside its compartment
        elif cid >= self.compartments or not self.allowed[self.currcom] >> cid & 1:
            raise ControlFlowTrap(ControlFlowFault.DENIED)
        else:
            new = cid, False
        if ra >= ADDRESS_LIMIT or sp >= ADDRESS_LIMIT:
            raise ControlFlowTrap(ControlFlowFault.BAD_PAD)
        top = self.top()
        tail_call = top is not None and top.kind == 0 and (top.ra, top.sp) == (ra, sp)
        if not tail_call and self.full:
            raise ControlFlowTrap(ControlFlowFault.SHADOW_OVERFLOW)
        if not self._home_in(new, pc):
            raise ControlFlowTrap(ControlFlowFault.BAD_PAD)
        if not tail_call:
            self._push(0, ra, sp)
        self.set_context(*new)
        return Crossing.TAIL_CALL if tail_call else Crossing.CALL

    def ret(self, target: int, sp: int) -> Crossing:
        """A return, ``jalr x0, 0(x1)``, to ``target`` (section 6). Raises SHADOW_UNDERFLOW.

        RETURN when it popped; NONE when it is an ordinary jump, judged where it lands.
        """
        top = self.top()
        if top is None or top.kind or (top.ra, top.sp) != (target, sp):
            return Crossing.NONE
        self._pop_and_restore(top)
        return Crossing.RETURN

    def arm(self, handler: int, sp: int) -> None:
        """``arm rs1`` with rs1 = ``handler``, the pad's address (section 7).

        Raises BAD_UNWIND for an address or ``sp`` of 2^32 or more, SHADOW_OVERFLOW when full.
        """
        if handler >= ADDRESS_LIMIT or sp >= ADDRESS_LIMIT:
            raise ControlFlowTrap(ControlFlowFault.BAD_UNWIND)
        if self.full:
            raise ControlFlowTrap(ControlFlowFault.SHADOW_OVERFLOW)
        self._push(1, handler, sp)

    def disarm(self) -> None:
        """``disarm`` (section 7): remove the top entry, context and fmark stay. Raises BAD_UNWIND when the
        stack is empty or its top is a call, SHADOW_UNDERFLOW."""
        top = self.top()
        if top is None or not top.kind:
            raise ControlFlowTrap(ControlFlowFault.BAD_UNWIND)
        self.ssdepth -= 1

    def handler(self, pc: int, sp: int) -> Crossing:
        """A handler pad at ``pc`` (section 7). Raises BAD_UNWIND, SHADOW_UNDERFLOW; completed pops stay."""
        self.unwound = 0
        while True:
            top = self.top()
            if top is None:
                raise ControlFlowTrap(ControlFlowFault.BAD_UNWIND)
            self._pop_and_restore(top)
            self.unwound += 1
            if top.kind and (top.ra, top.sp) == (pc, sp):
                break
        if not self.home(pc):
            raise ControlFlowTrap(ControlFlowFault.BAD_UNWIND)
        return Crossing.UNWIND
