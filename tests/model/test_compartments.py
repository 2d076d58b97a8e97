"""The rules of contract sections 5 to 7, one by one."""

import pytest

from fides_core.isa.causes import ControlFlowFault as Fault
from fides_core.isa.xfides import PadKind
from fides_core.model.compartments import CompartmentState, ControlFlowTrap, Crossing, ShadowEntry

# Compartment i at i * 0x1000, restricted fluid, then complete fluid.
RESTRICTED_FLUID, FLUID, FLUID_END = 0x10000, 0x11000, 0x12000
RA, SP = 0x1040, 0x8000


def in_compartment(cid, offset=0):
    return cid * 0x1000 + offset


def entry(cid):
    return cid, PadKind.ENTRY


def local(cid):
    return cid, PadKind.LOCAL


@pytest.fixture
def state():
    """Compartments 0..7 in context 1; 1 may call 2, 2 may call 3; capacity 16."""
    state = CompartmentState(compartments=8, capacity=16)
    for cid in range(8):
        state.range_start[cid], state.range_end[cid] = in_compartment(cid), in_compartment(cid, 0x1000)
    state.allowed[1] = 1 << 2
    state.allowed[2] = 1 << 3
    state.restricted_fluid_start, state.fluid_start, state.fluid_end = RESTRICTED_FLUID, FLUID, FLUID_END
    state.set_context(1, False)
    return state


def snapshot(state):
    chip = [state.entry(i) for i in range(state.ssbase, state.ssdepth)]
    current = state.current_start, state.current_end
    return state.context, current, state.ssdepth, state.ssbase, chip, state.mark.value


def faults(state, reason, rule, *arguments):
    """``rule`` raises ``reason`` and has no side effect."""
    before = snapshot(state)
    with pytest.raises(ControlFlowTrap) as caught:
        rule(*arguments)
    assert caught.value.reason is reason
    assert snapshot(state) == before


class TestHome:
    def test_own_range(self, state):
        assert state.execute(in_compartment(1), None, 0, 0) is Crossing.NONE
        assert state.execute(in_compartment(1, 0xFFC), None, 0, 0) is Crossing.NONE

    def test_complete_fluid_in_both_contexts(self, state):
        for restricted in (False, True):
            state.set_context(1, restricted)
            assert state.execute(FLUID, None, 0, 0) is Crossing.NONE
            assert state.execute(FLUID_END - 4, None, 0, 0) is Crossing.NONE

    def test_restricted_fluid_only_when_restricted(self, state):
        assert not state.home(RESTRICTED_FLUID)
        state.set_context(1, True)
        assert state.home(RESTRICTED_FLUID) and state.home(FLUID - 4)

    def test_own_range_not_when_restricted(self, state):
        state.set_context(1, True)
        assert not state.home(in_compartment(1))

    def test_pad_at_home_is_a_no_op(self, state):
        before = snapshot(state)
        for pad in (entry(1), local(1), entry(0)):
            assert state.execute(in_compartment(1), pad, RA, SP) is Crossing.NONE
        assert snapshot(state) == before

    @pytest.mark.parametrize("pc", [in_compartment(2), in_compartment(1) - 4, FLUID_END, RESTRICTED_FLUID])
    def test_elsewhere_without_pad(self, state, pc):
        faults(state, Fault.ILLEGAL_ENTRY, state.execute, pc, None, RA, SP)

    def test_empty_range_is_nobodys(self, state):
        state.range_end[2] = state.range_start[2]
        state.set_context(2, False)
        assert not state.home(in_compartment(2))


