"""``fides ld``: images of objects and archives, where their code goes, their landing pads and pointers. They
run on the golden model."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from fides_core.cli import app
from fides_core.config import PRESETS
from fides_core.errors import UserError
from fides_core.flow import tools
from fides_core.isa.xfides import PadKind, pad_fields, unpack_pointer
from fides_core.software.image_file import ImageFile
from fides_core.software.linker.command import run_command
from fides_core.software.policy import Policy
from fides_core.software.policy_section import check_image

from .conftest import run_image
from .instrumented import START, archive, instrumented, prebuilt

NOP = 0x13  # addi x0, x0, 0
LIBRARIES = ("--start-group", "-lc", "-lgcc", "--end-group")
ILLEGAL_ENTRY, RESTRICTED, DENIED, BOUNDS = 65, 66, 67, 98  # exit codes, docs/software.md

MAIN = """\
int other(int);
int named(int);
int third(int, int (*)(int));
static int mine(int x) { return x + 1; }
int unused(int x) { return x; }
int back(int x) { return x + 2; }
int main(void) { return other(2) + third(3, mine) + third(1, back) + named(0); }
"""
OTHER = """\
int helper(int x) { return 2 * x; }
int other(int x) { return helper(x) + 1; }
int named(int x) { return x; }
"""
THIRD = "int third(int x, int (*f)(int)) { return f ? 2 : x; }\n"
POLICY = """\
name = "program"
[compartments.main]
id = 1
sources = ["start.S", "main.c"]
calls = ["other", "third"]
[compartments.other]
id = 200
sources = ["other.c"]
[compartments.third]
id = 7
sources = ["third.c"]
"""
RESULT = 5 + 2 + 2 + 0


@dataclass(frozen=True)
class Workshop:
    """A folder with the program's objects: with pads, and in ``plain`` without."""

    folder: Path

    @property
    def plain(self) -> Path:
        return self.folder / "plain"

    def link(self, *words, policy: str | None = None, name: str = "image.elf") -> Path:
        """Links in the folder; ``policy``: text of the file."""
        more = []
        if policy is not None:
            (self.folder / "policy.toml").write_text(policy)
            more = ["--policy", str(self.folder / "policy.toml")]
        output = self.folder / name
        assert run_command([*map(str, words), *more, "-o", str(output)]) == 0
        return output

    def objects(self, *names: str) -> list[Path]:
        return [self.folder / f"{name}.o" for name in names]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("link")
    instrumented(folder, "start", START, suffix=".S")
    for name, source in (("main", MAIN), ("other", OTHER), ("third", THIRD)):
        instrumented(folder, name, source, "-g", "-O1", "-fno-inline")
        prebuilt(folder / "plain", name, source, "-O1", "-fno-inline")
    prebuilt(folder / "plain", "start", START, suffix=".S")
    return Workshop(folder)


@pytest.fixture
def image(workshop):
    return workshop.link(*workshop.objects("start", "main", "other", "third"), policy=POLICY)


def pads(image: Path) -> dict[str, int]:
    """The first word of every function."""
    read = ImageFile.read(image)
    return {symbols[0].name: read.word(address) for address, symbols in read.functions.items()}


def owner(image: Path, function: str) -> str:
    address = ImageFile.read(image).addresses[function]
    return next(name for name, start, end in check_image(image).ranges() if start <= address < end)


def test_compartments_by_source(image):
    policy = check_image(image)
    assert {row["name"]: row["cid"] for row in policy.compartments} == {"main": 1, "other": 200, "third": 7}
    allowed = {row["name"]: row["allowed"] for row in policy.compartments}
    assert allowed["main"] == (1 << 7, 0, 0, 1 << 200 - 192)
    assert allowed["other"] == allowed["third"] == (0, 0, 0, 0)
    for function, name in (("main", "main"), ("_start", "main"), ("helper", "other"), ("third", "third")):
        assert owner(image, function) == name
    assert run_image(image, PRESETS["fides"]).exit_code == RESULT


