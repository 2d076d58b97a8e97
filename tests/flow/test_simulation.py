"""The fast simulation: programs, serial line, limits, traces, and files that are no programs."""

import shutil
import struct
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from fides_core.config import SoCConfig, preset
from fides_core.errors import UserError
from fides_core.flow import simulation, tools, verilate
from fides_core.flow.elf import Program, load_elf
from fides_core.flow.simulation import Simulator

GREETING = "Hello from the core\n"

HELLO = f"""
  la t0, text
  li t1, 0x11300
next:
  lbu t2, 0(t0)
  beqz t2, done
full:
  lw t3, 12(t1)
  andi t3, t3, 2
  bnez t3, full
  sb t2, 4(t1)
  addi t0, t0, 1
  j next
done:
  li a0, 42
  j exit
.section .rodata
text: .asciz {GREETING!r}
.text
""".replace("'", '"')

# Sends back what it receives, until a full stop.
ECHO = """
  li t1, 0x11300
1:
  lw t3, 12(t1)
  andi t3, t3, 4
  beqz t3, 1b
  lw a0, 8(t1)
2:
  lw t3, 12(t1)
  andi t3, t3, 2
  bnez t3, 2b
  sw a0, 4(t1)
  li t3, '.'
  bne a0, t3, 1b
  li a0, 0
  j exit
"""

BUSY = """
  li sp, 0x80010000
busy_loop:
  addi t0, t0, 1
  mul t1, t0, t0
  sd t1, 0(sp)
  ld t2, 0(sp)
  j busy_loop
"""

EXIT = """
exit:
  li t0, 0x100000
  sw a0, 0(t0)
stop:
  j stop
"""


BOOT_INSTRUCTIONS = 5  # of the boot ROM, which is not main memory


@pytest.fixture(scope="session")
def assemble(tmp_path_factory):
    """Makes an executable of assembly text."""
    directory = tmp_path_factory.mktemp("programs")

    def build(body, *, march="rv64im_zicsr_zifencei", mabi="lp64", base=0x8000_0000, name="program"):
        source, image = directory / f"{name}.S", directory / f"{name}.elf"
        source.write_text(f".globl _start\n_start:\n{body}{EXIT}")
        script = directory / f"{name}.ld"
        script.write_text(f"ENTRY(_start) SECTIONS {{ . = {base:#x}; .text : {{ *(.text*) *(.rodata*) }} }}")
        link = ("-nostdlib", "-nostartfiles", "-static", f"-Wl,-T,{script}", "-Wl,--no-warn-rwx-segments")
        command = [tools.find("riscv64-unknown-elf-gcc"), f"-march={march}", f"-mabi={mabi}", *link]
        done = subprocess.run([*command, "-o", image, source], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return image

    return build


@pytest.fixture(scope="session")
def simulator():
    return Simulator.build(preset("base"))


def test_executed_instructions(simulator, assemble):
    """A loop of two instructions, 25 times; counts are by address, and of all that retire in main memory."""
    body = """
      li t0, 25
    again:
      addi t0, t0, -1
      bnez t0, again
      li a0, 0
    """
    counts = {}
    image = assemble(body, name="executed")
    outcome = simulator.run(image, 100_000, executed=counts)
    start = 0x8000_0000
    assert [counts[start + 4 * place] for place in range(4)] == [1, 25, 25, 1]
    assert sum(counts.values()) + BOOT_INSTRUCTIONS == outcome.instructions
    again = {}
    simulator.run(image, 100_000, executed=again)
    assert again == counts


def test_program_prints_and_exits(simulator, assemble):
    lines = []
    outcome = simulator.run(assemble(HELLO), 100_000, on_uart=lines.append)
    assert (outcome.reason, outcome.exit_code, outcome.uart) == ("exit", 42, GREETING.encode())
    assert b"".join(lines) == outcome.uart
    assert outcome.instructions < outcome.cycles < 100_000
    assert "exit code 42" in outcome.message


def test_the_same_run_twice_is_the_same(simulator, assemble):
    image = assemble(HELLO)
    assert simulator.run(image, 100_000) == simulator.run(image, 100_000)


def test_characters_follow_the_baud_register(simulator, assemble):
    slow = HELLO.replace("next:", "  li t2, 3\n  sw t2, 0(t1)\nnext:", 1)
    fast, outcome = simulator.run(assemble(HELLO), 100_000), simulator.run(assemble(slow), 100_000)
    assert outcome.uart == GREETING.encode()
    assert outcome.cycles > fast.cycles


def test_characters_come_in_one_by_one_and_line_by_line_out(simulator, assemble):
    text = bytes(range(1, 256)).replace(b".", b"") + b"one\ntwo\nthree."
    lines = []
    outcome = simulator.run(assemble(ECHO), 1_000_000, uart_input=text, on_uart=lines.append)
    assert outcome.exit_code == 0 and outcome.uart == text
    assert b"".join(lines) == text and len(lines) >= 3


def test_cycle_limit(simulator, assemble):
    outcome = simulator.run(assemble(BUSY), 5000)
    assert (outcome.reason, outcome.exit_code, outcome.cycles) == ("limit", None, 5000)
    assert 0x8000_0000 <= outcome.last_pc < 0x8000_0040
    assert "no exit after 5000 cycles" in outcome.message and "(busy_loop" in outcome.message


def test_time_limit(simulator, assemble):
    start = time.monotonic()
    outcome = simulator.run(assemble(BUSY), timeout_seconds=0.5)
    assert 0.5 <= time.monotonic() - start < 20
    assert outcome.reason == "limit" and "0.5 seconds" in outcome.message


def test_memory_starts_at_zero_each_time(simulator):
    code = b"".join(
        word.to_bytes(4, "little")
        for word in (0x00100513, 0x01F51513, 0x000105B7, 0x00B50533, 0x00053503, 0x001002B7, 0x00A2A023, 0x6F)
    )
    first = Program(((0, code), (0x10000, (7).to_bytes(8, "little"))))
    assert simulator.run(first, 1000).exit_code == 7
    assert simulator.run(Program(((0, code),)), 1000).exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["vcd", "fst"])
