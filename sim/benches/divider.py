"""Bench of the divider against Python's integers: results, and when they come."""

import cocotb

from .common import DOUBLE, WORD, Coverage, Unit, differs, seeded, setting

CORNERS = (0, 1, 2, 3, 10, 0xFF, 0x100, 0x7FFF_FFFF, 1 << 31, WORD, 1 << 32, (1 << 63) - 1, 1 << 63,
           DOUBLE - 0xFF, DOUBLE - 1, DOUBLE)  # fmt: skip
NAMES = {4: "div", 5: "divu", 6: "rem", 7: "remu"}


def signed(value, width):
    value &= (1 << width) - 1
    return value - (1 << width) if value >> (width - 1) else value


def reference(funct3, word, a, b):
    """Unprivileged ISA, section 7.2 and table 7.1."""
    width = 32 if word else 64
    if funct3 in (4, 6):
        a, b = signed(a, width), signed(b, width)
    else:
        a, b = a & (1 << width) - 1, b & (1 << width) - 1
    if b == 0:
        quotient, remainder = -1, a
    else:
        quotient = abs(a) // abs(b) * (-1 if (a < 0) != (b < 0) else 1)
        remainder = a - quotient * b
    return signed(quotient if funct3 < 6 else remainder, width) & DOUBLE


class Bench:
    def __init__(self, dut):
        self.unit = Unit(dut)
        self.random = seeded()
        self.coverage = Coverage(
            [*((name, form) for name in NAMES.values() for form in ("", "w")), "by zero", "overflow",
             "given up", "result waits", "worst case", "worst case w"]
        )  # fmt: skip

    async def divide(self, funct3, word, a, b):
        """Returns the cycles until the result is there."""
        unit, rnd, hit = self.unit, self.random, self.coverage.hit
        unit.set(x_request=1, x_a=a, x_b=b, x_funct3=funct3, x_word=word, x_take=0)
        await unit.settle()
        limit = 33 if word else 65
        cycles = 0
        give_up = rnd.randrange(limit) if rnd.random() < 0.05 else None
        while not unit.get("x_done"):
            if cycles == give_up:
                unit.set(x_request=0, x_word=0)
                await unit.settle()
                differs("operand passed on", a, unit.get("x_result"))
                await unit.clock()
                hit("given up")
                return None
            assert cycles < limit, f"{NAMES[funct3]} {a:#x} {b:#x}: no result after {limit} cycles"
            await unit.clock()
            await unit.settle()
            cycles += 1
        while rnd.random() < 0.1:
            await unit.clock()
            await unit.settle()
            hit("result waits")
            assert unit.get("x_done")
        what = f"{NAMES[funct3]}{'w' * word} {a:#x} {b:#x}"
        differs(what, reference(funct3, word, a, b), unit.get("x_result"))
        unit.set(x_take=1)
        await unit.settle()
        await unit.clock()
        unit.set(x_take=0, x_request=int(rnd.random() < 0.5))
        hit(NAMES[funct3], "w" * word)
        width = 32 if word else 64
        if not b & (1 << width) - 1:
            hit("by zero")
        elif signed(b, width) == -1 and a & (1 << width) - 1 == 1 << (width - 1) and funct3 in (4, 6):
            hit("overflow")
        if cycles == limit:
            hit("worst case" + " w" * word)
        return cycles


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def divisions(dut):
    bench = Bench(dut)
    unit, rnd = bench.unit, bench.random
    await unit.reset(x_request=0, x_a=0, x_b=0, x_funct3=4, x_word=0, x_take=0)
    for a in CORNERS:
        for b in CORNERS:
            for word in (0, 1):
                for funct3 in NAMES:
                    await bench.divide(funct3, word, a, b)
    for _ in range(setting("ROUNDS", 1000)):
        a, b = (
            (rnd.choice(CORNERS) if rnd.random() < 0.1 else rnd.getrandbits(64) >> rnd.randrange(64))
            * rnd.choice([1, 1, -1]) & DOUBLE
            for _ in range(2)
        )  # fmt: skip
        if rnd.random() < 0.1:  # near a multiple
            a = b * rnd.getrandbits(16) + rnd.randrange(-1, 2) & DOUBLE
        await bench.divide(rnd.choice([4, 5, 6, 7]), int(rnd.random() < 0.4), a, b)
    bench.coverage.check(dut._log)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def early(dut):
    """Small dividends, and divisors that are not much smaller, take few cycles."""
    bench = Bench(dut)
    unit, rnd = bench.unit, bench.random
    bench.coverage.required = ["early"]
    await unit.reset(x_request=0, x_a=0, x_b=0, x_funct3=4, x_word=0, x_take=0)
    for length, divisor_length, limit in ((1, 1, 14), (2, 1, 21), (4, 1, 34), (8, 8, 16), (8, 7, 24),
                                          (4, 4, 14)):  # fmt: skip
        for _ in range(10):
            a = rnd.getrandbits(8 * length - 1) | 1 << (8 * length - 2)
            b = rnd.getrandbits(8 * divisor_length - 1) | 1 << (8 * divisor_length - 2)
            for sign in (1, -1):
                cycles = await bench.divide(4, 0, a * sign & DOUBLE, b * sign & DOUBLE)
                if cycles is not None:
                    assert cycles <= limit, f"{a:#x} {b:#x}: {cycles} cycles, not {limit}"
                    bench.coverage.hit("early")
    bench.coverage.check(dut._log)
