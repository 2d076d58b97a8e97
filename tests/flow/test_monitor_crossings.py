"""Crossings that trap to the monitor, on fides_monitor: who may call whom, returns, tail calls, handlers,
attacks.

Programs are assembly in compartments 1, 2 and 3, in restricted (254) and complete (255) fluid code, as in
sim/test_scenarios.py, with the reference monitor. Compartment 4, which only 1 may call, tells whether a
context is that of 1.
"""

import re
from dataclasses import dataclass

import pytest
from elftools.elf.elffile import ELFFile

from fides_core.config import PRESETS
from fides_core.flow.simulation import Simulator
from fides_core.isa.causes import ControlFlowFault as Fault
from fides_core.isa.causes import ExceptionCause
from fides_core.isa.csrs import MonitorCSR, XfidesCSR
from fides_core.isa.xfides import PadKind, checkcap
from fides_core.software.call_scenarios import CALL_SCENARIOS, FLUID, RESTRICTED, TO_2
from fides_core.software.image import SW, build_image, with_argument
from fides_core.software.scenarios import LEGAL, load_attacks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CONFIG = PRESETS["fides_monitor"]
PROBE = 4
COMPARTMENTS = (0, 1, 2, 3, PROBE)
PLACES = (*COMPARTMENTS, RESTRICTED, FLUID)
EXIT_CONTROL_FLOW, EXIT_EXCEPTION = 64, 128  # sw/monitor/hypercalls.h
MAX_CYCLES = 3_000_000
ATTACKS = load_attacks(SW / "demo" / "attacks.toml")


@pytest.fixture(scope="module")
def simulator():
    return Simulator.build(CONFIG)


@dataclass(frozen=True)
class Run:
    exit_code: int | None
    text: str
    message: str

    def stopped(self, fault: Fault, context: str) -> None:
        """Assert that it ended in ``fault``, judged in the context of that name."""
        said = f"monitor: fault {fault.name} (CONTROL_FLOW, mcause 24)"
        assert said in self.text, (self.text, self.message)
        assert self.exit_code == EXIT_CONTROL_FLOW + fault
        assert f"running as compartment {context}\n" in self.text, self.text


class World:
    """Functions by place. ``allowed``: pairs of caller and callee. "main", in compartment 1, is where it
    begins; what it leaves in a0 is the exit code, here s11, which is 0 at first."""

    def __init__(self, allowed=()):
        self.allowed = {*allowed, (1, PROBE)}
        self.functions: dict[int, list[str]] = {place: [] for place in PLACES}
        self.function(PROBE, "probe", "addi s11, s11, 0", frame=0)

    def function(self, place: int, name: str, body: str, *, visible: bool = True, frame: int = 32) -> None:
        """``body`` between a pad and a return, with ra kept in a frame of so many bytes (0: none)."""
        lines = [f".globl {name}"] if visible else []
        lines += [f".type {name}, @function", f"{name}:"]
        if frame:
            lines += [f"addi sp, sp, -{frame}", "sd ra, 0(sp)"]
        lines += [body]
        if name == "main":
            lines += ["mv a0, s11"]
        if frame:
            lines += ["ld ra, 0(sp)", f"addi sp, sp, {frame}"]
        self.functions[place].append("\n".join([*lines, "ret", f".size {name}, . - {name}", ""]))

    def build(self, directory):
        """The image."""
        program = directory / "program"
        program.mkdir()
        files = {}
        for place, texts in self.functions.items():
            files[place] = f"p{place}.S"
            text = "\n".join(['#include <jump.h>', '#include "xfides.h"', ".text", *texts, "nop", ""])
            (program / files[place]).write_text(text)
        lines = ['name = "crossings"', "[entry]", 'function = "program_start"', 'compartment = "c1"']
        for cid in COMPARTMENTS:
            callees = [f"c{to}" for by, to in sorted(self.allowed) if by == cid]
            sources = [str(SW / "runtime" / "start.S")] if cid == 1 else []
            lines += [f"[compartments.c{cid}]", f"id = {cid}", f"calls = {callees}"]
            lines += [f"sources = {[*sources, files[cid]]}"]
        jump = str(SW / "runtime" / "fluid" / "jump.S")
        lines += ["[fluid]", f"complete = {[jump, files[FLUID]]}", f"restricted = ['{files[RESTRICTED]}']"]
        lines += ["[memory]", f"stack_bytes = {128 << 10}"]
        (program / "policy.toml").write_text("\n".join(lines) + "\n")
        return build_image(program, CONFIG, directory / "build")

    def run(self, simulator, directory, change=lambda image: None) -> Run:
        """``change(image)`` may change the image file."""
        image = self.build(directory)
        change(image)
        outcome = simulator.run(image, MAX_CYCLES)
        return Run(outcome.exit_code, outcome.uart.decode(), outcome.message)


