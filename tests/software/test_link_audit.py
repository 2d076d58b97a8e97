"""The audit of images that ``fides ld`` makes: each way to spoil one is refused, with place and reason."""

import re
import struct
from dataclasses import replace

import pytest

from fides_core.config import PRESETS
from fides_core.errors import UserError
from fides_core.isa.encode import encode
from fides_core.isa.instructions import BY_NAME
from fides_core.isa.xfides import PadKind, checkcap
from fides_core.software.audit import Audit
from fides_core.software.code import jumps, sweep
from fides_core.software.image_file import ImageFile
from fides_core.software.linker.arguments import parse_arguments
from fides_core.software.linker.command import run_command
from fides_core.software.linker.link import link
from fides_core.software.policy_section import COMPARTMENT, HEADER, SECTION, STATIC, PolicySection

from .conftest import run_image
from .instrumented import START, archive, instrumented, prebuilt

MAIN = """\
int other(int);
int library(int);
int runtime(void);
int main(void) { return other(2) + library(0) + runtime(); }
"""
OTHER = """\
    .option arch, +zicsr
    .section .data.object, "aw"
    .globl object
    .type object, @object
    .size object, 24
object: .zero 24
cell: .dword object
    .section .fides.pointers, ""
    .dword cell, object
    .section .text.other, "ax"
    .globl other
    .type other, @function
other:
    addi sp, sp, -16
    li a1, 16
    mv a2, sp
recorded:
    mint a2, a2, a1
    csrr a1, 0x800
    addi a1, a1, -1
    csrw 0x800, a1
    addi sp, sp, 16
    li a0, 4
    j .Lout
    nop
    nop
    nop
    nop
.Lout:
    ret
    .size other, . - other
    .section .text.inner, "ax"
    .globl inner
    .type inner, @function
inner: ret
    .size inner, . - inner
    .section .fides.mints, ""
    .dword recorded
    .word 0, 0
"""
LIBRARY = "int library(int x) { for (int i = 0; i < x; i++) x ^= i * x; return x + 1; }\n"
RUNTIME = """\
    .section .text.runtime, "ax"
    .globl runtime
    .type runtime, @function
runtime:
    li a1, 9 << 32 | 8
    mint a0, sp, a1
    revoke a0
    li a0, 2
    ret
    .size runtime, . - runtime
"""
POLICY = """\
name = "program"
[compartments.main]
id = 1
sources = ["start.S", "main.c"]
calls = ["other"]
[compartments.other]
id = 2
sources = ["other.S"]
[fluid]
complete = ["library.o"]
"""


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    instrumented(folder, "start", START, suffix=".S")
    instrumented(folder, "main", MAIN)
    instrumented(folder, "other", OTHER, suffix=".S")
    prebuilt(folder, "library", LIBRARY, "-O1")
    archive(folder, "libruntime.a", instrumented(folder, "runtime", RUNTIME, suffix=".S"))
    (folder / "policy.toml").write_text(POLICY)
    words = [str(folder / f"{name}.o") for name in ("start", "main", "other", "library")]
    words += ["--policy", str(folder / "policy.toml"), "--runtime", str(folder / "libruntime.a")]
    linked = link(parse_arguments([*words, "-o", str(folder / "image.elf")]))
    assert run_image(folder / "image.elf", PRESETS["fides"]).exit_code == 4 + 1 + 2
    return linked


def address(linked, name):
    return next(symbol.address for symbol in linked.image.symbols if symbol.name == name)


def spoilt(linked, *changes):
    """With other bytes: (address, bytes)."""
    image = ImageFile(bytes(linked.image.contents))
    for at, data in changes:
        image.write(at, data)
    return replace(linked, image=ImageFile(bytes(image.contents)))


def word(value):
    return value.to_bytes(4, "little")


def test_the_image_is_right(linked):
    assert linked.audit() == []


