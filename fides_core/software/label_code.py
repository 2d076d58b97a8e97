"""Machine code with labels, put together in Python: for programs that are generated."""

from fides_core.isa.encode import encode

from .random_words import load_constant, low_part, size_of

__all__ = ["LabelCode"]

_NOP = 1  # c.nop


class LabelCode:
    """Instructions from the address ``start`` on; ``at`` is the address of the next one. Labels may be used
    before they are defined. Registers are given by number."""

    def __init__(self, start: int):
        self.at = start
        self.labels: dict[str, int] = {}
        #: (address, word or what becomes of one when its label is known)
        self._items: list[tuple[int, int | tuple]] = []

    def _put(self, item: int | tuple, size: int) -> None:
        self._items.append((self.at, item))
        self.at += size

    def word(self, *words: int) -> None:
        """Instructions as they are, of 16 or 32 bits."""
        for each in words:
            self._put(each, size_of(each))

    def op(self, name: str, **operands: int) -> None:
        """One 32-bit instruction; the operands are those of ``isa.encode``."""
        self._put(encode(name, **operands), 4)

    def constant(self, rd: int, value: int) -> None:
        """Put the 64-bit ``value`` into ``rd``."""
        self.word(*load_constant(rd, value))

    def label(self, name: str) -> None:
        """The next instruction has this label. Raises ValueError when there is one of that name."""
        if name in self.labels:
            raise ValueError(f"label {name} stands at {self.labels[name]:#x} already")
        self.labels[name] = self.at

    def jump(self, name: str, label: str, **operands: int) -> None:
        """A branch or jal to ``label``."""
        self._put((name, label, operands), 4)

    def address(self, rd: int, label: str) -> None:
        """Put the address of ``label`` into ``rd``, from the pc: two instructions."""
        self._put(("auipc", label, rd), 4)
        self._put(("addi", label, rd), 4)

    def pointer(self, label: str) -> None:
        """Eight bytes of data: the address of ``label``."""
        self._put(("pointer", label, 0), 8)

    def align(self, bytes_: int) -> None:
        """Fill up with c.nop to a multiple of ``bytes_``."""
        while self.at % bytes_:
            self.word(_NOP)

    def contents(self, labels: dict[str, int] | None = None) -> bytes:
        """The code. ``labels``: addresses of labels beside those defined here. Raises KeyError for one that
        is not defined, ValueError for one that is out of reach."""
        labels = self.labels | (labels or {})
        code = bytearray()
        for at, item in self._items:
            if not isinstance(item, int) and item[0] == "pointer":
                code += labels[item[1]].to_bytes(8, "little")
                continue
            if not isinstance(item, int):
                item = self._resolved(at, item, labels)
            code += item.to_bytes(size_of(item), "little")
        return bytes(code)

    @staticmethod
    def _resolved(at: int, item: tuple, labels: dict[str, int]) -> int:
        name, label, operands = item
        if name == "auipc":
            distance = labels[label] - at
            return encode(name, rd=operands, imm=distance - low_part(distance) >> 12 & 0xFFFFF)
        if name == "addi":
            return encode(name, rd=operands, rs1=operands, imm=low_part(labels[label] - (at - 4)))
        return encode(name, imm=labels[label] - at, **operands)