def call(name: str) -> str:
    return f"call {name}"


def context_of(places) -> tuple[int, bool]:
    """The context that the last of a chain of functions runs in, if all were allowed."""
    cid, restricted = 1, False
    for place in places:
        if place == RESTRICTED:
            restricted = True
        elif place != FLUID:
            cid, restricted = place, False
    return cid, restricted


def chain(places, allowed=()) -> World:
    """Each function calls the next; the last adds 16 to s11, and each adds 1 when it has got back what it
    called, and has its context back."""
    world = World(allowed)
    for i, place in enumerate(places):
        if i == len(places) - 1:
            body = "addi s11, s11, 16"
        else:
            probe = call("probe") if context_of(places[: i + 1]) == (1, False) else "nop"
            body = f"{call(f'f{i + 1}')}\n{probe}\naddi s11, s11, 1"
        world.function(place, f"f{i}" if i else "main", body)
    return world


SCENARIOS = [
    *CALL_SCENARIOS,
    ("to 0, which fluid code's pads name, too", [1, 0], {(1, 0)}, None),
    ("to 0, denied", [1, 0], (), Fault.DENIED),
    ("through restricted fluid to itself, with the permission to call 0", [1, 254, 1], {(1, 0)}, None),
    ("from 0", [1, 0, 255, 2], {(1, 0), (0, 2)}, None),
]  # fmt: skip


def name_of(places) -> str:
    cid, restricted = context_of(places)
    return f"{cid} c{cid}{', restricted' if restricted else ''}"


@pytest.mark.parametrize("places, allowed, fault", [s[1:] for s in SCENARIOS], ids=[s[0] for s in SCENARIOS])
def test_who_calls_whom(simulator, tmp_path, places, allowed, fault):
    run = chain(places, allowed).run(simulator, tmp_path)
    if fault:
        run.stopped(fault, name_of(places[:-1]))
    else:
        assert run.exit_code == 16 + len(places) - 1, (run.text, run.message)


def attacked(body: str, allowed=TO_2) -> World:
    """main calls the attacker, in 2, who has no frame; s11 shows that the secret was reached."""
    world = World(allowed)
    world.function(1, "main", f"{call('attacker')}\nnop\n.globl inside\ninside:\naddi s11, s11, 1\nnop")
    world.function(1, "secret", "addi s11, s11, 7")
    world.function(2, "attacker", body, frame=0)
    return world


def test_return_into_the_middle_of_the_caller(simulator, tmp_path):
    attacked("la ra, inside").run(simulator, tmp_path).stopped(Fault.ILLEGAL_ENTRY, "2 c2")


def test_return_onto_a_pad_is_judged_by_the_matrix(simulator, tmp_path):
    attacked("la ra, secret").run(simulator, tmp_path).stopped(Fault.DENIED, "2 c2")


def test_return_with_another_stack_pointer(simulator, tmp_path):
    attacked("addi sp, sp, 16").run(simulator, tmp_path).stopped(Fault.ILLEGAL_ENTRY, "2 c2")


def test_return_address_in_the_callee(simulator, tmp_path):
    """A return address that is no place of the caller's would be at home in the callee's context, where
    nothing traps: the callee must not get it."""
    world = World(TO_2)
    world.function(1, "main", "la ra, hidden\nla t0, victim\njr t0")
    world.function(2, "victim", "nop\n.globl hidden\nhidden:\naddi s11, s11, 7", frame=0)
    world.run(simulator, tmp_path).stopped(Fault.ILLEGAL_ENTRY, "1 c1")


def test_jump_to_the_gate_without_a_call(simulator, tmp_path):
    world = World()
    world.function(1, "main", "lla t0, __crossing_gate\njr t0")
    world.run(simulator, tmp_path).stopped(Fault.ILLEGAL_ENTRY, "1 c1")


def test_jump_to_the_gate_with_another_stack_pointer(simulator, tmp_path):
    world = attacked("addi sp, sp, -64\nmv t0, ra\njr t0")
    world.run(simulator, tmp_path).stopped(Fault.ILLEGAL_ENTRY, "2 c2")