def test_instructions_are_found_at_any_even_address(linked):
    """What the cases below rest on: other's instructions are those of its source."""
    at = address(linked, "other")
    code = linked.image.bytes(at, 40)
    names = []
    for step in sweep(code, at):
        row = next((row for row in BY_NAME.values() if step.word & row.mask == row.match), None)
        names.append(row.name if row else None)
    assert names[:9] == ["checkcap", "addi", "addi", "add", "mint", "csrrs", "addi", "csrrw", "addi"]
    assert [jump.target for jump in jumps(sweep(code, at))] == [at + 38]


LD = encode("ld", rd=10, rs1=22)  # its upper half is 0x000b
LW = 0x4390  # c.lw x12, 0(x15): with the half before it a local pad
C_NOP = 0x0001
MINT = encode("mint", rd=10, rs1=10, rs2=11)


@pytest.mark.parametrize(
    ("place", "offset", "data", "said"),
    (
        ("other", 0, word(checkcap(1)), "a landing pad of compartment 1 in the range of 2"),
        ("other", 0, word(encode("addi")), r"0x0020000b should be here"),
        ("other", 0, word(checkcap(2, PadKind.LOCAL)), r"0x0020000b should be here"),
        ("inner", 0, word(checkcap(2)), "0x00000013 should be here"),
        # From 30 to 38 are nops of 2 bytes.
        ("other", 32, word(checkcap(2)), "a landing pad that the compiler did not put here"),
        ("other", 32, word(checkcap(2, PadKind.HANDLER)), "a landing pad that the compiler did not put here"),
        ("other", 30, struct.pack("<IH", LD, LW), "the bits of a landing pad where no pad is"),
        ("other", 32, struct.pack("<IH", LD, LW), "the bits of a landing pad where no pad is"),
        ("other", 34, word(checkcap(2)), "the bits of a landing pad where no pad is"),
        ("other", 32, word(0x1234567B), "0x1234567b is no instruction of this core"),
        ("other", 32, b"\x10\x84", "0x8410 is no instruction of this core"),
        ("other", 32, word(MINT), "mint where the compiler put none"),
        ("other", 32, word(encode("revoke", rs1=10)), "revoke where the compiler put none"),
        ("library", 0, word(encode("val.8", rd=10, rs1=10)), "val.8 in .*library.o, which is built without"),
        ("library", 0, word(checkcap(0)), "checkcap in .*library.o, which is built without|did not put here"),
        ("__main_end", -4, word(encode("addi")), "the range of main does not end in a trap"),
        ("__complete_fluid_end", -2, b"\x01\0", "the range of complete fluid does not end in a trap"),
        ("cell", 4, b"\0\0\0\0", "a pointer that has not the tag of the object"),
        ("cell", 5, b"\x02\0", "a pointer that has not the tag of the object"),
    ),
)  # fmt: skip
def test_spoilt_code_and_pointers(linked, place, offset, data, said):
    at = address(linked, place) + offset
    problems = spoilt(linked, (at, data)).audit()
    matching = [problem for problem in problems if re.search(said, problem)]
    assert matching
    assert abs(int(matching[0].split()[0].rstrip(":"), 16) - at) <= 8


def record(linked, kind, number, field, change):
    """A change of a field in the policy section."""
    at = linked.image.addresses["policy_section"]
    if kind is not HEADER:
        at += HEADER.bytes + number * kind.bytes
    if kind is STATIC:
        at += 2 * COMPARTMENT.bytes
    values = kind.unpack(linked.image.bytes(at, kind.bytes))
    values[field] = change(values[field])
    return at, kind.pack(**values)


