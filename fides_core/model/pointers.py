"""Fat pointers: checks, and the metadata table they read and write (contract, section 9).

The table is reached through callbacks, so that the hart can apply its access rules and a bench count
accesses.
"""

from collections.abc import Callable

from ..isa.causes import MemoryFault
from ..isa.xfides import pack_entry, pack_pointer, unpack_entry, unpack_pointer
from .compartments import StackMark

__all__ = ["MemoryTrap", "PointerState", "cookie_step"]

WORD = (1 << 32) - 1
COOKIE_TAPS = 0x80200003  # x^32 + x^22 + x^2 + x + 1, shifting right


class MemoryTrap(Exception):
    """A memory exception (mcause 25): ``reason`` is comcause, ``value`` mtval (contract, section 8)."""

    def __init__(self, reason: MemoryFault, value: int):
        super().__init__(reason.name)
        self.reason = reason
        self.value = value


def cookie_step(state: int) -> int:
    """The next state of the 32-bit Galois register that cookies come from (contract notes)."""
    return state >> 1 ^ (COOKIE_TAPS if state & 1 else 0)


class PointerState:
    """Registers of the fat-pointer unit and its instructions, as they act with FEN in U-mode.

    ``read(address) -> int`` and ``write(address, value)`` access one 8-byte entry of the table; what they
    raise passes through, and nothing has changed then. ``mark``: the fmark register, shared with the shadow
    stack.
    """

    def __init__(
        self, read: Callable[[int], int], write: Callable[[int, int], None], mark: StackMark | None = None
    ):
        self._read = read
        self._write = write
        self.mark = mark or StackMark()
        self.base = 0  # fidesmetadatabase, bytes
        self.stack_base = 0  # fstackbase, an index
        self.stack_end = 0  # fstackend, an index
        self.cookie_state = 1

    def entry_address(self, index: int) -> int:
        """Address in bytes of an entry; the sum wraps at 2^32."""
        return self.base + 8 * index & WORD

    def in_stack_zone(self, index: int) -> bool:
        """fstackbase <= index < fstackend."""
        return self.stack_base <= index < self.stack_end

    def _live_entry(self, pointer: int, value: int) -> tuple[int, int]:
        """(base, size) of the entry live for ``pointer``. Raises INVALID, TEMPORAL with mtval ``value``."""
        _, index, cookie = unpack_pointer(pointer)
        if index >= self.stack_end or (index >= self.stack_base and index >= self.mark.value):
            raise MemoryTrap(MemoryFault.INVALID, value)
        base, size, expected = unpack_entry(self._read(self.entry_address(index)))
        if not size:
            raise MemoryTrap(MemoryFault.INVALID, value)
        if cookie != expected:
            raise MemoryTrap(MemoryFault.TEMPORAL, value)
        return base, size

    @staticmethod
    def add(pointer: int, offset: int) -> int:
        """``ptradd``: the pointer with ``offset`` added to its address mod 2^32; the upper half is kept."""
        return pointer & ~WORD | pointer + offset & WORD

    def check(self, pointer: int, offset: int, log2_bytes: int) -> int:
        """``val`` and ``vali``: the result {pointer[63:32], ea}. Raises INVALID, TEMPORAL, BOUNDS."""
        result = self.add(pointer, offset)
        base, size = self._live_entry(pointer, result)
        if ((result - base) & WORD) + (1 << log2_bytes) > size:
            raise MemoryTrap(MemoryFault.BOUNDS, result)
        return result

    def mint(self, pointer: int, request: int) -> int:
        """``mint`` with rs1 = ``pointer`` and rs2 = ``request``; the fat pointer to the new entry.

        ``pointer``: base in [31:0]; ``request``: size in bytes in [23:0], index in [47:32], 0 for the next of
        the stack zone. Raises BOUNDS, INVALID, EXHAUSTED.
        """
        base, size = pointer & WORD, request & WORD
        if size >> 24 or base + size > WORD + 1:
            raise MemoryTrap(MemoryFault.BOUNDS, pointer)
        index = request >> 32 & 0xFFFF
        on_stack = index == 0
        if on_stack:
            index = self.mark.value
            if not self.in_stack_zone(index):
                raise MemoryTrap(MemoryFault.EXHAUSTED, 0)
        elif index >= self.stack_base or unpack_entry(self._read(self.entry_address(index)))[1]:
            raise MemoryTrap(MemoryFault.INVALID, pointer)
        state = cookie_step(self.cookie_state)
        cookie = state & 0xFF or 1
        self._write(self.entry_address(index), pack_entry(base, size, cookie))
        self.cookie_state = state
        if on_stack:
            self.mark.value += 1
        return pack_pointer(base, index, cookie)

    def revoke(self, pointer: int) -> None:
        """``revoke``: kill the entry. Raises MemoryTrap NOT_BASE, INVALID, TEMPORAL."""
        address, index, _ = unpack_pointer(pointer)
        if index == 0 or self.in_stack_zone(index):
            raise MemoryTrap(MemoryFault.NOT_BASE, pointer)
        base, _ = self._live_entry(pointer, pointer)
        if address != base:
            raise MemoryTrap(MemoryFault.NOT_BASE, pointer)
        self._write(self.entry_address(index), 0)
