"""Random programs for lockstep runs, as the contents of memory, from a seed.

A program is a prologue (trap registers, PMP, register values), sections, and a store to the exit device. A
section is a sequence of blocks (``random_blocks``) that is repeated in rounds, so that far more instructions
are executed than generated. Registers and memory differ from round to round, and with them what traps and
which branches are taken.
"""

import random
from dataclasses import dataclass

from fides_core.config import CoreConfig
from fides_core.isa.csrs import CSR
from fides_core.soc.memory_map import MAIN_MEMORY_BASE

from .random_blocks import Address, Blocks, Jump, item_bytes
from .random_handler import EXIT_CODE, exit_program, handler_segments
from .random_layout import (
    BASE, CLIFF_BYTES, CODE, COUNTER, DATA, INNER_COUNTER, KEPT, LEAST_MEMORY, POINTER, RESUME, SECOND, STACK,
    STACK_POINTER, TABLE_ENTRIES, TARGETS, TEMPORARY, VECTORS, VICTIM_BYTES, VICTIMS, WINDOW, WINDOW_BYTES,
)  # fmt: skip
from .random_words import compressed, load_constant, size_of, to_bytes, word

__all__ = ["RandomProgram", "generate"]

_CODE_BYTES = VICTIMS - CODE
_BLOCKS_PER_SECTION = 40
_EXECUTED_PER_BLOCK = 8  # instructions of a block, of functions and handlers for it; measured
_MPP, _MIE, _MPIE = 3 << 11, 1 << 3, 1 << 7
_INTERRUPTS = 1 << 3 | 1 << 7 | 1 << 11


@dataclass(frozen=True)
class RandomProgram:
    """``segments``: (offset in bytes from the start of the main memory, contents); all else must be 0 at the
    start. ``code``: the prologue, the functions and the blocks, one instruction each. ``generated``: the
    number of instructions in memory."""

    seed: int
    segments: tuple[tuple[int, bytes], ...]
    code: tuple[int, ...]
    generated: int


