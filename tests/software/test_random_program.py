"""The generator of random programs: what it emits is what it means, and the same for the same seed."""

import dataclasses
import itertools
import os
import random
import subprocess
from collections import Counter

import pytest

from fides_core.config import preset
from fides_core.errors import UserError
from fides_core.flow import tools
from fides_core.flow.reference import Reference
from fides_core.isa.compressed import COMPRESSED, find_compressed
from fides_core.isa.csrs import CSR
from fides_core.isa.instructions import INSTRUCTIONS, Format, find, instructions
from fides_core.software.random_handler import EXIT_CODE, OUT_OF_TRAPS, handler_segments
from fides_core.software.random_layout import CLIFF_BYTES, CODE, KEPT, POINTER, TARGETS, TEMPORARY, VECTORS
from fides_core.software.random_program import generate
from fides_core.software.random_words import CORNERS, WordSource, load_constant, size_of, to_bytes, word
from fides_core.soc.memory_map import MAIN_MEMORY_BASE


def execute(words):
    """Values of the registers after lui, addi, addiw and slli, computed from the words' fields."""
    registers = [0] * 32
    for code in words:
        rd, rs1, opcode, funct3 = code >> 7 & 31, code >> 15 & 31, code & 0x7F, code >> 12 & 7
        immediate = (code >> 20) - (code >> 31 << 12)
        if opcode == 0x37:
            value = code & 0xFFFFF000
            value -= value >> 31 << 32
        elif opcode == 0x13 and funct3 == 0:
            value = registers[rs1] + immediate
        elif opcode == 0x1B and funct3 == 0:
            value = registers[rs1] + immediate & 0xFFFFFFFF
            value -= value >> 31 << 32
        elif opcode == 0x13 and funct3 == 1:
            value = registers[rs1] << (code >> 20 & 63)
        else:
            raise AssertionError(f"{code:08x}")
        registers[rd] = value % (1 << 64)
    return registers


def test_constants():
    draw = random.Random(1)
    values = [*CORNERS, *(draw.getrandbits(draw.randrange(1, 65)) for _ in range(5000))]
    values += [-value for value in values]
    for value in values:
        assert execute(load_constant(5, value))[5] == value % (1 << 64), hex(value)


OPERANDS = {
    Format.R: "x{rd}, x{rs1}, x{rs2}", Format.I: "x{rd}, x{rs1}, {low}", Format.U: "x{rd}, {upper}",
    Format.SHAMT6: "x{rd}, x{rs1}, {shift}", Format.SHAMT5: "x{rd}, x{rs1}, {shift5}",
    Format.LOAD: "x{rd}, {low}(x{rs1})", Format.S: "x{rs2}, {low}(x{rs1})", Format.NONE: "",
    Format.CSR: "x{rd}, {csr}, x{rs1}", Format.CSRI: "x{rd}, {csr}, {rs1}",
    Format.B: "x{rs1}, x{rs2}, . + {branch}", Format.J: "x{rd}, . + {jump}", Format.UNARY: "x{rd}, x{rs1}",
    Format.LR: "x{rd}, (x{rs1})", Format.AMO: "x{rd}, x{rs2}, (x{rs1})",
}  # fmt: skip