class TestCall:
    def test_allowed(self, state):
        state.mark.value = 77
        assert state.execute(in_compartment(2), entry(2), RA, SP) is Crossing.CALL
        assert state.context == (2, False)
        assert (state.current_start, state.current_end) == (in_compartment(2), in_compartment(3))
        assert state.ssdepth == 1
        assert state.entry(0) == ShadowEntry(0, RA, SP, 1, False, 77)

    def test_denied(self, state):
        faults(state, Fault.DENIED, state.execute, in_compartment(3), entry(3), RA, SP)

    def test_matrix_is_directed(self, state):
        state.set_context(2, False)
        faults(state, Fault.DENIED, state.execute, in_compartment(1), entry(1), RA, SP)

    def test_cid_that_is_not_implemented(self, state):
        state.allowed[1] = (1 << 256) - 1
        faults(state, Fault.DENIED, state.execute, 0x9000, entry(9), RA, SP)

    def test_local_pad_of_another(self, state):
        faults(state, Fault.ILLEGAL_ENTRY, state.execute, in_compartment(2), local(2), RA, SP)

    def test_local_pad_of_restricted_fluid(self, state):
        faults(state, Fault.ILLEGAL_ENTRY, state.execute, RESTRICTED_FLUID, local(0), RA, SP)

    def test_pad_with_anothers_id(self, state):
        faults(state, Fault.BAD_PAD, state.execute, in_compartment(3), entry(2), RA, SP)

    @pytest.mark.parametrize("ra, sp", [(1 << 32, SP), (RA, 1 << 32), (1 << 63, 1 << 63)])
    def test_wide_operands(self, state, ra, sp):
        faults(state, Fault.BAD_PAD, state.execute, in_compartment(2), entry(2), ra, sp)

    def test_wide_operands_do_not_match_by_their_lower_half(self, state):
        state.execute(in_compartment(2), entry(2), RA, SP)
        faults(state, Fault.BAD_PAD, state.execute, in_compartment(3), entry(3), RA | 1 << 32, SP)

    def test_policy_before_wide_operands(self, state):
        faults(state, Fault.DENIED, state.execute, in_compartment(3), entry(3), 1 << 32, SP)

    def test_overflow_before_bad_pad(self, state):
        state.ssdepth = state.capacity
        faults(state, Fault.SHADOW_OVERFLOW, state.execute, in_compartment(3), entry(2), RA, SP)

    def test_underflow_before_bad_pad(self, state):
        state.ssdepth = state.ssbase = 5
        faults(state, Fault.SHADOW_UNDERFLOW, state.execute, in_compartment(3), entry(2), RA, SP)


class TestTailCall:
    def test_uses_the_callers_entry(self, state):
        state.execute(in_compartment(2), entry(2), RA, SP)
        assert state.execute(in_compartment(3), entry(3), RA, SP) is Crossing.TAIL_CALL
        assert state.context == (3, False) and state.ssdepth == 1
        assert state.ret(RA, SP) is Crossing.RETURN
        assert state.context == (1, False)

    @pytest.mark.parametrize("ra, sp", [(RA + 4, SP), (RA, SP - 16)])
    def test_needs_both_to_match(self, state, ra, sp):
        state.execute(in_compartment(2), entry(2), RA, SP)
        assert state.execute(in_compartment(3), entry(3), ra, sp) is Crossing.CALL

    def test_handler_entry_is_no_call(self, state):
        state.arm(RA, SP)
        assert state.execute(in_compartment(2), entry(2), RA, SP) is Crossing.CALL
        assert state.ssdepth == 2

    def test_fits_when_full(self, state):
        for i in range(15):
            state.arm(i, SP)
        state.execute(in_compartment(2), entry(2), RA, SP)
        assert state.full
        assert state.execute(in_compartment(3), entry(3), RA, SP) is Crossing.TAIL_CALL

    def test_bad_pad_has_no_effect(self, state):
        state.execute(in_compartment(2), entry(2), RA, SP)
        faults(state, Fault.BAD_PAD, state.execute, in_compartment(4), entry(3), RA, SP)


