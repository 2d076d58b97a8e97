"""The reference SoC: devices, loading, running, and the command."""

import os
import random
import shutil
import struct
import subprocess
import sys
from dataclasses import replace

import pytest

from fides_core.config import preset
from fides_core.isa.encode import encode
from fides_core.model import Platform
from fides_core.model.__main__ import main
from fides_core.model.machine import BusError
from fides_core.model.platform import boot_rom_words
from fides_core.soc.memory_map import BOOT_ROM, CLINT, EXIT, MAIN_MEMORY_BASE, UART, UartRegister

START = MAIN_MEMORY_BASE


def program(*words):
    return struct.pack(f"<{len(words)}I", *words)


def elf(code, address=START, *, machine=243, bits=64, extra=0):
    """A minimal little-endian ELF executable with one segment, ``extra`` zero bytes after ``code``."""
    ident = b"\x7fELF" + bytes([bits // 32, 1, 1]) + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, address, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 7, 120, address, address, len(code), len(code) + extra, 4)
    return ident + header + segment + code


def ends_with(code):
    """A program that stores ``code`` to the exit device."""
    return program(
        encode("lui", rd=5, imm=EXIT.base >> 12), encode("addi", rd=6, imm=code), encode("sw", rs1=5, rs2=6)
    )  # fmt: skip


def prints(text):
    """A program that transmits ``text`` and ends with code 0."""
    words = [encode("lui", rd=5, imm=UART.base >> 12)]
    for byte in text:
        words.append(encode("addi", rd=6, imm=byte))
        words.append(encode("sw", rs1=5, rs2=6, imm=(UART.base & 0xFFF) + UartRegister.TRANSMIT))
    return program(*words) + ends_with(0)


@pytest.fixture
def platform():
    return Platform(preset("fides"))


@pytest.fixture
def image(tmp_path):
    def make(data):
        path = tmp_path / "image.elf"
        path.write_bytes(data)
        return str(path)

    return make


class TestBoot:
    def test_from_rom_to_main_memory(self):
        config = preset("base")
        platform = Platform(replace(config, core=replace(config.core, hart_id=3)))
        platform.hart.x[11] = 99
        for _ in range(5):
            platform.hart.step()
        assert platform.hart.pc == START
        assert [platform.hart.x[register] for register in (10, 11, 6)] == [3, 0, START]

    def test_rom_is_the_hardwares(self):
        memory = pytest.importorskip("fides_core.soc.memory", exc_type=ImportError)
        assert boot_rom_words(3) == memory._boot_words(3)

    def test_rom_is_read_only(self, platform):
        assert platform.load(BOOT_ROM.base, 8) == encode("addi", rd=10) | encode("addi", rd=11) << 32
        with pytest.raises(BusError):
            platform.store(BOOT_ROM.base, 4, 0)


class TestUart:
    def test_transmit(self, image):
        sent = []
        platform = Platform(preset("base"), on_transmit=sent.append)
        platform.load_elf(image(elf(prints(b"hi!\n"))))
        outcome = platform.run(1000)
        assert outcome.exit_code == 0 and outcome.uart == b"hi!\n" == bytes(sent)

    def test_only_byte_0_transmits(self, platform):
        base = UART.base + UartRegister.TRANSMIT
        for address, size in ((base, 1), (base, 2), (base, 4), (base + 1, 1), (base + 2, 2), (UART.base, 8)):
            platform.store(address, size, 0x4142_4344_4546_4748)
        assert platform.outcome().uart == b"HHHD"

    def test_receive(self):
        platform = Platform(preset("base"), uart_input=b"ab")
        status, receive = UART.base + UartRegister.STATUS, UART.base + UartRegister.RECEIVE
        idle = UartRegister.STATUS_TX_EMPTY
        seen = []
        for _ in range(3):
            seen.append((platform.load(status, 4), platform.load(receive, 4)))
        full = idle | UartRegister.STATUS_RX_NOT_EMPTY
        assert seen == [(full, ord("a")), (full, ord("b")), (idle, 0)]

    def test_baud(self, platform):
        assert platform.load(UART.base, 4) == 1
        platform.store(UART.base, 4, 0x12345)
        platform.store(UART.base + 1, 1, 0xAB)  # byte 0 is not written: nothing happens
        assert platform.load(UART.base, 2) == 0x2345 == platform.load(UART.base + 0x40, 4)
        platform.store(UART.base, 2, 0)
        assert platform.load(UART.base, 4) == 1


class TestClint:
    def test_words_and_doublewords(self, platform):
        compare = CLINT.base + 0x4000
        assert platform.load(compare, 8) == (1 << 64) - 1
        platform.store(compare, 8, 0x1122_3344_5566_7788)
        platform.store(compare + 4, 4, 5)
        assert platform.load(compare, 8) == 0x5_5566_7788
        assert platform.load(compare + 4, 4) == 5 and platform.load(compare + 1, 1) == 0x77

    def test_msip_has_one_bit(self, platform):
        platform.store(CLINT.base, 4, 0xFFFF_FFFF)
        assert platform.load(CLINT.base, 4) == 1 and platform.interrupts() == 1 << 3

    def test_mtime_counts_and_is_settable(self, platform):
        time = CLINT.base + 0xBFF8
        platform.store(time, 8, 1000)
        platform.hart.step()
        assert platform.load(time, 8) == 1001
        platform.store(time + 4, 4, 1)
        assert platform.load(time, 8) == 1 << 32 | 1001

    def test_tick(self):
        platform = Platform(preset("base"), instructions_per_tick=2)
        for _ in range(4):
            platform.hart.step()
        assert platform.time() == 2

    def test_timer_interrupt_level(self, platform):
        platform.store(CLINT.base + 0x4000, 8, 3)
        levels = []
        for _ in range(4):
            levels.append(platform.interrupts() >> 7 & 1)
            platform.hart.step()
        assert levels == [0, 0, 0, 1]


class TestBus:
    @pytest.mark.parametrize("address", [START, START + (1 << 20) - 8])
    def test_first_and_last_doubleword_of_memory(self, platform, address):
        platform.store(address, 8, 0x1122_3344_5566_7788)
        assert platform.load(address, 8) == 0x1122_3344_5566_7788
        assert [platform.fetch(address + at) for at in (0, 6)] == [0x7788, 0x1122]

    @pytest.mark.parametrize("address", [0, 0xFF8, 0x2000, 0x0C00_0000, START - 8, START + (1 << 20)])
    def test_nothing_there(self, platform, address):
        for access in (lambda: platform.load(address, 8), lambda: platform.store(address, 8, 0)):
            with pytest.raises(BusError):
                access()

    def test_no_exit_device(self):
        config = preset("base")
        platform = Platform(replace(config, soc=replace(config.soc, simulation_exit=False)))
        with pytest.raises(BusError):
            platform.store(EXIT.base, 4, 1)

    @pytest.mark.parametrize("address", [UART.base, CLINT.base, EXIT.base, START + (1 << 20)])
    def test_not_executable(self, platform, address):
        with pytest.raises(BusError):
            platform.fetch(address)


class TestRun:
    def test_exit_code_and_count(self, platform, image):
        platform.load_elf(image(elf(ends_with(42))))
        outcome = platform.run()
        assert (outcome.exit_code, outcome.instructions, outcome.pc) == (42, 8, START + 12)

    def test_limit_ends_a_loop(self, platform, image):
        platform.load_elf(image(elf(program(encode("jal")))))
        outcome = platform.run(1000)
        assert (outcome.exit_code, outcome.instructions, outcome.pc) == (None, 1000, START)
        assert platform.run(500).instructions == 1500

    def test_limit_ends_a_trap_loop(self, platform, image):
        platform.load_elf(image(elf(program(0))))
        outcome = platform.run(1000)  # mtvec is 0, where nothing can be executed
        assert (outcome.exit_code, outcome.pc) == (None, 0)

    def test_trace(self, platform, image):
        platform.load_elf(image(elf(program(encode("addi", rd=7, imm=-1), 0x4385))))
        lines = []
        platform.run(8, lines.append)
        assert lines[5:] == [
            "M 0x80000000 fff00393 x7=0xffffffffffffffff",
            "M 0x80000004 4385 x7=0x1",
            "M 0x80000006 trap cause 0x2 mtval 0x0",
        ]


class TestLoad:
    def test_bss_is_zeroed(self, platform, image):
        platform.store(START + 12, 4, 0xFFFF_FFFF)
        platform.store(START + 16, 4, 0xFFFF_FFFF)
        platform.load_elf(image(elf(ends_with(0), extra=4)))
        assert platform.load(START + 12, 4) == 0 and platform.load(START + 16, 4) == 0xFFFF_FFFF

    @pytest.mark.parametrize("data, message", [
        (b"not an ELF", "not an ELF file"), (b"", "not an ELF file"), (elf(b"", machine=62), "EM_X86_64"),
        (elf(ends_with(0), address=0x1000), "outside main memory"), (elf(b""), "nothing to load"),
        (elf(ends_with(0), extra=1 << 20), "outside main memory"),
        (elf(ends_with(0))[:70], "not an ELF file"), (elf(ends_with(0))[:-4], "not an ELF file"),
    ])  # fmt: skip
    def test_bad_images(self, platform, image, data, message):
        with pytest.raises(ValueError, match=message):
            platform.load_elf(image(data))
        assert not any(platform.memory), "nothing half-loaded"


class TestCommand:
    def test_exit_code_output_and_count(self, image, capsysbinary):
        assert main([image(elf(prints(b"tally\n"))), "--preset", "base"]) == 0
        captured = capsysbinary.readouterr()
        assert captured.out == b"tally\n" and captured.err == b"21 instructions\n"

    def test_limit(self, image, capsys):
        assert main([image(elf(program(encode("jal")))), "--max-instructions", "100"]) == 124
        assert "limit reached, pc 0x80000000" in capsys.readouterr().err

    def test_endless_wait(self, image, capsys):
        assert main([image(elf(program(encode("wfi"))))]) == 124
        assert "interrupt that cannot come, pc 0x80000004" in capsys.readouterr().err

    def test_trace(self, image, capsys):
        assert main([image(elf(ends_with(3))), "--trace"]) == 3
        assert "M 0x00001000 00000513" in capsys.readouterr().err

    @pytest.mark.parametrize("arguments", [["/nonexistent"], ["--preset", "nonsense", "/nonexistent"]])
    def test_bad_input(self, arguments, capsys):
        assert main(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.startswith("error: ") and captured.err.count("\n") == 1

    def test_as_a_module(self, image):
        command = [sys.executable, "-m", "fides_core.model", image(elf(ends_with(7)))]
        run = subprocess.run(command, capture_output=True, timeout=60)
        assert run.returncode == 7 and run.stderr == b"8 instructions\n"


COMPILER = "riscv64-unknown-elf-gcc"
SORT = """
static unsigned long state = SEED;
static unsigned long next(void) { return state = state * 6364136223846793005ul + 1442695040888963407ul; }
static long values[300];
int main(void)
{
    for (int i = 0; i < 300; i++) {
        long dividend = next(), divisor = 1 + (next() >> 40);
        values[i] = dividend / divisor % 100000;
    }
    for (int i = 1; i < 300; i++)
        for (int j = i; j > 0 && values[j - 1] > values[j]; j--) {
            long other = values[j]; values[j] = values[j - 1]; values[j - 1] = other;
        }
    unsigned hash = 0;
    for (int i = 0; i < 300; i++) hash = hash * 31 + (unsigned)values[i];
    return (int)(hash >> 24);
}
"""
CRT = ".globl _start\\n_start: la sp, _start + 0x8000\\n call main\\n li t0, 0x100000\\n sw a0, 0(t0)\\n"


@pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"{COMPILER} is not installed")
def test_compiled_program_does_what_it_does_on_the_host(tmp_path):
    """C with multiplication, division and 32-bit arithmetic against Python's integers."""
    seed = int(os.environ.get("FIDES_SEED", random.randrange(1 << 32)))
    print(f"FIDES_SEED={seed}")
    source, path = tmp_path / "sort.c", tmp_path / "sort.elf"
    source.write_text(f'__asm__(".section .init\\n{CRT} .text");\n#define SEED {seed}ul\n{SORT}')
    options = ["-O2", "-march=rv64im", "-mabi=lp64", "-mcmodel=medany", "-nostdlib", "-ffreestanding"]
    script = "-Wl,--no-relax,--section-start=.init=0x80000000,-N,--no-warn-rwx-segments"
    subprocess.run([COMPILER, *options, script, source, "-o", path], check=True, timeout=60)
    platform = Platform(preset("base"))
    platform.load_elf(path)
    outcome = platform.run(1_000_000)

    state = seed

    def generate():
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return state

    def quotient(a, b):
        return abs(a) // b * (1 if a >= 0 else -1)

    values = []
    for _ in range(300):
        a = generate()
        a = quotient(a - (1 << 64) if a >> 63 else a, 1 + (generate() >> 40))
        values.append(a - 100000 * quotient(a, 100000))
    result = 0
    for value in sorted(values):
        result = (result * 31 + value) % (1 << 32)
    assert outcome.exit_code == result >> 24 and outcome.instructions > 10_000
