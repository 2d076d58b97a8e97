"""What computing instructions compute, by name: RV64IM, Zba, Zbb, Zbs, Zicond, and the operations of AMOs.

Operands are unsigned 64-bit integers; results are truncated to 64 bits by who asks for them. Sources: RISC-V
unprivileged ISA 20191213, bit-manipulation ISA extensions 1.0.0, integer conditional operations 1.0.
"""

import operator
from collections.abc import Callable

__all__ = [
    "MASK32", "MASK64", "sext", "signed", "REGISTER", "UNARY", "BRANCHES", "ATOMIC", "register_form",
]  # fmt: skip

MASK32 = (1 << 32) - 1
MASK64 = (1 << 64) - 1
SIGN64 = 1 << 63


def sext(value: int, bits: int) -> int:
    """The low ``bits`` of ``value``, sign-extended to 64 bits, unsigned."""
    sign = 1 << bits - 1
    return ((value & (1 << bits) - 1) ^ sign) - sign & MASK64


def signed(value: int, bits: int = 64) -> int:
    """The low ``bits`` of ``value`` as a signed number."""
    sign = 1 << bits - 1
    return ((value & (1 << bits) - 1) ^ sign) - sign


def register_form(name: str) -> str:
    """The register-register instruction that the immediate form ``name`` computes: "addi" is "add"."""
    return "".join(name.rsplit("i", 1))


def _divide(a: int, b: int) -> int:
    """Quotient rounded towards zero; -1 for a divisor of 0 (unprivileged ISA, table 7.1)."""
    if b == 0:
        return -1
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _remainder(a: int, b: int) -> int:
    """Remainder with the dividend's sign; the dividend for a divisor of 0."""
    return a - b * _divide(a, b) if b else a


def _rotate_left(value: int, amount: int, bits: int) -> int:
    """The low ``bits`` of ``value``, rotated left by ``amount`` modulo ``bits``."""
    amount %= bits
    value &= (1 << bits) - 1
    return (value << amount | value >> bits - amount) & (1 << bits) - 1


def _trailing_zeros(value: int, bits: int) -> int:
    """Of the low ``bits`` of ``value``; ``bits`` when they are 0."""
    lowest = value & -value & (1 << bits) - 1
    return lowest.bit_length() - 1 if lowest else bits


def _or_combine(value: int) -> int:
    """All ones in each byte that is not 0."""
    return int.from_bytes(bytes(255 if byte else 0 for byte in value.to_bytes(8, "little")), "little")


def _reverse_bytes(value: int) -> int:
    return int.from_bytes(value.to_bytes(8, "little"), "big")


#: Register-register instructions; immediate forms compute the same.
REGISTER: dict[str, Callable[[int, int], int]] = {
    "add": operator.add,
    "sub": operator.sub,
    "sll": lambda a, b: a << (b & 63),
    "slt": lambda a, b: (a ^ SIGN64) < (b ^ SIGN64),
    "sltu": operator.lt,
    "xor": operator.xor,
    "srl": lambda a, b: a >> (b & 63),
    "sra": lambda a, b: signed(a) >> (b & 63),
    "or": operator.or_,
    "and": operator.and_,
    "addw": lambda a, b: sext(a + b, 32),
    "subw": lambda a, b: sext(a - b, 32),
    "sllw": lambda a, b: sext(a << (b & 31), 32),
    "srlw": lambda a, b: sext((a & MASK32) >> (b & 31), 32),
    "sraw": lambda a, b: signed(a, 32) >> (b & 31),
    # M
    "mul": operator.mul,
    "mulh": lambda a, b: signed(a) * signed(b) >> 64,
    "mulhsu": lambda a, b: signed(a) * b >> 64,
    "mulhu": lambda a, b: a * b >> 64,
    "div": lambda a, b: _divide(signed(a), signed(b)),
    "divu": lambda a, b: _divide(a, b),
    "rem": lambda a, b: _remainder(signed(a), signed(b)),
    "remu": _remainder,
    "mulw": lambda a, b: sext(a * b, 32),
    "divw": lambda a, b: sext(_divide(signed(a, 32), signed(b, 32)), 32),
    "divuw": lambda a, b: sext(_divide(a & MASK32, b & MASK32), 32),
    "remw": lambda a, b: sext(_remainder(signed(a, 32), signed(b, 32)), 32),
    "remuw": lambda a, b: sext(_remainder(a & MASK32, b & MASK32), 32),
    # Zba
    "sh1add": lambda a, b: (a << 1) + b,
    "sh2add": lambda a, b: (a << 2) + b,
    "sh3add": lambda a, b: (a << 3) + b,
    "sh1add.uw": lambda a, b: ((a & MASK32) << 1) + b,
    "sh2add.uw": lambda a, b: ((a & MASK32) << 2) + b,
    "sh3add.uw": lambda a, b: ((a & MASK32) << 3) + b,
    "add.uw": lambda a, b: (a & MASK32) + b,
    "sll.uw": lambda a, b: (a & MASK32) << (b & 63),  # as slli.uw only
    # Zbb
    "andn": lambda a, b: a & ~b,
    "orn": lambda a, b: a | ~b,
    "xnor": lambda a, b: ~(a ^ b),
    "min": lambda a, b: min(a, b, key=signed),
    "minu": min,
    "max": lambda a, b: max(a, b, key=signed),
    "maxu": max,
    "rol": lambda a, b: _rotate_left(a, b, 64),
    "ror": lambda a, b: _rotate_left(a, -b, 64),
    "rolw": lambda a, b: sext(_rotate_left(a, b, 32), 32),
    "rorw": lambda a, b: sext(_rotate_left(a, -b, 32), 32),
    # Zbs
    "bset": lambda a, b: a | 1 << (b & 63),
    "bclr": lambda a, b: a & ~(1 << (b & 63)),
    "binv": lambda a, b: a ^ 1 << (b & 63),
    "bext": lambda a, b: a >> (b & 63) & 1,
    # Zicond
    "czero.eqz": lambda a, b: a if b else 0,
    "czero.nez": lambda a, b: 0 if b else a,
}

#: Zbb instructions with one source.
UNARY: dict[str, Callable[[int], int]] = {
    "clz": lambda a: 64 - a.bit_length(),
    "clzw": lambda a: 32 - (a & MASK32).bit_length(),
    "ctz": lambda a: _trailing_zeros(a, 64),
    "ctzw": lambda a: _trailing_zeros(a, 32),
    "cpop": int.bit_count,
    "cpopw": lambda a: (a & MASK32).bit_count(),
    "sext.b": lambda a: sext(a, 8),
    "sext.h": lambda a: sext(a, 16),
    "zext.h": lambda a: a & 0xFFFF,
    "orc.b": _or_combine,
    "rev8": _reverse_bytes,
}

BRANCHES: dict[str, Callable[[int, int], bool]] = {
    "beq": operator.eq,
    "bne": operator.ne,
    "blt": lambda a, b: (a ^ SIGN64) < (b ^ SIGN64),
    "bge": lambda a, b: (a ^ SIGN64) >= (b ^ SIGN64),
    "bltu": operator.lt,
    "bgeu": operator.ge,
}

#: What AMOs store, from the value in memory and the operand, both sign-extended from the operation's size.
ATOMIC: dict[str, Callable[[int, int], int]] = {
    "amoswap": lambda _, b: b,
    "amoadd": operator.add,
    "amoxor": operator.xor,
    "amoand": operator.and_,
    "amoor": operator.or_,
    "amomin": REGISTER["min"],
    "amomax": REGISTER["max"],
    "amominu": min,  # sign extension keeps the unsigned order
    "amomaxu": max,
}