def test_pads_are_what_others_need(image):
    words = pads(image)
    # Others call it, or take its address.
    assert pad_fields(words["other"]) == (200, PadKind.ENTRY)
    assert pad_fields(words["third"]) == (7, PadKind.ENTRY)
    # Only its own compartment takes its address.
    assert pad_fields(words["mine"]) == (1, PadKind.LOCAL)
    assert pad_fields(words["back"]) == (1, PadKind.LOCAL)
    # Nobody else can enter.
    for name in ("helper", "unused", "main", "_start"):
        assert words[name] == NOP


def test_entries_of_the_policy(workshop):
    words = workshop.objects("start", "main", "other", "third")
    listed = POLICY.replace('"other.c"]', '"other.c"]\nentries = ["oth*", "named"]')
    image = workshop.link(*words, policy=listed + 'entries = ["third"]\n')
    assert pad_fields(pads(image)["named"]) == (200, PadKind.ENTRY)
    assert run_image(image, PRESETS["fides"]).exit_code == RESULT


def test_a_function_that_is_no_entry_cannot_be_called(workshop, capsys):
    listed = POLICY.replace('"other.c"]', '"other.c"]\nentries = ["other"]')
    image = workshop.link(*workshop.objects("start", "main", "other", "third"), policy=listed)
    said = capsys.readouterr().err
    assert "main.c:7, 0x" in said and "main calls named of other, which is no entry point" in said
    assert pads(image)["named"] == NOP
    assert run_image(image, PRESETS["fides"]).exit_code == ILLEGAL_ENTRY


def test_a_call_that_the_policy_denies(workshop, capsys):
    denied = POLICY.replace('["other", "third"]', '["other"]')
    image = workshop.link(*workshop.objects("start", "main", "other", "third"), policy=denied)
    lines = [line for line in capsys.readouterr().err.splitlines() if "denies" in line]
    assert len(lines) == 2  # two calls of third
    at = ImageFile.read(image).addresses["main"]
    assert lines[0].startswith("fides: warning: main.c:7, 0x")
    assert at < int(lines[0].split()[3], 16) < at + 64
    assert "in main: main calls third of third, which the policy denies" in lines[0]
    assert run_image(image, PRESETS["fides"]).exit_code == DENIED


def test_a_permission_that_nothing_uses(workshop, capsys):
    more = POLICY + 'calls = ["other"]\n'
    workshop.link(*workshop.objects("start", "main", "other", "third"), policy=more)
    said = capsys.readouterr().err
    assert "policy.toml:12: third may call other, but nothing in it refers to a function of other" in said
    assert said.count("warning") == 1


def test_compartments_by_function(workshop):
    policy = POLICY.replace('["third.c"]', '["third.c"]\nfunctions = ["help*", "other.c:named"]')
    policy = policy.replace('"other.c"]', '"other.c"]\ncalls = ["third"]')
    image = workshop.link(*workshop.objects("start", "main", "other", "third"), policy=policy)
    assert [owner(image, name) for name in ("other", "helper", "named")] == ["other", "third", "third"]
    assert pad_fields(pads(image)["helper"]) == (7, PadKind.ENTRY)
    assert run_image(image, PRESETS["fides"]).exit_code == RESULT


def test_compartments_by_archive_member(workshop):
    archive(workshop.folder, "libboth.a", *workshop.objects("other", "third"))
    policy = POLICY.replace('"other.c"', '"libboth.a:other.o"').replace('"third.c"', '"libboth.a"')
    words = [*workshop.objects("start", "main"), f"-L{workshop.folder}", "-lboth"]
    image = workshop.link(*words, policy=policy)
    assert [owner(image, name) for name in ("other", "third")] == ["other", "third"]
    assert run_image(image, PRESETS["fides"]).exit_code == RESULT


