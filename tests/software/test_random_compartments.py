"""Random programs of compartments on the golden model: that they run, end, and do what they are there for."""

import pytest

from fides_core.config import CoreConfig, XfidesConfig, preset
from fides_core.isa.encode import encode
from fides_core.model.compartments import Crossing
from fides_core.model.platform import Platform
from fides_core.software.label_code import LabelCode
from fides_core.software.random_compartments import generate_compartments

INSTRUCTIONS = 60_000


def test_programs_cross_and_end(crossings):
    config = preset("tiny_fides")
    ended, many = 0, 0
    for seed in range(12):
        before = crossings.total() - crossings[Crossing.NONE]
        program = generate_compartments(seed, config.core, config.soc.memory_bytes, INSTRUCTIONS)
        platform = Platform(config)
        platform.load_segments(program.segments)
        outcome = platform.run(4 * INSTRUCTIONS)
        # Without interrupts nothing ends an episode that goes round in circles.
        ended += outcome.exit_code == 0
        assert outcome.exit_code in (0, None) and outcome.instructions > INSTRUCTIONS // 2
        many += crossings.total() - crossings[Crossing.NONE] - before > 300
    assert ended >= 9 and many >= 6, (ended, many)
    assert set(crossings) == set(Crossing)


def test_the_same_seed_gives_the_same_program():
    core = preset("fides").core
    one, same, other = (generate_compartments(seed, core) for seed in (7, 7, 8))
    assert one == same and one.segments != other.segments


@pytest.mark.parametrize("compartments, entries", [(2, 16), (64, 32), (256, 512)])
def test_sizes_of_the_units(compartments, entries):
    core = CoreConfig(xfides=XfidesConfig(compartments=compartments, shadow_stack_entries=entries))
    for seed in range(3):
        assert generate_compartments(seed, core).segments


@pytest.mark.parametrize(
    "core, memory, reason",
    [
        (CoreConfig(), 1 << 20, "need compartments and fat pointers"),
        (CoreConfig(xfides=XfidesConfig(fat_pointers=False)), 1 << 20, "need compartments and fat pointers"),
        (CoreConfig(xfides=XfidesConfig()), 1 << 18, "need 524288 bytes"),
    ],
)
def test_what_cannot_be_made(core, memory, reason):
    with pytest.raises(ValueError, match=reason):
        generate_compartments(1, core, memory)


def test_labels():
    code = LabelCode(0x8000_0000)
    code.jump("beq", "end", rs1=5, rs2=6)
    code.word(1)  # c.nop
    code.align(4)
    code.address(7, "data")
    code.label("end")
    code.jump("jal", "start", rd=1)
    code.align(8)
    code.label("data")
    code.pointer("end")
    with pytest.raises(ValueError, match="label end stands at 0x80000010"):
        code.label("end")
    with pytest.raises(KeyError, match="start"):
        code.contents()
    words = code.contents({"start": 0x8000_0000})
    assert words == b"".join(
        [
            encode("beq", rs1=5, rs2=6, imm=16).to_bytes(4, "little"),
            (0x0001_0001).to_bytes(4, "little"),
            encode("auipc", rd=7).to_bytes(4, "little"),
            encode("addi", rd=7, rs1=7, imm=16).to_bytes(4, "little"),
            encode("jal", rd=1, imm=-16).to_bytes(4, "little"),
            bytes.fromhex("0100 0100"),
            (0x8000_0010).to_bytes(8, "little"),
        ]
    )
