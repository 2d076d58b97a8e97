"""The expander against the table of compressed instructions, all of them."""

from amaranth.sim import Simulator

from fides_core.core.expander import Expander
from fides_core.isa.compressed import expand


def run(words):
    """(word, compressed, legal) of the expander for each of ``words``."""
    dut = Expander()
    found = []

    async def bench(ctx):
        for word in words:
            ctx.set(dut.insn, word)
            await ctx.delay(1e-9)
            found.append((ctx.get(dut.word), ctx.get(dut.compressed), ctx.get(dut.legal)))

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def test_every_compressed_halfword():
    halfwords = [halfword for halfword in range(1 << 16) if halfword & 3 != 3]
    # What follows in memory must not matter.
    words = [halfword | (halfword * 0x9E37 & 0xFFFF) << 16 for halfword in halfwords]
    legal = 0
    for halfword, (word, compressed, is_legal) in zip(halfwords, run(words), strict=True):
        expected = expand(halfword)
        assert compressed and is_legal == (expected is not None), f"{halfword:#06x}"
        if is_legal:
            assert word == expected, f"{halfword:#06x}: {word:#010x} instead of {expected:#010x}"
            legal += 1
    assert legal > 38_000


def test_words_pass():
    words = [0xFFFF_FFFF, 0x1234_567F, 0xDEAD_BEEF, 0x0000_8067, *(1 << bit | 3 for bit in range(32))]
    assert run(words) == [(word, 0, 1) for word in words]
