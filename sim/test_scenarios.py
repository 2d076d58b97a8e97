"""Scenarios of who calls whom, and attacks on the way control flows, as programs on the core, in lockstep
with the golden model.

The last function of a chain executes ebreak, which shows that it ran.
"""

from collections import Counter
from collections.abc import Callable

import pytest

from fides_core.flow.elf import Program
from fides_core.flow.lockstep import lockstep_config
from fides_core.flow.model_lockstep import ModelLockstep, ModelOutcome
from fides_core.isa.causes import ControlFlowFault as Fault
from fides_core.isa.csrs import XfidesCSR
from fides_core.isa.xfides import PadKind, checkcap
from fides_core.soc.memory_map import MAIN_MEMORY_BASE
from fides_core.software.call_scenarios import CALL_SCENARIOS, FLUID, RESTRICTED, TO_2
from fides_core.software.episode_monitor import CODE, DATA, Episode, Layout, monitor_segments
from fides_core.software.label_code import LabelCode

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RA, SP, T0, T1, S1 = 1, 2, 5, 6, 9
STUB = "stub"


@pytest.fixture(scope="module", params=["tiny_fides", "fides"])
def checker(request):
    return ModelLockstep.build(lockstep_config(request.param, "few"))


class World:
    """Functions by place, put together in the order of the places; those of restricted fluid come before
    those of complete fluid. ``allowed``: pairs of caller and callee."""

    def __init__(self, allowed=()):
        self.allowed = set(allowed)
        self.functions: dict[int, list[Callable[[LabelCode], None]]] = {}

    def function(self, place: int, name: str, body, *, kind=PadKind.ENTRY, frame: int = 32) -> None:
        """``body(code)`` between a pad and a return, with ra kept in a frame of so many bytes (0: none).
        ``kind`` None: without a pad."""

        def emit(code: LabelCode) -> None:
            code.align(4)
            code.label(name)
            if kind is not None:
                code.word(checkcap(place if place < RESTRICTED else 0, kind))
            if frame:
                code.op("addi", rd=SP, rs1=SP, imm=-frame)
                code.op("sd", rs1=SP, rs2=RA)
            body(code)
            if frame:
                code.op("ld", rd=RA, rs1=SP)
                code.op("addi", rd=SP, rs1=SP, imm=frame)
            code.op("jalr", rs1=RA)

        self.functions.setdefault(place, []).append(emit)

    def program(self, core, start: str) -> Program:
        """It begins in compartment 1."""

        def stub(code):
            code.label(STUB)
            code.op("ecall")

        self.functions.setdefault(1, []).append(stub)
        code, ranges = LabelCode(CODE), {}
        for place in sorted(self.functions):
            code.align(64)
            first = code.at
            for emit in self.functions[place]:
                emit(code)
            code.align(64)
            ranges[place] = first, code.at
        restricted = ranges.pop(RESTRICTED, (code.at, code.at))
        fluid = ranges.pop(FLUID, (restricted[1], restricted[1]))
        allowed = {cid: frozenset(to for by, to in self.allowed if by == cid) for cid in ranges}
        layout = Layout(restricted[0], fluid[0], fluid[1], ranges, allowed, 1, 1, 1, True)
        episodes = [Episode(code.labels[start], 1, code.labels[STUB], 1), None]
        monitor = monitor_segments(core, layout, episodes, 1_000_000)
        return Program((*monitor, (CODE - MAIN_MEMORY_BASE, code.contents())), start)


def call(name: str):
    return lambda code: code.jump("jal", name, rd=RA)


def run(checker, world: World, start: str) -> ModelOutcome:
    outcome = checker.run_program(world.program(checker.config.core, start), 50_000)
    assert outcome.mismatch is None, outcome.mismatch
    assert outcome.exits
    return outcome