def test_local_pads_are_no_entries(simulator, tmp_path):
    world = World(TO_2)
    world.function(1, "main", "la t0, inner_address\nld t0, 0(t0)\njalr t0")
    world.function(2, "inner", "addi s11, s11, 7", visible=False)
    world.functions[2].append(
        '.section .rodata\n.balign 8\n.globl inner_address\ninner_address: .dword inner\n.text'
    )
    world.run(simulator, tmp_path).stopped(Fault.ILLEGAL_ENTRY, "1 c1")


def test_local_pads_can_be_called_back(simulator, tmp_path):
    """Restricted fluid code calls back a function of its caller that is no entry."""
    world = World()
    world.function(1, "main", f"lla s0, inner\n{call('library')}\n{call('probe')}")
    world.function(1, "inner", "addi s11, s11, 5", visible=False)
    world.function(RESTRICTED, "library", "jalr s0")
    run = world.run(simulator, tmp_path)
    assert run.exit_code == 5, (run.text, run.message)


def test_pad_of_another_compartment(simulator, tmp_path):
    """Code of 3 with a pad of 2: the permission to call 2 does not open 3. The image is changed behind the
    audit's back."""
    world = World({(1, 2)})
    world.function(1, "main", call("pretender"))
    world.function(2, "own", "nop")
    world.function(3, "pretender", "addi s11, s11, 7")

    def change(image):
        with image.open("rb") as stream:
            elf = ELFFile(stream)
            (symbol,) = elf.get_section_by_name(".symtab").get_symbol_by_name("pretender")
            section = elf.get_section(symbol["st_shndx"])
            offset = section["sh_offset"] + symbol["st_value"] - section["sh_addr"]
        data = bytearray(image.read_bytes())
        assert data[offset : offset + 4] == checkcap(3).to_bytes(4, "little")
        data[offset : offset + 4] = checkcap(2).to_bytes(4, "little")
        image.write_bytes(data)

    world.run(simulator, tmp_path, change).stopped(Fault.BAD_PAD, "2 c2")


@pytest.mark.parametrize("way", [[254], [254, 255]])
def test_restriction_is_back_after_a_callback(simulator, tmp_path, way):
    """Fluid code that restricted code has called is at home in its caller's context, too: what it has called
    back must not leave that to it."""
    world = World(TO_2)
    world.function(1, "main", call("f0"))
    for i, place in enumerate(way[:-1]):
        world.function(place, f"f{i}", call(f"f{i + 1}"))
    world.function(way[-1], f"f{len(way) - 1}", f"{call('callback')}\naddi s11, s11, 1\n{call('target')}")
    world.function(1, "callback", "addi s11, s11, 1")
    world.function(2, "target", "addi s11, s11, 7")
    world.run(simulator, tmp_path).stopped(Fault.RESTRICTED, "1 c1, restricted")


def test_tail_calls(simulator, tmp_path):
    """Across, and back into the caller's compartment; all return to the first caller, with its own return
    address."""
    world = World({(1, 2), (2, 3), (3, 1)})
    world.function(1, "main", f"{call('a')}\nlla t0, behind\nbehind:\naddi s11, s11, 1\n{call('probe')}")
    world.function(2, "a", "addi s11, s11, 1\ntail b", frame=0)
    world.function(2, "b", "addi s11, s11, 1\ntail c", frame=0)
    world.function(3, "c", "addi s11, s11, 1\ntail d", frame=0)
    world.function(1, "d", "addi s11, s11, 1", frame=0)
    run = world.run(simulator, tmp_path)
    assert run.exit_code == 5, (run.text, run.message)


def test_tail_calls_take_no_space(simulator, tmp_path):
    """More of them than the monitor has entries."""
    world = World({(1, 2), (2, 3), (3, 2)})
    world.function(1, "main", f"li s2, 5000\n{call('ping')}\nseqz s11, s2")
    for place, name, other in ((2, "ping", "pong"), (3, "pong", "ping")):
        world.function(place, name, f"addi s2, s2, -1\nblez s2, 1f\ntail {other}\n1:", frame=0)
    run = world.run(simulator, tmp_path)
    assert run.exit_code == 1, (run.text, run.message)


