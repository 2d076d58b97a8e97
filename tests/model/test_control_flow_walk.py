"""Sections 5 to 7 as a whole: random legal programs in the context each activation is due, and attackers.

``FIDES_SEED`` in the environment replaces the seeds, to reproduce a failure.
"""

import os
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from fides_core.isa.causes import ControlFlowFault as Fault
from fides_core.isa.xfides import PadKind
from fides_core.model.compartments import CompartmentState, ControlFlowTrap, Crossing

COMPARTMENTS = 8
FUNCTION = 0x400  # bytes for each function
PER_REGION = 4
REGION = FUNCTION * PER_REGION
RESTRICTED_FLUID, FLUID = COMPARTMENTS * REGION, (COMPARTMENTS + 1) * REGION
HANDLER = 0x200  # offset of a function's handler pad


def seeds(count):
    return [int(os.environ["FIDES_SEED"])] if "FIDES_SEED" in os.environ else list(range(count))


def machine(allowed, capacity=16):
    """Compartment i at i * REGION, then both fluid ranges; ``allowed``: set of (caller, callee)."""
    state = CompartmentState(COMPARTMENTS, capacity)
    for cid in range(COMPARTMENTS):
        state.range_start[cid], state.range_end[cid] = cid * REGION, (cid + 1) * REGION
    for caller, callee in allowed:
        state.allowed[caller] |= 1 << callee
    state.restricted_fluid_start, state.fluid_start, state.fluid_end = RESTRICTED_FLUID, FLUID, FLUID + REGION
    state.set_context(0, False)
    return state


def region(pc):
    """The compartment of ``pc``, or "restricted" or "fluid"."""
    number = pc // REGION
    return {COMPARTMENTS: "restricted", COMPARTMENTS + 1: "fluid"}.get(number, number)


@dataclass
class Activation:
    """Ground truth: a function that runs, the context it is due, and what it must come back with."""

    function: int
    context: tuple[int, bool]
    ra: int | None
    entry_sp: int
    sp: int
    mark: int
    handlers: list = field(default_factory=list)


