"""Pipeline traces: what the Konata viewer would show is what the core did."""

import subprocess
import sys

import pytest

from fides_core.config import preset
from fides_core.errors import UserError
from fides_core.flow import tools
from fides_core.flow.simulation import Simulator
from fides_core.isa.csrs import XfidesCSR
from fides_core.isa.instructions import BY_NAME
from fides_core.isa.xfides import pack_entry, pack_pointer

BASE = 0x8000_0000
ROM = 0x1000
ROM_INSTRUCTIONS = 5

# One of everything that moves unevenly. A jump over an instruction, a load whose datum is needed at once, a
# division, and a trap.
PROGRAM = """
  la t0, handler
  csrw mtvec, t0
  la s0, datum
  ld a1, 0(s0)
consumer:
  add a2, a1, a1
division:
  div a3, a2, a1
  j over
killed:
  li a2, 7
over:
  ecall
after:
  nop
.balign 4
handler:
  li t0, 0x100000
  sw a0, 0(t0)
stop:
  j stop
.balign 8
datum: .dword 21
"""

OBJECT, COOKIE = 0x8000_8000, 7
VAL = BY_NAME["val.8"].match
# A val in user mode, first with a pointer that passes, which brings code and entry into the caches, then with
# one that does not.
VAL_PROGRAM = f"""
  la t0, handler
  csrw mtvec, t0
  li t0, -1
  csrw pmpaddr0, t0
  li t0, 0x1f
  csrw pmpcfg0, t0
  la t0, table
  csrw {int(XfidesCSR.FIDESMETADATABASE)}, t0
  li t0, 64
  csrw {int(XfidesCSR.FSTACKBASE)}, t0
  csrw {int(XfidesCSR.FSTACKEND)}, t0
  csrwi {int(XfidesCSR.COMCTL)}, 2
  li s0, {pack_pointer(OBJECT, 1, COOKIE):#x}
  li s1, 0
again:
  la t0, user
  csrw mepc, t0
  li t0, 0x1800
  csrc mstatus, t0
  mret
.balign 64
user:
  nop
checked:
  .insn r {VAL & 0x7F:#x}, 2, {VAL >> 25}, a0, s0, x0
behind:
  addi a1, a1, 1
second:
  addi a2, a2, 1
third:
  ecall
.balign 64
handler:
  bnez s1, done
  li s1, 1
  li s0, {pack_pointer(OBJECT, 1, COOKIE + 1):#x}
  j again
done:
  li t0, 0x100000
  sw a1, 0(t0)
stop:
  j stop
.balign 64
table: .dword 0, {pack_entry(OBJECT, 8, COOKIE):#x}
"""


class Trace:
    """A trace, read by the rules of its format. By instruction: ``stages`` ([(stage, first cycle)]),
    ``labels``, ``pc``, ``ended`` (cycle, retired or not); ``order``: the retired ones in order."""

    def __init__(self, text: str):
        lines = [line.split("\t") for line in text.splitlines()]
        assert lines[0] == ["Kanata", "0004"] and lines[1] == ["C=", "0"]
        cycle = 0
        self.stages, self.labels, self.ended, self.order = {}, {}, {}, []
        for command, *fields in lines[2:]:
            if command == "C":
                assert int(fields[0]) > 0
                cycle += int(fields[0])
                continue
            number = int(fields[0])
            if command == "I":
                assert number == len(self.stages)
                self.stages[number], self.labels[number] = [], ["", ""]
                continue
            assert number in self.stages and number not in self.ended
            if command == "L":
                self.labels[number][int(fields[1])] += fields[2]
            elif command == "S":
                assert fields[1] == "0"
                self.stages[number].append((fields[2], cycle))
            elif command == "R":
                retired = fields[2] == "0"
                assert int(fields[1]) == len(self.order)
                self.ended[number] = (cycle, retired)
                if retired:
                    self.order.append(number)
            else:
                raise AssertionError(f"unknown command {command}")
        self.pc = {number: int(text.split(":")[0], 16) for number, (text, _) in self.labels.items()}

    def at(self, pc: int) -> list[int]:
        return [number for number, address in self.pc.items() if address == pc]

    def time_in(self, number: int, stage: str) -> int:
        """Cycles in a stage."""
        stages = self.stages[number]
        (index,) = (i for i, (name, _) in enumerate(stages) if name == stage)
        end = stages[index + 1][1] if index + 1 < len(stages) else self.ended[number][0]
        return end - stages[index][1]


