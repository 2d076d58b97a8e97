"""Policies: their description, the section made of it, and images whose section is absent or inconsistent.

Every inconsistency is put into a finished image; the host must refuse it before a simulation, and the monitor
at boot.
"""

import subprocess

import pytest
from elftools.elf.elffile import ELFFile

from fides_core.config import PRESETS
from fides_core.errors import UserError
from fides_core.flow import tools
from fides_core.software.image import SW
from fides_core.software.policy import Policy, static_cookie
from fides_core.software.policy_section import COMPARTMENT, HEADER, SECTION, STATIC, check_image

from .conftest import run_image

POLICY_REFUSED = 32  # sw/monitor/hypercalls.h


def field_offset(record, name):
    """(offset, bytes) of a field in its record."""
    at = 0
    for kind, field, count in record.fields:
        size = {"uint64_t": 8, "uint32_t": 4, "char": 1}[kind] * count
        if field == name:
            return at, size
        at += size
    raise KeyError(name)


def patched(image, folder, *changes):
    """A copy of ``image`` with fields of its section changed: (record, number, field, new value)."""
    with image.open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(SECTION)["sh_offset"]
    header = check_image(image).header
    data = bytearray(image.read_bytes())
    for record, number, name, value in changes:
        base = {
            HEADER: 0,
            COMPARTMENT: HEADER.bytes,
            STATIC: HEADER.bytes + header["compartments"] * COMPARTMENT.bytes,
        }[record]
        at, size = field_offset(record, name)
        at += section + base + number * record.bytes
        old = int.from_bytes(data[at : at + size], "little")
        new = value(old) if callable(value) else value
        data[at : at + size] = new.to_bytes(size, "little")
    copy = folder / "patched.elf"
    copy.write_bytes(data)
    return copy


def below(amount):
    return lambda old: old - amount


def above(amount):
    return lambda old: old + amount


#: name -> (changes, what the host says, what the monitor says)
INCONSISTENT = {
    "magic": ([(HEADER, 0, "magic", above(1))], "magic", "magic"),
    "version": ([(HEADER, 0, "version", 2)], "version 2", "version"),
    "too many compartments": ([(HEADER, 0, "compartments", above(1))], "need", "counts"),
    "too few statics": ([(HEADER, 0, "statics", 0)], "need", "counts"),
    "size": ([(HEADER, 0, "bytes", above(8))], "header says", "counts"),
    "regions out of order": ([(HEADER, 0, "data_start", above(1 << 24))], "is above", "out of order"),
    "memory above 4 GiB": ([(HEADER, 0, "data_end", 1 << 33)], r"2\^32", "out of order"),
    "stack misaligned": ([(HEADER, 0, "stack_top", below(8))], "aligned", "misaligned"),
    "table misaligned": ([(HEADER, 0, "table_base", above(4))], "aligned", "misaligned"),
    "stack zone": ([(HEADER, 0, "stack_zone_start", above(4096))], "stack zone", "stack zone"),
    "table too large": ([(HEADER, 0, "table_entries", 1 << 16)], "stack zone", "stack zone"),
    "table in the program's data": (
        [(HEADER, 0, "table_base", above(0x20000))], "U-mode may use", "U-mode may use",
    ),
    "range misaligned": ([(COMPARTMENT, 1, "start", above(4))], "not aligned", "misaligned"),
    "range reversed": ([(COMPARTMENT, 1, "end", below(1 << 16))], "not in the text", "ends before"),
    "range outside the text": (
        [(COMPARTMENT, 4, "end", above(1 << 16))], "not in the text", "not in the text",
    ),
    "ranges overlap": ([(COMPARTMENT, 1, "start", below(64))], "overlap", "overlap"),
    "fluid range overlaps": ([(HEADER, 0, "complete_end", above(64))], "overlap", "overlap"),
    "same id": ([(COMPARTMENT, 1, "cid", 1)], "the id 1", "same id"),
    "id too large": ([(COMPARTMENT, 1, "cid", 256)], "not below 256", "too large"),
    "call to nowhere": ([(COMPARTMENT, 1, "allowed", 1 << 130)], "may call 130", "not there"),
    "entry elsewhere": ([(HEADER, 0, "entry", above(1 << 12))], "the entry", "the entry"),
    "entry compartment absent": ([(HEADER, 0, "entry_compartment", 9)], "the entry", "the entry"),
    "index 0": ([(STATIC, 0, "index", 0)], "the index 0", "index"),
    "index in the stack zone": ([(STATIC, 0, "index", 1024)], "the index 1024", "index"),
    "static without size": ([(STATIC, 0, "size", 0)], "size 0", "size"),
    "static without cookie": ([(STATIC, 0, "cookie", 0)], "cookie 0", "cookie"),
    "static in the text": ([(STATIC, 0, "base", below(1 << 13))], "not in the data", "not in the data"),
}  # fmt: skip