class Walk:
    """A program of calls, tail calls, returns, try blocks and exceptions that obeys the policy."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        pairs = [(a, b) for a in range(COMPARTMENTS) for b in range(COMPARTMENTS) if a != b]
        self.allowed = {pair for pair in pairs if self.random.random() < 0.5}
        self.state = machine(self.allowed, capacity=4)
        self.functions = [0] + [number * FUNCTION for number in range(1, (COMPARTMENTS + 2) * PER_REGION)]
        self.stack = [Activation(0, (0, False), None, 1 << 20, (1 << 20) - 32, 0)]
        self.memory = []  # the monitor's part of the shadow stack
        self.seen = Counter()

    def due_context(self, function, caller):
        """The context that ``function`` must run in when ``caller`` calls it; None if it is denied."""
        where = region(function)
        if where == "fluid":
            return caller
        if where == "restricted":
            return caller[0], True
        if where == caller[0]:
            return caller[0], False
        return (where, False) if not caller[1] and (caller[0], where) in self.allowed else None

    def do(self, rule, *arguments):
        """``rule`` with a monitor that spills and refills the shadow stack."""
        while True:
            try:
                return rule(*arguments)
            except ControlFlowTrap as trap:
                state = self.state
                self.seen[trap.reason] += 1
                if trap.reason is Fault.SHADOW_OVERFLOW:
                    for _ in range(self.random.randint(1, state.capacity)):
                        self.memory.append(state.entry(state.ssbase))
                        state.ssbase += 1
                elif trap.reason is Fault.SHADOW_UNDERFLOW:
                    for _ in range(self.random.randint(1, min(len(self.memory), state.capacity))):
                        state.ssbase -= 1
                        state.slots[state.ssbase % state.capacity] = self.memory.pop()
                else:
                    raise

    def land(self, function, ra, sp):
        where = region(function)
        pad = (where if isinstance(where, int) else 0), PadKind.ENTRY
        self.do(self.state.execute, function, pad, ra, sp)

    def enter(self, function, ra, sp, *, tail):
        if tail:
            self.state.mark.value = self.stack[-1].mark  # compiled code restores it at every exit
        context = self.due_context(function, self.stack[-1].context)
        if context is None:
            with pytest.raises(ControlFlowTrap) as caught:
                self.land(function, ra, sp)
            assert caught.value.reason in (Fault.DENIED, Fault.RESTRICTED)
            self.seen["denied"] += 1
            return
        self.land(function, ra, sp)
        mark = self.stack.pop().mark if tail else self.state.mark.value
        frame = 16 * self.random.randint(1, 4)
        self.stack.append(Activation(function, context, ra, sp, sp - frame, mark))
        self.seen["tail call" if tail else "call"] += 1

    def step(self):
        top = self.stack[-1]
        assert self.state.context == top.context
        assert self.state.home(top.function)
        choice = self.random.random()
        if choice < 0.40 and len(self.stack) < 60 or len(self.stack) == 1:
            ra = top.function + 0x40 + 4 * self.random.randrange(8)
            self.enter(self.random.choice(self.functions), ra, top.sp, tail=False)
        elif choice < 0.48 and not top.handlers:
            self.enter(self.random.choice(self.functions), top.ra, top.entry_sp, tail=True)
        elif choice < 0.53 and len(top.handlers) < 2:
            self.do(self.state.arm, top.function + HANDLER, top.sp)
            top.handlers.append((top.sp, self.state.mark.value))
            top.sp -= 16
        elif choice < 0.65 and top.handlers:
            self.do(self.state.disarm)
            top.sp, _ = top.handlers.pop()
            self.seen["disarm"] += 1
        elif choice < 0.66:
            self.throw()
        elif choice < 0.70:
            self.state.mark.value += 1  # an escaping local
        elif not top.handlers and top.ra is not None:
            self.stack.pop()
            crossing = self.do(self.state.ret, top.ra, top.entry_sp)
            caller = self.stack[-1]
            assert caller.sp == top.entry_sp
            assert self.do(self.state.execute, top.ra, None, 0, 0) is Crossing.NONE
            if crossing is Crossing.RETURN:
                assert self.state.mark.value == top.mark
            fluid = region(top.ra) == "fluid" and crossing is Crossing.RETURN
            self.seen["return in fluid code" if fluid else "return"] += 1

    def throw(self):
        if not any(activation.handlers for activation in self.stack):
            return
        while not self.stack[-1].handlers:
            self.stack.pop()
        catcher = self.stack[-1]
        catcher.sp, mark = catcher.handlers.pop()
        pad = 0, PadKind.HANDLER
        assert self.do(self.state.execute, catcher.function + HANDLER, pad, 0, catcher.sp) is Crossing.UNWIND
        assert self.state.mark.value == mark
        self.seen["exception"] += 1


@pytest.mark.parametrize("seed", seeds(20))
def test_legal_programs_run_in_the_context_they_are_due(seed):
    walk = Walk(seed)
    for _ in range(20000):
        walk.step()
    expected = {
        "call", "tail call", "return", "return in fluid code", "exception", "disarm", "denied",
        Fault.SHADOW_OVERFLOW, Fault.SHADOW_UNDERFLOW,
    }  # fmt: skip
    assert expected <= set(walk.seen), f"seed {seed}: never happened: {expected - set(walk.seen)}"


class Attacker:
    """Compartment 5, called by 1, called by 0: jumps anywhere with any ra and sp, and executes what is there.

    Each function has a pad at 0 (entry of its own region), a local pad at 0x100 and a handler pad at HANDLER.
    """

    ALLOWED = {(0, 1), (1, 5), (5, 3), (3, 4)}
    STACK_POINTERS = (700, 800, 900, 950, 1000, 1001, 2000, 900 | 1 << 32)

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.state = machine(self.ALLOWED)
        self.state.execute(REGION, (1, PadKind.ENTRY), 0x40, 1000)
        if self.random.random() < 0.5:
            self.state.arm(REGION + HANDLER, 950)
        self.state.execute(5 * REGION, (5, PadKind.ENTRY), REGION + 0x40, 900)
        regions = [number * REGION for number in range(COMPARTMENTS + 2)]
        # Few handler pads: one that was not armed ends the attack.
        self.addresses = [base + offset for base in regions for offset in 4 * (0, 0x40, 0x100, 0x264)]
        self.addresses += [base + HANDLER for base in regions]
        self.victim_entries = self.state.ssdepth

    def pad_at(self, pc):
        where = region(pc)
        cid = where if isinstance(where, int) else 0
        kinds = {0: PadKind.ENTRY, 0x100: PadKind.LOCAL, HANDLER: PadKind.HANDLER}
        kind = kinds.get(pc % REGION)
        return None if kind is None else (cid, kind)

    def step(self):
        """One jump or return and the instruction it lands on. What changed the context, or None."""
        state, choose = self.state, self.random.choice
        pc, ra, sp = choose(self.addresses), choose(self.addresses), choose(self.STACK_POINTERS)
        stack = [state.entry(i) for i in range(state.ssdepth)]
        before, pad = state.context, self.pad_at(pc)
        returned = False
        try:
            if self.random.random() < 0.5:
                ra = pc
                returned = state.ret(pc, sp) is Crossing.RETURN
                if returned:
                    assert stack[-1][:3] == (0, pc, sp)
                    assert state.context == (stack[-1].cid, stack[-1].restricted)
                    before = state.context
            elif self.random.random() < 0.1:
                state.arm(pc, sp)
                assert state.context == before
                return None
            state.execute(pc, pad, ra, sp)
        except ControlFlowTrap:
            return "fault"
        assert state.home(pc), "G1: the pc is inside the current compartment or a fluid range"
        if state.context == before:
            return "return" if returned else None
        cid, restricted = state.context
        assert pad is not None, "a change of context is a return or happens at a pad"
        if pad[1] is PadKind.HANDLER:
            armed = [(entry.cid, entry.restricted) for entry in stack if entry[:3] == (1, pc, sp)]
            assert (cid, restricted) in armed
            return "unwound"
        if cid != before[0]:
            assert not before[1] and (before[0], cid) in self.ALLOWED
            assert pad == (cid, PadKind.ENTRY) and region(pc) == cid and not restricted
        return "call"


def test_attackers_that_jump_anywhere_stay_within_the_policy():
    seen = Counter()
    for seed in seeds(20000):
        attacker = Attacker(seed)
        for _ in range(40):
            event = attacker.step()
            seen[event] += 1
            # Control is back with a victim, or a handler pad faulted, which ends the program.
            if attacker.state.ssdepth < attacker.victim_entries:
                break
    assert {"fault", "call", "return", "unwound"} <= set(seen), seen


# Directed attacks: compartments 0 calls 1, 1 calls 2.
CHAIN = {(0, 1), (1, 2)}


def chain():
    state = machine(CHAIN)
    state.execute(REGION, (1, PadKind.ENTRY), 0x40, 1000)
    return state


def reason(rule, *arguments):
    with pytest.raises(ControlFlowTrap) as caught:
        rule(*arguments)
    return caught.value.reason


def test_setjmp_in_fluid_code_and_longjmp_from_a_callee_at_the_same_sp():
    state = chain()
    handler = FLUID + HANDLER
    state.arm(handler, 900)
    state.execute(2 * REGION, (2, PadKind.ENTRY), FLUID + 0x80, 900)
    state.execute(handler, (0, PadKind.HANDLER), 0, 900)
    assert state.context == (1, False) and state.ssdepth == 1


def test_handler_pad_with_a_high_sp_does_not_unwind_to_the_outermost():
    state = chain()
    state.arm(REGION + HANDLER, 900)
    state.execute(2 * REGION, (2, PadKind.ENTRY), REGION + 0x80, 880)
    assert reason(state.execute, FLUID + HANDLER, (0, PadKind.HANDLER), 0, 1 << 20) is Fault.BAD_UNWIND


def test_handler_pad_that_was_never_installed():
    state = chain()
    state.arm(REGION + HANDLER, 900)
    state.execute(2 * REGION, (2, PadKind.ENTRY), REGION + 0x80, 880)
    other = REGION + FUNCTION + HANDLER
    assert reason(state.execute, other, (1, PadKind.HANDLER), 0, 900) is Fault.BAD_UNWIND


def test_restricted_fluid_does_not_escape_through_a_fluid_handler_pad():
    state = chain()
    state.execute(RESTRICTED_FLUID, (0, PadKind.ENTRY), REGION + 0x80, 900)
    assert reason(state.execute, FLUID + HANDLER, (0, PadKind.HANDLER), 0, 900) is Fault.BAD_UNWIND


def test_published_escape_restricted_to_fluid_to_anywhere():
    state = chain()
    state.execute(RESTRICTED_FLUID, (0, PadKind.ENTRY), REGION + 0x80, 900)
    state.execute(FLUID, (0, PadKind.ENTRY), RESTRICTED_FLUID + 0x40, 880)
    assert reason(state.execute, 2 * REGION, (2, PadKind.ENTRY), FLUID + 0x40, 860) is Fault.RESTRICTED


def test_forged_return_address():
    state = chain()
    state.execute(2 * REGION, (2, PadKind.ENTRY), REGION + 0x80, 900)
    assert state.ret(REGION + 0x84, 900) is Crossing.NONE
    assert reason(state.execute, REGION + 0x84, None, 0, 900) is Fault.ILLEGAL_ENTRY


def test_forged_return_onto_a_pad_is_subject_to_the_matrix():
    state = chain()
    state.execute(2 * REGION, (2, PadKind.ENTRY), REGION + 0x80, 900)
    assert state.ret(REGION, 900) is Crossing.NONE
    assert reason(state.execute, REGION, (1, PadKind.ENTRY), REGION, 900) is Fault.DENIED


def test_return_into_another_activation_of_the_caller():
    state = chain()
    state.execute(2 * REGION, (2, PadKind.ENTRY), REGION + 0x80, 900)
    assert state.ret(REGION + 0x80, 950) is Crossing.NONE
    assert reason(state.execute, REGION + 0x80, None, 0, 950) is Fault.ILLEGAL_ENTRY