def test_without_a_policy_all_is_one_compartment(workshop):
    image = workshop.link(*workshop.objects("start", "main", "other", "third"))
    assert [(row["name"], row["cid"]) for row in check_image(image).compartments] == [("main", 1)]
    assert pads(image)["other"] == NOP
    assert run_image(image, PRESETS["fides"]).exit_code == RESULT


def test_base(workshop):
    words = [workshop.plain / f"{name}.o" for name in ("start", "main", "other", "third")]
    image = workshop.link(*words, "--base", policy=POLICY)
    assert [row["name"] for row in check_image(image).compartments] == ["main", "other", "third"]
    assert run_image(image, PRESETS["base"]).exit_code == RESULT


def test_the_same_twice(workshop, image):
    first = image.read_bytes()
    again = workshop.link(*workshop.objects("start", "main", "other", "third"), policy=POLICY)
    assert again.read_bytes() == first


LIBC = """\
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int put(char c, FILE *file)
{
  register long a0 __asm__("a0") = (long)&c, a1 __asm__("a1") = 1, a7 __asm__("a7") = 1;
  (void)file;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a7) : "memory");
  return (unsigned char)c;
}
static FILE out = FDEV_SETUP_STREAM(put, 0, 0, _FDEV_SETUP_WRITE);
FILE *const stdout = &out;
static int order(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static int started = 3;
__attribute__((constructor)) static void start(void) { started = 4; }
extern void (*__init_array_start[])(void), (*__init_array_end[])(void);
extern char __tls_base[], __tdata_source[], __tdata_size[];
static _Thread_local int thread = 77, zero;
int main(void)
{
  int numbers[] = {30, -1, 7};
  __asm__ volatile("mv tp, %0" : : "r"(__tls_base));
  memcpy(__tls_base, __tdata_source, (size_t)__tdata_size);
  for (void (**f)(void) = __init_array_start; f < __init_array_end; f++)
    (*f)();
  qsort(numbers, 3, sizeof *numbers, order);
  printf("%d %d %d %s %lld\\n", numbers[0], numbers[1], numbers[2], strchr("abc", 'b'), 1LL << 40);
  errno = 5;
  printf("%d %d %d %d\\n", started, thread, zero, errno);
  return 9;
}
"""


def test_the_c_library(workshop):
    """It is complete fluid; it calls back; thread-local variables and constructors are where symbols say."""
    instrumented(workshop.folder, "libc", LIBC)
    prebuilt(workshop.plain, "libc", LIBC)
    fides = workshop.link(*workshop.objects("start", "libc"), *LIBRARIES)
    assert owner(fides, "qsort") == "complete fluid"
    at = ImageFile.read(fides).addresses
    assert at["__user_bss_end"] - at["__tls_base"] >= 3 * 4  # thread, zero, errno
    plain = [workshop.plain / f"{name}.o" for name in ("start", "libc")]
    base = workshop.link(*plain, *LIBRARIES, "--base", name="base.elf")
    for path, preset in ((fides, "fides"), (base, "base")):
        run = run_image(path, PRESETS[preset])
        assert (run.exit_code, run.text) == (9, "-1 7 30 bc 1099511627776\n4 77 0 5\n")


RESTRICTED_MAIN = """\
int visit(int (*)(int));
int other(int x) { return x; }
static int back(int x) { return x + 5; }
int main(void) { return visit(back); }
"""
RESTRICTED_POLICY = """\
name = "program"
[compartments.main]
id = 1
sources = ["start.S", "caller.c"]
calls = ["third"]
[compartments.third]
id = 7
sources = ["third.c"]
[fluid]
restricted = ["visit.o"]
"""


