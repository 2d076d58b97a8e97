"""The extension's CSRs over the compartment and pointer state (contract, section 4)."""

from collections.abc import Callable

from ..config import XfidesConfig
from ..isa.csrs import Comctl, Comsel, FidesContext, XfidesCSR
from ..isa.xfides import ZONE_ALIGN
from .compartments import RANGE_MASK, CompartmentState
from .pointers import PointerState

__all__ = ["XfidesRegisters"]

MATRIX_WORDS = range(Comsel.MATRIX_WORD0, Comsel.MATRIX_WORD3 + 1)

_ZONE_MASK = 0xFFFF & ~(ZONE_ALIGN - 1)


class XfidesRegisters:
    """comctl, comcause, comsel, comdata, and access to what the two states hold.

    A unit that ``config`` leaves out has no CSRs and its enable bit in comctl stays clear, so its
    instructions do what they do with the bit clear.
    """

    def __init__(
        self, config: XfidesConfig, compartments: CompartmentState | None, pointers: PointerState | None
    ):
        self.compartments = compartments
        self.pointers = pointers
        self.compartments_enabled = False  # comctl.CEN
        self.pointers_enabled = False  # comctl.FEN
        self.locked = False  # comctl.LOCK
        self.comcause = 0
        self.comsel = 0
        self._constant = 0
        self._comsel_mask = 0
        if compartments:
            numbers = max(config.compartments, config.shadow_stack_entries)
            self._comsel_mask = 0xF0000 | numbers - 1
            self._constant = (
                config.compartments.bit_length() - 1 << Comctl.LOG2_COMPARTMENTS
                | config.shadow_stack_entries << Comctl.CAPACITY
            )

    def registers(self, machine: Callable[[], bool]) -> dict[int, tuple[Callable, Callable]]:
        """{number: (read, write)} of the extension's CSRs; ``machine()``: whether M-mode is accessing."""

        def field(state, name, mask, lockable):
            def write(value):
                if not (lockable and self.locked):
                    setattr(state, name, value & mask)

            return lambda: getattr(state, name), write

        registers = {
            XfidesCSR.COMCTL: (self._read_comctl, self._write_comctl),
            XfidesCSR.COMCAUSE: field(self, "comcause", 7, False),
        }
        if self.compartments:
            state = self.compartments
            registers[XfidesCSR.CURRCOM] = self._read_currcom, self._write_currcom
            registers[XfidesCSR.PARCOMPCSTART] = field(state, "restricted_fluid_start", RANGE_MASK, True)
            registers[XfidesCSR.ANYCOMPCSTART] = field(state, "fluid_start", RANGE_MASK, True)
            registers[XfidesCSR.ANYCOMPCEND] = field(state, "fluid_end", RANGE_MASK, True)
            registers[XfidesCSR.SSDEPTH] = field(state, "ssdepth", 0xFFFF, False)
            registers[XfidesCSR.SSBASE] = field(state, "ssbase", 0xFFFF, False)
            registers[XfidesCSR.COMSEL] = field(self, "comsel", self._comsel_mask, False)
            registers[XfidesCSR.COMDATA] = self._read_comdata, self._write_comdata
        if self.pointers:
            state = self.pointers
            registers[XfidesCSR.FIDESMETADATABASE] = field(state, "base", 0xFFFF_FFF8, True)
            registers[XfidesCSR.FSTACKBASE] = field(state, "stack_base", _ZONE_MASK, True)
            registers[XfidesCSR.FSTACKEND] = field(state, "stack_end", _ZONE_MASK, True)
            registers[XfidesCSR.COOKIESEED] = lambda: 0, self._write_cookieseed

            def write_fmark(value):
                if machine() or value & 0xFFFF < state.mark.value:
                    state.mark.value = value & 0xFFFF

            registers[XfidesCSR.FMARK] = lambda: state.mark.value, write_fmark
        return {int(number): access for number, access in registers.items()}

    def _read_comctl(self) -> int:
        return (
            self.compartments_enabled << Comctl.CEN
            | self.pointers_enabled << Comctl.FEN
            | self.locked << Comctl.LOCK
            | self._constant
        )

    def _write_comctl(self, value: int) -> None:
        self.compartments_enabled = bool(self.compartments and value >> Comctl.CEN & 1)
        self.pointers_enabled = bool(self.pointers and value >> Comctl.FEN & 1)
        self.locked = bool(self.locked or value >> Comctl.LOCK & 1)

    def _read_currcom(self) -> int:
        cid, restricted = self.compartments.context
        return cid << FidesContext.CID | restricted << FidesContext.RESTRICTED

    def _write_currcom(self, value: int) -> None:
        self.compartments.set_context(value & 0xFF, value >> FidesContext.RESTRICTED & 1)

    def _write_cookieseed(self, value: int) -> None:
        # 32 writes shift a seed in; 0 is the register's fixed point.
        self.pointers.cookie_state = (self.pointers.cookie_state << 1 | value & 1) & 0xFFFF_FFFF or 1

    def _read_comdata(self) -> int:
        what, entry = self.comsel >> 16, self.compartments.entry(self.comsel & 0xFFFF)
        if what == Comsel.ENTRY_RA:
            return entry.ra
        if what == Comsel.ENTRY_SP:
            return entry.sp
        if what == Comsel.ENTRY_CONTEXT:
            return (
                entry.cid << FidesContext.CID
                | entry.restricted << FidesContext.RESTRICTED
                | entry.kind << FidesContext.KIND
                | entry.fmark << FidesContext.FMARK
            )
        return 0

    def _write_comdata(self, value: int) -> None:
        state, number, what = self.compartments, self.comsel & 0xFFFF, self.comsel >> 16
        if what in (Comsel.ENTRY_RA, Comsel.ENTRY_SP, Comsel.ENTRY_CONTEXT):
            if what == Comsel.ENTRY_RA:
                change = {"ra": value & 0xFFFF_FFFF}
            elif what == Comsel.ENTRY_SP:
                change = {"sp": value & 0xFFFF_FFFF}
            else:
                change = {
                    "cid": (value >> FidesContext.CID & 0xFF) % state.compartments,
                    "restricted": bool(value >> FidesContext.RESTRICTED & 1),
                    "kind": value >> FidesContext.KIND & 1,
                    "fmark": value >> FidesContext.FMARK & 0xFFFF,
                }
            state.slots[number % state.capacity] = state.entry(number)._replace(**change)
            return
        if self.locked:
            return
        number %= state.compartments
        if what == Comsel.RANGE_START:
            state.range_start[number] = value & RANGE_MASK
        elif what == Comsel.RANGE_END:
            state.range_end[number] = value & RANGE_MASK
        elif what in MATRIX_WORDS:
            shift = 64 * (what - Comsel.MATRIX_WORD0)
            row = state.allowed[number] & ~(0xFFFF_FFFF_FFFF_FFFF << shift) | value << shift
            state.allowed[number] = row & (1 << state.compartments) - 1
