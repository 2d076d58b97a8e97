"""The hart: RV64IMAC, what the configuration adds to it, M and U mode, and Xfides where it has it.

An instruction is decoded once per address into a function without arguments that executes it and returns the
address of the next instruction, or None for the one that follows. Registers hold unsigned 64-bit integers.
What they compute is in ``arithmetic``. Sources: RISC-V unprivileged ISA 20191213, privileged ISA 1.12, the
Xfides contract.
"""

from collections.abc import Callable
from functools import cache
from typing import Protocol

from ..config import CoreConfig
from ..isa.causes import ExceptionCause
from ..isa.compressed import expand, is_compressed
from ..isa.csrs import CSR
from ..isa.instructions import Format, Instruction, find
from ..isa.xfides import PadKind, pad_fields
from .arithmetic import ATOMIC, BRANCHES, MASK32, MASK64, REGISTER, UNARY, register_form, sext
from .compartments import CompartmentState, ControlFlowTrap, StackMark
from .control import MACHINE, USER, ControlState, Trap
from .pmp import EXECUTE, READ, WRITE
from .pointers import MemoryTrap, PointerState
from .xfides_csrs import XfidesRegisters

__all__ = ["BusError", "System", "Hart"]

RETURN = 0x0000_8067  # jalr x0, 0(x1), and what c.jr x1 stands for
DISCARD = 32  # where writes to x0 go
RA, SP = 1, 2

Operation = Callable[[], int | None]
decode = cache(find)


class BusError(Exception):
    """No device answers, or it refuses the access."""


class System(Protocol):
    """What a hart is connected to. Addresses below 2^32 and aligned to their size; errors as BusError."""

    def fetch(self, address: int) -> int:
        """The 16 bits of an instruction, or of a half of one, at ``address``."""

    def load(self, address: int, size: int) -> int:
        """``size`` = 1, 2, 4 or 8 bytes at ``address``, zero-extended."""

    def store(self, address: int, size: int, value: int) -> None:
        """Store the low ``size`` bytes of ``value``."""

    def interrupts(self) -> int:
        """The pending interrupts, as bits of mip."""

    def time(self) -> int:
        """mtime."""

    def wait(self, enabled: int) -> bool:
        """Let time pass until an interrupt of ``enabled`` (as mie) is pending; False if none can come."""


#: name: (bytes, sign-extended)
LOADS = {
    "lb": (1, True), "lh": (2, True), "lw": (4, True), "ld": (8, False),
    "lbu": (1, False), "lhu": (2, False), "lwu": (4, False),
}  # fmt: skip
STORES = {"sb": 1, "sh": 2, "sw": 4, "sd": 8}
_BLOCK = 6  # log2 of the bytes for which the hart knows whether it has decoded something there


