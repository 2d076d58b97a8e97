"""``fides cc`` as makefiles and configure scripts call it, and as nobody should."""

import json
import struct

import pytest
from elftools.elf.elffile import ELFFile

from fides_core.compiler.arguments import parse_arguments
from fides_core.errors import UserError

pytestmark = pytest.mark.timeout(300)

HELLO = "#include <stdio.h>\nint main(void) { puts(GREETING); return 0; }\n"


def note_flags(path):
    """The flags of the object's note, None without one."""
    with open(path, "rb") as stream:
        section = ELFFile(stream).get_section_by_name(".fides.note")
        return None if section is None else struct.unpack("<II", section.data())[1]


def sections(path):
    with open(path, "rb") as stream:
        return {section.name for section in ELFFile(stream).iter_sections()}


def test_compiles_and_links_in_one_step(cc, tmp_path):
    (tmp_path / "hello.c").write_text(HELLO)
    assert cc("-O2", '-DGREETING="hi"', "hello.c", "-o", "hello").code == 0
    with (tmp_path / "hello").open("rb") as stream:
        assert ELFFile(stream).get_section_by_name(".fides.policy")


def test_objects_say_what_they_are(cc, tmp_path):
    (tmp_path / "a.c").write_text("int f(int *p) { return *p; }\n")
    assert cc("-c", "a.c").code == 0
    assert note_flags("a.o") == 3 and ".fides.pads" in sections("a.o")
    assert cc("-c", "-fno-fides-checks", "a.c").code == 0
    assert note_flags("a.o") == 1
    assert cc("--base", "-c", "a.c").code == 0
    assert note_flags("a.o") is None and ".fides.pads" not in sections("a.o")


def test_several_sources_and_output_names(cc, tmp_path):
    for name in ("a.c", "b.c", "c.s", "d.S"):
        (tmp_path / name).write_text(f"/* {name} */\n")
    assert cc("-c", "a.c", "b.c", "c.s", "d.S").code == 0
    assert all((tmp_path / f"{name}.o").exists() for name in "abcd")
    with pytest.raises(UserError, match="-o with more than one source"):
        cc("-c", "a.c", "b.c", "-o", "x.o")
    assert cc("-S", "a.c").code == 0 and (tmp_path / "a.s").read_text().startswith("# fides")


def test_preprocessing_and_dependencies(cc, tmp_path):
    (tmp_path / "h.h").write_text("int inside;\n")
    (tmp_path / "a.c").write_text('#include "h.h"\nint X;\n')
    assert "int Y;" in cc("-E", "-DX=Y", "a.c").out
    assert cc("-MM", "a.c").out.split() == ["a.o:", "a.c", "h.h"]
    assert cc("-MMD", "-c", "a.c", "-o", "out.o").code == 0
    assert (tmp_path / "out.d").read_text().split() == ["out.o:", "a.c", "h.h"]
    assert cc("-MD", "-MP", "-MF", "deps", "-MT", "target", "-c", "a.c").code == 0
    assert (tmp_path / "deps").read_text().startswith("target:")
    assert "_FORTIFY" not in cc("-E", "-P", "-include", "h.h", "a.c").out


def test_assembly_written_once_can_be_assembled_again(cc, tmp_path):
    (tmp_path / "a.c").write_text("int f(int x) { return x; }\n")
    cc("-O1", "-S", "a.c")
    assert cc("-c", "a.s").code == 0
    assert note_flags("a.o") == 3


def test_standard_input(fides, tmp_path, pass_plugin):
    done = fides("cc", "-x", "c", "-c", "-", "-o", "a.o", cwd=tmp_path, input="int f(void) { return 1; }\n")
    assert done.returncode == 0 and note_flags(tmp_path / "a.o") == 3
    done = fides("cc", "-c", "-", cwd=tmp_path, input="int x;")
    assert done.returncode == 2 and done.stderr == "fides cc: standard input needs a language: -x c\n"


def test_debug_information_is_of_the_source(cc, tmp_path):
    (tmp_path / "a.c").write_text("int f(int *p)\n{\n  return *p;\n}\n")
    assert cc("-g", "-O1", "-c", "a.c").code == 0
    with (tmp_path / "a.o").open("rb") as stream:
        elf = ELFFile(stream)
        names = b"".join(elf.get_section_by_name(name).data() for name in (".debug_str", ".debug_line"))
        assert b"a.c\0" in names and b".s\0" not in names


def test_response_file(cc, tmp_path):
    (tmp_path / "a.c").write_text("int x = N;\n")
    (tmp_path / "words").write_text('-c "-DN=1 + 2"\na.c\n')
    assert cc("@words").code == 0 and (tmp_path / "a.o").exists()


def test_exit_code_is_the_compiler_s(cc, tmp_path):
    (tmp_path / "a.c").write_text("int f( {\n")
    result = cc("-c", "a.c")
    assert result.code == 1 and "error:" in result.err
    assert not (tmp_path / "a.o").exists()


def test_undefined_function_is_one_line_and_no_image(fides, tmp_path, pass_plugin):
    (tmp_path / "a.c").write_text("void missing(void);\nint main(void) { missing(); return 0; }\n")
    done = fides("cc", "a.c", "-o", "a", cwd=tmp_path)
    assert done.returncode == 2 and not (tmp_path / "a").exists()
    assert "undefined reference to `missing'" in done.stderr.strip().split("\n")[-1]


