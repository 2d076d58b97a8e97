"""The generator of random programs: what it emits is what it means, and the same for the same seed."""

import random
import subprocess

import pytest

from fides_core.flow import tools
from fides_core.isa.instructions import INSTRUCTIONS, Format
from fides_core.software.random_program import CODE_BYTES, CORNERS, generate, load_constant, word


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
                Format.J: values["jump"],
            }.get(row.format, values["low"])  # fmt: skip
            if row.format in (Format.B, Format.J) and immediate % 4:
                immediate &= -4
                values["branch"] &= -4
                values["jump"] &= -4
            text += f"{row.name} {OPERANDS[row.format].format(rd=rd, rs1=rs1, rs2=rs2, **values)}\n"
            expected.append((row.name, word(row.name, rd, rs1, rs2, immediate)))
    source, program, binary = (tmp_path / f"words.{suffix}" for suffix in ("S", "o", "bin"))
    source.write_text(text)
    march = "-march=rv64ima_zicsr_zifencei_zba_zbb_zbs"
    gcc = [tools.find("riscv64-unknown-elf-gcc"), march, "-mabi=lp64", "-nostdlib"]
    subprocess.run([*gcc, "-Wl,-Ttext=0x80000000", "-Wl,-e,0x80000000", "-o", program, source], check=True)
    objcopy = tools.find("riscv64-unknown-elf-objcopy")
    subprocess.run([objcopy, "-O", "binary", "-j", ".text", program, binary], check=True)
    data = binary.read_bytes()
    got = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
    assert [(name, f"{value:08x}") for name, value in expected] == [
        (name, f"{value:08x}") for (name, _), value in zip(expected, got, strict=True)
    ]


def test_the_same_seed_gives_the_same_program():
    assert generate(11) == generate(11)
    assert generate(11).words != generate(12).words


def test_programs_fit_their_place():
    for seed in range(20):
        program = generate(seed, 2000)
        assert 4 * len(program.words) <= CODE_BYTES and len(program.window) == 4096
        assert all(0 <= code < 1 << 32 for code in program.words)
    with pytest.raises(ValueError, match="more than fit"):
        generate(1, 20_000)