@pytest.mark.parametrize(
    ("source", "code"),
    (
        ("int visit(int (*f)(int)) { return 2 * f(1); }", 12),
        # It may call back only its caller.
        ("int third(int, int (*)(int)); int visit(int (*f)(int)) { return third(1, f) + 1; }", RESTRICTED),
    ),
)
def test_restricted_code_without_pads_gets_veneers(workshop, source, code, capsys):
    instrumented(workshop.folder, "caller", RESTRICTED_MAIN)
    prebuilt(workshop.folder, "visit", source + "\n")
    words = workshop.objects("start", "caller", "third", "visit")
    image = workshop.link(*words, policy=RESTRICTED_POLICY)
    assert owner(image, "visit") == "restricted fluid"
    assert pad_fields(pads(image)["visit"]) == (0, PadKind.ENTRY)
    assert run_image(image, PRESETS["fides"]).exit_code == code
    assert ("which only code called by third may do" in capsys.readouterr().err) == (code == RESTRICTED)


STATICS = """\
    .section .data.object, "aw"
    .globl object
    .type object, @object
    .size object, 24
object: .zero 24
    .section .data.local, "aw"
    .type local, @object
    .size local, 8
local: .dword object + 16
    .section .data.rel.ro.fides, "aw"
    .balign 8
cell: .dword object
absent: .dword nowhere
local_cell: .dword local
    .weak nowhere
    .section .fides.pointers, ""
    .dword cell, object, local, object, absent, nowhere, local_cell, local
    .text
    .globl main
    .type main, @function
main:
    ld a1, cell
    li a2, OFFSET
    val8 a1, a1, a2
    ld a0, local_cell
    ld a0, (a0)
    sub a0, a0, a1
    addi a0, a0, OFFSET
    ret
    .size main, . - main
"""


@pytest.mark.parametrize(("offset", "code"), ((0, 16), (16, 16), (17, BOUNDS), (-1, BOUNDS)))
def test_pointers_to_statics(workshop, offset, code):
    instrumented(workshop.folder, "statics", STATICS, f"-DOFFSET={offset}", suffix=".S")
    image = workshop.link(*workshop.objects("start", "statics"))
    policy, read = check_image(image), ImageFile.read(image)
    names = {symbol.name: symbol.address for symbol in read.symbols}
    rows = {row["base"]: row for row in policy.statics}
    assert {base: row["size"] for base, row in rows.items()} == {names["object"]: 24, names["local"]: 8}
    for cell, target, base in (("cell", 0, "object"), ("local", 16, "object"), ("local_cell", 0, "local")):
        address, index, cookie = unpack_pointer(int.from_bytes(read.bytes(names[cell], 8), "little"))
        row = rows[names[base]]
        assert (address, index, cookie) == (names[base] + target, row["index"], row["cookie"])
        assert cookie and index
    assert read.bytes(names["absent"], 8) == bytes(8)
    assert run_image(image, PRESETS["fides"]).exit_code == code


def test_statics_that_the_policy_lists(workshop):
    source = """\
    .data
    .globl listed
    .type listed, @object
    .size listed, 8
listed: .dword 6
    .text
    .globl main
    .type main, @function
main:
    ld a1, static_pointer_listed
    vali8 a1, 0
    ld a0, (a1)
    ret
    .size main, . - main
"""
    instrumented(workshop.folder, "listed", source, suffix=".S")
    policy = 'name = "p"\nstatics = ["listed"]\n[compartments.main]\nid = 1\n'
    policy += 'sources = ["start.S", "listed.S"]\n'
    image = workshop.link(*workshop.objects("start", "listed"), policy=policy)
    assert run_image(image, PRESETS["fides"]).exit_code == 6


def test_heap_and_table(workshop):
    words = workshop.objects("start", "main", "other", "third")
    memory = "[memory]\nheap_bytes = 8192\nstack_bytes = 4096\nobjects = 128\nstack_objects = 64\n"
    policy, at = _memory(workshop.link(*words, policy=POLICY + memory))
    assert (policy["stack_zone_start"], policy["table_entries"]) == (128, 192)
    assert at["__user_heap_end"] - at["__user_heap_start"] == 8192
    assert at["__user_stack_top"] - policy["data_start"] == 4096
    # What is left of it, where the policy says nothing.
    policy, at = _memory(workshop.link(*words, "--memory", "0x40000"))
    assert at["__user_heap_end"] == policy["data_end"] == 0x8004_0000