class TestRestrictedFluid:
    def test_entered_with_the_callers_identity(self, state):
        assert state.execute(RESTRICTED_FLUID, entry(0), RA, SP) is Crossing.CALL
        assert state.context == (1, True)
        assert state.entry(0).restricted is False

    def test_calls_back_its_caller_by_any_pad(self, state):
        for pad in (entry(1), local(1)):
            state.set_context(1, True)
            assert state.execute(in_compartment(1), pad, RA, SP - 16 * pad[1]) is Crossing.CALL
            assert state.context == (1, False)
        assert state.entry(0).restricted is True

    def test_may_not_call_another(self, state):
        state.set_context(1, True)
        faults(state, Fault.RESTRICTED, state.execute, in_compartment(2), entry(2), RA, SP)

    def test_complete_fluid_does_not_lift_it(self, state):
        state.set_context(1, True)
        state.execute(FLUID, entry(0), RA, SP)
        faults(state, Fault.RESTRICTED, state.execute, in_compartment(2), entry(2), RA, SP)

    def test_return_restores_it(self, state):
        state.execute(RESTRICTED_FLUID, entry(0), RA, SP)
        state.execute(in_compartment(1), entry(1), RESTRICTED_FLUID + 0x40, SP - 16)
        state.ret(RESTRICTED_FLUID + 0x40, SP - 16)
        assert state.context == (1, True)


class TestReturn:
    def test_restores_context_range_and_fmark(self, state):
        state.mark.value = 5
        state.execute(in_compartment(2), entry(2), RA, SP)
        state.mark.value = 9
        assert state.ret(RA, SP) is Crossing.RETURN
        assert state.context == (1, False) and state.mark.value == 5 and state.ssdepth == 0
        assert state.current_start == in_compartment(1)

    def test_into_fluid_code(self, state):
        # The caller runs in complete fluid code: its address is home for both, its context must come back.
        state.execute(in_compartment(2), entry(2), FLUID + 0x40, SP)
        assert state.ret(FLUID + 0x40, SP) is Crossing.RETURN
        assert state.context == (1, False)

    @pytest.mark.parametrize(
        "target, sp", [(RA + 4, SP), (RA, SP + 16), (RA | 1 << 32, SP), (RA, SP | 1 << 32)]
    )
    def test_mismatch_is_an_ordinary_jump(self, state, target, sp):
        state.execute(in_compartment(2), entry(2), RA, SP)
        before = snapshot(state)
        assert state.ret(target, sp) is Crossing.NONE
        assert snapshot(state) == before

    def test_handler_entry_does_not_match(self, state):
        state.arm(RA, SP)
        assert state.ret(RA, SP) is Crossing.NONE

    def test_empty(self, state):
        assert state.ret(RA, SP) is Crossing.NONE

    def test_underflow(self, state):
        state.ssdepth = state.ssbase = 1
        faults(state, Fault.SHADOW_UNDERFLOW, state.ret, RA, SP)


