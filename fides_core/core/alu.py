"""Arithmetic, logic and bit manipulation; combinational.

One adder, one right shifter (left shifts pass through it reversed, rotations feed what falls out back in),
one
comparison. What each instruction needs of them is in ``ALU_CONTROL``, which the decoder turns into signals.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from ..config import CoreConfig

__all__ = ["ALU", "ALU_CONTROL", "AluControl", "AluResult", "Logic", "Special"]


class AluResult(enum.IntEnum, shape=2):
    """Which part of the ALU gives the result: with the two bits here, one LUT chooses a bit of it."""

    SUM = 0
    LOGIC = 1
    SHIFT = 2
    SHIFT_LEFT = 3


class Logic(enum.IntEnum, shape=3):
    """``function`` of AluResult.LOGIC, of the first operand and the second, which may be inverted."""

    XOR = 0
    OR = 1
    AND = 2
    A = 3
    B = 4
    NOT_B = 5
    ZERO = 6
    SPECIAL = 7  # something else: see Special


class Special(enum.IntEnum, shape=4):
    """``special``, for Logic.SPECIAL. The lower two bits say where the upper part comes from: it is all one
    bit, bytes in reversed order, bytes that are all one bit each, or 0."""

    SEXT_B = 0b0000
    SEXT_H = 0b0100
    ZEXT_H = 0b1000
    REV8 = 0b0001
    ORC_B = 0b0010
    ZEROS = 0b0011  # from the right of what enters the shifter
    ONES = 0b0111


class AluControl(data.Struct):
    """What the ALU does; all zero adds. ``word``: operate on 32 bits, sign-extend the result."""

    result: AluResult
    function: Logic  # of AluResult.LOGIC
    special: Special
    compare: 1  # bit 0 of the result is also set if the first operand is less
    test: 1  # bit 0 of the result is also set if the shifter gives it
    subtract: 1  # invert the second operand; the adder adds 1 to it
    unsigned: 1  # comparisons
    word: 1
    left: 1  # reverse what enters the shifter
    rotate: 1
    arithmetic: 1  # shift the sign in
    zero_upper: 1  # the first operand is its lower half (.uw)
    shift_add: 2  # shift the first operand of the adder left by that much
    single: 1  # the second operand of LOGIC is the bit that it names
    choose: 1  # LOGIC gives the operand that is less, or, with other, the greater one
    clear: 1  # LOGIC gives 0 if the second operand is 0, or, with other, if it is not; else the first
    other: 1


def _control(**fields) -> dict[str, int]:
    return {name: int(value) for name, value in fields.items()}


def _instructions() -> dict[str, dict[str, int]]:
    logic, shift = AluResult.LOGIC, AluResult.SHIFT

    def other(special: Special, **fields) -> dict[str, int]:
        return _control(result=logic, function=Logic.SPECIAL, special=special, **fields)

    left = {"result": AluResult.SHIFT_LEFT, "left": 1}
    table = {
        "add": {}, "sub": _control(subtract=1), "sll": left, "srl": _control(result=shift),
        "sra": _control(result=shift, arithmetic=1),
        "slt": _control(result=logic, function=Logic.ZERO, subtract=1, compare=1),
        "sltu": _control(result=logic, function=Logic.ZERO, subtract=1, compare=1, unsigned=1),
        "xor": _control(result=logic, function=Logic.XOR), "or": _control(result=logic, function=Logic.OR),
        "and": _control(result=logic, function=Logic.AND),
    }  # fmt: skip
    for name in ("xor", "or", "and"):
        table[{"xor": "xnor", "or": "orn", "and": "andn"}[name]] = table[name] | _control(subtract=1)
    for name, fields in (("min", {}), ("max", _control(other=1))):
        table[name] = _control(result=logic, subtract=1, choose=1) | fields
        table[name + "u"] = table[name] | _control(unsigned=1)
    table |= {"rol": left | _control(rotate=1), "ror": _control(result=shift, rotate=1)}
    for name in ("add", "sub", "sll", "srl", "sra", "rol", "ror"):
        table[name + "w"] = table[name] | _control(word=1)
    for name, function in (("bset", Logic.OR), ("binv", Logic.XOR), ("bclr", Logic.AND)):
        table[name] = _control(result=logic, function=function, single=1, subtract=name == "bclr")
    table["bext"] = _control(result=logic, function=Logic.ZERO, test=1)
    # Immediate forms.
    singles = ("bset", "binv", "bclr", "bext")
    for name in ("add", "addw", "slt", "xor", "or", "and", "sll", "srl", "sra", *singles):
        table[f"{name}i"] = table[name]
    table |= {"sltiu": table["sltu"], "rori": table["ror"], "roriw": table["rorw"]}
    for name in ("sll", "srl", "sra"):
        table[f"{name}iw"] = table[f"{name}w"]
    table["addiw"] = table.pop("addwi")
    # Zba
    for log2 in range(1, 4):
        table[f"sh{log2}add"] = _control(shift_add=log2)
        table[f"sh{log2}add.uw"] = _control(shift_add=log2, zero_upper=1)
    table |= {"add.uw": _control(zero_upper=1), "slli.uw": left | _control(zero_upper=1)}
    # Counts: leading zeros are the trailing ones of the reversed operand; a word is doubled before.
    table |= {
        "clz": other(Special.ZEROS, left=1), "ctz": other(Special.ZEROS), "cpop": other(Special.ONES),
        "clzw": other(Special.ZEROS, left=1, rotate=1, word=1), "ctzw": other(Special.ZEROS, word=1),
        "cpopw": other(Special.ONES, word=1),
    }  # fmt: skip
    for special in (Special.SEXT_B, Special.SEXT_H, Special.ZEXT_H, Special.REV8, Special.ORC_B):
        table[special.name.lower().replace("_", ".")] = other(special)
    # Zicond
    table |= {
        "czero.eqz": _control(result=logic, clear=1),
        "czero.nez": _control(result=logic, clear=1, other=1),
    }
    # A: the first operand is what memory holds.
    amos = {"swap": _control(result=logic, function=Logic.B)}
    amos |= {name: table[name] for name in ("add", "xor", "and", "or", "min", "max", "minu", "maxu")}
    for name, fields in amos.items():
        table |= {f"amo{name}.w": fields, f"amo{name}.d": fields}
    for name in ("beq", "bne", "blt", "bge"):
        table[name] = _control(subtract=1)
    table |= {name: _control(subtract=1, unsigned=1) for name in ("bltu", "bgeu")}
    return {name: {field: int(value) for field, value in fields.items()} for name, fields in table.items()}


#: The fields of AluControl that are not 0, by instruction. Instructions that are not here leave all at 0.
ALU_CONTROL: dict[str, dict[str, int]] = _instructions()


def _choose(number, values):
    """``values[number]``, as a tree of multiplexers: from a Switch, synthesis makes more LUTs."""
    if len(values) == 1:
        return values[0]
    half = len(values) // 2
    number = Value.cast(number)
    return Mux(number[-1], _choose(number[:-1], values[half:]), _choose(number[:-1], values[:half]))


class ALU(wiring.Component):
    """``result`` (64 bits) of ``a`` and ``b`` as ``control`` says.

    ``total``: sum or difference (64 bits), whatever the result is; ``equal`` and ``less`` (which needs
    ``control.subtract``) compare the operands. Bit manipulation and conditional zero are there as far as the
    configuration has them.
    """

    def __init__(self, config: CoreConfig):
        self._bitmanip = config.bitmanip
        self._zicond = config.zicond
        super().__init__(
            {
                "a": In(64),
                "b": In(64),
                "control": In(AluControl),
                "result": Out(64),
                "total": Out(64),
                "equal": Out(1),
                "less": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        a, b, control = self.a, self.b, self.control

        # Operands of adder and logic.
        first = a
        second = Signal(64)
        # The first operand of adder and shifter: its upper half may be masked.
        masked = a
        if self._bitmanip:
            masked = Signal(64)
            first = Signal(64)
            m.d.comb += [
                masked.eq(Cat(a[:32], a[32:] & (~control.zero_upper).replicate(32))),
                first.eq(masked << control.shift_add),
            ]
            low, high = Signal(8), Signal(8)
            m.d.comb += [low.eq(1 << b[:3]), high.eq(1 << b[3:6])]
            bit = Cat(low[i % 8] & high[i // 8] for i in range(64))
            m.d.comb += second.eq(Mux(control.single, bit, b) ^ control.subtract.replicate(64))
        else:
            m.d.comb += second.eq(b ^ control.subtract.replicate(64))

        # The carry-in as an extra low bit keeps add and subtract on one carry chain.
        wide = Signal(66)
        m.d.comb += [
            wide.eq(Cat(1, first) + Cat(control.subtract, second)),
            self.total.eq(wide[1:65]),
            self.equal.eq(a == b),
            self.less.eq(Mux(a[63] ^ b[63], Mux(control.unsigned, b[63], a[63]), ~wide[65])),
        ]

        function = Signal(Logic)
        logic = Signal(64)
        m.d.comb += function.eq(control.function)
        with m.If(control.choose):
            m.d.comb += function.eq(Mux(self.less ^ control.other, Logic.A, Logic.NOT_B))
        if self._zicond:
            with m.If(control.clear):
                m.d.comb += function.eq(Mux((b == 0) ^ control.other, Logic.ZERO, Logic.A))
        entering, shifted = self._shifter(m, masked)
        special = self._special(m, entering)
        words = [a ^ second, a | second, a & second, a, second, ~second, Const(0, 64), special]
        m.d.comb += logic.eq(_choose(function, words))

        value = Signal(64)
        m.d.comb += value.eq(_choose(control.result, [self.total, logic, shifted, shifted[::-1]]))
        flag = control.compare & self.less
        if self._bitmanip:
            flag |= control.test & shifted[0]
        lower = Cat(value[0] | flag, value[1:32])
        m.d.comb += self.result.eq(Cat(lower, Mux(control.word, value[31].replicate(32), value[32:])))
        return m

    def _shifter(self, m, a):
        """What of operand ``a`` enters the shifter, and what it gives."""
        b, control = self.b, self.control
        sign = control.arithmetic & Mux(control.word, a[31], a[63])
        rotate = control.rotate if self._bitmanip else Const(0)
        # A word that rotates is doubled.
        upper = Mux(control.word, Mux(rotate, a[:32], sign.replicate(32)), a[32:])
        operand = Cat(a[:32], upper)
        word = Signal(64)
        amount = Signal(6)
        m.d.comb += [
            word.eq(Mux(control.left, operand[::-1], operand)),
            amount.eq(Cat(b[:5], b[5] & ~control.word)),
        ]
        entering = word
        for log2 in (4, 2, 0):
            unit = 1 << log2
            outside = Mux(rotate, word[: 3 * unit], sign.replicate(3 * unit))
            longer = Cat(word, outside)
            shifted = Signal(64, name=f"shifted_by_{unit}")
            steps = [longer[step * unit : step * unit + 64] for step in range(4)]
            m.d.comb += shifted.eq(_choose(amount[log2 : log2 + 2], steps))
            word = shifted
        return entering, word

    def _special(self, m, entering):
        """What Logic.SPECIAL gives: extensions, operations on bytes, and counts."""
        if not self._bitmanip:
            return Const(0, 64)
        a, special = self.a, self.control.special
        count = Mux(special[2], self._ones(m), self._zeros(m, entering))
        # The bit that fills the rest.
        fill = Signal()
        m.d.comb += fill.eq(Mux(special[3], 0, Mux(special[2], a[15], a[7])))
        upper_byte = Mux(special[2:] == 0, fill.replicate(8), a[8:16])
        parts = [
            Cat(a[:8], upper_byte, fill.replicate(48)),
            Cat(a.word_select(7 - i, 8) for i in range(8)),
            Cat(a.word_select(i, 8).any().replicate(8) for i in range(8)),
            Cat(count, Const(0, 57)),
        ]
        value = Signal(64)
        m.d.comb += value.eq(_choose(special[:2], parts))
        return value

    def _zeros(self, m, word):
        """Trailing zeros of what enters the shifter, of its lower half for words (7 bits)."""
        is_word = self.control.word
        found = Signal(8)
        high = Signal(3)
        group = Signal(8)
        low = Signal(3)
        m.d.comb += [found.eq(Cat(word.word_select(i, 8).any() for i in range(8))), high.eq(7), low.eq(7)]
        for i in reversed(range(7)):
            with m.If(found[i]):
                m.d.comb += high.eq(i)
        # A word without ones ends at bit 32.
        beyond = Signal()
        m.d.comb += [
            beyond.eq(Mux(is_word, ~found[:4].any(), ~found.any())),
            group.eq(word.word_select(high, 8)),
        ]
        for i in reversed(range(7)):
            with m.If(group[i]):
                m.d.comb += low.eq(i)
        return Mux(beyond, Mux(is_word, 32, 64), Cat(low, high, Const(0, 1)))

    def _ones(self, m):
        """How many bits are set in the first operand, or in its lower half for words (7 bits)."""
        halves = []
        for half in range(2):
            bits = self.a.word_select(half, 32)
            # Six bits fit one LUT for each bit of their sum.
            sums = [sum(bits[i : i + 6]) for i in range(0, 32, 6)]
            while len(sums) > 1:
                sums = [sum(sums[i : i + 2]) for i in range(0, len(sums), 2)]
            halves.append(sums[0])
        ones = Signal(7)
        m.d.comb += ones.eq(halves[0] + Mux(self.control.word, 0, halves[1]))
        return ones
