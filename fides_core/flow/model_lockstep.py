"""A core with Xfides in lockstep with the golden model, on random programs of compartments.

Every retired instruction is compared: address, word, privilege mode, all registers, memory read and written,
trap; and through the monitor's reads of CSRs the causes, the context, and the shadow stack. The model takes
an interrupt where the core does, and the cookies of new pointers from the core, whose values are not part of
the contract. How the core itself is driven is in retirement_log.cpp.
"""

import ctypes
import struct
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fides_core.config import Config
from fides_core.errors import UserError
from fides_core.isa.causes import ControlFlowFault, ExceptionCause, MemoryFault
from fides_core.isa.disassembler import disassemble
from fides_core.isa.instructions import BY_NAME
from fides_core.isa.xfides import PadKind, pad_fields
from fides_core.model.compartments import Crossing
from fides_core.model.control import USER
from fides_core.model.machine import BusError
from fides_core.model.platform import Platform
from fides_core.soc.checkers import describe_violation
from fides_core.software.random_compartments import generate_compartments

from .elf import Program
from .run_totals import RunTotals
from .simulation import BUILD_DIRECTORY, SPLIT_SIGNALS, generated_verilog
from .verilate import PublicSignal, build_library, report_to_stderr

__all__ = ["MANY_CROSSINGS", "ModelLockstep", "ModelOutcome", "SPOILT"]

MANY_CROSSINGS = 1000

_SIGNALS = (
    PublicSignal("main_memory", "words", writable=True),
    PublicSignal("tile.core.csr", "cause"),
    PublicSignal("tile.core.csr", "cause_interrupt"),
    PublicSignal("tile.core.security.shadow_stack", "depth"),
)
_RECORD = struct.Struct("<4Q2I6BH")
_BATCH = 4096  # records
_HISTORY = 16
_INTERRUPT_FLAG = 1 << 31
_EXITED, _STOPPED, _ORDER, _VIOLATION = 1, 2, 3, 4
_MINT = BY_NAME["mint"]

#: Fields of a record that a test can spoil, by place in it.
SPOILT = {
    "pc": 0, "rd_value": 1, "address": 2, "store_value": 3, "instruction": 4, "mode": 6, "rd": 7,
    "load_mask": 8, "store_mask": 9, "trap": 10,
}  # fmt: skip


class _Options(ctypes.Structure):
    _fields_ = [
        ("seed", ctypes.c_uint64),
        ("interrupt_period", ctypes.c_uint64),
        ("interrupt_at", ctypes.c_uint64),
    ]


@dataclass
class ModelOutcome(RunTotals):
    """What runs did, added up. ``causes`` are by name, those of Xfides by their reasons, ``interrupts`` by
    number; ``crossings``: by what the model calls them; ``interrupted``: those at whose instruction an
    interrupt was taken before; ``many_crossings``: programs with more than MANY_CROSSINGS;
    ``interrupted_unwinding``: interrupts between two pops of a handler pad."""

    many_crossings: int = 0
    interrupted_unwinding: int = 0
    crossings: Counter = field(default_factory=Counter)
    interrupted: Counter = field(default_factory=Counter)


class _Reference(Platform):
    """The golden model, with the last memory accesses of its hart, and interrupts when it is told to."""

    def __init__(self, config: Config):
        self.pending = 0
        self.loaded: tuple[int, int] | None = None  # address, bytes
        self.stored: tuple[int, int, int] | None = None  # and value
        super().__init__(config)

    def interrupts(self) -> int:
        return self.pending

    def load(self, address: int, size: int) -> int:
        self.loaded = address, size
        return super().load(address, size)

    def store(self, address: int, size: int, value: int) -> None:
        super().store(address, size, value)
        self.stored = address, size, value & (1 << 8 * size) - 1


class _Difference(Exception):
    """Core and model differ; the message says in what."""