class TestHandlers:
    def test_arm_pushes_the_context(self, state):
        state.mark.value = 3
        state.set_context(1, True)
        state.arm(0x1100, SP)
        assert state.entry(0) == ShadowEntry(1, 0x1100, SP, 1, True, 3)

    def test_arm_when_full(self, state):
        state.ssdepth = 16
        faults(state, Fault.SHADOW_OVERFLOW, state.arm, 0x1100, SP)

    @pytest.mark.parametrize("address, sp", [(1 << 32, SP), (0x1100, 1 << 32)])
    def test_arm_with_wide_operands(self, state, address, sp):
        faults(state, Fault.BAD_UNWIND, state.arm, address, sp)

    def test_disarm_leaves_context_and_fmark(self, state):
        state.arm(0x1100, SP)
        state.set_context(2, False)
        state.mark.value = 8
        state.disarm()
        assert state.ssdepth == 0 and state.context == (2, False) and state.mark.value == 8

    def test_disarm_needs_a_handler(self, state):
        faults(state, Fault.BAD_UNWIND, state.disarm)
        state.execute(in_compartment(2), entry(2), RA, SP)
        faults(state, Fault.BAD_UNWIND, state.disarm)

    def test_disarm_underflow(self, state):
        state.ssdepth = state.ssbase = 2
        faults(state, Fault.SHADOW_UNDERFLOW, state.disarm)

    @pytest.mark.parametrize("frames", [0, 1, 9])
    def test_unwinds(self, state, frames):
        state.mark.value = 4
        state.arm(0x1100, SP)
        for frame in range(frames):
            state.mark.value += 1
            state.set_context(1, False)
            state.execute(in_compartment(2), entry(2), RA, SP - 16 * frame)
        assert state.execute(0x1100, (1, PadKind.HANDLER), 0, SP) is Crossing.UNWIND
        assert state.context == (1, False) and state.ssdepth == 0 and state.mark.value == 4
        assert state.unwound == frames + 1

    def test_unwinds_past_other_handlers(self, state):
        state.arm(0x1100, SP)
        state.arm(0x1100, SP - 16)
        state.arm(0x1200, SP)
        state.handler(0x1100, SP)
        assert state.ssdepth == 0

    def test_stops_at_the_newest_match(self, state):
        state.arm(0x1100, SP)
        state.arm(0x1100, SP)
        state.handler(0x1100, SP)
        assert state.ssdepth == 1

    def test_pad_at_home_is_still_judged(self, state):
        with pytest.raises(ControlFlowTrap) as caught:
            state.execute(in_compartment(1, 0x100), (0, PadKind.HANDLER), RA, SP)
        assert caught.value.reason is Fault.BAD_UNWIND

    def test_call_entry_with_the_same_words_does_not_match(self, state):
        state.execute(in_compartment(2), entry(2), 0x1100, SP)
        with pytest.raises(ControlFlowTrap) as caught:
            state.handler(0x1100, SP)
        assert caught.value.reason is Fault.BAD_UNWIND

    @pytest.mark.parametrize("sp", [SP + 16, SP | 1 << 32])
    def test_never_armed_pops_everything(self, state, sp):
        state.arm(0x1100, SP)
        state.execute(in_compartment(2), entry(2), RA, SP)
        with pytest.raises(ControlFlowTrap) as caught:
            state.handler(0x1100, sp)
        assert caught.value.reason is Fault.BAD_UNWIND
        assert state.ssdepth == 0 and state.context == (1, False)  # the pops stay

    def test_handler_must_be_home_afterwards(self, state):
        state.arm(in_compartment(3, 0x100), SP)
        with pytest.raises(ControlFlowTrap) as caught:
            state.handler(in_compartment(3, 0x100), SP)
        assert caught.value.reason is Fault.BAD_UNWIND

    def test_underflow_between_pops_restarts(self, state):
        state.arm(0x1100, SP)
        spilled = state.entry(0)
        state.execute(in_compartment(2), entry(2), RA, SP)
        state.slots[0] = ShadowEntry()
        state.ssbase = 1
        with pytest.raises(ControlFlowTrap) as caught:
            state.handler(0x1100, SP)
        assert caught.value.reason is Fault.SHADOW_UNDERFLOW
        assert state.ssdepth == 1 and state.context == (1, False)
        state.ssbase, state.slots[0] = 0, spilled
        assert state.handler(0x1100, SP) is Crossing.UNWIND


class TestSpill:
    def test_full_depends_on_the_entries_on_chip(self, state):
        state.ssdepth, state.ssbase = 20, 4
        assert state.full
        state.ssbase = 5
        assert not state.full

    def test_depth_limit_counts_as_full(self, state):
        state.ssdepth, state.ssbase = 0xFFFF, 0xFFFE
        faults(state, Fault.SHADOW_OVERFLOW, state.arm, 0x1100, SP)

    def test_spill_and_refill_give_every_entry_back(self, state):
        """What a monitor does on overflow and underflow, through 50 nested calls and returns."""
        memory, spills, refills = [], 0, 0
        for depth in range(50):
            state.set_context(1, False)
            if state.full:
                for _ in range(8):
                    memory.append(state.entry(state.ssbase))
                    state.ssbase += 1
                spills += 1
            state.execute(in_compartment(2), entry(2), RA + 4 * depth, SP - 16 * depth)
        for depth in reversed(range(50)):
            if state.ssdepth == state.ssbase:
                for _ in range(8):
                    state.ssbase -= 1
                    state.slots[state.ssbase % state.capacity] = memory.pop()
                refills += 1
            state.set_context(2, False)
            assert state.ret(RA + 4 * depth, SP - 16 * depth) is Crossing.RETURN
            assert state.context == (1, False)
        assert not memory and spills > 3 and refills > 3


def test_context_is_limited_to_the_implemented_compartments(state):
    state.set_context(0x0A, True)
    assert state.context == (2, True) and state.current_start == in_compartment(2)
