"""The generated headers: assembled, they give the encodings of the instruction table."""

import subprocess

import pytest

from fides_core.flow import tools
from fides_core.isa.assembler import ACCESS_SIZES, write_headers
from fides_core.isa.encode import encode
from fides_core.isa.xfides import PadKind, checkcap
from fides_core.soc.memory_map import UART

A0, A1, A2 = 10, 11, 12

STATEMENTS = {
    "checkcap 5": checkcap(5),
    "handler_pad 5": checkcap(5, PadKind.HANDLER),
    "arm a1": encode("arm", rs1=A1),
    "disarm": encode("disarm"),
    "ptradd a0, a1, a2": encode("ptradd", rd=A0, rs1=A1, rs2=A2),
    "mint a0, a1, a2": encode("mint", rd=A0, rs1=A1, rs2=A2),
    "revoke a1": encode("revoke", rs1=A1),
    **{f"val{size} a0, a1, a2": encode(f"val.{size}", rd=A0, rs1=A1, rs2=A2) for size in ACCESS_SIZES},
    **{f"vali{size} a1, -7": encode(f"vali.{size}", rs1=A1, imm=-7) for size in ACCESS_SIZES},
}


def assemble(source, folder, xfides):
    """The .text of ``source`` as words."""
    write_headers(folder)
    options = ["-march=rv64im_zicsr", "-mabi=lp64", "-O1", f"-DXFIDES={xfides}", f"-I{folder}"]
    command = [tools.find("riscv64-unknown-elf-gcc"), *options, "-c", source, "-o", folder / "out.o"]
    subprocess.run(command, check=True)
    copy = [tools.find("riscv64-unknown-elf-objcopy"), "-O", "binary", "-j", ".text"]
    subprocess.run([*copy, folder / "out.o", folder / "out.bin"], check=True)
    data = (folder / "out.bin").read_bytes()
    return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]


def test_assembler_macros(tmp_path):
    source = tmp_path / "macros.S"
    source.write_text('#include "xfides.h"\n' + "\n".join(STATEMENTS) + "\n")
    assert assemble(source, tmp_path, 1) == list(STATEMENTS.values())


def test_string_macros(tmp_path):
    """The same through inline assembly, each in a line of its own."""
    lines = []
    for statement in STATEMENTS:
        name, _, operands = statement.partition(" ")
        arguments = ", ".join(f'"{operand.strip()}"' for operand in operands.split(",") if operand)
        lines.append(f"__asm__(INSN_{name.upper()}({arguments}));")
    source = tmp_path / "strings.c"
    source.write_text('#include "xfides.h"\n' + "\n".join(lines) + "\n")
    assert assemble(source, tmp_path, 1) == list(STATEMENTS.values())


def test_without_the_extension_only_plain_instructions_are_left(tmp_path):
    source = tmp_path / "macros.S"
    source.write_text('#include "xfides.h"\n' + "\n".join(STATEMENTS) + "\n")
    add = encode("add", rd=A0, rs1=A1, rs2=A2)
    move = encode("addi", rd=A0, rs1=A1, imm=0)
    assert assemble(source, tmp_path, 0) == [add, move, *[add] * len(ACCESS_SIZES)]


def test_the_extension_must_be_chosen(tmp_path):
    write_headers(tmp_path)
    source = tmp_path / "header.c"
    source.write_text('#include "xfides.h"\n')
    compiler = tools.find("riscv64-unknown-elf-gcc")
    done = subprocess.run([compiler, "-E", f"-I{tmp_path}", source], capture_output=True, text=True)
    assert done.returncode and "define XFIDES as 0 or 1" in done.stderr


@pytest.mark.parametrize("line", (f"#define UART_BASE {UART.base:#x}", "#define MAIN_MEMORY_BASE 0x80000000"))
def test_platform(tmp_path, line):
    write_headers(tmp_path)
    assert line in (tmp_path / "platform.h").read_text().splitlines()


def test_headers_that_are_up_to_date_are_left_alone(tmp_path):
    paths = write_headers(tmp_path)
    before = [path.stat().st_mtime_ns for path in paths]
    assert [path.stat().st_mtime_ns for path in write_headers(tmp_path)] == before
    assert {path.name for path in tmp_path.iterdir()} == {"xfides.h", "platform.h"}