class Hart:
    """One hart with the configuration ``core``, connected to ``system``.

    ``x``: the registers (x[0] is always 0); ``pc``: the next instruction; ``control``: privilege and CSRs;
    ``compartments`` and ``pointers``: the extension's state, None where it is left out.
    """

    def __init__(self, core: CoreConfig, system: System):
        self.system = system
        self.x = [0] * (DISCARD + 1)
        self.pc = core.reset_vector
        self.compartments: CompartmentState | None = None
        self.pointers: PointerState | None = None
        self.xfides: XfidesRegisters | None = None
        if core.xfides:
            if core.xfides.crossings == "monitor":
                raise ValueError("the model has the crossings of the contract, which no monitor judges")
            mark = StackMark()
            if core.xfides.compartments:
                self.compartments = CompartmentState(
                    core.xfides.compartments, core.xfides.shadow_stack_entries, mark
                )
            if core.xfides.fat_pointers:
                self.pointers = PointerState(self._table_read, self._table_write, mark)
            self.xfides = XfidesRegisters(core.xfides, self.compartments, self.pointers)
        self.control = ControlState(core, self.xfides, system.interrupts, system.time)
        #: True after a wfi that nothing can wake; cleared when an interrupt is pending.
        self.stalled = False
        #: Address of the last lr, until an sc; None: no reservation.
        self.reservation: int | None = None
        self._options = {
            "xfides": core.xfides is not None, "bitmanip": core.bitmanip, "zicond": core.zicond
        }  # fmt: skip
        # Decoded instructions that may be fetched, by privilege and address: (operation, pad or None, address
        # of the next one), and the blocks of memory that they are in.
        self._decoded: dict[int, dict[int, tuple]] = {MACHINE: {}, USER: {}}
        self._blocks: set[int] = set()
        self.refresh()

    # One instruction

    def step(self) -> None:
        """Execute one instruction, or take an interrupt or trap."""
        control = self.control
        if control.mie:
            interrupt = control.interrupt()
            if interrupt is not None:
                self.pc = control.enter(self.pc, interrupt)
                self.refresh()
                return
        pc = self.pc
        try:
            decoded = self._current.get(pc) or self._fetch(pc)
            operation, pad, following = decoded
            if self._check_compartments and (pad is not None or not self.compartments.home(pc)):
                self.compartments.execute(pc, pad, self.x[RA], self.x[SP])
            target = operation()
        except Trap as trap:
            self._trap(trap.cause, trap.value)
        except ControlFlowTrap as trap:
            self.xfides.comcause = trap.reason
            self._trap(ExceptionCause.CONTROL_FLOW, pc)
        except MemoryTrap as trap:
            self.xfides.comcause = trap.reason
            self._trap(ExceptionCause.MEMORY, trap.value)
        else:
            self.pc = following if target is None else target
            control.retired += 1

    def _trap(self, cause: ExceptionCause, value: int) -> None:
        self.pc = self.control.enter(self.pc, cause, value)
        self.refresh()

    def refresh(self) -> None:
        """Derive what depends on privilege and enable bits (contract, section 3).

        To be called when ``control`` or ``xfides`` was changed from outside.
        """
        control, xfides = self.control, self.xfides
        user = control.privilege == USER
        self._current = self._decoded[control.privilege]
        self._check_compartments = bool(user and xfides and xfides.compartments_enabled)
        self._check_pointers = bool(user and xfides and xfides.pointers_enabled)
        self._address_mask = MASK32 if self._check_pointers else MASK64
        self._data_machine = control.data_machine

    def flush(self, address: int | None = None, size: int = 4) -> None:
        """Forget decoded instructions: those that overlap ``size`` bytes at ``address``, or all."""
        if address is None:
            self._blocks.clear()
            for cache in self._decoded.values():
                cache.clear()
            return
        for pc in range((address & ~1) - 2, address + size, 2):
            for cache in self._decoded.values():
                cache.pop(pc, None)

    # Memory

    def _fetch(self, pc: int) -> tuple:
        bits = self._fetch_half(pc)
        following = pc + 2
        if not is_compressed(bits):
            bits |= self._fetch_half(pc + 2) << 16
            following = pc + 4
        operation, pad = self._decode(pc, bits, following)
        self._blocks |= {pc >> _BLOCK, following - 1 >> _BLOCK}
        decoded = self._current[pc] = operation, pad, following
        return decoded

    def _fetch_half(self, address: int) -> int:
        machine = self.control.privilege == MACHINE
        if address > MASK32 or not self.control.pmp.allows(address, 2, EXECUTE, machine):
            raise Trap(ExceptionCause.INSTRUCTION_ACCESS_FAULT, address)
        try:
            return self.system.fetch(address)
        except BusError:
            raise Trap(ExceptionCause.INSTRUCTION_ACCESS_FAULT, address) from None

    def _load(self, address: int, size: int) -> int:
        if address & size - 1:
            raise Trap(ExceptionCause.LOAD_MISALIGNED, address)
        return self._access_load(address, size, self._data_machine)

    def _access_load(self, address: int, size: int, machine: bool) -> int:
        if address > MASK32 or not self.control.pmp.allows(address, size, READ, machine):
            raise Trap(ExceptionCause.LOAD_ACCESS_FAULT, address)
        try:
            return self.system.load(address, size)
        except BusError:
            raise Trap(ExceptionCause.LOAD_ACCESS_FAULT, address) from None

    def _store(self, address: int, size: int, value: int) -> None:
        if address & size - 1:
            raise Trap(ExceptionCause.STORE_MISALIGNED, address)
        self._access_store(address, size, value, self._data_machine)

    def _access_store(self, address: int, size: int, value: int, machine: bool) -> None:
        if address > MASK32 or not self.control.pmp.allows(address, size, WRITE, machine):
            raise Trap(ExceptionCause.STORE_ACCESS_FAULT, address)
        try:
            self.system.store(address, size, value)
        except BusError:
            raise Trap(ExceptionCause.STORE_ACCESS_FAULT, address) from None
        # Visible to fetches at once; software may only rely on it after fence.i.
        if address >> _BLOCK in self._blocks:
            self.flush(address, size)

    def _load_reserved(self, address: int, size: int) -> int:
        value = self._load(address, size)
        self.reservation = address
        return value

    def _check_store(self, address: int, size: int) -> None:
        """What a store is checked for before it is made."""
        if address & size - 1:
            raise Trap(ExceptionCause.STORE_MISALIGNED, address)
        if address > MASK32 or not self.control.pmp.allows(address, size, WRITE, self._data_machine):
            raise Trap(ExceptionCause.STORE_ACCESS_FAULT, address)

    def _store_conditional(self, address: int, size: int, value: int) -> bool:
        """Whether it stored. One that may not store traps with or without a reservation."""
        self._check_store(address, size)
        reserved = self.reservation == address
        if reserved:
            self._access_store(address, size, value, self._data_machine)
        self.reservation = None
        return reserved

    def _atomic(self, address: int, size: int, function: Callable[[int, int], int], operand: int) -> int:
        """An AMO: the old value, sign-extended. Its faults are those of stores, the load's too."""
        self._check_store(address, size)  # before the load, which may have an effect
        bits = 8 * size
        try:
            old = sext(self._access_load(address, size, self._data_machine), bits)
        except Trap:
            raise Trap(ExceptionCause.STORE_ACCESS_FAULT, address) from None
        self._access_store(address, size, function(old, sext(operand, bits)), self._data_machine)
        return old

    # The table is accessed with M-mode's rights; mtval of a failing access is the one of a memory exception.

    def _check(self, pointer: int, offset: int, log2_bytes: int) -> int:
        try:
            return self.pointers.check(pointer, offset, log2_bytes)
        except Trap as trap:
            raise Trap(trap.cause, PointerState.add(pointer, offset)) from None

    def _mint(self, pointer: int, request: int) -> int:
        try:
            return self.pointers.mint(pointer, request)
        except Trap as trap:
            raise Trap(trap.cause, pointer) from None

    def _revoke(self, pointer: int) -> None:
        try:
            self.pointers.revoke(pointer)
        except Trap as trap:
            raise Trap(trap.cause, pointer) from None

    def _table_read(self, address: int) -> int:
        return self._access_load(address, 8, machine=True)

    def _table_write(self, address: int, value: int) -> None:
        self._access_store(address, 8, value, machine=True)

    # Decoding

    def _decode(self, pc: int, bits: int, following: int) -> tuple[Operation, tuple[int, PadKind] | None]:
        """The operation of the 16 or 32 ``bits`` at ``pc``, and what pad they are."""
        word = expand(bits) if following == pc + 2 else bits
        row = decode(word, **self._options) if word is not None else None
        operation = row and self._operation(row, pc, word, following)
        if operation is None:
            return self._illegal(bits), None
        return operation, pad_fields(word)

    @staticmethod
    def _illegal(word: int) -> Operation:
        def operation():
            raise Trap(ExceptionCause.ILLEGAL_INSTRUCTION, word)

        return operation

    def _operation(self, row: Instruction, pc: int, word: int, following: int) -> Operation | None:
        """The function that executes ``word`` at ``pc``, ``following`` for link registers; None when its
        fields are reserved."""
        x = self.x
        name = row.name
        rd = word >> 7 & 31 or DISCARD
        rs1, rs2 = word >> 15 & 31, word >> 20 & 31
        imm = sext(word >> 20, 12)
        match row.format:
            case Format.R if row.extension != "Xfides":
                function = REGISTER[name]

                def operation():
                    x[rd] = function(x[rs1], x[rs2]) & MASK64

            case Format.UNARY:
                single = UNARY[name]

                def operation():
                    x[rd] = single(x[rs1])

            case Format.I if name != "jalr":
                function = REGISTER[register_form(name)]

                def operation():
                    x[rd] = function(x[rs1], imm) & MASK64

            case Format.SHAMT6 | Format.SHAMT5:
                function, shift = REGISTER[register_form(name)], word >> 20 & 63

                def operation():
                    x[rd] = function(x[rs1], shift) & MASK64

            case Format.U:
                value = sext(word & 0xFFFFF000, 32) + (pc if name == "auipc" else 0) & MASK64

                def operation():
                    x[rd] = value

            case Format.LOAD:
                size, extend = LOADS[name]
                bits = 8 * size

                def operation():
                    value = self._load(x[rs1] + imm & self._address_mask, size)
                    x[rd] = sext(value, bits) if extend else value

            case Format.S:
                size = STORES[name]
                offset = sext(word >> 25 << 5 | word >> 7 & 31, 12)

                def operation():
                    self._store(x[rs1] + offset & self._address_mask, size, x[rs2])

            case Format.LR | Format.AMO:
                operation = self._atomic_operation(row, word)

            case Format.B:
                upper, lower = (
                    (word >> 31) << 12 | (word >> 7 & 1) << 11,
                    (word >> 25 & 63) << 5 | word >> 7 & 30,
                )
                offset = sext(upper | lower, 13)
                taken, target = BRANCHES[name], pc + offset & MASK64

                def operation():
                    if taken(x[rs1], x[rs2]):
                        return target

            case Format.J:
                upper, lower = (
                    (word >> 31) << 20 | word & 0xFF000,
                    (word >> 20 & 1) << 11 | word >> 20 & 0x7FE,
                )
                offset = sext(upper | lower, 21)
                target = pc + offset & MASK64

                def operation():
                    x[rd] = following
                    return target

            case Format.I:
                if word == RETURN:
                    return self._return

                def operation():
                    target = x[rs1] + imm & MASK64 & ~1
                    x[rd] = following
                    return target

            case Format.CSR | Format.CSRI:
                operation = self._csr_operation(row, word)
            case Format.FENCE:
                operation = self.flush if name == "fence.i" else _nothing
            case Format.NONE if row.extension != "Xfides":
                system = getattr(self, f"_{name}")  # ecall, ebreak, mret, wfi

                def operation():
                    return system(pc, word)

            case _:
                operation = self._xfides_operation(row, pc, word)
        return operation

    def _return(self) -> int:
        target = self.x[RA] & ~1
        if self._check_compartments:
            self.compartments.ret(target, self.x[SP])
        return target

    def _atomic_operation(self, row: Instruction, word: int) -> Operation:
        x = self.x
        rd, rs1, rs2 = word >> 7 & 31 or DISCARD, word >> 15 & 31, word >> 20 & 31
        kind, width = row.name.split(".")
        size = 4 if width == "w" else 8
        if kind == "lr":

            def operation():
                x[rd] = sext(self._load_reserved(x[rs1] & self._address_mask, size), 8 * size)

        elif kind == "sc":

            def operation():
                x[rd] = int(not self._store_conditional(x[rs1] & self._address_mask, size, x[rs2]))

        else:
            function = ATOMIC[kind]

            def operation():
                x[rd] = self._atomic(x[rs1] & self._address_mask, size, function, x[rs2])

        return operation

    def _ecall(self, pc: int, word: int) -> None:
        user = self.control.privilege == USER
        raise Trap(ExceptionCause.ECALL_FROM_U if user else ExceptionCause.ECALL_FROM_M)

    def _ebreak(self, pc: int, word: int) -> None:
        raise Trap(ExceptionCause.BREAKPOINT, pc)

    def _mret(self, pc: int, word: int) -> int:
        if self.control.privilege != MACHINE:
            raise Trap(ExceptionCause.ILLEGAL_INSTRUCTION, word)
        target = self.control.leave()
        self.refresh()
        return target

    def _wfi(self, pc: int, word: int) -> None:
        control = self.control
        if control.privilege == USER and control.timeout_wait:
            raise Trap(ExceptionCause.ILLEGAL_INSTRUCTION, word)
        if not control.pending() & control.mie:
            self.stalled = not self.system.wait(control.mie)

    def _csr_operation(self, row: Instruction, word: int) -> Operation:
        x, control = self.x, self.control
        number, source, rd = word >> 20, word >> 15 & 31, word >> 7 & 31
        immediate = row.format is Format.CSRI
        kind = row.name[4]  # csrrw, csrrs, csrrc and their immediate forms
        writes = kind == "w" or source != 0
        # A write to the PMP changes which decoded instructions may be fetched.
        protects = CSR.PMPCFG0 <= number < CSR.PMPADDR0 + 16

        def operation():
            operand = source if immediate else x[source]
            try:
                old = control.read(number)
                if writes:
                    new = operand if kind == "w" else old | operand if kind == "s" else old & ~operand
                    control.write(number, new)
            except KeyError:
                raise Trap(ExceptionCause.ILLEGAL_INSTRUCTION, word) from None
            x[rd or DISCARD] = old
            if protects:
                self.flush()
            self.refresh()

        return operation

    def _xfides_operation(self, row: Instruction, pc: int, word: int) -> Operation | None:
        x, name = self.x, row.name
        rd, rs1, rs2 = word >> 7 & 31 or DISCARD, word >> 15 & 31, word >> 20 & 31
        if name == "checkcap":
            # What a pad does, every instruction does: see step(). Pads are aligned (contract, section 5).
            return _nothing if pad_fields(word) and pc % 4 == 0 else None
        if name == "arm":

            def operation():
                if self._check_compartments:
                    self.compartments.arm(x[rs1], x[SP])

        elif name == "disarm":

            def operation():
                if self._check_compartments:
                    self.compartments.disarm()

        elif row.format is Format.VAL:
            log2_bytes = word >> 25 & 7

            def operation():
                if self._check_pointers:
                    x[rd] = self._check(x[rs1], x[rs2], log2_bytes)
                else:
                    x[rd] = PointerState.add(x[rs1], x[rs2])

        elif row.format is Format.VALI:
            log2_bytes, imm = word >> 7 & 31, sext(word >> 20, 12)

            def operation():
                if self._check_pointers:
                    self._check(x[rs1], imm, log2_bytes)

        elif name == "ptradd":

            def operation():
                x[rd] = PointerState.add(x[rs1], x[rs2])

        elif name == "mint":

            def operation():
                x[rd] = self._mint(x[rs1], x[rs2]) if self._check_pointers else x[rs1]

        elif name == "revoke":

            def operation():
                if self._check_pointers:
                    self._revoke(x[rs1])

        else:
            raise NotImplementedError(name)
        return operation


def _nothing() -> None:
    """fence, and landing pads at home."""
