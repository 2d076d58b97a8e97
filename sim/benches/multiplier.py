"""Bench of the multiplier: a new product whenever the memory stage takes one, against Python's integers."""

import cocotb

from .common import DOUBLE, WORD, Coverage, Unit, differs, seeded, setting

CORNERS = (0, 1, 2, 0xFF_FFFF, 1 << 24, 0x1_FFFF, 1 << 17, (1 << 48) - 1, (1 << 51) - 1, 1 << 51, 1 << 31,
WORD,            (1 << 63) - 1, 1 << 63, DOUBLE - 1, DOUBLE)  # fmt: skip
NAMES = ("mul", "mulh", "mulhsu", "mulhu")


def s64(value):
    return value - (1 << 64) if value >> 63 else value


def reference(funct3, word, a, b):
    """Unprivileged ISA, section 7.1."""
    if word:
        product = a * b & WORD
        return product | (DOUBLE ^ WORD if product >> 31 else 0)
    left = a if funct3 == 3 else s64(a)
    right = b if funct3 in (2, 3) else s64(b)
    return (left * right >> (64 if funct3 else 0)) & DOUBLE


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def products(dut):
    unit, rnd = Unit(dut), seeded()
    coverage = Coverage([*NAMES, "mulw", "memory stage waits", "one a cycle"])
    await unit.reset(x_a=0, x_b=0, x_funct3=0, x_word=0, m_enable=0)
    memory = writeback = None
    for _ in range(setting("ROUNDS", 3000)):
        funct3 = rnd.randrange(4)
        word = int(funct3 == 0 and rnd.random() < 0.4)
        a, b = (
            rnd.choice(CORNERS) if rnd.random() < 0.4
            else (rnd.getrandbits(64) >> rnd.randrange(64)) * rnd.choice([1, -1]) & DOUBLE
            for _ in range(2)
        )  # fmt: skip
        enable = int(rnd.random() < 0.8)
        unit.set(x_a=a, x_b=b, x_funct3=funct3, x_word=word, m_enable=enable)
        await unit.settle()
        for stage, now in (("m", memory), ("w", writeback)):
            if now is not None and (stage == "m") == (now[0] == 0):
                name = "mulw" if now[1] else NAMES[now[0]]
                differs(f"{name} {now[2]:#x} {now[3]:#x}", reference(*now), unit.get(f"{stage}_result"))
                coverage.hit(name)
        await unit.clock()
        # What waits in the memory stage is also, as it were, in writeback.
        writeback = memory
        if enable:
            coverage.hit("one a cycle" if memory else "first")
            memory = (funct3, word, a, b)
        else:
            coverage.hit("memory stage waits")
    coverage.check(dut._log)