def test_call_without_a_frame_is_no_tail_call(simulator, tmp_path):
    """The stack pointer is that of the top entry, the return address is not."""
    world = World({(1, 2), (2, 3)})
    world.function(1, "main", f"{call('a')}\n{call('probe')}\naddi s11, s11, 1")
    world.function(2, "a", f"mv s4, ra\n{call('b')}\naddi s11, s11, 1\nmv ra, s4", frame=0)
    world.function(3, "b", "addi s11, s11, 1", frame=0)
    run = world.run(simulator, tmp_path)
    assert run.exit_code == 3, (run.text, run.message)


def test_tail_call_behind_an_armed_handler(simulator, tmp_path):
    """The top entry has the stack pointer, but is a handler's: it is a call, whose return leads nowhere."""
    world = attacked("lla t0, attacker\narm t0\ntail b", {(1, 2), (2, 3)})
    world.function(3, "b", "addi s11, s11, 1", frame=0)
    world.run(simulator, tmp_path).stopped(Fault.ILLEGAL_ENTRY, "2 c2")


def test_return_restores_fmark(simulator, tmp_path):
    """What the callee has left in the stack zone of the metadata table is dead in the caller."""
    world = World(TO_2)
    fmark = f"{int(XfidesCSR.FMARK):#x}"
    after = f"csrr s3, {fmark}\nsub s11, s4, s3\nbeq s2, s3, 1f\nli s11, 31\n1:"
    world.function(1, "main", f"csrr s2, {fmark}\n{call('maker')}\n{after}")
    world.function(2, "maker", f"li t0, 8\nmint t1, sp, t0\ncsrr s4, {fmark}", frame=0)
    run = world.run(simulator, tmp_path)
    assert run.exit_code == 1, (run.text, run.message)


def test_return_address_is_the_callers_own_after_a_call(simulator, tmp_path):
    world = World(TO_2)
    world.function(1, "main", f"{call('leaf')}\n.Lbehind:\nlla t0, .Lbehind\nbne t0, ra, 1f\nli s11, 3\n1:")
    world.function(2, "leaf", "nop", frame=0)
    assert world.run(simulator, tmp_path).exit_code == 3


SCRATCH = ("t0", "t1", "t2", "t3", "t4", "t5", "t6", "a1", "a7", "s4", "gp", "tp")


def test_no_other_register_changes(simulator, tmp_path):
    """Over a call, a tail call, calls into restricted fluid code and back, and their returns."""
    world = World({(1, 2), (2, 3)})
    fill = "\n".join(f"li {name}, {1000 + i}" for i, name in enumerate(SCRATCH))
    check = "\n".join(f"li a0, {1000 + i}\nbne a0, {name}, 1f" for i, name in enumerate(SCRATCH))
    world.function(1, "main", f"{fill}\njal first\njal library\n{check}\nli s11, 9\n1:")
    world.function(2, "first", "jal x0, second", frame=0)
    world.function(3, "second", "nop", frame=0)
    world.function(RESTRICTED, "library", "jal callback")
    world.function(1, "callback", "nop", frame=0)
    run = world.run(simulator, tmp_path)
    assert run.exit_code == 9, (run.text, run.message)


def recursion(depth: int) -> World:
    """Functions of 1 and 2 call each other so deep; s11 is 1 when as many have returned."""
    world = World({(1, 2), (2, 1)})
    world.function(1, "main", f"li s2, {depth}\nmv s3, s2\n{call('ping')}\nseqz s11, s3\n{call('probe')}")
    for place, name, other in ((2, "ping", "pong"), (1, "pong", "ping")):
        body = f"addi s2, s2, -1\nblez s2, 1f\n{call(other)}\n1:\naddi s3, s3, -1"
        world.function(place, name, body, frame=16)
    return world


def test_deep_recursion(simulator, tmp_path):
    run = recursion(3000).run(simulator, tmp_path)
    assert run.exit_code == 1, (run.text, run.message)


def test_recursion_that_is_too_deep(simulator, tmp_path):
    """The monitor holds 4096 entries: sw/monitor/crossings.h."""
    run = recursion(4099).run(simulator, tmp_path)
    run.stopped(Fault.SHADOW_OVERFLOW, "1 c1")
    assert "the monitor's memory for shadow-stack entries is full" in run.text


def test_depth_that_just_fits(simulator, tmp_path):
    assert recursion(4095).run(simulator, tmp_path).exit_code == 1