def chain(places, allowed=()) -> World:
    world = World(allowed)
    for i, place in enumerate(places):
        last = i == len(places) - 1
        body = (lambda code: code.op("ebreak")) if last else call(f"f{i + 1}")
        world.function(place, f"f{i}", body)
    return world


@pytest.mark.parametrize(
    "places, allowed, fault", [s[1:] for s in CALL_SCENARIOS], ids=[s[0] for s in CALL_SCENARIOS]
)
def test_who_calls_whom(checker, places, allowed, fault):
    """All return, and the first caller ends in its own context, whatever was refused on the way."""
    outcome = run(checker, chain(places, allowed), "f0")
    expected = {"ECALL_FROM_U": 1, fault.name if fault else "BREAKPOINT": 1}
    assert outcome.causes == expected


def forged(world_allowed, victim: str):
    """1 calls 2, which goes where its caller has nothing to look for."""
    world = World(world_allowed)
    world.function(1, "main", call("attacker"))
    world.function(2, "attacker", lambda code: code.address(RA, victim), frame=0)
    return world


def test_return_into_the_middle_of_the_caller(checker):
    world = forged(TO_2, "secret")
    world.function(1, "secret", lambda code: code.op("ebreak"), kind=None, frame=0)
    assert run(checker, world, "main").causes == {Fault.ILLEGAL_ENTRY.name: 1}


def test_return_onto_a_pad_is_judged_by_the_matrix(checker):
    world = forged(TO_2, "secret")
    world.function(1, "secret", lambda code: code.op("ebreak"))
    assert run(checker, world, "main").causes == {Fault.DENIED.name: 1}


def test_return_with_another_stack_pointer(checker):
    """The right address, but another activation: an ordinary jump, into the caller's code."""
    world = World(TO_2)
    world.function(1, "main", call("attacker"))
    world.function(2, "attacker", lambda code: code.op("addi", rd=SP, rs1=SP, imm=16), frame=0)
    assert run(checker, world, "main").causes == {Fault.ILLEGAL_ENTRY.name: 1}


def test_local_pads_are_no_entries(checker):
    for place in (2, RESTRICTED):
        world = World(TO_2)
        world.function(1, "main", call("inner"))
        world.function(place, "inner", lambda code: code.op("ebreak"), kind=PadKind.LOCAL)
        assert run(checker, world, "main").causes == {Fault.ILLEGAL_ENTRY.name: 1, "ECALL_FROM_U": 1}, place


def test_pad_of_another_compartment(checker):
    """Code of 3 with a pad of 2: the permission to call 2 does not open 3."""
    world = World({(1, 2)})
    world.function(1, "main", call("trap"))
    world.function(2, "own", lambda code: None)

    def pretender(code):
        code.align(4)
        code.label("trap")
        code.word(checkcap(2))
        code.op("ebreak")

    world.functions[3] = [pretender]
    assert run(checker, world, "main").causes == {Fault.BAD_PAD.name: 1, "ECALL_FROM_U": 1}


def handled(allowed, *, armed: bool = True, place: int = 1, caught=lambda code: None) -> World:
    """main, in ``place``, has a handler pad at "caught", behind which ebreak shows that it was reached, and
    then ``caught``; it calls "next". Its stack pointer is in S1, the pad's address in T1."""
    world = World(allowed)

    def main(code):
        code.address(T1, "caught")
        if armed:
            code.op("arm", rs1=T1)
        code.op("addi", rd=S1, rs1=SP)
        code.jump("jal", "next", rd=RA)
        if armed:
            code.op("disarm")
        code.jump("jal", "over")
        code.align(4)
        code.label("caught")
        code.word(checkcap(place if place < RESTRICTED else 0, PadKind.HANDLER))
        code.op("ebreak")
        caught(code)
        code.label("over")

    world.function(place, "guarded", main)
    world.function(1, "main", call("guarded"))
    return world


def throw(code: LabelCode) -> None:
    code.op("addi", rd=SP, rs1=S1)
    code.op("jalr", rs1=T1)