class _Comparison:
    """Follows the records of one run."""

    def __init__(self, config: Config, program: Program):
        self.model = model = _Reference(config)
        model.load_segments(program.segments)
        self.outcome = ModelOutcome(programs=1)
        self.core = [0] * 32  # the registers that the core has reported
        self.trapped = False  # the last record was a trap
        self.history: deque = deque(maxlen=_HISTORY)
        self.crossed = Crossing.NONE
        self.interrupted_at: int | None = None  # the instruction before which the last interrupt was taken
        self._watch_crossings()

    def _watch_crossings(self) -> None:
        compartments = self.model.hart.compartments
        for name in ("execute", "ret"):
            method = getattr(compartments, name)

            def watched(*arguments, method=method):
                self.crossed = result = method(*arguments)
                return result

            setattr(compartments, name, watched)

    def follow(self, record: tuple) -> None:
        """Compare one record. Raises _Difference."""
        pc, rd_value, address, store_value, word, cause, *rest = record
        mode, rd, load_mask, store_mask, trap, intr, depth = rest
        model, hart, outcome = self.model, self.model.hart, self.outcome
        self.history.append((record, hart.pc))
        if intr and not self.trapped:
            if not cause & _INTERRUPT_FLAG:
                raise _Difference("rvfi_intr is set, but mcause is not an interrupt's")
            self._pop_to(depth)
            model.pending = 1 << (cause & 63)
            hart.step()
            model.pending = 0
            outcome.interrupts[cause & 63] += 1
            if hart.control.mcause >> 63 != 1 or hart.control.mcause & 63 != cause & 63:
                raise _Difference("the core took an interrupt that the model does not take here")
            self.interrupted_at = hart.control.mepc
        elif bool(intr) != self.trapped:
            raise _Difference("rvfi_intr is not set on the first instruction of a handler")
        if hart.pc != pc:
            raise _Difference(f"pc: the model is at {hart.pc:#x}")
        if hart.control.privilege != mode:
            raise _Difference(f"mode: the model's is {hart.control.privilege}")
        model.loaded = model.stored = None
        self.crossed = Crossing.NONE
        before = hart.control.retired
        hart.step()
        trapped = hart.control.retired == before
        if trapped != bool(trap):
            raise _Difference("only the model traps" if trapped else "only the core traps")
        self.trapped = trapped
        if trapped:
            self._count_fault()
            if rd or store_mask and hart.control.mcause != ExceptionCause.STORE_ACCESS_FAULT:
                raise _Difference("an instruction that traps has an effect")
            if hart.x[:32] != self.core:
                raise _Difference("the model's registers changed")
            return
        outcome.instructions += 1
        if self.crossed is not Crossing.NONE:
            outcome.crossings[self.crossed] += 1
            if self.interrupted_at == pc:
                outcome.interrupted[self.crossed] += 1
        if self.interrupted_at == pc:
            self.interrupted_at = None
        if rd:
            self.core[rd] = rd_value
        if word & _MINT.mask == _MINT.match and rd and mode == USER:
            self._take_cookie(rd, rd_value)
        if hart.x[:32] != self.core:
            number = next(i for i in range(32) if hart.x[i] != self.core[i])
            model_has, core_has = hart.x[number], self.core[number]
            raise _Difference(f"x{number}: the model has {model_has:#x}, the core {core_has:#x}")
        self._compare_memory(address, store_value, load_mask, store_mask)
        self._compare_word(pc, word)

    def _pop_to(self, depth: int) -> None:
        """Follow a handler pad that was interrupted between two of its pops, which stay (contract, section
        7). Raises _Difference when the stack is not as deep as the core's for another reason."""
        hart, state = self.model.hart, self.model.hart.compartments
        popped = False
        while state.ssdepth > depth:
            pad = pad_fields(self._word(hart.pc))
            top = state.entry(state.ssdepth - 1)
            mine = top.kind and (top.ra, top.sp) == (hart.pc, hart.x[2])
            if not pad or pad[1] is not PadKind.HANDLER or hart.control.privilege or mine:
                break
            state.ssdepth -= 1
            state.set_context(top.cid, top.restricted)
            state.mark.value = top.fmark
            popped = True
        if state.ssdepth != depth:
            raise _Difference(f"ssdepth: the model has {state.ssdepth}, the core {depth}")
        self.outcome.interrupted_unwinding += popped

    def _word(self, pc: int) -> int:
        """The instruction at ``pc``, 0 where none can be."""
        try:
            bits = self.model.fetch(pc)
            return bits | self.model.fetch(pc + 2) << 16 if bits & 3 == 3 else bits
        except BusError:
            return 0

    def _count_fault(self) -> None:
        control, xfides = self.model.hart.control, self.model.hart.xfides
        cause = ExceptionCause(control.mcause)
        reasons = {ExceptionCause.CONTROL_FLOW: ControlFlowFault, ExceptionCause.MEMORY: MemoryFault}
        fault = reasons[cause](xfides.comcause) if cause in reasons else cause
        self.outcome.causes[fault.name] += 1

    def _take_cookie(self, rd: int, value: int) -> None:
        """The cookie of the pointer that mint gave: the core's, unless it is none."""
        model, hart = self.model, self.model.hart
        cookie = value >> 32 & 0xFF
        if model.stored is None or not hart.xfides.pointers_enabled:
            return
        if not cookie:
            raise _Difference("mint gives the cookie 0")
        address, size, entry = model.stored
        entry = entry & ~0xFF | cookie
        Platform.store(model, address, size, entry)
        model.stored = address, size, entry
        hart.x[rd] = hart.x[rd] & ~(0xFF << 32) | cookie << 32

    def _compare_memory(self, address: int, value: int, load_mask: int, store_mask: int) -> None:
        model = self.model
        if store_mask:
            offset = (store_mask & -store_mask).bit_length() - 1
            size = store_mask.bit_count()
            stored = address + offset, size, value >> 8 * offset & (1 << 8 * size) - 1
            if stored != model.stored:
                raise _Difference(f"store: the model has {_access(model.stored)}, the core {_access(stored)}")
        else:
            if model.stored:
                raise _Difference(f"store: the model has {_access(model.stored)}, the core none")
            offset = (load_mask & -load_mask).bit_length() - 1
            loaded = (address + offset, load_mask.bit_count()) if load_mask else None
            if loaded != model.loaded:
                raise _Difference(f"load: the model has {_access(model.loaded)}, the core {_access(loaded)}")

    def _compare_word(self, pc: int, word: int) -> None:
        if (bits := self._word(pc)) != word:
            raise _Difference(f"instruction: memory has {bits:#x}")

    def report(self, why: str, cycles: int) -> str:
        """The difference with the last instructions."""
        lines = [f"{why} (cycle {cycles})", "the core's last instructions, and where the model was:"]
        for record, at in self.history:
            pc, rd_value, address, store_value, word, _, *rest = record
            mode, rd, load_mask, store_mask, trap, intr, _ = rest
            text = f"  {'U' if mode == USER else 'M'} {pc:#010x} {word:08x} {disassemble(word):34}"
            text += f" model {at:#010x}"
            text += f" x{rd}={rd_value:x}" if rd else ""
            text += f" load {load_mask:02x}[{address:x}]" if load_mask else ""
            text += f" store {store_mask:02x}[{address:x}]={store_value:x}" if store_mask else ""
            lines.append(text + " trap" * trap + " handler" * intr)
        hart = self.model.hart
        compartments, control = hart.compartments, hart.control
        lines.append(
            f"the model: context {compartments.context}, ssdepth {compartments.ssdepth}, ssbase "
            f"{compartments.ssbase}, fmark {compartments.mark.value:#x}, mcause {control.mcause:#x}, mepc "
            f"{control.mepc:#x}, mtval {control.mtval:#x}, comcause {hart.xfides.comcause}"
        )
        return "\n".join(lines) + "\n"


