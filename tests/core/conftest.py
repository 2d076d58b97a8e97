"""A bench for self-checking assembly programs: on the simulator of each preset, and in lockstep with Spike.

A program stores 0 to the exit device when all is well, else the number of the check that failed (register
gp).
"""

import subprocess

import pytest

from fides_core.config import PRESETS, preset
from fides_core.flow import tools
from fides_core.flow.elf import load_elf
from fides_core.flow.lockstep import Lockstep, lockstep_config
from fides_core.flow.simulation import Simulator

MAX_CYCLES = 5_000_000
MARCH = ("-march=rv64imac_zicsr_zifencei", "-mabi=lp64")

LINKER_SCRIPT = """
ENTRY(_start)
SECTIONS {
  . = 0x80000000;
  .text : { *(.text.start) *(.text*) }
  . = ALIGN(4096);
  .data : { *(.data*) *(.bss*) }
}
"""

# The handler puts the trap CSRs into s0 to s3 and goes on at s10 in M-mode. `check` numbers the checks. A
# trap that no check has prepared for ends the program with 0x400 + the number of the check, then mcause in 8
# bits.
PRELUDE = """
.option norvc
.section .text.start
.globl _start
_start:
  la sp, stack_end
  la t0, handler
  csrw mtvec, t0
  li gp, 0
  la s10, unexpected
  j main
.balign 4
handler:
  csrr s0, mcause
  csrr s1, mepc
  csrr s2, mtval
  csrr s3, mstatus
  csrw mepc, s10
  li t6, 0x1800
  csrs mstatus, t6
  bgez s0, 1f
  li t6, 0x80  # after an interrupt, which is still pending, with MIE off
  csrc mstatus, t6
1:
  mret
unexpected:
  ori gp, gp, 0x400
  slli gp, gp, 8
  or gp, gp, s0
  j fail
pass:
  li gp, 0
fail:
  li t0, 0x100000
  sw gp, 0(t0)
hang:
  j hang
.data
.balign 16
stack: .space 1024
stack_end:
.text
.macro check actual, expected, scratch=t6
  addi gp, gp, 1
  li \\scratch, \\expected
  beq \\actual, \\scratch, 90000f
  j fail
90000:
.endm
.macro check_same actual, expected
  addi gp, gp, 1
  beq \\actual, \\expected, 90001f
  j fail
90001:
.endm
main:
"""


@pytest.fixture(scope="session")
def assemble(tmp_path_factory):
    """Makes an executable of the text of a program's body, which begins at ``main`` and ends with ``j
    pass``."""
    directory = tmp_path_factory.mktemp("assembly")
    script = directory / "link.ld"
    script.write_text(LINKER_SCRIPT)
    count = 0

    def build(body: str):
        nonlocal count
        count += 1
        source, image = directory / f"{count}.S", directory / f"{count}.elf"
        source.write_text(PRELUDE + body)
        options = ("-nostdlib", "-nostartfiles", "-static", f"-Wl,-T,{script}", "-Wl,--no-warn-rwx-segments")
        done = subprocess.run(
            [tools.find("riscv64-unknown-elf-gcc"), *MARCH, *options, "-o", image, source],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return image

    return build


@pytest.fixture(scope="session")
def simulators():
    """A function that gives the simulator of a preset."""
    built = {}

    def get(name: str) -> Simulator:
        if name not in built:
            built[name] = Simulator.build(preset(name))
        return built[name]

    return get


@pytest.fixture(scope="session")
def checker():
    """A function that gives the lockstep checker of base, with random waits on its buses."""
    built = []

    def get() -> Lockstep:
        if not built:
            built.append(Lockstep.build(lockstep_config("base", "stalls")))
        return built[0]

    return get


def verdict(exit_code: int | None) -> str:
    """What an exit code other than 0 means."""
    if exit_code is None:
        return "no exit"
    if exit_code >= 0x40000:
        return f"unexpected trap {exit_code & 0xFF} after check {exit_code >> 8 & 0x3FF}"
    return f"check {exit_code} failed"


@pytest.fixture(params=[*PRESETS, "spike"])
def run(request, assemble, simulators, checker):
    """Runs a program's body and asserts that it passes: on each preset, and on base with random waits on its
    buses and Spike beside it."""

    def run_body(body: str, **options):
        image = assemble(body)
        if request.param == "spike":
            try:
                tools.spike_directory()
            except tools.ToolMissing as error:
                pytest.skip(str(error))
            outcome = checker().run_program(load_elf(image, 1 << 20), MAX_CYCLES)
            assert outcome.mismatch is None, outcome.mismatch
            message = f"{outcome.instructions} instructions"
        else:
            outcome = simulators(request.param).run(image, MAX_CYCLES, require_policy=False, **options)
            message = outcome.message
        assert outcome.exit_code == 0, f"{verdict(outcome.exit_code)} ({message})"

    return run_body


@pytest.fixture(params=[*PRESETS])
def simulate(request, assemble, simulators):
    """The same on the simulator only, for programs whose course depends on the cycle; returns the outcome."""

    def run_body(body: str, **options):
        outcome = simulators(request.param).run(assemble(body), MAX_CYCLES, require_policy=False, **options)
        assert outcome.exit_code == 0, f"{verdict(outcome.exit_code)} ({outcome.message})"
        return outcome

    return run_body