def _memory(image):
    return check_image(image).header, ImageFile.read(image).addresses


def test_a_drivers_command_line(workshop, monkeypatch):
    """Options that change nothing are taken, files may be in a response file."""
    monkeypatch.chdir(workshop.folder)
    (workshop.folder / "words").write_text("main.o 'other.o'\n")
    words = "-melf64lriscv -z relro -O1 -static --build-id=none -Wl,--gc-sections,--as-needed -L. -s".split()
    image = workshop.link(*words, "start.o", "@words", "third.o", "-Map=image.map", "-e", "_start")
    assert run_image(image, PRESETS["fides"]).exit_code == RESULT
    assert ".text.main" in (workshop.folder / "image.map").read_text()


def test_relocatable_output(workshop):
    both = workshop.folder / "both.o"
    assert run_command(["-r", *map(str, workshop.objects("other", "third")), "-o", str(both)]) == 0
    image = workshop.link(*workshop.objects("start", "main", "both"))
    assert run_image(image, PRESETS["fides"]).exit_code == RESULT


def test_version(capsys):
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out.startswith("GNU ld")


ALL = ["start.o", "main.o", "other.o", "third.o"]


@pytest.mark.parametrize(
    ("words", "said"),
    (
        ([], "no input files"),
        (["-shared", "main.o"], "-shared: an image has no shared libraries"),
        (["-T", "x.ld", "main.o"], "the policy decides where code lies"),
        (["--frobnicate", "main.o"], "unknown option --frobnicate"),
        (["main.o", "-o"], "-o needs a value"),
        (["absent.o"], "there is no file absent.o"),
        (["main.o"], "main.c:7: undefined reference to `other'"),
        (["main.o", "other.o", "third.o"], "there is no _start"),
        ([*ALL, "-e", "begin"], "the entry begin: unknown function"),
        ([*ALL, "main.o"], "multiple definition"),
        ([*ALL, "--preset", "huge"], "unknown preset 'huge'"),
        ([*ALL, "--base"], "start.o is compiled with Xfides, which base has not"),
        (["plain/start.o", *ALL[1:]], "plain/start.o has no landing pads, so it can only be fluid code"),
        ([*ALL, "--memory", "5000"], "memory_bytes must be a power of two"),
        ([*ALL, "--memory", "32768"], "image is too large"),
        ([*ALL, "--memory", "much"], "--memory much: not a number"),
        ([*ALL, "--policy", "absent.toml"], "absent.toml: No such file"),
        (["main.c"], "main.c"),
        (["@absent"], "@absent: No such file"),
    ),
)
def test_what_cannot_be_linked_is_one_line(workshop, monkeypatch, words, said):
    monkeypatch.chdir(workshop.folder)
    with pytest.raises(UserError, match=said) as refused:
        run_command([*words] if words[-1:] == ["-o"] else [*words, "-o", "refused.elf"])
    assert "\n" not in str(refused.value)
    assert not list(workshop.folder.glob("refused*")) and not list(workshop.folder.glob(".linking-*"))


def test_an_object_that_is_too_large_for_an_entry(workshop):
    big = """\
    .bss
    .globl big
    .type big, @object
    .size big, 1 << 24
big: .zero 1 << 24
    .data
cell: .dword big
    .section .fides.pointers, ""
    .dword cell, big
"""
    instrumented(workshop.folder, "big", big, suffix=".S")
    words = workshop.objects("start", "main", "other", "third", "big")
    with pytest.raises(UserError, match="big has 16777216 bytes, a metadata entry holds up to 16777215"):
        workshop.link(*words, "--memory", str(1 << 26))