CAUGHT = Counter({"BREAKPOINT": 1, "ECALL_FROM_U": 1})


@pytest.mark.parametrize("frames", [[], [1], [1, 1, 1], [2], [2, 1, 2], [255], [254, 1], [2, 3, 2, 3, 2, 3]])
def test_unwinding_over_frames(checker, frames):
    """An exception that passes 0, 1, many frames, foreign and own, and one that stays in one compartment."""
    world = handled({(1, 2), (2, 1), (2, 3), (3, 2)})
    names = ["next", *(f"n{i}" for i in range(len(frames)))]
    for name, place, following in zip(names, frames, names[1:], strict=False):
        world.function(place, name, call(following))
    world.function(frames[-1] if frames else 1, names[-1], throw)
    assert run(checker, world, "main").causes == CAUGHT


@pytest.mark.parametrize("place", [1, RESTRICTED, FLUID])
def test_setjmp_frame_in_any_code(checker, place):
    world = handled({(1, 2)}, place=place)
    world.function(1, "next", throw)
    assert run(checker, world, "main").causes == CAUGHT


def test_pad_right_behind_a_call(checker):
    """As setjmp has it: the call's entry has the pad's address and stack pointer, but is no handler's."""
    world = World(TO_2)

    def main(code):
        code.address(T1, "caught")
        code.op("arm", rs1=T1)
        code.op("addi", rd=S1, rs1=SP)
        if code.at % 4 == 0:
            code.word(1)  # c.nop
        code.align(4)
        code.jump("jal", "thrower", rd=RA)
        code.label("caught")
        code.word(checkcap(1, PadKind.HANDLER))
        code.op("disarm")  # nothing to take away any more

    world.function(1, "main", main)
    world.function(2, "thrower", throw, frame=0)
    assert run(checker, world, "main").causes == {Fault.BAD_UNWIND.name: 1, "ECALL_FROM_U": 1}


def test_return_to_an_installed_handler(checker):
    """longjmp returns to the pad: that is no return from a call, the entry stays for the pad."""
    world = handled(())

    def longjmp(code):
        code.op("addi", rd=SP, rs1=S1)
        code.op("addi", rd=RA, rs1=T1)

    world.function(1, "next", longjmp, frame=0)
    assert run(checker, world, "main").causes == CAUGHT


def test_handler_that_was_never_installed(checker):
    world = handled(TO_2, armed=False)
    world.function(2, "next", throw)
    assert run(checker, world, "main").causes == {Fault.BAD_UNWIND.name: 1}


def test_handler_with_a_stack_of_the_attackers(checker):
    world = handled(TO_2)

    def attack(code):
        code.op("addi", rd=SP, rs1=S1, imm=-64)
        code.op("jalr", rs1=T1)

    world.function(2, "next", attack)
    assert run(checker, world, "main").causes == {Fault.BAD_UNWIND.name: 1}


def test_handler_that_was_disarmed(checker):
    world = handled(TO_2)
    world.function(1, "next", lambda code: None)
    world.function(1, "later", lambda code: (call("guarded")(code), call("thief")(code)))
    world.function(2, "thief", throw)
    assert run(checker, world, "later").causes == {Fault.BAD_UNWIND.name: 1}


def test_restricted_code_does_not_escape_through_a_fluid_handler(checker):
    world = World({(1, 2)})
    world.function(1, "main", call("library"))

    def escape(code):
        code.address(T1, "pad")
        code.op("jalr", rs1=T1)

    world.function(RESTRICTED, "library", escape)

    def fluid(code):
        code.align(4)
        code.label("pad")
        code.word(checkcap(0, PadKind.HANDLER))
        code.jump("jal", "target", rd=RA)

    world.functions[FLUID] = [fluid]
    world.function(2, "target", lambda code: code.op("ebreak"))
    assert run(checker, world, "main").causes == {Fault.BAD_UNWIND.name: 1}


