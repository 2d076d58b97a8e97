"""``-ffides-clear``: what is left in registers does not cross from one compartment into another."""

import pytest

from fides_core.config import preset
from fides_core.errors import UserError
from fides_core.model import Platform
from fides_core.software.image_file import ImageFile

pytestmark = pytest.mark.timeout(300)

TEMPORARIES = ("t0", "t1", "t2", "t3", "t4", "t5", "t6")

ARGUMENTS = tuple(f"a{number}" for number in range(8))
CLOBBERS = ", ".join(f'"{name}"' for name in (*TEMPORARIES, *ARGUMENTS, "ra", "s11", "memory"))


def fill(names) -> str:
    """Assembly that leaves something in each register."""
    return "".join(f"li {name}, 0x5ec; " for name in names)


def look(names) -> str:
    """Assembly after which s11 is 0 when all registers are."""
    return "li s11, 0; " + "".join(f"add s11, s11, {name}; " for name in names)


def program(arguments: int, results: int) -> tuple[str, str]:
    """The sources of two compartments. main() calls take(), which says whether it found anything in registers
    but its arguments, and give(), after which it looks itself: exit codes 1, 2 or both."""
    taken, given = (*TEMPORARIES, *ARGUMENTS[arguments:]), (*TEMPORARIES, *ARGUMENTS[results:])
    parameters = ", ".join(f"long x{number}" for number in range(arguments)) or "void"
    passed = "".join(f"li {name}, 0; " for name in ARGUMENTS[:arguments])
    kind, value = (("void", ""), ("long", "7"), ("struct two", "(struct two){3, 4}"))[results]
    common = f"struct two {{ long a, b; }};\nlong take({parameters});\n{kind} give(void);\n"
    main = f"""{common}
        int main(void) {{
          long in, out;
          asm volatile("{fill(taken)} {passed} call take; mv %0, a0" : "=r"(in) :: {CLOBBERS});
          asm volatile("call give; {look(given)} mv %0, s11" : "=r"(out) :: {CLOBBERS});
          return (in != 0) | (out != 0) << 1;
        }}"""
    other = f"""{common}
        long take({parameters}) {{
          long seen;
          asm volatile("{look(taken)} mv %0, s11" : "=r"(seen) :: "s11");
          return seen;
        }}
        {kind} give(void) {{
          asm volatile("{fill(given)}" ::: {CLOBBERS});
          return {value};
        }}"""
    return main, other


POLICY = """\
name = "clearing"
[compartments.main]
id = 1
sources = ["main.c"]
calls = ["other"]
[compartments.other]
id = 2
sources = ["other.c"]
"""


def exit_code(image) -> int:
    platform = Platform(preset("fides"))
    platform.load_elf(image)
    outcome = platform.run(max_instructions=200_000)
    return outcome.exit_code


@pytest.mark.parametrize("level", ("-O0", "-O2"))
@pytest.mark.parametrize("arguments, results", ((0, 0), (1, 1), (3, 2), (8, 1)))
def test_nothing_is_left_in_registers(cc, tmp_path, arguments, results, level):
    main, other = program(arguments, results)
    (tmp_path / "main.c").write_text(main)
    (tmp_path / "other.c").write_text(other)
    (tmp_path / "policy.toml").write_text(POLICY)
    for options, expected in (((), 3), (("-ffides-clear",), 0), (("-ffides-clear", "-fno-fides-checks"), 0)):
        words = (level, *options, "main.c", "other.c", "--policy", "policy.toml", "-o", "image")
        assert cc(*words).code == 0
        assert exit_code(tmp_path / "image") == expected, options


def test_functions_that_nobody_else_enters_do_not_clear(cc, tmp_path):
    (tmp_path / "main.c").write_text(
        "long other(long);\nlong helper(long x) { return x + 1; }\n"
        "int main(void) { return other(helper(1)) != 4; }\n"
    )
    (tmp_path / "other.c").write_text("long other(long x) { return 2 * x; }\n")
    (tmp_path / "policy.toml").write_text(POLICY)
    words = ("main.c", "other.c", "--policy", "policy.toml", "-fno-inline", "-ffides-clear", "-o", "image")
    assert cc(*words).code == 0
    image = ImageFile.read(tmp_path / "image")
    clears = {name: [] for name in ("helper", "main", "other")}
    zero_t6 = 0x4F81.to_bytes(2, "little")  # c.li t6, 0: compiled code has none of its own
    zero_t0 = 0x4281.to_bytes(2, "little")
    for name, found in clears.items():
        (symbol,) = [one for one in image.symbols if one.name == name]
        code = image.bytes(symbol.address, symbol.size)
        found += [code.count(zero_t0), code.count(zero_t6)]
    assert clears == {"helper": [0, 2], "main": [0, 2], "other": [2, 2]}
    assert exit_code(tmp_path / "image") == 0


def test_must_tail_calls_stay_tail_calls(cc, tmp_path):
    (tmp_path / "a.c").write_text(
        "long last(long);\nlong f(long x) { __attribute__((musttail)) return last(x); }\n"
    )
    assert cc("-O2", "-S", "-ffides-clear", "a.c").code == 0
    assembly = (tmp_path / "a.s").read_text()
    assert "tail\tlast" in assembly and assembly.count("li\tt6, 0") == 2


@pytest.mark.parametrize("record", ("main, 300", "main + 0x10000, 8", "main, 2"))
def test_records_that_are_wrong(cc, tmp_path, record):
    address, count = record.split(", ")
    (tmp_path / "a.c").write_text(
        f'int main(void) {{ return 0; }}\nasm(".pushsection .fides.clears, \\"\\"; .dword {address}; '
        f'.word {count}, 0; .popsection");\n'
    )
    with pytest.raises(UserError, match="the clearing of registers at 0x8[0-9a-f]+ is not inside a function"):
        cc("a.c", "-o", "image")
    assert not (tmp_path / "image").exists()