def test_words_are_those_of_the_assembler(tmp_path):
    draw = random.Random(2)
    text, expected = ".option norvc\n", []
    for row in INSTRUCTIONS:
        if row.extension in ("Xfides", "Zicond") or row.format is Format.FENCE:
            continue  # unknown to the assembler
        for _ in range(8):
            rd, rs1, rs2 = (draw.randrange(32) for _ in range(3))
            # The assembler would turn a branch out of its range into two instructions.
            values = {
                "low": draw.randrange(-2048, 2048), "shift": draw.randrange(64), "shift5": draw.randrange(32),
                "upper": draw.randrange(1 << 20), "csr": draw.choice((0x300, 0x341, 0xC00, 0x3B0)),
                "branch": 2 * draw.randrange(-2048, 2048), "jump": 2 * draw.randrange(-(1 << 19), 1 << 19),
            }  # fmt: skip
            immediate = {
                Format.SHAMT6: values["shift"], Format.SHAMT5: values["shift5"], Format.U: values["upper"],
                Format.CSR: values["csr"], Format.CSRI: values["csr"], Format.B: values["branch"],
                Format.J: values["jump"], Format.LR: draw.randrange(4), Format.AMO: draw.randrange(4),
            }.get(row.format, values["low"])  # fmt: skip
            if row.format in (Format.B, Format.J) and immediate % 4:
                immediate &= -4
                values["branch"] &= -4
                values["jump"] &= -4
            order = ("", ".rl", ".aq", ".aqrl")[immediate] if row.format in (Format.LR, Format.AMO) else ""
            text += f"{row.name}{order} {OPERANDS[row.format].format(rd=rd, rs1=rs1, rs2=rs2, **values)}\n"
            expected.append((row.name, word(row.name, rd, rs1, rs2, immediate)))
    source, program, binary = (tmp_path / f"words.{suffix}" for suffix in ("S", "o", "bin"))
    source.write_text(text)
    gcc = [tools.find("riscv64-unknown-elf-gcc"), "-march=rv64ima_zicsr_zifencei_zba_zbb_zbs", "-mabi=lp64"]
    gcc.append("-nostdlib")
    subprocess.run([*gcc, "-Wl,-Ttext=0x80000000", "-Wl,-e,0x80000000", "-o", program, source], check=True)
    objcopy = tools.find("riscv64-unknown-elf-objcopy")
    subprocess.run([objcopy, "-O", "binary", "-j", ".text", program, binary], check=True)
    data = binary.read_bytes()
    got = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
    assert [(name, f"{value:08x}") for name, value in expected] == [
        (name, f"{value:08x}") for (name, _), value in zip(expected, got, strict=True)
    ]


@pytest.mark.parametrize("name", ["tiny", "base"])
def test_random_words_are_instructions_that_write_what_they_may(name):
    core = preset(name).core
    source = WordSource(random.Random(3), core, TARGETS)
    options = {"xfides": False, "bitmanip": core.bitmanip, "zicond": core.zicond}
    seen = set()
    for _ in range(20_000):
        code = source.any()
        row = find(code, **options) if code & 3 == 3 else find_compressed(code)
        seen.add(row.name)
        wide = code if code & 3 == 3 else row.expand(code)
        assert (wide >> 7 & 31) in (0, *TARGETS), hex(code)
        assert wide & 0x7F in (0x13, 0x33, 0x1B, 0x3B, 0x37, 0x17), hex(code)
    computing = {row.name for row in instructions(**options) if row.format in (Format.R, Format.UNARY)}
    assert computing < seen and {"c.addi4spn", "c.lui", "c.subw", "c.mv"} < seen

    illegal = [source.illegal() for _ in range(2000)]
    assert {size_of(code) for code in illegal} == {2, 4}
    for code in illegal:
        assert (find(code, **options) if code & 3 == 3 else find_compressed(code)) is None, hex(code)
    # Instructions that another configuration has are among them.
    assert (name == "base") == all(find(code, xfides=False) is None for code in illegal if code & 3 == 3)


def test_compressed_constants():
    draw = random.Random(4)
    source = WordSource(draw, preset("base").core, TARGETS)
    narrow = 0
    for value in (*CORNERS, *range(-40, 40), *(draw.getrandbits(draw.randrange(1, 65)) for _ in range(3000))):
        codes = source.load(9, value)
        narrow += sum(1 for code in codes if size_of(code) == 2)
        wide = [code if size_of(code) == 4 else find_compressed(code).expand(code) for code in codes]
        # c.li is addi from x0.
        assert execute(wide)[9] == value % (1 << 64), hex(value)
    assert narrow > 1000


def test_the_same_seed_gives_the_same_program():
    core = preset("base").core
    assert generate(11, core) == generate(11, core)
    assert generate(11, core).code != generate(12, core).code
    assert generate(11, core).code != generate(11, preset("tiny").core).code


