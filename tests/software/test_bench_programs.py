"""The benchmark programs compute the same on the host and on the target, and what is known of their results
is right."""

import re
import subprocess
from functools import cache

import pytest
from elftools.elf.elffile import ELFFile

from fides_core.config import preset
from fides_core.flow import tools
from fides_core.flow.bare_metal import HARNESS
from fides_core.flow.bench import PROGRAMS, build_program, parse_counters
from fides_core.flow.elf import load_elf
from fides_core.flow.reference import Reference
from fides_core.model import Platform

HOST_FLAGS = ("-O1", "-std=gnu11", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror")


@pytest.fixture(scope="module")
def on_host(tmp_path_factory):
    """Compiles and runs a program for this machine; returns its checksum."""
    folder = tmp_path_factory.mktemp("host")

    def run(program):
        command = [tools.find("g++").with_name("gcc"), *HOST_FLAGS, "-o", folder / program]
        sources = [HARNESS / name for name in ("main.c", "harness.c", f"{program}.c")]
        subprocess.run([*command, *sources, "-lm"], check=True)
        done = subprocess.run([folder / program], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        return checksum(program, done.stdout)

    return cache(run)


@pytest.fixture(scope="module")
def on_spike(tmp_path_factory):
    """Builds a program for a preset, runs it on Spike; returns the outcome."""
    folder = tmp_path_factory.mktemp("target")
    reference = cache(lambda name: Reference(preset(name)))

    def run(program, name):
        config = preset(name)
        image = build_program(program, config, folder)
        return reference(name).run(load_elf(image, config.soc.memory_bytes).segments, 5_000_000)

    return cache(run)


def checksum(program, text):
    found = re.search(rf"^benchmark {program} 0x([0-9a-f]{{16}}) correct$", text, re.MULTILINE)
    assert found, text
    return int(found[1], 16)


RUNS = [*((program, "base") for program in PROGRAMS), ("pidigits", "tiny"), ("nbody", "tiny")]


@pytest.mark.parametrize(("program", "name"), RUNS)
def test_host_and_target_agree(program, name, on_host, on_spike):
    outcome = on_spike(program, name)
    text = outcome.uart.decode()
    assert outcome.exit_code == 0, text
    assert checksum(program, text) == on_host(program)
    assert not outcome.causes
    # Long enough to mean something, short enough to simulate; all but start and output was counted.
    cycles, instructions, _ = parse_counters(text)
    assert 200_000 < cycles <= outcome.instructions < 2_100_000
    assert outcome.instructions - instructions < 3000


def test_bit_manipulation_is_used_where_there_is_one(on_spike):
    shifted_adds = [on_spike("pidigits", name).executed["sh2add"] for name in ("tiny", "base")]
    assert shifted_adds[0] == 0 and shifted_adds[1] > 0


def test_on_the_golden_model(tmp_path):
    """One program there too: the model is slow."""
    config = preset("base")
    platform = Platform(config)
    platform.load_elf(build_program("mix", config, tmp_path))
    outcome = platform.run(max_instructions=400_000)
    assert outcome.exit_code == 0
    checksum("mix", outcome.uart.decode())


def test_errno_has_a_place_of_its_own(tmp_path):
    """Linkers do not count thread-local variables without a value (.tbss) as taking memory."""
    with build_program("binary_trees", preset("base"), tmp_path).open("rb") as stream:
        elf = ELFFile(stream)
        tbss, bss = (elf.get_section_by_name(name) for name in (".tbss", ".bss"))
        start = elf.get_section_by_name(".symtab").get_symbol_by_name("__tls_start")[0]["st_value"]
        assert tbss["sh_size"] >= 4 and bss["sh_size"] > 0
        assert start == tbss["sh_addr"] and start + tbss["sh_size"] <= bss["sh_addr"]


def fnv(*words):
    total = 0xCBF29CE484222325
    for word in words:
        total = (total ^ word) * 0x100000001B3 % (1 << 64)
    return total


def test_known_results(on_host):
    # Published for N = 7: a checksum of 228, 16 reversals.
    assert on_host("fannkuch") == fnv(16, 228)
    # A full tree of depth d has 2^(d+1) - 1 nodes.
    assert on_host("binary_trees") == fnv(2**8 - 1, 64 * (2**5 - 1), 16 * (2**7 - 1), 2**7 - 1)
    digits = "314159265358979323846264338327950288419716939937510582097494"
    assert on_host("pidigits") == fnv(*map(int, digits))


def test_a_wrong_result_is_noticed(tmp_path):
    """The programs know their checksum: with other work, it is wrong and the exit code says so."""
    source = (HARNESS / "fannkuch.c").read_text()
    assert source.count("#define N 7") == 1
    (tmp_path / "fannkuch.c").write_text(source.replace("#define N 7", "#define N 5"))
    command = [tools.find("g++").with_name("gcc"), *HOST_FLAGS, f"-I{HARNESS}", "-o", tmp_path / "other"]
    sources = [HARNESS / "main.c", HARNESS / "harness.c", tmp_path / "fannkuch.c"]
    subprocess.run([*command, *sources], check=True)
    done = subprocess.run([tmp_path / "other"], capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(r"^benchmark fannkuch 0x\w+ wrong$", done.stdout, re.MULTILINE)
