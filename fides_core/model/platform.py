"""The reference SoC around the hart: memory, devices, ELF loading (contract, section 10; soc.memory_map)."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from ..config import Config
from ..isa.causes import InterruptCause
from ..isa.compressed import is_compressed
from ..isa.encode import encode
from ..soc.boot_loader import check_power_up_image, loader_words
from ..soc.memory_map import BOOT_ROM, CLINT, EXIT, MAIN_MEMORY_BASE, UART, UartRegister
from .machine import DISCARD, BusError, Hart

__all__ = ["Outcome", "Platform", "boot_rom_words"]

WORD = (1 << 32) - 1
MASK64 = (1 << 64) - 1


@dataclass(frozen=True)
class Outcome:
    """How a run ended. ``exit_code``: what the program stored to the exit device, None when it did not end;
    ``instructions``: retired since reset; ``uart``: transmitted since reset; ``pc``: the next instruction."""

    exit_code: int | None
    instructions: int
    uart: bytes
    pc: int


def boot_rom_words(hart_id: int) -> list[int]:
    """The boot ROM: to main memory with a0 = ``hart_id``, a1 = 0 and t1 = 0x8000_0000."""
    a0, a1, t1 = 10, 11, 6
    return [
        encode("addi", rd=a0, imm=hart_id),
        encode("addi", rd=a1),
        encode("addi", rd=t1, imm=1),
        encode("slli", rd=t1, rs1=t1, imm=31),
        encode("jalr", rs1=t1),
        encode("addi"),
    ]


class _Uart:
    """Shakti's register layout, repeated every 16 bytes. Transmits at once; receives from ``received``."""

    def __init__(self, divisor: int, received: bytes, transmit: Callable[[int], None]):
        self._baud = divisor
        self.received = deque(received)
        self._transmit = transmit

    def read(self, offset: int) -> int:
        offset %= 16
        if offset == UartRegister.BAUD:
            return self._baud
        if offset == UartRegister.RECEIVE:
            return self.received.popleft() if self.received else 0
        if offset == UartRegister.STATUS:
            waiting = UartRegister.STATUS_RX_NOT_EMPTY if self.received else 0
            return UartRegister.STATUS_TX_EMPTY | waiting
        return 0

    def write(self, offset: int, value: int, mask: int) -> None:
        offset %= 16
        if offset == UartRegister.BAUD and mask & 0xFF:
            self._baud = value & 0xFFFF or 1
        elif offset == UartRegister.TRANSMIT and mask & 0xFF:
            self._transmit(value & 0xFF)


class _Clint:
    """Core-local interruptor: msip, mtimecmp, mtime. ``ticks()``: what mtime counts."""

    MSIP, MTIMECMP, MTIME = 0x0, 0x4000, 0xBFF8

    def __init__(self, ticks: Callable[[], int]):
        self._ticks = ticks
        self._offset = 0
        self.msip = 0
        self.mtimecmp = MASK64

    @property
    def mtime(self) -> int:
        return self._ticks() + self._offset & MASK64

    @mtime.setter
    def mtime(self, value: int) -> None:
        self._offset = value - self._ticks()

    def read(self, offset: int) -> int:
        registers = {self.MSIP: self.msip, self.MTIMECMP: self.mtimecmp, self.MTIME: self.mtime}
        value = registers.get(offset & ~7, 0)
        return value >> (32 if offset & 4 else 0) & WORD

    def write(self, offset: int, value: int, mask: int) -> None:
        shift = 32 if offset & 4 else 0
        value, mask = value << shift, mask << shift
        match offset & ~7:
            case self.MSIP:
                self.msip = (self.msip & ~mask | value & mask) & 1
            case self.MTIMECMP:
                self.mtimecmp = self.mtimecmp & ~mask | value & mask
            case self.MTIME:
                self.mtime = self.mtime & ~mask | value & mask


class _Exit:
    """A store to its first word ends the run."""

    def __init__(self, end: Callable[[int], None]):
        self._end = end

    def read(self, offset: int) -> int:
        return 0

    def write(self, offset: int, value: int, mask: int) -> None:
        if offset == 0:
            self._end(value & mask)


