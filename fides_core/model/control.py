"""CSRs, privilege and trap entry of M and U mode (privileged ISA 1.12, chapter 3; contract, section 4)."""

from collections.abc import Callable

from ..config import CoreConfig
from ..isa.causes import ExceptionCause, InterruptCause
from ..isa.csrs import CSR, counted_event
from .pmp import PhysicalMemoryProtection
from .xfides_csrs import XfidesRegisters

__all__ = ["MACHINE", "USER", "Trap", "Counter", "ControlState"]

MACHINE, USER = 3, 0
MASK32 = (1 << 32) - 1
MASK64 = (1 << 64) - 1
INTERRUPT = 1 << 63
INTERRUPTS = 1 << InterruptCause.SOFTWARE | 1 << InterruptCause.TIMER | 1 << InterruptCause.EXTERNAL
#: Interrupts from the most to the least urgent (privileged ISA, section 3.1.9).
PRIORITY = (InterruptCause.EXTERNAL, InterruptCause.SOFTWARE, InterruptCause.TIMER)

MIE_BIT, MPIE_BIT, MPP_SHIFT, MPRV_BIT, TW_BIT = 3, 7, 11, 17, 21
UXL_64 = 2 << 32


class Trap(Exception):
    """A synchronous trap: ``cause`` for mcause, ``value`` for mtval."""

    def __init__(self, cause: ExceptionCause, value: int = 0):
        super().__init__(f"{cause.name} {value:#x}")
        self.cause = cause
        self.value = value


class Counter:
    """mcycle or minstret: both count retired instructions here. 64 bits, writable, can be inhibited."""

    def __init__(self):
        self._offset = 0
        self._frozen: int | None = None

    def read(self, retired: int) -> int:
        """The value that an instruction reads when ``retired`` have retired before it."""
        return (retired + self._offset if self._frozen is None else self._frozen) & MASK64

    def write(self, retired: int, value: int) -> None:
        """A write by the instruction after ``retired``: the next one reads ``value``."""
        if self._frozen is None:
            self._offset = value - (retired + 1)
        else:
            self._frozen = value

    def inhibit(self, retired: int, stop: bool) -> None:
        """Stop or start counting with the next instruction; the writing one still counts, or does not yet."""
        if stop and self._frozen is None:
            self._frozen = self.read(retired + 1)
        elif not stop and self._frozen is not None:
            self._offset, self._frozen = self._frozen - (retired + 1), None