def test_handler_above_a_call_from_another_stack(checker):
    """Fluid code guards a function of 1, which calls 2 with a stack pointer above the handler's; 2 throws.
    The handler runs as 1 again, whatever stack pointers say, and may not call whom only 2 may call."""
    world = handled({(1, 2), (2, 3)}, place=FLUID, caught=call("target"))

    def pivot(code):
        code.op("addi", rd=SP, rs1=SP, imm=512)
        code.jump("jal", "thrower", rd=RA)

    world.function(1, "next", pivot)
    world.function(2, "thrower", throw)
    world.function(3, "target", lambda code: None)
    assert run(checker, world, "main").causes == CAUGHT | Counter({Fault.DENIED.name: 1})


def test_disarm_does_not_take_a_return_away(checker):
    world = World(TO_2)
    world.function(1, "main", call("attacker"))
    world.function(2, "attacker", lambda code: code.op("disarm"), frame=0)
    assert run(checker, world, "main").causes == {Fault.BAD_UNWIND.name: 1, "ECALL_FROM_U": 1}


def test_tail_calls(checker):
    """Within, across, and back into the caller's compartment; all return to the first caller."""

    def tail(name):
        return lambda code: code.jump("jal", name)

    world = World({(1, 2), (2, 3), (3, 1)})
    world.function(1, "main", call("a"))
    world.function(2, "a", tail("b"), frame=0)
    world.function(2, "b", tail("c"), frame=0)
    world.function(3, "c", tail("d"), frame=0)
    world.function(1, "d", lambda code: code.op("ebreak"), frame=0)
    outcome = run(checker, world, "main")
    assert outcome.causes == CAUGHT
    assert {kind.name: count for kind, count in outcome.crossings.items()} == {
        "CALL": 1, "TAIL_CALL": 2, "RETURN": 1
    }  # fmt: skip


def test_mutual_recursion_beyond_the_stack_on_chip(checker):
    depth = 5 * checker.config.core.xfides.shadow_stack_entries
    world = World({(1, 2), (2, 1)})

    def recurse(name, other):
        def body(code):
            code.op("addi", rd=T0, rs1=T0, imm=-1)
            code.jump("bge", f"{name} ends", rs2=T0)
            code.jump("jal", other, rd=RA)
            code.label(f"{name} ends")

        return body

    world.function(1, "main", lambda code: (code.constant(T0, depth), call("ping")(code)))
    world.function(2, "ping", recurse("ping", "pong"))
    world.function(1, "pong", recurse("pong", "ping"))
    outcome = run(checker, world, "main")
    assert outcome.causes["SHADOW_OVERFLOW"] > 10 and outcome.causes["SHADOW_UNDERFLOW"] > 10
    assert set(outcome.causes) == {"SHADOW_OVERFLOW", "SHADOW_UNDERFLOW", "ECALL_FROM_U"}
    assert {kind.name: count for kind, count in outcome.crossings.items()} == {"CALL": depth, "RETURN": depth}


def test_csrs_of_the_extension_are_not_for_user_code(checker):
    """Reading or writing one, but fmark, is illegal in U-mode; fmark only falls."""
    closed = [csr for csr in XfidesCSR if csr is not XfidesCSR.FMARK]

    def pry(code):
        for csr in closed:
            code.op("csrrs", rd=T0, csr=csr)
            code.op("csrrw", rs1=RA, csr=csr)
        code.constant(T0, 0x3FF)
        code.op("csrrw", rs1=T0, csr=XfidesCSR.FMARK)  # not lower: stays
        code.constant(T0, DATA)
        code.op("addi", rd=T1, imm=8)
        code.op("mint", rd=T0, rs1=T0, rs2=T1)

    world = World()
    world.function(1, "main", pry)
    assert run(checker, world, "main").causes == {"ILLEGAL_INSTRUCTION": 2 * len(closed), "ECALL_FROM_U": 1}
