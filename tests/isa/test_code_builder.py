"""Code with labels: where branches go, and what constants are when the golden model runs them."""

import pytest

from fides_core.config import preset
from fides_core.isa.code_builder import CodeBuilder
from fides_core.isa.encode import encode
from fides_core.model import Platform
from fides_core.soc.memory_map import MAIN_MEMORY_BASE


def test_branches_go_to_labels_before_and_behind():
    code = CodeBuilder()
    code.do("jal", "behind", rd=1)
    code.at("before")
    code.do("addi", rd=2, rs1=3, imm=4)
    code.at("behind")
    code.do("bne", "before", rs1=5, rs2=6)
    assert code.words() == [
        encode("jal", rd=1, imm=8), encode("addi", rd=2, rs1=3, imm=4), encode("bne", rs1=5, rs2=6, imm=-4)
    ]  # fmt: skip


def test_labels_that_are_wrong():
    code = CodeBuilder()
    code.at("here")
    with pytest.raises(ValueError, match="label here is there already"):
        code.at("here")
    code.do("jal", "there")
    with pytest.raises(ValueError, match="there is no label there"):
        code.words()


@pytest.mark.parametrize(
    "value",
    [
        0, 2047, -2048, 2048, -2049, 0x11300, 0x0200_BFF8, 0x7FFF_F7FF, 0x7FFF_FFFF, -(1 << 31), 1 << 31,
        1 << 63,
    ],
)  # fmt: skip
def test_constants(value):
    code = CodeBuilder()
    code.constant(9, value)
    platform = Platform(preset("tiny"))
    words = code.words()
    platform.load_segments([(0, b"".join(word.to_bytes(4, "little") for word in words))])
    platform.hart.pc = MAIN_MEMORY_BASE
    platform.run(len(words))
    assert platform.hart.x[9] == value % (1 << 64)
    assert platform.hart.pc == MAIN_MEMORY_BASE + 4 * len(words)


def test_constant_that_is_too_long():
    with pytest.raises(ValueError, match="constant 0x123456789 takes more"):
        CodeBuilder().constant(1, 0x1_2345_6789)