class ControlState:
    """Privilege mode and CSRs of one hart.

    ``core``: its configuration; ``xfides``: the extension's registers, None without it; ``pending() -> int``
    gives mip; ``time() -> int`` gives mtime. The hart counts ``retired`` instructions.
    """

    def __init__(
        self,
        core: CoreConfig,
        xfides: XfidesRegisters | None,
        pending: Callable[[], int],
        time: Callable[[], int],
    ):
        self.pmp = PhysicalMemoryProtection(core.pmp_entries)
        self.xfides = xfides
        self.pending = pending
        self.time = time
        self.privilege = MACHINE
        self.retired = 0
        self.interrupts_enabled = False  # mstatus.MIE
        self.previous_enabled = False  # mstatus.MPIE
        self.previous_privilege = USER  # mstatus.MPP
        self.modify_privilege = False  # mstatus.MPRV
        self.timeout_wait = False  # mstatus.TW
        self.mie = 0
        self.mtvec = 0
        self.mscratch = 0
        self.mepc = 0
        self.mcause = 0
        self.mtval = 0
        self.mcounteren = 0
        self.mcountinhibit = 0
        self.mcycle = Counter()
        self.minstret = Counter()
        extensions = "ACIMU" + ("B" if core.bitmanip else "") + ("X" if xfides else "")
        self.misa = 2 << 62 | sum(1 << ord(letter) - ord("A") for letter in extensions)
        self._hpm_mask = (1 << core.hpm_counters) - 1 << 3
        self._registers = self._standard_registers(core)
        if xfides:
            self._registers |= xfides.registers(lambda: self.privilege == MACHINE)

    # CSR access

    def read(self, number: int) -> int:
        """Read a CSR. Raises KeyError when it does not exist or this mode may not read it."""
        if self.privilege < (number >> 8 & 3):
            raise KeyError(number)
        if self.privilege == USER and 0xC00 <= number < 0xC20 and not self.mcounteren >> number - 0xC00 & 1:
            raise KeyError(number)
        return self._registers[number][0]()

    def write(self, number: int, value: int) -> None:
        """Write a CSR; bits it does not have are dropped. Raises KeyError as read does, or if read-only."""
        if self.privilege < (number >> 8 & 3) or number >> 10 & 3 == 3:
            raise KeyError(number)
        self._registers[number][1](value)

    def _standard_registers(self, core: CoreConfig) -> dict[int, tuple[Callable, Callable]]:
        def constant(value):
            return (lambda: value, lambda _: None)

        def field(name, mask=MASK64):
            return (lambda: getattr(self, name), lambda value: setattr(self, name, value & mask))

        def counter(unit):
            return (lambda: unit.read(self.retired), lambda value: unit.write(self.retired, value))

        def pmp_config(first):
            return (lambda: self.pmp.read_config(first), lambda value: self.pmp.write_config(first, value))

        def pmp_address(entry):
            return (lambda: self.pmp.read_address(entry), lambda value: self.pmp.write_address(entry, value))

        registers = {
            CSR.MVENDORID: constant(0),
            CSR.MARCHID: constant(0),
            CSR.MIMPID: constant(0),
            CSR.MHARTID: constant(core.hart_id),
            CSR.MCONFIGPTR: constant(0),
            CSR.MSTATUS: (self._read_mstatus, self._write_mstatus),
            CSR.MISA: constant(self.misa),
            CSR.MIE: field("mie", INTERRUPTS),
            CSR.MIP: (self.pending, lambda _: None),
            CSR.MTVEC: field("mtvec", MASK32 & ~2),
            CSR.MCOUNTEREN: field("mcounteren", 7 | self._hpm_mask),
            CSR.MENVCFG: constant(0),
            CSR.MCOUNTINHIBIT: (lambda: self.mcountinhibit, self._write_mcountinhibit),
            CSR.MSCRATCH: field("mscratch"),
            CSR.MEPC: field("mepc", MASK64 & ~1),
            CSR.MCAUSE: field("mcause", INTERRUPT | 0x3F),
            CSR.MTVAL: field("mtval"),
            CSR.MCYCLE: counter(self.mcycle),
            CSR.MINSTRET: counter(self.minstret),
            CSR.CYCLE: counter(self.mcycle),
            CSR.INSTRET: counter(self.minstret),
            CSR.TIME: (lambda: self.time(), None),
        }
        for number in range(29):
            # The events are those of a pipeline and caches, which the model does not have: it counts 0.
            registers[CSR.MHPMCOUNTER3 + number] = registers[CSR.HPMCOUNTER3 + number] = constant(0)
            registers[CSR.MHPMEVENT3 + number] = constant(counted_event(number + 3, core.hpm_counters) or 0)
        if self.pmp.entries:
            registers[CSR.PMPCFG0] = pmp_config(0)
            registers[CSR.PMPCFG2] = pmp_config(8)
            registers |= {CSR.PMPADDR0 + entry: pmp_address(entry) for entry in range(16)}
        return {int(number): access for number, access in registers.items()}

    def _read_mstatus(self) -> int:
        return (
            self.interrupts_enabled << MIE_BIT
            | self.previous_enabled << MPIE_BIT
            | self.previous_privilege << MPP_SHIFT
            | self.modify_privilege << MPRV_BIT
            | self.timeout_wait << TW_BIT
            | UXL_64
        )

    def _write_mstatus(self, value: int) -> None:
        self.interrupts_enabled = bool(value >> MIE_BIT & 1)
        self.previous_enabled = bool(value >> MPIE_BIT & 1)
        self.previous_privilege = MACHINE if value >> MPP_SHIFT & 3 == MACHINE else USER
        self.modify_privilege = bool(value >> MPRV_BIT & 1)
        self.timeout_wait = bool(value >> TW_BIT & 1)

    def _write_mcountinhibit(self, value: int) -> None:
        self.mcountinhibit = value & (5 | self._hpm_mask)
        self.mcycle.inhibit(self.retired, bool(value & 1))
        self.minstret.inhibit(self.retired, bool(value & 4))

    # Traps

    @property
    def data_machine(self) -> bool:
        """Whether loads and stores have M-mode's rights (mstatus.MPRV, privileged ISA section 3.1.6.3)."""
        return (self.previous_privilege if self.modify_privilege else self.privilege) == MACHINE

    def interrupt(self) -> InterruptCause | None:
        """The interrupt to take before the next instruction, if any."""
        if self.privilege == MACHINE and not self.interrupts_enabled:
            return None
        wanted = self.pending() & self.mie
        return next((cause for cause in PRIORITY if wanted >> cause & 1), None)

    def enter(self, pc: int, cause: ExceptionCause | InterruptCause, value: int = 0) -> int:
        """Take a trap at ``pc`` into M-mode; the address to go on at."""
        interrupt = isinstance(cause, InterruptCause)
        self.mepc = pc
        self.mcause = (INTERRUPT if interrupt else 0) | cause
        self.mtval = value
        self.previous_enabled, self.interrupts_enabled = self.interrupts_enabled, False
        self.previous_privilege, self.privilege = self.privilege, MACHINE
        base = self.mtvec & ~3
        return base + 4 * cause & MASK64 if interrupt and self.mtvec & 1 else base

    def leave(self) -> int:
        """``mret``; the address to go on at."""
        self.interrupts_enabled, self.previous_enabled = self.previous_enabled, True
        self.privilege, self.previous_privilege = self.previous_privilege, USER
        if self.privilege != MACHINE:
            self.modify_privilege = False
        return self.mepc