@pytest.mark.parametrize("name", INCONSISTENT)
def test_inconsistent_section_is_refused_by_host_and_monitor(name, demo_images, tmp_path):
    changes, host, monitor = INCONSISTENT[name]
    image = patched(demo_images["fides"], tmp_path, *changes)
    with pytest.raises(UserError, match=host) as refused:
        check_image(image)
    assert str(image) in str(refused.value) and "\n" not in str(refused.value)
    run = run_image(image, PRESETS["fides"], 300_000)
    assert run.exit_code == POLICY_REFUSED
    assert run.text.startswith("monitor: policy refused: ") and monitor in run.text


@pytest.mark.parametrize(
    "indices, well",
    (
        ((3, 1, 2), True),
        ((1, 2, 2), False),
        ((7, 3, 3), False),
        ((3, 1, 3), False),
        ((1, 1, 2), False),
    ),
)
def test_indices_of_statics_in_any_order(programs, fides, tmp_path, indices, well):
    programs.policy('statics = ["a", "b", "c"]')
    image = programs.build("int a[4], b[4], c[4]; int main(void) { return 0; }", fides)
    changes = [(STATIC, number, "index", index) for number, index in enumerate(indices)]
    changed = patched(image, tmp_path, *changes)
    run = run_image(changed, fides, 300_000)
    if well:
        check_image(changed)
        assert run.exit_code == 0
    else:
        with pytest.raises(UserError, match="is taken"):
            check_image(changed)
        assert run.exit_code == POLICY_REFUSED and "two statics have the same index" in run.text


def test_the_base_monitor_looks_at_it_too(demo_images, tmp_path):
    image = patched(demo_images["base"], tmp_path, (HEADER, 0, "version", 2))
    assert run_image(image, PRESETS["base"], 300_000).exit_code == POLICY_REFUSED


def test_consistent_section(demo_images):
    policy = check_image(demo_images["fides"])
    names = {row["cid"]: row["name"] for row in policy.compartments}
    assert names == {1: "main", 2: "votes", 3: "crypto", 4: "ui", 5: "library"}
    allowed = {row["name"]: row["allowed"] for row in policy.compartments}
    assert allowed == {
        "main": (0b111100, 0, 0, 0), "votes": (0b001000, 0, 0, 0), "crypto": (0, 0, 0, 0),
        "ui": (0b001000, 0, 0, 0), "library": (0, 0, 0, 0),
    }  # fmt: skip
    assert policy.header["name"] == "election" and policy.header["entry_compartment"] == 1
    assert policy.statics[0]["cookie"] == static_cookie("postal_votes")


def test_fewer_compartments_than_the_policy_needs(demo_images):
    with pytest.raises(UserError, match="not below 4"):
        check_image(demo_images["fides"], max_compartments=4)


def test_absent_section(demo_images, tmp_path):
    image = tmp_path / "bare.elf"
    objcopy = tools.find("riscv64-unknown-elf-objcopy")
    subprocess.run([objcopy, "-R", SECTION, demo_images["fides"], image], check=True)
    with pytest.raises(UserError, match="no policy section"):
        check_image(image)


