"""Landing pads in assembly, and the records about them."""

import re

import pytest

from fides_core.compiler.landing_pads import NOTE_CHECKS, NOTE_PADS, insert_pads

FUNCTION = """\
\t.text
\t.globl\tvisible
\t.type\tvisible,@function
visible:
\tcall\thidden
\tlla\ta0, taken
\tret
\t.size\tvisible, .-visible
\t.type\thidden,@function
hidden:
\tret
\t.size\thidden, .-hidden
\t.type\ttaken,@function
taken:
\tret
\t.size\ttaken, .-taken
"""

ENTRY, LOCAL, HANDLER = (
    ".insn i 0xb, 0, x0, x0, 0",
    ".insn i 0xb, 0, x0, x0, 1024",
    ".insn i 0xb, 0, x0, x0, -2048",
)


def statements(text):
    return [line.split("#")[0].strip() for line in text.split("\n") if line.split("#")[0].strip()]


def following(text, label):
    lines = statements(text)
    return lines[lines.index(f"{label}:") + 1]


def records(text, section):
    """(symbol, kind) of each record."""
    pattern = rf'\.pushsection {re.escape(section)},"",@progbits\n\s*\.dword (\S+)\n\s*\.word (\d+), 0\n'
    return [(symbol, int(kind)) for symbol, kind in re.findall(pattern, text)]


def test_visible_functions_and_those_whose_address_is_taken_have_pads():
    text = insert_pads(FUNCTION, checks=True)
    assert following(text, "visible") == ENTRY
    assert following(text, "taken") == LOCAL
    assert following(text, "hidden") == "ret"
    assert records(text, ".fides.pads") == [("visible", 0), ("taken", 1)]
    lines = statements(text)
    assert lines[lines.index("visible:") - 1] == ".p2align 2"


@pytest.mark.parametrize("checks, flags", ((True, NOTE_PADS | NOTE_CHECKS), (False, NOTE_PADS)))
def test_note(checks, flags):
    assert statements(insert_pads(FUNCTION, checks=checks))[-1] == f".word 0x46494445, {flags}"


def test_twice_is_once():
    once = insert_pads(FUNCTION, checks=True)
    assert insert_pads(once, checks=True) == once


def test_setjmp():
    text = insert_pads(FUNCTION.replace("call\thidden", "call\t__fides_setjmp"), checks=True)
    lines = statements(text)
    call = lines.index("call __fides_setjmp")
    assert lines[call - 1] == ".p2align 2"
    assert lines[call + 1].endswith(":") and lines[call + 2] == HANDLER
    pad = lines[call + 1].rstrip(":")
    assert lines[:call].count(f"lla t0, {pad}") == 1 and lines[call:].count(f"lla t0, {pad}") == 1
    assert f"bnez a1, {lines[call - 2].rstrip(':')}" in lines[:call]
    assert (pad, 2) in records(text, ".fides.pads")


def test_setjmp_of_hand_written_code_is_never_armed_already():
    lines = statements(insert_pads(FUNCTION.replace("call\thidden", "call\tsetjmp"), checks=True))
    assert "li a1, 0" in lines and "call __fides_setjmp" in lines and "call setjmp" not in lines


def test_jump_to_setjmp_is_refused():
    with pytest.raises(ValueError, match="only a call leaves room"):
        insert_pads(FUNCTION.replace("call\thidden", "tail\tsetjmp"), checks=True)


def test_mints_of_the_pass_are_listed_and_others_are_not():
    own, other = "\t.insn r 43, 4, 0, a0, sp, a1\t# fides", "\t.insn r 43, 4, 0, a0, sp, a1"
    text = insert_pads(FUNCTION.replace("\tcall\thidden", f"{own}\n{other}"), checks=True)
    ((label, kind),) = records(text, ".fides.mints")
    assert kind == 0 and following(text, label).startswith(".insn r 43, 4")
    assert text.count(".insn r 43, 4") == 2


def test_function_that_ends_in_a_call_gets_a_trap():
    text = insert_pads(FUNCTION.replace("\tlla\ta0, taken\n\tret\n", ""), checks=True)
    lines = statements(text)
    assert lines[lines.index("call\thidden") + 1] == "ebreak"


def test_functions_without_compressed_instructions():
    lines = statements(insert_pads(FUNCTION, checks=True, norvc=frozenset({"hidden"})))
    at = lines.index("hidden:")
    assert lines[at - 2 : at] == [".option push", ".option norvc"]
    assert lines[lines.index(".size\thidden, .-hidden") + 1] == ".option pop"
    assert lines.count(".option push") == 1