def link_program(directory, text: str):
    """The executable of a program and the addresses of its symbols."""
    source, script, image = (directory / name for name in ("program.S", "program.ld", "program.elf"))
    source.write_text(f".globl _start\n.option norvc\n_start:\n{text}")
    script.write_text(f"ENTRY(_start) SECTIONS {{ . = {BASE:#x}; .text : {{ *(.text*) }} }}")
    options = ("-march=rv64imac_zicsr_zifencei", "-mabi=lp64", "-nostdlib", "-nostartfiles", "-static")
    script_options = (f"-Wl,-T,{script}", "-Wl,--no-warn-rwx-segments")
    subprocess.run(
        [tools.find("riscv64-unknown-elf-gcc"), *options, *script_options, "-o", image, source], check=True
    )
    listing = subprocess.run(
        [tools.find("riscv64-unknown-elf-nm"), image], check=True, capture_output=True, text=True
    ).stdout
    return image, {name: int(value, 16) for value, _, name in map(str.split, listing.splitlines())}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return link_program(tmp_path_factory.mktemp("pipeline"), PROGRAM)


@pytest.fixture(scope="module")
def simulator():
    return Simulator.build(preset("tiny"))


@pytest.fixture(scope="module")
def traced(simulator, program, tmp_path_factory):
    """Outcome and trace of the program."""
    path = tmp_path_factory.mktemp("traces") / "program.kanata"
    outcome = simulator.run(program[0], 10_000, pipeline=path)
    return outcome, Trace(path.read_text())


def test_does_not_change_the_run(simulator, program, traced):
    assert traced[0] == simulator.run(program[0], 10_000)
    assert traced[0].reason == "exit"


def test_retired_instructions(program, traced):
    outcome, trace = traced
    symbols = program[1]
    assert len(trace.order) == outcome.instructions
    pcs = [trace.pc[number] for number in trace.order]
    assert pcs[:ROM_INSTRUCTIONS] == [ROM + 4 * i for i in range(ROM_INSTRUCTIONS)]
    assert pcs[ROM_INSTRUCTIONS] == BASE
    assert symbols["consumer"] in pcs and symbols["division"] in pcs
    assert symbols["killed"] not in pcs and symbols["over"] not in pcs  # ecall does not retire
    # In program order, each through every stage in order, the last of them for one cycle.
    assert pcs[ROM_INSTRUCTIONS:] == sorted(pcs[ROM_INSTRUCTIONS:])
    for number in trace.order:
        assert [stage for stage, _ in trace.stages[number]] == ["F", "D", "X", "M", "W"]
        assert trace.time_in(number, "W") == 1
    retirements = [trace.ended[number][0] for number in trace.order]
    assert len(set(retirements)) == len(retirements)
    assert max(retirements) <= outcome.cycles + 2


def test_one_instruction_a_stage(traced):
    trace = traced[1]
    occupied = {}
    for number, stages in trace.stages.items():
        for index, (stage, first) in enumerate(stages):
            following = stages[index + 1][1] if index + 1 < len(stages) else None
            end = following or trace.ended.get(number, (first + 1,))[0]
            for cycle in range(first, end):
                assert occupied.setdefault((stage, cycle), number) == number
    assert len({stage for stage, _ in occupied}) == 5


def test_killed_instruction(program, traced):
    """The one behind a taken jump was decoded, and went no further."""
    trace, symbols = traced[1], program[1]
    (killed,) = trace.at(symbols["killed"])
    assert [stage for stage, _ in trace.stages[killed]] == ["F", "D"]
    assert trace.ended[killed][1] is False
    assert "addi x12, x0, 7" in trace.labels[killed][0]
    assert trace.labels[killed][1] == ""


