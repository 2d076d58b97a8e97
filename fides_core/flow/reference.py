"""Spike alone: what programs do, without a core to compare with."""

import ctypes
import fcntl
import hashlib
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fides_core.config import Config
from fides_core.errors import UserError
from fides_core.isa.compressed import find_compressed
from fides_core.isa.instructions import instructions
from fides_core.soc.memory_map import CLINT, EXIT, UART

from . import tools

__all__ = ["ExecutionCounters", "Reference", "ReferenceOutcome", "SPIKE_CFLAGS", "reference_isa"]

#: Spike's library was compiled with the old ABI of the C++ standard library.
SPIKE_CFLAGS = ("-std=c++20", "-D_GLIBCXX_USE_CXX11_ABI=0")


def reference_isa(config: Config) -> str:
    """The ISA string for Spike: with event counters, whose registers read 0 in a core without."""
    isa = config.core.isa
    return isa if "zihpm" in isa else f"{isa}_zihpm"


class ExecutionCounters:
    """Counters of executed instructions, to be filled by C++ code (``coverage.h``)."""

    def __init__(self, config: Config):
        core = config.core
        self.rows = instructions(xfides=False, bitmanip=core.bitmanip, zicond=core.zicond)
        numbers = [number for row in self.rows for number in (row.match, row.mask)]
        self.encodings = (ctypes.c_uint32 * len(numbers))(*numbers)
        self.executed = (ctypes.c_uint64 * len(self.rows))()
        self.halfwords = (ctypes.c_uint64 * (1 << 16))()

    def clear(self) -> None:
        """Set all to 0."""
        ctypes.memset(self.executed, 0, ctypes.sizeof(self.executed))
        ctypes.memset(self.halfwords, 0, ctypes.sizeof(self.halfwords))

    def by_name(self) -> Counter:
        """Executions by name, of compressed instructions ("c.addi") too."""
        counts = Counter(
            {row.name: count for row, count in zip(self.rows, self.executed, strict=True) if count}
        )
        for halfword, count in enumerate(memoryview(self.halfwords).cast("B").cast("Q")):
            if count:
                counts[find_compressed(halfword).name] += count
        return counts


class _Setup(ctypes.Structure):
    _fields_ = [
        ("isa", ctypes.c_char_p),
        ("memory_bytes", ctypes.c_uint64),
        ("pmp_entries", ctypes.c_uint32),
        ("clint_base", ctypes.c_uint64),
        ("exit_base", ctypes.c_uint64),
        ("uart_base", ctypes.c_uint64),
        ("encodings", ctypes.POINTER(ctypes.c_uint32)),
        ("executed", ctypes.POINTER(ctypes.c_uint64)),
        ("encoding_count", ctypes.c_uint64),
        ("executed_halfwords", ctypes.POINTER(ctypes.c_uint64)),
    ]


class _Result(ctypes.Structure):
    _fields_ = [
        ("instructions", ctypes.c_uint64),
        ("user_instructions", ctypes.c_uint64),
        ("traps", ctypes.c_uint64),
        ("taken_branches", ctypes.c_uint64),
        ("by_cause", ctypes.c_uint64 * 64),
        ("by_interrupt", ctypes.c_uint64 * 16),
        ("store_conditional", ctypes.c_uint64 * 2),
        ("digest", ctypes.c_uint64),
        ("exited", ctypes.c_uint32),
        ("exit_code", ctypes.c_uint32),
    ]


@dataclass(frozen=True)
class ReferenceOutcome:
    """``exit_code``: None when the program did not end. ``executed``: instructions by name; ``causes`` and
    ``interrupts``: traps by number; ``store_conditional``: how many succeeded and how many failed;
    ``digest``: a number that depends on all that was executed; ``uart``: every byte sent."""

    exit_code: int | None
    instructions: int
    user_instructions: int
    taken_branches: int
    executed: Counter
    causes: Counter
    interrupts: Counter
    store_conditional: tuple[int, int]
    digest: int
    uart: bytes


