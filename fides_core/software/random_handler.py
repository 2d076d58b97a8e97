"""The trap handler of random programs.

It reads the trap registers, so that a comparison of registers compares them, and goes on behind what trapped;
after an instruction access fault, and after any exception in a victim, at the address in RESUME. Every fourth
exception returns to M-mode. A program that has had its number of exceptions ends there: not even a fault of
the core can make it run for ever.
"""

from fides_core.isa.csrs import CSR
from fides_core.soc.memory_map import CLINT, EXIT, MAIN_MEMORY_BASE

from .random_layout import (
    CODE, HANDLER, HANDLER_SECOND, KEPT, POINTER, RESUME, SECOND, TABLE, TEMPORARY, VECTORS, VICTIMS,
)  # fmt: skip
from .random_words import compressed, load_constant, size_of, to_bytes, word

__all__ = ["EXIT_CODE", "OUT_OF_TRAPS", "exit_program", "handler_segments"]

#: What programs store to the exit device: at their end, and after too many exceptions.
EXIT_CODE, OUT_OF_TRAPS = 0, 1

_VECTOR_COUNT = 12
_MPP = 3 << 11
_BUDGET, _VICTIMS = 0, 8  # offsets from KEPT


def _handler() -> list[int]:
    a, b = HANDLER, HANDLER_SECOND
    code: list = []
    labels: dict[str, int] = {}

    def add(*items) -> None:
        code.extend(items)

    def branch(name: str, label: str, rs1: int = 0, rs2: int = 0) -> None:
        code.append((name, label, rs1, rs2))

    def label(name: str) -> None:
        labels[name] = len(code)

    add(word("csrrs", a, 0, immediate=CSR.MCAUSE))
    branch("blt", "interrupt", a)
    add(
        word("csrrs", b, 0, immediate=CSR.MTVAL),
        word("csrrs", b, 0, immediate=CSR.MEPC),
        compressed("addi", rd=a, imm=-1),
    )
    branch("beq", "resume", a)
    add(word("ld", a, POINTER, immediate=_VICTIMS))
    branch("bgeu", "resume", b, a)
    add(
        # The length of what trapped: 2 when the lowest bits are not 11.
        word("lhu", a, b),
        word("andi", a, a, immediate=3),
        word("sltiu", a, a, immediate=3),
        word("slli", a, a, immediate=1),
        compressed("addi", rd=b, imm=4),
        word("sub", b, b, a),
        word("csrrw", 0, b, immediate=CSR.MEPC),
    )
    branch("jal", "count")
    label("resume")
    add(word("csrrw", 0, RESUME, immediate=CSR.MEPC))
    label("count")
    add(
        word("csrrs", b, 0, immediate=CSR.MSTATUS),
        word("ld", b, POINTER, immediate=_BUDGET),
        compressed("addi", rd=b, imm=-1),
        word("sd", rs1=POINTER, rs2=b, immediate=_BUDGET),
    )
    branch("bge", "end", 0, b)
    add(word("andi", b, b, immediate=3))
    branch("bne", "return", b)
    add(*load_constant(b, _MPP), word("csrrs", 0, b, immediate=CSR.MSTATUS))
    label("return")
    add(word("mret"))

    label("interrupt")
    add(
        word("csrrs", b, 0, immediate=CSR.MEPC),
        word("andi", a, a, immediate=15),
        word("addi", b, 0, immediate=3),
    )
    branch("beq", "software", a, b)
    add(word("addi", b, 0, immediate=7))
    branch("beq", "timer", a, b)
    add(word("mret"))
    label("software")
    add(word("lui", b, immediate=CLINT.base >> 12), word("sw", rs1=b), word("mret"))
    label("timer")
    add(
        word("lui", b, immediate=CLINT.base + 0x4000 >> 12),
        word("addi", a, 0, immediate=-1),
        word("sd", rs1=b, rs2=a),
        word("mret"),
    )
    label("end")
    add(*exit_program(OUT_OF_TRAPS))

    starts = [0]
    for item in code:
        starts.append(starts[-1] + (size_of(item) if isinstance(item, int) else 4))
    return [
        item
        if isinstance(item, int)
        else word(item[0], rs1=item[2], rs2=item[3], immediate=starts[labels[item[1]]] - starts[at])
        for at, item in enumerate(code)
    ]


def exit_program(exit_code: int) -> list[int]:
    """Instructions that end the simulation."""
    a, b = TEMPORARY, SECOND  # an interrupt may come between
    items = [*load_constant(a, EXIT.base), *load_constant(b, exit_code), word("sw", rs1=a, rs2=b)]
    return [*items, word("jal", immediate=-sum(size_of(item) for item in items))]


def handler_segments(most_exceptions: int, table: list[int]) -> list[tuple[int, bytes]]:
    """(offset in bytes from the start of the main memory, contents) of the jump to CODE, of the vector table
    with the handler, and of KEPT. ``table``: the addresses for TABLE."""
    start = VECTORS + 4 * _VECTOR_COUNT
    vectors = [word("jal", immediate=start - at) for at in range(VECTORS, start, 4)]
    code = to_bytes([*vectors, *_handler()])
    assert VECTORS + len(code) <= KEPT
    kept = b"".join(number.to_bytes(8, "little") for number in (most_exceptions, VICTIMS))
    addresses = b"".join(address.to_bytes(8, "little") for address in table)
    return [
        (0, to_bytes([word("jal", immediate=CODE - MAIN_MEMORY_BASE)])),
        (VECTORS - MAIN_MEMORY_BASE, code),
        (KEPT - MAIN_MEMORY_BASE, kept),
        (TABLE - MAIN_MEMORY_BASE, addresses),
    ]