class _Program:
    def __init__(self, seed: int, core: CoreConfig, memory_bytes: int, instructions: int):
        self.draw = random.Random(seed)
        self.core = core
        self.memory_bytes = memory_bytes
        self.instructions = instructions
        self.blocks = Blocks(self.draw, core, memory_bytes)

    def victims(self) -> list[int]:
        """The contents of VICTIMS."""
        blocks, code, at = self.blocks, [], VICTIMS
        while at < VICTIMS + VICTIM_BYTES // 3:
            for item in blocks.victim_function():
                blocks.victims.append(at)
                code.append(item)
                at += size_of(item)
        return code

    def cliff(self) -> list[int]:
        code, at = self.blocks.cliff_code(), 0
        for item in code:
            self.blocks.cliff_entries.append(at)
            at += size_of(item)
        return code

    def prologue(self) -> list[int]:
        draw, blocks, entries = self.draw, self.blocks, self.core.pmp_entries
        words = []

        def csr(number: int, value: int) -> None:
            words.extend(load_constant(TEMPORARY, value))
            words.append(word("csrrw", 0, TEMPORARY, immediate=number))

        csr(CSR.MTVEC, VECTORS + draw.randrange(2))
        csr(CSR.MSTATUS, draw.choice((0, _MPP, _MIE | _MPIE)))
        csr(CSR.MIE, _INTERRUPTS)
        csr(CSR.MCOUNTEREN, draw.randrange(8))
        for number in (CSR.MSCRATCH, CSR.MEPC, CSR.MCAUSE, CSR.MTVAL):
            csr(number, 0)
        for i in range(entries):
            napot_of_all = (1 << 29) - 1  # 4 GiB
            csr(CSR.PMPADDR0 + i, napot_of_all if i == entries - 1 else blocks.pmp_address())
        off = draw.choice((0.3, 1.0))
        for first in range(0, entries, 8):
            csr(CSR.PMPCFG0 + first // 4, blocks.pmp_configuration(first, off))
        for number in TARGETS:
            words.extend(load_constant(number, blocks.words.value()))
        for number in (TEMPORARY, SECOND, COUNTER, INNER_COUNTER):
            words.extend(load_constant(number, 1))
        for number, value in ((DATA, BASE), (POINTER, KEPT), (STACK_POINTER, STACK), (RESUME, CODE)):
            words.extend(load_constant(number, value))
        return words

    def functions(self, at: int) -> list[int]:
        """The functions, from address ``at`` on."""
        blocks, code = self.blocks, []
        blocks.recursive = at
        while len(blocks.functions) < TABLE_ENTRIES:
            items = blocks.function(at, blocks.functions) if code else blocks.recursion()
            if code:
                blocks.functions.append(at)
            code += items
            at += sum(size_of(item) for item in items)
        self.draw.shuffle(blocks.functions)
        return code

    def sections(self) -> list[list]:
        """All blocks: each section has one before and one behind, which count its rounds."""
        blocks: list[list] = []
        left = self.instructions
        while left > 0:
            rounds = self.draw.choice((1, 8, 16, 25, 30, 40, 60))
            count = _BLOCKS_PER_SECTION // 2 + self.draw.randrange(_BLOCKS_PER_SECTION)
            count = max(1, min(count, left // (rounds * _EXECUTED_PER_BLOCK)))
            left -= count * rounds * _EXECUTED_PER_BLOCK
            blocks.append([word("addi", COUNTER, 0, immediate=rounds)])
            first = len(blocks)
            self.blocks.last = first + count
            for here, maker in enumerate(self.blocks.choose(count), first):
                blocks.append(maker(self.blocks, here))
            blocks.append(
                [
                    compressed("addi", rd=COUNTER, imm=-1),
                    word("bge", rs1=0, rs2=COUNTER, immediate=8),
                    Jump("jal", first),
                ]
            )
        blocks.append(exit_program(EXIT_CODE))
        return blocks

    def place(self, blocks: list[list], at: int) -> list[int]:
        """The blocks from address ``at`` on, with their jumps resolved."""
        starts = []
        end = at
        for block in blocks:
            starts.append(end)
            end += sum(item_bytes(item) for item in block)
        code = []
        for number, block in enumerate(blocks):
            for item in block:
                if isinstance(item, int):
                    code.append(item)
                    at += size_of(item)
                elif isinstance(item, Address):
                    distance = starts[item.block] - at
                    low = (distance & 0xFFF) - ((distance & 0x800) << 1)
                    code.append(word("auipc", item.rd, immediate=distance - low >> 12))
                    code.append(word("addi", item.rd, item.rd, immediate=low))
                    at += 8
                elif not item.name.startswith("c."):
                    distance = starts[item.block] - at
                    code.append(word(item.name, item.rd, item.rs1, item.rs2, distance))
                    at += 4
                else:
                    reach = 2046 if item.name == "c.j" else 254
                    target = item.block
                    while starts[target] - at > reach:
                        target -= 1
                    # A block that is longer than the reach: on to the next instruction.
                    distance = starts[target] - at if target > number else 2
                    code.append(compressed(item.name.removeprefix("c."), rs1=item.rs1, imm=distance))
                    at += 2
        return code

    def make(self, seed: int) -> RandomProgram:
        victims, cliff = self.victims(), self.cliff()
        prologue = self.prologue()
        start = CODE + _code_bytes(prologue) + 4
        functions = self.functions(start)
        over = word("jal", immediate=4 + _code_bytes(functions))
        blocks = self.sections()
        code = [*prologue, over, *functions]
        code += self.place(blocks, start + _code_bytes(functions))
        contents = to_bytes(code)
        if len(contents) > _CODE_BYTES:
            raise ValueError(f"{self.instructions} instructions are more than {_CODE_BYTES} bytes of code do")
        value = self.blocks.words.value
        window = b"".join(value().to_bytes(8, "little") for _ in range(WINDOW_BYTES // 8))
        segments = [
            *handler_segments(max(1000, self.instructions // 15), self.blocks.functions),
            (CODE - MAIN_MEMORY_BASE, contents),
            (VICTIMS - MAIN_MEMORY_BASE, to_bytes(victims)),
            (WINDOW - MAIN_MEMORY_BASE, window),
            (self.memory_bytes - CLIFF_BYTES, to_bytes(cliff)[:CLIFF_BYTES]),
        ]
        return RandomProgram(seed, tuple(segments), tuple(code), len(code) + len(victims) + len(cliff))


def _code_bytes(code: list[int]) -> int:
    return sum(size_of(item) for item in code)


def generate(
    seed: int, core: CoreConfig, memory_bytes: int = 1 << 20, instructions: int = 100_000
) -> RandomProgram:
    """A program for ``core`` with ``memory_bytes`` of main memory, that executes about ``instructions``
    instructions, give or take a half; the same one for the same arguments. Between interrupts, which it
    survives at any time, it does the same in every run.

    Raises ValueError when the memory is smaller than 256 KiB, or when the code would not fit its place.
    """
    if memory_bytes < LEAST_MEMORY:
        raise ValueError(f"random programs need {LEAST_MEMORY} bytes of main memory, not {memory_bytes}")
    return _Program(seed, core, memory_bytes, instructions).make(seed)