def test_trap(program, traced):
    trace, symbols = traced[1], program[1]
    ecall = trace.at(symbols["over"])[-1]  # it has been fetched behind the jump, too
    assert [stage for stage, _ in trace.stages[ecall]] == ["F", "D", "X", "M"]
    assert trace.ended[ecall][1] is False and trace.labels[ecall][1] == "trap"
    # What was in execute then is dropped with it.
    after = trace.at(symbols["after"])[-1]
    assert [stage for stage, _ in trace.stages[after]] == ["F", "D", "X"]
    assert trace.ended[after] == (trace.ended[ecall][0], False)


def test_val_that_fails_in_writeback(tmp_path):
    """On a core that judges it there: it and all behind it are dropped, the one in memory, too."""
    config = preset("fides")
    assert config.core.late_verdict
    image, symbols = link_program(tmp_path, VAL_PROGRAM)
    path = tmp_path / "val.kanata"
    outcome = Simulator.build(config).run(image, 10_000, pipeline=path, require_policy=False)
    assert outcome.exit_code == 1, outcome.message  # behind the val that passes alone
    trace = Trace(path.read_text())
    assert len(trace.order) == outcome.instructions

    def last(name: str) -> tuple[int, list[str]]:
        number = trace.at(symbols[name])[-1]
        return number, [stage for stage, _ in trace.stages[number]]

    passing = [number for number in trace.at(symbols["checked"]) if trace.ended[number][1]]
    assert len(passing) == 1 and trace.labels[passing[0]][1] == ""
    failing, stages = last("checked")
    cycle = trace.ended[failing][0]
    assert failing > passing[0] and stages == ["F", "D", "X", "M", "W"]
    assert trace.ended[failing] == (cycle, False) and trace.labels[failing][1] == "trap"
    assert trace.time_in(failing, "M") == trace.time_in(failing, "W") == 1
    for name, expected in (("behind", ["F", "D", "X", "M"]), ("second", ["F", "D", "X"])):
        number, stages = last(name)
        assert number > failing and stages == expected, name
        assert trace.ended[number] == (cycle, False) and trace.labels[number][1] == ""


def test_stalls(program, traced):
    trace, symbols = traced[1], program[1]
    (consumer,), (division,) = trace.at(symbols["consumer"]), trace.at(symbols["division"])
    assert trace.time_in(consumer, "D") == 2  # the datum is there one cycle later
    assert trace.time_in(consumer, "X") == 1
    assert 10 < trace.time_in(division, "X") < 66
    assert trace.time_in(division, "M") == 1


def test_labels(program, traced):
    trace, symbols = traced[1], program[1]
    (division,) = trace.at(symbols["division"])
    assert trace.labels[division][0] == f"{symbols['division']:08x}: div x13, x12, x11"
    for number in trace.order:
        assert trace.labels[number][0].split(": ")[1]


def test_limit_leaves_a_readable_file(simulator, program, tmp_path):
    """Ended anywhere: what has retired is closed, what is on its way is not."""
    path = tmp_path / "short.kanata"
    seen = set()
    for limit in range(1, 40):
        outcome = simulator.run(program[0], limit, pipeline=path)
        trace = Trace(path.read_text())
        assert outcome.reason == "limit" and len(trace.order) == outcome.instructions
        seen.add(outcome.instructions)
        assert [number for number in trace.stages if number not in trace.ended]
    assert max(seen) > 10 and seen == set(range(max(seen) + 1))


@pytest.mark.parametrize("path", ["no/such/folder/run.kanata", "."])
def test_file_that_cannot_be_written(simulator, program, tmp_path, path):
    with pytest.raises(UserError, match=r"^cannot (trace to|write) .*[Dd]irectory"):
        simulator.run(program[0], 1000, pipeline=tmp_path / path)


def test_command(program, traced, tmp_path):
    path = tmp_path / "run.kanata"
    command = [sys.executable, "-m", "fides_core.cli", "sim", "tiny", str(program[0]), "--pipeline"]
    done = subprocess.run([*command, path], capture_output=True, text=True, cwd=tools.ROOT)
    assert done.stderr.splitlines() == [traced[0].message]
    assert len(Trace(path.read_text()).order) == traced[0].instructions
    bad = tmp_path / "no" / path.name
    done = subprocess.run([*command, bad], capture_output=True, text=True, cwd=tools.ROOT)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("fides: cannot trace to")