def test_show_only(cc, tmp_path):
    (tmp_path / "a.c").write_text("int main(void) { return 0; }\n")
    result = cc("-###", "a.c", "-lm", "-o", "a", "--policy", "p.toml")
    assert result.code == 0 and not (tmp_path / "a").exists()
    clang, assembler, linker = result.err.strip().split("\n")
    assert "-fpass-plugin=" in clang and " -x assembler " in assembler
    assert linker.startswith("fides ld -o a --policy p.toml --preset fides ")


@pytest.mark.parametrize(
    "words, message",
    (
        ((), "there are no input files"),
        (("-c",), "there are no input files"),
        (("-lm",), "there are no input files"),
        (("-c", "none.c"), "none.c: no such file"),
        (("-c", "a.c", "-o"), "-o needs a value"),
        (("-c", "x.cpp"), "x.cpp: only C and assembly can be compiled"),
        (("-x", "c++", "a.c"), "-x c\\+\\+: only C and assembly"),
        (("-m32", "-c", "a.c"), "-m32: the target is RV64"),
        (("-shared", "a.c"), "-shared: an image has no shared libraries"),
        (("-T", "x.ld", "a.c"), "-T: the policy decides"),
        (("-fsanitize=address", "-c", "a.c"), "-fsanitize=address: "),
        (("--target=x86_64-linux", "-c", "a.c"), "the target is the preset's"),
        (("--preset", "nothing", "-c", "a.c"), "nothing"),
        (("-c", "a.c", "-o", "no/such/folder/a.o"), "no/such/folder/a.o: No such file"),
        (("@loop",), "response files name each other"),
        (("@quote",), "@quote: No closing quotation"),
    ),
)
def test_bad_command_lines(cc, tmp_path, words, message):
    (tmp_path / "a.c").write_text("int x;\n")
    (tmp_path / "x.cpp").write_text("int x;\n")
    (tmp_path / "loop").write_text("@loop\n")
    (tmp_path / "quote").write_text('-c "a.c\n')
    with pytest.raises(UserError, match=message):
        cc(*words)
    assert not (tmp_path / "a.o").exists() and not (tmp_path / "a.out").exists()


def test_options_of_clang_reach_it_in_order():
    words = "-Wall -I dir -DX=1 -U Y -fno-inline -O3 -std=c99 -mllvm -x1 -MF f -Xclang -y -w".split()
    assert parse_arguments([*words, "a.c"]).options == words


def test_linker_s_words_stay_among_the_files():
    words = ["a.o", "-Wl,--defsym,x=1", "b.a", "-l", "m", "-Ldir", "-Xlinker", "-Map=m", "c.o"]
    found = [item.path for item in parse_arguments(words).inputs]
    assert found == ["a.o", "--defsym", "x=1", "b.a", "-lm", "-Ldir", "-Map=m", "c.o"]


def test_questions(fides):
    assert fides("cc", "-dumpmachine").stdout.startswith("riscv64-")
    assert fides("cc", "--version").stdout.startswith("fides cc, ")
    done = fides("cc", "--help")
    assert done.returncode == 0 and "usage: fides cc" in done.stdout


def test_report(cc, tmp_path):
    (tmp_path / "a.c").write_text("int f(int *p) { return p[0] + p[1]; }\nint g(int *p) { return *p; }\n")
    (tmp_path / "b.c").write_text("int x;\n")
    assert cc("-O1", "-c", "a.c", "b.c", "--report", "report").code == 0
    first, second = (json.loads(line) for line in (tmp_path / "report").read_text().splitlines())
    assert first["source"] == "a.c" and second["source"] == "b.c"
    counts = first["counts"]
    assert counts["accesses.to_check"] == 3 and counts["checks.inserted"] == 2
    assert counts["checks.removed_by_wider_check"] == 1


def test_stray_pads_are_assembled_away(cc, tmp_path):
    # The upper half of the first and the second: 0x000b 0x....0
    (tmp_path / "a.s").write_text(
        "\t.text\n\t.globl f\n\t.type f,@function\nf:\n"
        "\tlbu a2, 0(s6)\n\taddi s0, sp, 16\n\tret\n\t.size f, .-f\n"
    )
    assert cc("-c", "a.s").code == 0
    with (tmp_path / "a.o").open("rb") as stream:
        text = ELFFile(stream).get_section_by_name(".text").data()
    stray = [
        at for at in range(4, len(text) - 3, 2) if text[at : at + 2] == b"\x0b\x00" and text[at + 2] & 15 == 0
    ]
    assert not stray


def test_configure_script(fides, tmp_path, pass_plugin):
    """What autoconf's scripts do: link a program, link one that must fail, use /dev/null."""
    (tmp_path / "yes.c").write_text("char strlen();\nint main() { return strlen(); ; return 0; }\n")
    (tmp_path / "no.c").write_text("char no_such();\nint main() { return no_such(); ; return 0; }\n")
    assert fides("cc", "-w", "-o", "conftest", "-g", "-O2", "yes.c", "-lm", cwd=tmp_path).returncode == 0
    assert fides("cc", "-w", "-o", "conftest", "-g", "-O2", "no.c", cwd=tmp_path).returncode != 0
    assert fides("cc", "-w", "-c", "-g", "yes.c", "-o", "/dev/null", cwd=tmp_path).returncode == 0