@pytest.mark.parametrize(
    ("kind", "number", "field", "change", "said"),
    (
        (COMPARTMENT, 1, "end", lambda end: end - 64, "a function that leaves its range|outside all ranges"),
        (COMPARTMENT, 1, "start", lambda start: start + 64, "code outside all ranges"),
        (HEADER, 0, "complete_start", lambda start: start + 64, "not in the range of complete_fluid"),
        (HEADER, 0, "entry", lambda entry: entry + 4, "the entry is no function"),
        (STATIC, 0, "size", lambda size: size + 8, "no object of 32 bytes is here"),
        (STATIC, 0, "cookie", lambda cookie: cookie % 255 + 1, "has not the tag of the object"),
        (STATIC, 0, "index", lambda index: index + 1, "has not the tag of the object"),
    ),
)
def test_spoilt_policy(linked, kind, number, field, change, said):
    problems = spoilt(linked, record(linked, kind, number, field, change)).audit()
    assert any(re.search(said, problem) for problem in problems), problems


def test_compartments_exchanged(linked):
    rows = PolicySection.parse(linked.image.section(SECTION)).compartments
    changes = [
        record(linked, COMPARTMENT, number, "cid", lambda _, other=other: rows[other]["cid"])
        for number, other in ((0, 1), (1, 0))
    ]
    changes.append(record(linked, HEADER, 0, "entry_compartment", lambda _: 2))
    problems = spoilt(linked, *changes).audit()
    assert any("a landing pad of compartment 2 in the range of 1" in problem for problem in problems)


def test_code_in_anothers_range(linked):
    piece = next(piece for piece in linked.expected.pieces if piece.origin.endswith("other.o"))
    moved = replace(piece, owner="main")
    others = tuple(other for other in linked.expected.pieces if other != piece)
    changed = replace(linked, expected=replace(linked.expected, pieces=(*others, moved)))
    assert any("which is not in the range of main" in problem for problem in changed.audit())


def _headers(linked):
    elf = linked.image.elf
    segments = {s["p_vaddr"]: n for n, s in enumerate(elf.iter_segments()) if s["p_type"] == "PT_LOAD"}
    return elf, segments


def test_memory_that_can_be_written_and_executed(linked):
    elf, segments = _headers(linked)
    contents = bytearray(linked.image.contents)
    at = linked.image.addresses["__user_data_start"]
    flags = elf["e_phoff"] + segments[at] * elf["e_phentsize"] + 4
    contents[flags : flags + 4] = (7).to_bytes(4, "little")
    problems = replace(linked, image=ImageFile(bytes(contents))).audit()
    assert any("can be written and executed" in problem for problem in problems)


def test_code_in_data(linked):
    elf, _ = _headers(linked)
    contents = bytearray(linked.image.contents)
    number = elf.get_section_index(".data")
    flags = elf["e_shoff"] + number * elf["e_shentsize"] + 8
    contents[flags] |= 4
    problems = replace(linked, image=ImageFile(bytes(contents))).audit()
    assert any("code in the data of U-mode: .data" in problem for problem in problems)


def test_instructions_that_the_core_has_not(linked):
    at = address(linked, "other") + 32
    changed = spoilt(linked, (at, word(encode("sh1add", rd=1))))
    assert not any("no instruction" in problem for problem in changed.audit())
    section = PolicySection.parse(changed.image.section(SECTION))
    problems = Audit(changed.image, section, PRESETS["tiny_fides"], changed.expected).run()
    assert any("no instruction of this core" in problem for problem in problems)


def test_a_pad_that_nobody_noted_is_refused_by_the_command(linked, tmp_path):
    hidden = '    .section .text.other, "ax"\n    .globl other\n    .type other, @function\nother:\n'
    hidden += "    nop\n    .balign 4\n    .word 0x0000000b\n    ret\n    .size other, . - other\n"
    instrumented(tmp_path, "start", START, suffix=".S")
    instrumented(tmp_path, "main", "int other(void); int main(void) { return other(); }\n")
    instrumented(tmp_path, "other", hidden, suffix=".S")
    words = [str(tmp_path / f"{name}.o") for name in ("start", "main", "other")]
    output = tmp_path / "image.elf"
    with pytest.raises(UserError, match=r"image.elf: 0x\w+ \(other\+0x8\): a landing pad of compartment 0"):
        run_command([*words, "-o", str(output)])
    assert not output.exists()
