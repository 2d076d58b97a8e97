"""Machine code with labels, from instruction names and operands: for ROMs, which need no C toolchain then."""

from .encode import encode

__all__ = ["CodeBuilder"]


class CodeBuilder:
    """Instructions one after the other, position-independent. ``at`` marks a place, ``do`` adds an
    instruction, which may go to a place marked before or after it."""

    def __init__(self):
        self._instructions: list[tuple[str, dict, str | None]] = []
        self._places: dict[str, int] = {}

    def at(self, label: str) -> None:
        """The next instruction is called ``label``. Raises ValueError when another is."""
        if label in self._places:
            raise ValueError(f"label {label} is there already")
        self._places[label] = len(self._instructions)

    def do(self, name: str, target: str | None = None, **operands: int) -> None:
        """Adds instruction ``name`` with operands as ``encode`` takes them. ``target``: the label that a
        branch or jal goes to."""
        self._instructions.append((name, operands, target))

    def constant(self, rd: int, value: int) -> None:
        """Adds instructions that set ``rd`` to ``value``, -2^31..2^31-1, or a power of two up to 2^63. Raises
        ValueError for another one."""
        if -2048 <= value < 2048:
            self.do("addi", rd=rd, imm=value)
        elif value > 0 and value & (value - 1) == 0:
            self.do("addi", rd=rd, imm=1)
            self.do("slli", rd=rd, rs1=rd, imm=value.bit_length() - 1)
        elif -(1 << 31) <= value < 1 << 31:
            low = (value & 0xFFF ^ 0x800) - 0x800
            self.do("lui", rd=rd, imm=value - low >> 12 & 0xFFFFF)
            if low:
                self.do("addiw", rd=rd, rs1=rd, imm=low)
        else:
            raise ValueError(f"constant {value:#x} takes more than two instructions")

    def words(self) -> list[int]:
        """The 32-bit instruction words. Raises ValueError for a label that is nowhere, or for an operand or a
        distance that does not fit."""
        words = []
        for index, (name, operands, target) in enumerate(self._instructions):
            if target is not None:
                if target not in self._places:
                    raise ValueError(f"there is no label {target}")
                operands = {**operands, "imm": 4 * (self._places[target] - index)}
            words.append(encode(name, **operands))
        return words
