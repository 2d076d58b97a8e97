"""The step that inserts landing pads."""

import re

import pytest

from fides_core.isa.assembler import landing_pad
from fides_core.isa.xfides import PadKind
from fides_core.software.checkcap import insert_landing_pads

FUNCTION = """\
\t.text
\t.align\t2
{visibility}\t.type\tf, @function
f:
\tret
\t.size\tf, .-f
{rest}"""


def function(visibility="", rest=""):
    return FUNCTION.format(visibility=visibility, rest=rest)


def instructions(text):
    """Labels and instructions in order, without directives other than .insn and without comments."""
    found = []
    for line in text.splitlines():
        line = " ".join(line.split("#")[0].split())
        if line and (not line.startswith(".") or line.startswith((".insn", ".L"))):
            found.append(line)
    return found


def test_global_function_gets_an_entry_pad_of_its_compartment():
    inserted = insert_landing_pads(function("\t.globl\tf\n"), 7)
    assert instructions(inserted.text) == ["f:", landing_pad(7, PadKind.ENTRY), "ret"]
    assert (inserted.entry_pads, inserted.local_pads) == (1, 0)


def test_the_pad_is_aligned():
    lines = insert_landing_pads(function("\t.globl\tf\n"), 7).text.splitlines()
    assert lines[lines.index("f:") - 1].split() == [".balign", "4"]


def test_static_function_gets_none():
    text = function(rest="g:\n\tcall\tf\n\tj\tf\n\tbeqz\ta0,f\n")
    assert insert_landing_pads(text, 7).text.count(".insn") == 0


@pytest.mark.parametrize(
    "reference",
    ("lla\ta0,f", "la\ta0,f", ".dword\tf", ".dword\t0, f+4", "auipc\ta0,%pcrel_hi(f)", "sd\ta0,f,t0"),
)
def test_static_function_whose_address_is_taken_gets_a_local_pad(reference):
    inserted = insert_landing_pads(function(rest=f"\t{reference}\n"), 7)
    assert instructions(inserted.text)[:2] == ["f:", landing_pad(7, PadKind.LOCAL)]
    assert inserted.local_pads == 1


@pytest.mark.parametrize(
    "reference", ('\t.string\t"f"', "\tlla\ta0,ff", "\tlla\ta0,f.g", '\t.ascii "a;lla a0,f"')
)
def test_other_names_and_texts_are_no_references(reference):
    assert ".insn" not in insert_landing_pads(function(rest=f"{reference}\n"), 7).text


def test_data_gets_no_pad():
    text = "\t.globl\tx\n\t.type\tx, @object\nx:\n\t.word\t0\n"
    assert insert_landing_pads(text, 7).text == text


def test_alias_makes_its_function_visible():
    text = function(rest="\t.globl\tg\n\t.set\tg,f\n")
    assert insert_landing_pads(text, 7).entry_pads == 1


def test_labels_and_statements_on_one_line():
    text = ".globl f; .type f, @function; f: nop; ret"
    assert instructions(insert_landing_pads(text, 3).text) == ["f:", landing_pad(3), "nop", "ret"]


def test_setjmp_is_armed_before_and_after_with_the_pad_right_behind_the_call():
    text = "\tcall\tsetjmp\n\tmv\ts0,a0\n\tcall\tsetjmp\n"
    inserted = insert_landing_pads(text, 5)
    assert inserted.handler_pads == 2
    lines = instructions(inserted.text)
    pad, arm = landing_pad(5, PadKind.HANDLER), ".insn i 0xb, 1, x0, t0, 0"
    site = ".Lhandler_pad_0"
    assert lines[:7] == [f"lla t0, {site}", arm, "call setjmp", f"{site}:", pad, f"lla t0, {site}", arm]
    assert lines[7] == "mv s0,a0"
    assert len(re.findall(r"^\.Lhandler_pad_\d:", inserted.text, re.MULTILINE)) == 2


@pytest.mark.parametrize("jump", ("tail\tsetjmp", "j\tsetjmp"))
def test_setjmp_without_a_return_is_refused(jump):
    with pytest.raises(ValueError, match="handler pad"):
        insert_landing_pads(f"\t{jump}\n", 5)


def test_trap_after_calls_that_do_not_return():
    text = ".type f, @function\nf:\n\tcall\texit\n.L2:\n\tcall\tlongjmp\n\tret\n\t.size f, .-f\n"
    lines = instructions(insert_landing_pads(text, 1).text)
    assert lines == ["f:", "call exit", "ebreak", ".L2:", "call longjmp", "ebreak", "ret"]


def test_trap_at_the_end_of_a_function_that_ends_in_a_call():
    text = ".type f, @function\nf:\n\tcall\tg\n\t.size f, .-f\n"
    lines = insert_landing_pads(text, 1).text.splitlines()
    assert [line.split() for line in lines[-3:]] == [["call", "g"], ["ebreak"], [".size", "f,", ".-f"]]


def test_no_trap_where_the_function_goes_on():
    text = ".type f, @function\nf:\n\tcall\tg\n\tret\n\t.size f, .-f\n"
    assert insert_landing_pads(text, 1).traps == 0


def test_macros_of_hand_written_files_are_left_alone():
    text = "\t.macro save number\n\tsd x\\number, 8 * \\number(sp)\n\\number:\n\t.endm\n"
    assert instructions(insert_landing_pads(text, 1).text)[0] == "sd x\\number, 8 * \\number(sp)"
    assert "\\number:" in insert_landing_pads(text, 1).text


def test_impossible_compartment():
    with pytest.raises(ValueError, match="256"):
        insert_landing_pads(function("\t.globl\tf\n"), 256)
