"""Debug information through the compiler and the linker."""

import re

import pytest
from elftools.elf.elffile import ELFFile

pytestmark = pytest.mark.timeout(300)

#: The variables of ``sum`` move between registers, so that they have lists of locations.
MAIN = """\
#include <stdio.h>
int other(int);
static int sum(int n)
{
    int all = 0;
    for (int i = 0; i < n; i++)
        all += i * n + other(i);
    return all;
}
int main(int argc, char **argv)
{
    printf("%d\\n", sum(argc + 3));
    return 0;
}
"""
OTHER = "int other(int x)\n{\n    return x + 1;\n}\n"
POLICY = """\
name = "debug"
rest = "main"
[entry]
compartment = "main"
[compartments.main]
sources = ["main.c"]
id = 1
calls = {calls}
[compartments.other]
id = 2
functions = ["other"]
"""


def debug_sections(path):
    with path.open("rb") as stream:
        return {one.name for one in ELFFile(stream).iter_sections() if one.name.startswith(".debug")}


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "main.c").write_text(MAIN)
    (tmp_path / "other.c").write_text(OTHER)
    return tmp_path


@pytest.mark.parametrize("options", (("-g",), ("-g", "-O2"), ("-g", "-O2", "--base"), ("-g1", "-O1")))
def test_a_program_with_debug_information_links(cc, sources, options):
    assert cc(*options, "main.c", "other.c", "-o", "a.elf").code == 0
    assert {".debug_info", ".debug_line", ".debug_str"} <= debug_sections(sources / "a.elf")


def test_a_call_that_the_policy_denies_has_its_line(cc, sources):
    (sources / "policy.toml").write_text(POLICY.format(calls="[]"))
    done = cc("-g", "-O2", "--policy", "policy.toml", "main.c", "other.c", "-o", "a.elf")
    assert done.code == 0
    lines = [line for line in done.err.splitlines() if "denies" in line]
    assert lines and all(
        re.match(r"fides: warning: main\.c:7, 0x\w+ in main: main calls other of other, ", line)
        for line in lines
    )
    (sources / "policy.toml").write_text(POLICY.format(calls='["other"]'))
    done = cc("-g", "-O2", "--policy", "policy.toml", "main.c", "other.c", "-o", "a.elf")
    assert done.code == 0 and "denies" not in done.err


def test_what_the_linker_cannot_relocate_is_left_out(cc, sources):
    done = cc("-gdwarf-5", "-O2", "main.c", "other.c", "-o", "a.elf")
    assert done.code == 0 and not debug_sections(sources / "a.elf")
    (warning,) = done.err.splitlines()
    assert "main.o has DWARF 5" in warning and "compile with -gdwarf-4" in warning


def test_strip(cc, sources):
    assert cc("-g", "-O2", "main.c", "other.c", "-Wl,-S", "-o", "a.elf").code == 0
    assert not debug_sections(sources / "a.elf")