def test_traces(assemble, tmp_path, suffix):
    """Each is a simulator of its own: that of the smallest core is compiled quickest."""
    simulator = Simulator.build(preset("tiny"))
    path = tmp_path / f"waves.{suffix}"
    outcome = simulator.run(assemble(HELLO), 100_000, trace=path)
    assert outcome == simulator.run(assemble(HELLO), 100_000)
    data = path.read_bytes()
    if suffix == "vcd":
        assert b"$scope module csr $end" in data and b"cause_interrupt" in data
        # Time goes on to the end of the run: two units a cycle.
        assert int(data[data.rindex(b"#") + 1 :].split()[0]) >= 2 * outcome.cycles
    else:
        assert data[0] == 0 and struct.unpack(">Q", data[1:9])[0] == 329  # an FST header block
        assert struct.unpack(">Q", data[17:25])[0] >= 2 * outcome.cycles


def test_external_interrupt_follows_its_schedule(simulator, assemble):
    """wfi ends when the line rises; the program counts how long mip shows it."""
    image = assemble("""
  li t0, 0x800
  csrw mie, t0
  wfi
  csrr t1, mcycle
1:
  csrr t2, mip
  bnez t2, 1b
  csrr a0, mcycle
  sub a0, a0, t1
  j exit
""")
    outcome = simulator.run(image, 10_000, external_interrupt=[(1000, 1400)])
    assert 1400 <= outcome.cycles < 1500
    assert 380 <= outcome.exit_code <= 420


# Files that are no programs for this core.


def test_missing_file(simulator, tmp_path):
    with pytest.raises(UserError, match="cannot read .*nothing.elf: No such file"):
        simulator.run(tmp_path / "nothing.elf", 1000)


def test_not_an_elf_file(simulator, tmp_path):
    path = tmp_path / "text.elf"
    for contents in (b"", b"hello", b"\x7fELF", b"\x7fELF" + bytes(100)):
        path.write_bytes(contents)
        with pytest.raises(UserError, match="is not an ELF file"):
            simulator.run(path, 1000)


def test_damaged_files_never_crash(simulator, assemble, tmp_path):
    """Cut anywhere, or with any byte of its headers changed: it runs, or there is one clear line."""
    good = assemble(HELLO).read_bytes()
    path = tmp_path / "damaged.elf"
    for cut in range(0, min(len(good), 4200), 37):
        path.write_bytes(good[:cut])
        with pytest.raises(UserError):
            load_elf(path, 1 << 20)
    for at in range(0, 176):
        for value in (0, 0xFF):
            data = bytearray(good)
            data[at] = value
            path.write_bytes(data)
            try:
                load_elf(path, 1 << 20)
            except UserError as error:
                assert "\n" not in str(error)


def test_another_machine(simulator, assemble):
    with pytest.raises(UserError, match="is for another machine .*x64"):
        simulator.run(shutil.which("true"), 1000)
    image = assemble("  li a0, 0\n", march="rv32i", mabi="ilp32", name="rv32")
    with pytest.raises(UserError, match="is for another machine .*32-bit"):
        simulator.run(image, 1000)


def test_floating_point(simulator, assemble):
    with pytest.raises(UserError, match="floating-point"):
        simulator.run(assemble("  li a0, 0\n", march="rv64gc", mabi="lp64d", name="float"), 1000)


@pytest.mark.parametrize("base", [0x1000, 0x7FFF_F000, 0x8010_0000, 0x9000_0000])
def test_segment_outside_memory(simulator, assemble, base):
    with pytest.raises(UserError, match=f"segment at {base:#x}, outside the main memory"):
        simulator.run(assemble("  li a0, 0\n", base=base, name=f"at{base:x}"), 1000)