@pytest.mark.parametrize("memory_bytes", [1 << 18, 1 << 20])
def test_programs_fit_their_place(memory_bytes):
    core = preset("base").core
    for seed in range(40):
        program = generate(seed, core, memory_bytes, 100_000)
        at = 0
        for offset, contents in sorted(program.segments):
            assert offset >= at
            at = offset + len(contents)
        assert at <= memory_bytes
        assert program.segments[-1][0] + CLIFF_BYTES == memory_bytes
        # Wide instructions at all halfwords, and in every place of a doubleword.
        starts = itertools.accumulate(size_of(code) for code in program.code)
        wide = Counter(start % 8 for start, code in zip(starts, program.code[1:]) if size_of(code) == 4)
        assert set(wide) == {0, 2, 4, 6}
        assert all(0 <= code < 1 << 8 * size_of(code) for code in program.code)
    with pytest.raises(ValueError, match="more than"):
        generate(1, core, memory_bytes, 4_000_000)
    with pytest.raises(ValueError, match="need 262144 bytes"):
        generate(1, core, 1 << 17)


# On Spike alone


@pytest.fixture(scope="module")
def reference():
    try:
        tools.spike_directory()
    except tools.ToolMissing as error:
        pytest.skip(str(error))
    return Reference


def with_pmp(name: str, entries: int):
    config = preset(name)
    return dataclasses.replace(config, core=dataclasses.replace(config.core, pmp_entries=entries))


@pytest.mark.parametrize("name, entries", [("tiny", 4), ("base", 4), ("base", 16), ("base", 0)])
def test_programs_end_and_reach_everything(reference, name, entries):
    config = with_pmp(name, entries)
    core, spike = config.core, reference(config)
    start = int(os.environ.get("FIDES_SEED") or random.SystemRandom().randrange(1, 1 << 31))
    print(f"FIDES_SEED={start}")
    executed, causes, interrupts, exits = Counter(), Counter(), Counter(), Counter()
    asked, generated, total, succeeded, failed, taken = 60_000, 0, 0, 0, 0, 0
    for seed in range(start, start + 24):
        program = generate(seed, core, config.soc.memory_bytes, asked)
        outcome = spike.run(program.segments, 20 * asked, seed=seed, interrupt_period=300)
        assert outcome.exit_code in (EXIT_CODE, OUT_OF_TRAPS), f"seed {seed} did not end"
        exits[outcome.exit_code] += 1
        executed += outcome.executed
        causes += outcome.causes
        interrupts += outcome.interrupts
        generated += program.generated
        total += outcome.instructions
        taken += outcome.taken_branches
        succeeded += outcome.store_conditional[0]
        failed += outcome.store_conditional[1]
    assert exits[EXIT_CODE] > 20
    assert total > 12 * asked and total > 10 * generated
    everything = {row.name for row in spike.rows} | {row.name for row in COMPRESSED}
    assert set(executed) == everything - {"ecall", "ebreak", "c.ebreak"}  # these only trap
    assert set(causes) == {1, 2, 3, 4, 5, 6, 7, 8, 11}
    assert set(interrupts) == {3, 7, 11}
    assert succeeded > 100 and failed > 50 and taken > total // 20


def test_a_program_that_traps_for_ever_ends(reference):
    config = preset("base")
    code = to_bytes([*load_constant(POINTER, KEPT), *load_constant(TEMPORARY, VECTORS),
                     word("csrrw", rs1=TEMPORARY, immediate=CSR.MTVEC), word("ecall"),
                     word("jal", immediate=-4)])  # fmt: skip
    segments = [*handler_segments(50, []), (CODE - MAIN_MEMORY_BASE, code)]
    outcome = reference(config).run(segments, 100_000)
    assert outcome.exit_code == OUT_OF_TRAPS and outcome.causes == {11: 50}


def test_the_reference_does_the_same_in_every_run(reference):
    config = preset("base")
    spike = reference(config)
    program = generate(5, config.core, config.soc.memory_bytes, 20_000)
    first = spike.run(program.segments, 400_000, seed=5, interrupt_period=300)
    assert spike.run(program.segments, 400_000, seed=5, interrupt_period=300) == first
    assert spike.run(program.segments, 400_000, seed=6, interrupt_period=300).digest != first.digest
    assert spike.run(program.segments, 1000).exit_code is None
    with pytest.raises(UserError, match="does not fit"):
        spike.run([(1 << 20, b"x")], 1)