def test_truncated_section(demo_images, tmp_path):
    image = tmp_path / "short.elf"
    (tmp_path / "section").write_bytes(b"FIDESPOL")
    objcopy = tools.find("riscv64-unknown-elf-objcopy")
    update = f"--update-section={SECTION}={tmp_path / 'section'}"
    subprocess.run([objcopy, update, demo_images["fides"], image], check=True, capture_output=True)
    with pytest.raises(UserError, match="ends inside a policy_header"):
        check_image(image)


def test_files_that_are_no_images(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        check_image(tmp_path / "absent.elf")
    (tmp_path / "text.elf").write_text("not an ELF file")
    with pytest.raises(UserError, match="not an ELF file"):
        check_image(tmp_path / "text.elf")
    with pytest.raises(UserError, match="not an RV64 image"):
        check_image(tools.find("g++").resolve())


PLAIN = """\
name = "plain"
[entry]
function = "start"
compartment = "one"
[compartments.one]
id = 1
sources = ["one.c"]
calls = ["two"]
[compartments.two]
id = 2
sources = []
"""


@pytest.fixture
def load(tmp_path):
    def load(text):
        (tmp_path / "one.c").write_text("")
        (tmp_path / "policy.toml").write_text(text)
        return Policy.load(tmp_path / "policy.toml", files=True)

    return load


def test_description(load, tmp_path):
    policy = load(PLAIN)
    assert [compartment.cid for compartment in policy.compartments] == [1, 2]
    assert policy.compartments[0].sources == ("one.c",)
    assert policy.file("one.c") == tmp_path / "one.c"
    assert policy.row(policy.compartments[0]) == (0b100, 0, 0, 0)


def test_row_beyond_the_first_word(load):
    policy = load(PLAIN.replace("id = 2", "id = 255"))
    assert policy.row(policy.compartments[0]) == (0, 0, 0, 1 << 63)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    (
        ("id = 2", "id = 1", "two compartments with the id 1"),
        ("id = 2", "id = 256", "not in 0..255"),
        ("id = 2", "", "id is missing"),
        ('calls = ["two"]', 'calls = ["three"]', "may call three"),
        ('compartment = "one"', 'compartment = "three"', "the entry is in three"),
        ('"one.c"', '"absent.c"', "there is no absent.c"),
        ('"plain"', '"much too long a name for a policy"', "1 to 23 letters"),
        ('name = "plain"', "", "name is missing"),
        ("compartments.two", "compartments.monitor", "not a name for a compartment"),
        ('name = "plain"', 'name = "plain"\nstatics = ["a", "a"]', "twice"),
        ("sources = []", "sources = []\n[memory]\nheap_bytes = 100", "multiple of 4096"),
        ("sources = []", "sources = []\n[memory]\nobjects = 65000\nstack_objects = 600", "fewer than 65536"),
        ("sources = []", "sources = []\n[memory]\nobjects = 1000", "objects must be a multiple of 64"),
        ("sources = []", "sources = []\n[memory]\nwrong = 1", "wrong"),
        ("[entry]", "[entry", "Expected"),
    ),
)
def test_description_that_contradicts_itself(load, tmp_path, old, new, said):
    with pytest.raises(UserError, match=said) as refused:
        load(PLAIN.replace(old, new))
    assert str(tmp_path / "policy.toml") in str(refused.value)


def test_missing_description(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        Policy.load(tmp_path / "policy.toml")


def test_the_programs_in_the_tree_have_good_policies():
    whole = {path.parent.name: Policy.load(path) for path in SW.rglob("policy.toml")}
    assert len(whole) >= 4
    for_ld = {name for name, policy in whole.items() if policy.entry is None}
    assert for_ld == {"attacks"}  # linked by `fides ld`, its sources are generated
    for name in whole.keys() - for_ld:
        whole[name].check_files()