def guarded(allowed, before: str = "") -> World:
    """main calls setjmp, then, after ``before``, "next"; s11 is 20 when control comes back by longjmp. s0 is
    main's stack pointer, s1 the address behind setjmp, which is that of the handler pad."""
    world = World(allowed)
    body = f"""\
lla a0, buffer
call setjmp
bnez a0, 1f
mv s0, sp
lla s1, jump_slots
ld s1, JUMP_RA(s1)
{before}
call next
li s11, 1
j 2f
1:
li s11, 20
call probe
2:
.section .bss
.balign 8
.globl buffer
buffer: .zero 8
.text"""
    world.function(1, "main", body)
    return world


LONGJMP = "lla a0, buffer\nli a1, 1\ncall longjmp"
FRAMES = [[], [1], [2], [2, 1, 2], [255], [254, 1], [2, 3, 2, 3]]


@pytest.mark.parametrize("frames", FRAMES, ids=lambda frames: "-".join(map(str, frames)) or "none")
def test_longjmp_over_frames(simulator, tmp_path, frames):
    """It passes own and foreign frames, and ends in the context that setjmp was called in."""
    world = guarded({(1, 2), (2, 1), (2, 3), (3, 2)})
    names = ["next", *(f"n{i}" for i in range(len(frames)))]
    for name, place, following in zip(names, frames, names[1:], strict=False):
        world.function(place, name, call(following))
    world.function(frames[-1] if frames else 1, names[-1], LONGJMP)
    run = world.run(simulator, tmp_path)
    assert run.exit_code == 20, (run.text, run.message)


def test_handler_that_was_disarmed(simulator, tmp_path):
    world = guarded(TO_2, "disarm")
    world.function(2, "next", LONGJMP)
    world.run(simulator, tmp_path).stopped(Fault.BAD_UNWIND, "1 c1")


@pytest.mark.parametrize("offset, caught", [(0, True), (-64, False)])
def test_handler_on_another_stack(simulator, tmp_path, offset, caught):
    """A jump to the pad itself."""
    world = guarded(TO_2)
    world.function(2, "next", f"addi sp, s0, {offset}\nli a0, 1\njr s1")
    run = world.run(simulator, tmp_path)
    if caught:
        assert run.exit_code == 20, (run.text, run.message)
    else:
        run.stopped(Fault.BAD_UNWIND, "1 c1")


def test_disarm_does_not_take_a_return_away(simulator, tmp_path):
    attacked("disarm").run(simulator, tmp_path).stopped(Fault.BAD_UNWIND, "2 c2")


def test_return_does_not_take_a_handler_away(simulator, tmp_path):
    """An armed entry with the callee's own stack pointer is no call to return from."""
    world = attacked("mv t3, ra\narm ra\nmv ra, t3")
    world.run(simulator, tmp_path).stopped(Fault.ILLEGAL_ENTRY, "2 c2")


@pytest.mark.parametrize("number", [MonitorCSR.COMRANGE, XfidesCSR.CURRCOM, XfidesCSR.ANYCOMPCEND])
def test_registers_are_not_for_user_code(simulator, tmp_path, number):
    world = World()
    world.function(1, "main", f"li t0, -1\ncsrw {int(number):#x}, t0")
    run = world.run(simulator, tmp_path)
    assert run.exit_code == EXIT_EXCEPTION + ExceptionCause.ILLEGAL_INSTRUCTION, run.text


@pytest.fixture(scope="module")
def demo_image():
    return build_image("demo", CONFIG)


def test_the_election(simulator, demo_image):
    """The same text as on the base core, with timer interrupts, recursion over compartments and longjmp."""
    texts = []
    for machine, image in (
        (simulator, demo_image),
        (Simulator.build(PRESETS["base"]), build_image("demo", PRESETS["base"])),
    ):
        outcome = machine.run(with_argument(image, LEGAL), 20_000_000)
        assert outcome.exit_code == 0, outcome.message
        texts.append(outcome.uart)
    assert texts[0] == texts[1] and b"the winner is alice" in texts[0]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(simulator, demo_image, attack):
    outcome = simulator.run(with_argument(demo_image, attack.number), 20_000_000)
    fault = re.search(r"^monitor: fault (\w+) ", outcome.uart.decode(), re.MULTILINE)
    assert fault and fault[1] == attack.cause and outcome.exit_code == attack.exit_code, outcome.uart


def test_pads_are_what_the_vector_takes_them_for():
    """It reads the callee from the upper half of the word, without a mask."""
    for cid in (0, 1, 255):
        assert checkcap(cid, PadKind.ENTRY) >> 16 == cid << 4