def test_an_object_without_a_size(workshop):
    nameless = "    .data\n    .dword 0\nobject: .dword 1\ncell: .dword object\n"
    nameless += '    .section .fides.pointers, ""\n    .dword cell, object\n'
    instrumented(workshop.folder, "nameless", nameless, suffix=".S")
    with pytest.raises(UserError, match="has no symbol with a size"):
        workshop.link(*workshop.objects("start", "main", "other", "third", "nameless"))


def test_used_by_others_without_a_pad(workshop):
    unseen = "    .text\n    .globl third\nthird: ret\n"  # no function to what inserts pads
    instrumented(workshop.folder, "unseen", unseen, suffix=".S")
    policy = POLICY.replace("third.c", "unseen.S")
    with pytest.raises(UserError, match="third of .*unseen.o, in third, is used by others but has no pad"):
        workshop.link(*workshop.objects("start", "main", "other", "unseen"), policy=policy)


def test_the_command(workshop, monkeypatch, capsys):
    """Options go through as they are, in any order."""
    monkeypatch.chdir(workshop.folder)
    words = ["ld", "-o", "command.elf", "start.o", "main.o", "other.o", "-L.", "third.o", "--preset=fides"]
    assert app(words, standalone_mode=False) == 0
    assert run_image(workshop.folder / "command.elf", PRESETS["fides"]).exit_code == RESULT


def test_pads_and_no_pads_are_not_joined(workshop):
    words = [workshop.folder / "other.o", workshop.plain / "third.o"]
    with pytest.raises(UserError, match="other.o has landing pads, .*plain/third.o has none"):
        run_command(["-r", *map(str, words), "-o", str(workshop.folder / "joined.o")])
    assert not (workshop.folder / "joined.o").exists()


def test_constructors_of_other_compartments(workshop):
    """What the first code calls by the list is an entry."""
    other = "static int ready;\n__attribute__((constructor)) static void begin(void) { ready = 5; }\n"
    other += "int other(int x) { return ready + x; }\n"
    main = "extern void (*__init_array_start[])(void);\nint other(int);\n"
    main += "int main(void) { __init_array_start[0](); return other(1); }\n"
    instrumented(workshop.folder, "constructed", other)
    instrumented(workshop.folder, "calls", main)
    policy = POLICY.replace("other.c", "constructed.c").replace("main.c", "calls.c")
    policy = policy[: policy.index("[compartments.third]")].replace(', "third"', "")
    image = workshop.link(*workshop.objects("start", "calls", "constructed"), policy=policy)
    assert pad_fields(pads(image)["begin"]) == (200, PadKind.ENTRY)
    assert run_image(image, PRESETS["fides"]).exit_code == 6


def test_a_function_handed_to_another_compartment(workshop):
    main = "int third(int (*)(void));\nstatic int mine(void) { return 6; }\n"
    main += "int main(void) { return third(mine); }\n"
    instrumented(workshop.folder, "hands", main)
    instrumented(workshop.folder, "taker", "int third(int (*f)(void)) { return f() + 1; }\n")
    words = workshop.objects("start", "hands", "taker")
    policy = POLICY[: POLICY.index("[compartments.other]")].replace('"other", ', "")
    policy = policy.replace("main.c", "hands.c")
    policy += '[compartments.third]\nid = 7\nsources = ["taker.c"]\ncalls = ["main"]\n'
    assert run_image(workshop.link(*words, policy=policy), PRESETS["fides"]).exit_code == ILLEGAL_ENTRY
    listed = policy.replace("calls = [\"third\"]", 'calls = ["third"]\nentries = ["mine"]')
    assert run_image(workshop.link(*words, policy=listed), PRESETS["fides"]).exit_code == 7


def test_the_example_of_the_documentation(tmp_path):
    text = (tools.ROOT / "docs" / "policy.md").read_text()
    (tmp_path / "policy.toml").write_text(text.split("```toml\n")[1].split("```")[0])
    policy = Policy.load(tmp_path / "policy.toml")
    assert [one.name for one in policy.compartments] == ["main", "crypto"]
    assert policy.compartments[1].entries == ("crypto_*",)