class Reference:
    """Spike for one configuration, built into ``directory`` unless it is there.

    Raises UserError when a tool is missing, or when it cannot be built.
    """

    def __init__(self, config: Config, directory: Path | None = None):
        self.config = config
        library = ctypes.CDLL(str(_build(directory or tools.ROOT / "build" / "reference")))
        pointer, u64 = ctypes.c_void_p, ctypes.c_uint64
        self._new, self._delete = library.reference_new, library.reference_delete
        self._write, self._run = library.reference_write, library.reference_run
        self._output = library.reference_output
        self._new.restype, self._new.argtypes = pointer, [ctypes.POINTER(_Setup)]
        self._delete.restype, self._delete.argtypes = None, [pointer]
        self._write.argtypes = [pointer, u64, ctypes.c_char_p, u64]
        self._run.restype, self._run.argtypes = None, [pointer, u64, u64, u64, ctypes.POINTER(_Result)]
        self._output.restype, self._output.argtypes = u64, [pointer, ctypes.c_char_p, u64]
        self._counters = ExecutionCounters(config)
        #: The 32-bit instructions that are counted.
        self.rows = self._counters.rows
        self._setup = _Setup(
            reference_isa(config).encode(),
            config.soc.memory_bytes,
            config.core.pmp_entries,
            CLINT.base,
            EXIT.base,
            UART.base,
            self._counters.encodings,
            self._counters.executed,
            len(self._counters.rows),
            self._counters.halfwords,
        )

    def run(
        self,
        segments: Iterable[tuple[int, bytes]],
        most_instructions: int,
        *,
        seed: int = 1,
        interrupt_period: int = 0,
    ) -> ReferenceOutcome:
        """Run the program in ``segments``, (offset in main memory, contents), until it exits, at most so many
        instructions and traps. ``interrupt_period``: mean instructions between external interrupts, 0 for
        none; ``seed``: of their times. Raises UserError when it does not fit the memory."""
        self._counters.clear()
        handle = self._new(self._setup)
        if not handle:
            raise RuntimeError("Spike does not take this configuration")
        try:
            for offset, contents in segments:
                if self._write(handle, offset, contents, len(contents)):
                    raise UserError("the program does not fit the main memory")
            result = _Result()
            self._run(handle, most_instructions, seed, interrupt_period, result)
            uart = ctypes.create_string_buffer(self._output(handle, None, 0))
            self._output(handle, uart, len(uart))
        finally:
            self._delete(handle)
        return ReferenceOutcome(
            exit_code=result.exit_code if result.exited else None,
            instructions=result.instructions,
            user_instructions=result.user_instructions,
            taken_branches=result.taken_branches,
            executed=self._counters.by_name(),
            causes=Counter({cause: count for cause, count in enumerate(result.by_cause) if count}),
            interrupts=Counter({cause: count for cause, count in enumerate(result.by_interrupt) if count}),
            store_conditional=tuple(result.store_conditional),
            digest=result.digest,
            uart=uart.raw,
        )


def _build(directory: Path) -> Path:
    spike, folder = tools.spike_directory(), Path(__file__).parent
    sources = [folder / name for name in ("reference.cpp", "spike_model.h", "coverage.h")]
    flags = ["-O2", "-fPIC", "-shared", *SPIKE_CFLAGS, f"-I{spike}/include", f"-L{spike}/lib"]
    flags += [f"-Wl,-rpath,{spike}/lib"]
    key = hashlib.sha256(repr(flags).encode())
    for source in sources:
        key.update(source.read_bytes())
    directory.mkdir(parents=True, exist_ok=True)
    library = (directory / f"reference-{key.hexdigest()[:16]}.so").absolute()
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            for old in directory.glob("reference-*.so"):
                old.unlink()
            command = [str(tools.find("g++")), *flags, "-o", f"{library}.new", str(sources[0]), "-lriscv"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise UserError(f"cannot build the reference: {done.stderr.strip()[:400]}")
            Path(f"{library}.new").rename(library)
    return library