class Platform:
    """A hart with ``config`` in the reference SoC.

    ``image``: contents of the main memory after power-up, from its first byte on (``FidesSoC`` has the rules
    and the ValueErrors); ``uart_input``: what the UART receives; ``on_transmit(byte)``: called for each byte
    sent;
    ``instructions_per_tick``: mtime counts once in so many retired instructions. The attribute
    ``external_interrupt`` is the level of mip.MEIP.
    """

    def __init__(
        self,
        config: Config,
        *,
        image: bytes | None = None,
        uart_input: bytes = b"",
        on_transmit: Callable[[int], None] | None = None,
        instructions_per_tick: int = 1,
    ):
        self.config = config
        memory_bytes, hart_id = config.soc.memory_bytes, config.core.hart_id
        if image is not None:
            check_power_up_image(image, config.soc)
        self.memory = bytearray((image or b"").ljust(memory_bytes, b"\0"))
        if config.soc.boot == "uart":
            words = loader_words(hart_id, memory_bytes, has_image=image is not None)
        else:
            words = boot_rom_words(hart_id)
        code = b"".join(word.to_bytes(4, "little") for word in words)
        self.rom = code.ljust(BOOT_ROM.size, b"\0")
        self.uart_output = bytearray()
        self.exit_code: int | None = None
        self.external_interrupt = False
        self._on_transmit = on_transmit
        self._instructions_per_tick = instructions_per_tick
        self.clint = _Clint(self._ticks)
        self._uart = _Uart(config.soc.uart_divisor, uart_input, self._transmit)
        self._devices = [
            (UART, self._uart),
            (CLINT, self.clint),
        ]
        if config.soc.simulation_exit:
            self._devices.append((EXIT, _Exit(self._end)))
        self.hart = Hart(config.core, self)

    def _ticks(self) -> int:
        return self.hart.control.retired // self._instructions_per_tick

    def _transmit(self, byte: int) -> None:
        self.uart_output.append(byte)
        if self._on_transmit:
            self._on_transmit(byte)

    def _end(self, code: int) -> None:
        self.exit_code = code

    # The hart's side (machine.System)

    def fetch(self, address: int) -> int:
        """A halfword of an instruction; only the boot ROM and main memory can be executed."""
        if address < MAIN_MEMORY_BASE:
            offset, memory = address - BOOT_ROM.base, self.rom
        else:
            offset, memory = address - MAIN_MEMORY_BASE, self.memory
        if not 0 <= offset <= len(memory) - 2:
            raise BusError(address)
        return int.from_bytes(memory[offset : offset + 2], "little")

    def load(self, address: int, size: int) -> int:
        """``size`` bytes, zero-extended. Raises BusError where nothing answers."""
        offset = address - MAIN_MEMORY_BASE
        if offset >= 0:
            if offset + size > len(self.memory):
                raise BusError(address)
            return int.from_bytes(self.memory[offset : offset + size], "little")
        offset = address - BOOT_ROM.base
        if 0 <= offset < len(self.rom):
            return int.from_bytes(self.rom[offset : offset + size], "little")
        device, offset = self._device(address)
        value = device.read(offset & ~3)
        if size == 8:
            value |= device.read(offset + 4) << 32
        return value >> 8 * (offset & 3) & (1 << 8 * size) - 1

    def store(self, address: int, size: int, value: int) -> None:
        """Store the low ``size`` bytes. Raises BusError where nothing answers, and for the boot ROM."""
        offset = address - MAIN_MEMORY_BASE
        if offset >= 0:
            if offset + size > len(self.memory):
                raise BusError(address)
            self.memory[offset : offset + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
            return
        device, offset = self._device(address)
        mask = (1 << 8 * min(size, 4)) - 1
        shift = 8 * (offset & 3)
        device.write(offset & ~3, (value & mask) << shift, mask << shift)
        if size == 8:
            device.write(offset + 4, value >> 32 & WORD, WORD)

    def _device(self, address: int):
        for region, device in self._devices:
            if region.base <= address < region.base + region.size:
                return device, address - region.base
        raise BusError(address)

    def interrupts(self) -> int:
        """mip."""
        return (
            self.clint.msip << InterruptCause.SOFTWARE
            | (self.clint.mtime >= self.clint.mtimecmp) << InterruptCause.TIMER
            | self.external_interrupt << InterruptCause.EXTERNAL
        )

    def time(self) -> int:
        """mtime."""
        return self.clint.mtime

    def wait(self, enabled: int) -> bool:
        """Only the timer can end a wait: mtime jumps to mtimecmp. False when it is not enabled."""
        if not enabled >> InterruptCause.TIMER & 1 or self.clint.mtimecmp == MASK64:
            return False
        self.clint.mtime = self.clint.mtimecmp
        return True

    # The user's side

    def receive(self, data: bytes) -> None:
        """More that the UART receives."""
        self._uart.received.extend(data)

    def load_elf(self, path: str | Path) -> None:
        """Copy the loadable segments of a RISC-V ELF to their physical addresses.

        Raises OSError when it cannot be read, ValueError when it is no RV64 ELF or does not fit main memory.
        """
        with open(path, "rb") as file:
            try:
                elf = ELFFile(file)
                machine, bits = elf["e_machine"], elf.elfclass
                segments = []
                for segment in elf.iter_segments("PT_LOAD"):
                    if len(data := segment.data()) != segment["p_filesz"]:
                        raise ValueError("it ends inside a segment")
                    if segment["p_memsz"]:
                        segments.append((segment["p_paddr"], segment["p_memsz"], data))
            except (ELFError, UnicodeDecodeError, KeyError, IndexError, TypeError, ValueError) as error:
                raise ValueError(f"{path}: not an ELF file, or a damaged one ({error})") from None
        if machine != "EM_RISCV" or bits != 64 or not elf.little_endian:
            raise ValueError(f"{path}: an ELF for {machine}, {bits} bits, not for a little-endian RV64")
        if not segments:
            raise ValueError(f"{path}: nothing to load")
        limit = MAIN_MEMORY_BASE + len(self.memory)
        for address, size, _ in segments:
            if not MAIN_MEMORY_BASE <= address <= address + size <= limit:
                raise ValueError(
                    f"{path}: segment {address:#x}..{address + size:#x} is outside main memory "
                    f"{MAIN_MEMORY_BASE:#x}..{limit:#x}"
                )
        self.load_segments(
            (address - MAIN_MEMORY_BASE, data.ljust(size, b"\0")) for address, size, data in segments
        )

    def load_segments(self, segments: Iterable[tuple[int, bytes]]) -> None:
        """Copy each (offset in bytes from the start of the main memory, contents) there."""
        for offset, data in segments:
            self.memory[offset : offset + len(data)] = data
        self.hart.flush()

    def outcome(self) -> Outcome:
        """The state as an :class:`Outcome`."""
        return Outcome(self.exit_code, self.hart.control.retired, bytes(self.uart_output), self.hart.pc)

    def run(self, max_instructions: int | None = None, trace: Callable[[str], None] | None = None) -> Outcome:
        """Run until the program ends, a wfi that nothing can end, or ``max_instructions`` more steps.

        A step is an instruction or a trap. ``trace(line)`` is called after each: mode, pc, instruction (4 or
        8 hexadecimal digits), and the registers that changed.
        """
        hart = self.hart
        step = hart.step
        hart.stalled = False
        remaining = max_instructions if max_instructions is not None else -1
        while self.exit_code is None and not hart.stalled and remaining:
            if trace:
                self._traced_step(trace)
            else:
                step()
            remaining -= 1
        return self.outcome()

    def _traced_step(self, trace: Callable[[str], None]) -> None:
        hart, control = self.hart, self.hart.control
        pc, before, retired = hart.pc, list(hart.x), control.retired
        mode = "M" if control.privilege else "U"
        hart.step()
        if control.retired == retired:
            trace(f"{mode} {pc:#010x} trap cause {control.mcause:#x} mtval {control.mtval:#x}")
            return
        changed = (f"x{n}={hart.x[n]:#x}" for n in range(DISCARD) if hart.x[n] != before[n])
        bits = self.fetch(pc)
        code = f"{bits:04x}" if is_compressed(bits) else f"{self.fetch(pc + 2) << 16 | bits:08x}"
        trace(f"{mode} {pc:#010x} {code} {' '.join(changed)}".rstrip())
