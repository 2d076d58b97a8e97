"""Images: what the build refuses, what it caches, and the audit of a linked image."""

from dataclasses import replace

import pytest
from elftools.elf.elffile import ELFFile

from fides_core.config import PRESETS
from fides_core.errors import UserError
from fides_core.isa.instructions import BY_NAME
from fides_core.isa.xfides import PadKind, checkcap, pad_fields
from fides_core.software.audit import Audit, audit_image
from fides_core.software.code import jumps
from fides_core.software.image import build_image, with_argument
from fides_core.software.image_file import ImageFile
from fides_core.software.policy_section import check_image

NOP = BY_NAME["addi"].match
TRAP = BY_NAME["ebreak"].match


def audit(image, preset="fides"):
    return Audit(ImageFile.read(image), check_image(image), PRESETS[preset])


def words(checked):
    return {step.address: step.word for steps in checked.steps.values() for step in steps}


def symbol(image, name):
    with image.open("rb") as stream:
        return ELFFile(stream).get_section_by_name(".symtab").get_symbol_by_name(name)[0]["st_value"]


def with_word(image, folder, address, word):
    """A copy of ``image`` with another word at ``address``."""
    with image.open("rb") as stream:
        elf = ELFFile(stream)
        section = next(s for s in elf.iter_sections() if 0 <= address - s["sh_addr"] < s["sh_size"])
        offset = section["sh_offset"] + address - section["sh_addr"]
    data = bytearray(image.read_bytes())
    data[offset : offset + 4] = word.to_bytes(4, "little")
    copy = folder / "changed.elf"
    copy.write_bytes(data)
    return copy


@pytest.mark.parametrize("program", ("demo", "bench/crossing"))
def test_programs_of_the_tree_pass(program, config):
    audit_image(build_image(program, config), config)


def test_no_pads_on_the_base_core(demo_images):
    base, fides = (words(audit(demo_images[name], name)).values() for name in ("base", "fides"))
    assert not any(pad_fields(word) for word in base if word is not None)
    assert any(pad_fields(word) for word in fides if word is not None)


def test_pads_carry_their_compartments_id(demo_images):
    checked = audit(demo_images["fides"])
    functions = {symbols[0].name: address for address, symbols in checked.functions.items()}
    for name, expected in {
        "main_declare": (1, PadKind.ENTRY),
        "votes_add": (2, PadKind.ENTRY),
        "crypto_open": (3, PadKind.ENTRY),
        "ui_render": (4, PadKind.ENTRY),
        "library_rank": (5, PadKind.ENTRY),
        "emit_row": (4, PadKind.LOCAL),
        "iterate": (0, PadKind.ENTRY),
        "report_rows": (0, PadKind.ENTRY),
    }.items():
        assert pad_fields(checked.image.word(functions[name])) == expected, name


def test_the_demo_has_a_tail_call_across_compartments(demo_images):
    checked = audit(demo_images["fides"])
    start = symbol(demo_images["fides"], "ui_take_ballot")
    found = {
        (jump.link, jump.target) for jump in jumps(checked.steps["ui"]) if 0 <= jump.address - start < 200
    }
    assert (0, symbol(demo_images["fides"], "crypto_seal")) in found


@pytest.mark.parametrize(
    ("place", "offset", "word", "said"),
    (
        ("votes_add", 0, NOP, "a global function without a landing pad"),
        ("votes_add", 0, checkcap(3), "compartment 3 in the range of 2"),
        ("votes_add", 0, checkcap(2, PadKind.LOCAL), "a local pad at a global function"),
        ("emit_row", 0, checkcap(4), "an entry pad at a function that is not global"),
        ("votes_add", 4, checkcap(2), "where no function starts"),
        ("votes_add", 4, checkcap(2, PadKind.HANDLER), "does not follow a call of setjmp"),
        ("votes_add", 4, 0x000B0013, "the bits of a landing pad where no pad is"),
        ("votes_add", 4, 0x1234567B, "no instruction of this core"),
        ("__votes_end", -4, NOP, "does not end in a trap"),
    ),
)
def test_audit_refuses(demo_images, tmp_path, place, offset, word, said):
    image = demo_images["fides"]
    at = symbol(image, place) + offset
    changed = with_word(image, tmp_path, at, word)
    if "bits" in said:  # the other half of a pad that straddles two words
        changed = with_word(changed, tmp_path, at + 4, 0x00000000)
    with pytest.raises(UserError, match=said) as refused:
        audit_image(changed, PRESETS["fides"])
    assert f"{at:#x}"[:-1] in str(refused.value)


def test_audit_refuses_xfides_on_the_base_core(demo_images, tmp_path):
    image = demo_images["base"]
    changed = with_word(image, tmp_path, symbol(image, "votes_add"), checkcap(2))
    with pytest.raises(UserError, match="no instruction of this core"):
        audit_image(changed, PRESETS["base"])


def test_argument(demo_images):
    image = with_argument(demo_images["fides"], 77)
    with image.open("rb") as stream:
        elf = ELFFile(stream)
        address = symbol(image, "program_argument")
        section = elf.get_section_by_name(".rodata")
        at = address - section["sh_addr"]
        assert int.from_bytes(section.data()[at : at + 8], "little") == 77
    before, after = demo_images["fides"].read_bytes(), image.read_bytes()
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_nothing_is_built_again_that_has_not_changed(programs, fides):
    image = programs.build("int main(void);\nint main(void) { return 3; }\n", fides)
    first = image.stat().st_mtime_ns
    assert programs.build("int main(void);\nint main(void) { return 3; }\n", fides) == image
    assert image.stat().st_mtime_ns == first
    programs.build("int main(void);\nint main(void) { return 4; }\n", fides)
    assert image.stat().st_mtime_ns != first
    assert {path.suffix for path in image.parent.iterdir()} == {".elf", ".map", ".sha256"}


def test_every_preset_has_its_own_image(programs):
    source = "int main(void);\nint main(void) { return 3; }\n"
    images = {programs.build(source, config) for config in PRESETS.values()}
    assert len(images) == len(PRESETS)


MAIN = "int main(void);\nint main(void) { return 0; }\n"


@pytest.mark.parametrize(
    ("more", "source", "said"),
    (
        ("", "int main(void) { return 0; }\nint broken(", "expected"),
        ("", "int main(void);\nint main(void) { int unused; return 0; }\n", "unused"),
        ("", MAIN + "int f(void); int g(void); int g(void) { return f(); }\n", "undefined reference"),
        ('statics = ["absent"]', MAIN, "no source defines the static absent"),
        ("", MAIN + "extern char big[]; char big[1 << 20];\n", "image is too large"),
        ("", MAIN + '__asm__(".section .strange, \\"ax\\"\\n nop");\n', "strange"),
    ),
)
def test_what_cannot_be_built_is_one_line(programs, fides, more, source, said):
    programs.policy(more)
    with pytest.raises(UserError, match=said) as refused:
        programs.build(source, fides)
    assert "\n" not in str(refused.value)
    assert not list((programs.folder / "build").rglob("*.elf"))
    assert not list((programs.folder / "build").rglob(".building-*"))


def test_one_half_of_xfides_is_not_enough(fides):
    for part in ({"compartments": 0}, {"fat_pointers": False}):
        half = replace(fides, core=replace(fides.core, xfides=replace(fides.core.xfides, **part)))
        with pytest.raises(UserError, match="compartments and fat pointers"):
            build_image("demo", half)


def test_compiler_missing(monkeypatch, fides, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="riscv64-unknown-elf-gcc is not installed"):
        build_image("demo", fides, tmp_path)