def test_image_too_large(simulator, assemble):
    with pytest.raises(UserError, match="too large: it needs"):
        simulator.run(assemble("  li a0, 0\n  .space 0x100000\n", name="large"), 1000)


def test_start_elsewhere(simulator, assemble):
    with pytest.raises(UserError, match="starts at 0x80000100, but the boot ROM jumps to 0x80000000"):
        simulator.run(assemble("  li a0, 0\n", base=0x8000_0100, name="elsewhere"), 1000)


@pytest.mark.parametrize("name", ["waves", "waves.txt", "no/such/folder/waves.vcd"])
def test_trace_that_cannot_be_written(simulator, assemble, tmp_path, name):
    with pytest.raises(UserError, match="cannot trace to"):
        simulator.run(assemble(HELLO), 1000, trace=tmp_path / name)


def test_image_without_policy_on_a_preset_with_the_extension(assemble, monkeypatch):
    image = assemble(HELLO)
    fides = Simulator.build(preset("fides"))
    with pytest.raises(UserError, match="policy"):
        fides.run(image, 1000)
    assert fides.run(image, 100_000, require_policy=False).exit_code == 42


# Builds.


@pytest.fixture
def tiny(tmp_path):
    """A configuration of its own, with a folder of its own for builds."""
    return replace(preset("tiny"), soc=SoCConfig(memory_bytes=1 << 16)), tmp_path / "builds"


@pytest.mark.slow
def test_a_build_is_made_once_even_by_two_at_a_time(tiny):
    config, directory = tiny
    program = f"""
from dataclasses import replace
from pathlib import Path
from fides_core.config import SoCConfig, preset
from fides_core.flow.simulation import Simulator
config = replace(preset("tiny"), soc=SoCConfig(memory_bytes=1 << 16))
Simulator.build(config, directory=Path({str(directory)!r}))
"""
    command = [sys.executable, "-c", program]
    builders = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = "".join(builder.communicate(timeout=300)[1] for builder in builders)
    assert [builder.returncode for builder in builders] == [0, 0], said
    assert said.count("\nbuilt") == 1, said
    assert len(list((directory / "tiny").glob("*.so"))) == 1
    later = []
    Simulator.build(config, directory=directory, report=later.append)
    assert not later


def test_failed_build_names_its_log_and_leaves_nothing(tiny, monkeypatch):
    config, directory = tiny
    broken = directory / "broken.v"
    directory.mkdir()
    broken.write_text("module fides_soc(input clk); syntax error endmodule\n")
    monkeypatch.setattr(simulation, "generated_verilog", lambda *_: broken)
    with pytest.raises(UserError, match=r"cannot build the simulation of broken: %Error.*\(log: .*\.log\)"):
        Simulator.build(config, directory=directory, report=lambda _: None)
    assert not list(directory.rglob("*.so"))
    assert [path.name for path in (directory / "tiny").iterdir() if path.is_dir()] == []


def test_missing_tool(tiny, monkeypatch):
    config, directory = tiny

    def missing(tool):
        raise tools.ToolMissing(tool)

    monkeypatch.setattr(verilate.tools, "find", missing)
    monkeypatch.setattr(simulation, "generated_verilog", lambda *_: tools.ROOT / "pyproject.toml")
    with pytest.raises(UserError, match="verilator is not installed"):
        Simulator.build(config, directory=directory)


def test_verilog_is_generated_again_only_when_something_changed(monkeypatch, tmp_path):
    generated = []

    def generate(config, directory, **_):
        generated.append(config)
        directory.mkdir(exist_ok=True)
        (directory / f"{config.name}.v").write_text(f"module {len(generated)}")

    monkeypatch.setattr(simulation.verilog, "generate", generate)
    source = tmp_path / "fides_core" / "core" / "alu.py"
    source.parent.mkdir(parents=True)
    source.write_text("one")
    monkeypatch.setattr(tools, "ROOT", tmp_path)
    config = preset("tiny")
    path = simulation.generated_verilog(config, tmp_path / "rtl")
    assert simulation.generated_verilog(config, tmp_path / "rtl") == path
    assert len(generated) == 1
    changes = (
        lambda: source.write_text("two"),
        lambda: path.write_text("damaged"),
        lambda: path.unlink(),
        lambda: (tmp_path / "rtl" / "tiny.sources").unlink(),
    )
    for count, change in enumerate(changes, 2):
        change()
        for _ in range(2):
            simulation.generated_verilog(config, tmp_path / "rtl")
        assert len(generated) == count
    simulation.generated_verilog(replace(config, soc=SoCConfig(memory_bytes=4096)), tmp_path / "rtl")
    assert len(generated) == len(changes) + 2