def _access(access: tuple | None) -> str:
    if access is None:
        return "none"
    address, size, *value = access
    return f"{size} bytes at {address:#x}" + (f" = {value[0]:#x}" if value else "")


class ModelLockstep:
    """The checker for one configuration with Xfides. Make one with ``ModelLockstep.build``."""

    def __init__(self, config: Config, library: Path):
        self.config = config
        self._library = loaded = ctypes.CDLL(str(library.absolute()))
        pointer, u64 = ctypes.c_void_p, ctypes.c_uint64
        declarations = {
            "new": (pointer, [ctypes.POINTER(ctypes.c_char_p), ctypes.POINTER(_Options), ctypes.c_char_p,
                              ctypes.c_size_t]),
            "delete": (None, [pointer]),
            "write": (ctypes.c_int, [pointer, u64, ctypes.c_char_p, u64]),
            "run": (u64, [pointer, pointer, u64]),
            "status": (ctypes.c_int, [pointer]),
            "cycles": (u64, [pointer]),
            "violation": (ctypes.c_uint, [pointer]),
        }  # fmt: skip
        for name, (result, arguments) in declarations.items():
            function = getattr(loaded, f"retirement_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, f"_{name}", function)
        names = [text.encode() for signal in _SIGNALS for text in (signal.scope, signal.name)]
        self._names = (ctypes.c_char_p * len(names))(*names)

    @classmethod
    def build(
        cls,
        config: Config,
        *,
        directory: Path = BUILD_DIRECTORY,
        report: Callable[[str], None] = report_to_stderr,
    ) -> "ModelLockstep":
        """The checker for ``config``, with its retirement port, built unless that was done before.

        Raises UserError when a tool is missing or the build fails.
        """
        directory = Path(directory, config.name)
        library = build_library(
            generated_verilog(config, directory / "rtl"),
            Path(__file__).with_name("retirement_log.cpp"),
            _SIGNALS,
            directory,
            split=SPLIT_SIGNALS,
            kind="retirement",
            report=report,
        )
        return cls(config, library)

    def run(self, seed: int, instructions: int, *, interrupt_period: int = 300, **options) -> ModelOutcome:
        """Run the random program of ``seed`` that executes about so many instructions; the options are those
        of ``run_program``."""
        program = generate_compartments(seed, self.config.core, self.config.soc.memory_bytes, instructions)
        return self.run_program(
            Program(program.segments, f"seed {seed}"),
            8 * instructions,
            seed=seed,
            interrupt_period=interrupt_period,
            **options,
        )

    def run_program(
        self,
        program: Program,
        instructions: int,
        *,
        seed: int = 1,
        interrupt_period: int = 0,
        interrupt_at: int = 0,
        spoil: str | None = None,
        spoil_at: int = 0,
    ) -> ModelOutcome:
        """Run ``program`` until it exits, and at most about ``instructions`` instructions and traps of it.

        ``interrupt_period``: mean cycles between external interrupts, 0 for none; ``seed``: of their times;
        ``interrupt_at``: the cycle of a single one.
        ``spoil``, one of SPOILT: this field is changed in every record from number ``spoil_at`` on in which
        it says something, to test the checker. Raises UserError when the program does not fit the memory.
        """
        error = ctypes.create_string_buffer(400)
        handle = self._new(self._names, _Options(seed, interrupt_period, interrupt_at), error, len(error))
        if not handle:
            raise RuntimeError(error.value.decode())
        comparison = _Comparison(self.config, program)
        outcome = comparison.outcome
        buffer = ctypes.create_string_buffer(_BATCH * _RECORD.size)
        number = 0
        try:
            for offset, data in program.segments:
                if self._write(handle, offset, data, len(data)):
                    raise UserError(f"{program.name} does not fit the main memory of {self.config.name}")
            while number < instructions and not self._status(handle):
                count = self._run(handle, buffer, _BATCH)
                for record in _RECORD.iter_unpack(buffer.raw[: count * _RECORD.size]):
                    if spoil and number >= spoil_at and _matters(record, spoil):
                        record = _spoilt(record, SPOILT[spoil])
                    comparison.follow(record)
                    number += 1
            status = self._status(handle)
            if status == _STOPPED:
                raise _Difference("the core has stopped retiring instructions")
            if status == _ORDER:
                raise _Difference("rvfi_order is not the number of the instruction")
            if status == _VIOLATION:
                raise _Difference(describe_violation(self._violation(handle)))
        except _Difference as difference:
            outcome.mismatch = comparison.report(str(difference), self._cycles(handle))
        finally:
            outcome.cycles = self._cycles(handle)
            outcome.exits = int(self._status(handle) == _EXITED)
            self._delete(handle)
        outcome.many_crossings = int(outcome.crossings.total() > MANY_CROSSINGS)
        return outcome


def _matters(record: tuple, name: str) -> bool:
    """Whether the field says something in this record."""
    stores, trap = record[SPOILT["store_mask"]], record[SPOILT["trap"]]
    if name in ("address", "store_value", "store_mask"):
        return bool(stores and not trap and record[SPOILT[name]])
    return bool(record[SPOILT[name]] and not (name == "load_mask" and (stores or trap)))


def _spoilt(record: tuple, place: int) -> tuple:
    return (*record[:place], record[place] ^ (1 << 3 if place < 4 else 1), *record[place + 1 :])
