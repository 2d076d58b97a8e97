"""The core in lockstep with Spike on random programs: ``python -m fides_core.flow.lockstep --seed 1
--programs 100``.

Every retired instruction is compared: address, word, privilege mode, register written, memory read and
written, trap; and through the handler's reads of the trap registers the causes. External interrupts are
raised at random times; timer and software interrupts come from the program. Spike is made to take an
interrupt where the core does.
"""

import argparse
import ctypes
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fides_core.config import Config, preset
from fides_core.errors import UserError
from fides_core.isa.instructions import instructions
from fides_core.soc.memory_map import BOOT_ROM, REGIONS
from fides_core.software.random_program import generate

from . import tools
from .elf import Program
from .simulation import BUILD_DIRECTORY, SPLIT_SIGNALS, generated_verilog
from .verilate import PublicSignal, build_library, report_to_stderr

__all__ = ["Lockstep", "LockstepOutcome", "FAULTS", "STALL_SEED", "lockstep_config", "main"]

_SIGNALS = (
    PublicSignal("main_memory", "words", writable=True),
    PublicSignal("tile.core.csr", "cause"),
    PublicSignal("tile.core.csr", "cause_interrupt"),
)

#: What the checker's own test can spoil in a report of the core; the order is that of ``Fault`` in
#: lockstep.cpp.
FAULTS = (
    "none", "pc", "instruction", "trap", "mode", "rd", "rd_value", "address", "store_value", "mask", "drop",
)  # fmt: skip

STALL_SEED = 1
DEFAULT_INSTRUCTIONS = 10_000
_INSTRUCTIONS_PER_BLOCK = 8  # of the program text, on average, handler included


class _Region(ctypes.Structure):
    _fields_ = [("base", ctypes.c_uint64), ("bytes", ctypes.c_uint64), ("writable", ctypes.c_uint32)]


class _Setup(ctypes.Structure):
    _fields_ = [
        ("names", ctypes.POINTER(ctypes.c_char_p)),
        ("memory_bytes", ctypes.c_uint64),
        ("pmp_entries", ctypes.c_uint32),
        ("devices", ctypes.POINTER(_Region)),
        ("device_count", ctypes.c_uint64),
        ("encodings", ctypes.POINTER(ctypes.c_uint32)),
        ("executed", ctypes.POINTER(ctypes.c_uint64)),
        ("encoding_count", ctypes.c_uint64),
    ]


class _Options(ctypes.Structure):
    _fields_ = [
        ("max_instructions", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("interrupt_period", ctypes.c_uint64),
        ("fault_at", ctypes.c_uint64),
        ("fault", ctypes.c_uint32),
    ]


class _Result(ctypes.Structure):
    _fields_ = [
        ("cycles", ctypes.c_uint64),
        ("instructions", ctypes.c_uint64),
        ("traps", ctypes.c_uint64),
        ("interrupts", ctypes.c_uint64),
        ("by_cause", ctypes.c_uint64 * 64),
        ("by_interrupt", ctypes.c_uint64 * 16),
        ("exited", ctypes.c_uint32),
        ("exit_code", ctypes.c_uint32),
        ("mismatch", ctypes.c_uint32),
    ]


@dataclass
class LockstepOutcome:
    """What runs did, added up. ``mismatch``: the report of the first difference, None without one.
    ``exits``: programs that reached their end; ``exit_code``: of the last program, None when it did not end.
    ``executed``: retirements by instruction name; ``causes`` and ``interrupts``: traps taken by number."""

    mismatch: str | None = None
    exit_code: int | None = None
    programs: int = 0
    exits: int = 0
    cycles: int = 0
    instructions: int = 0
    executed: Counter = field(default_factory=Counter)
    causes: Counter = field(default_factory=Counter)
    interrupts: Counter = field(default_factory=Counter)

    def add(self, other: "LockstepOutcome") -> None:
        """Add another run to this one."""
        self.mismatch = self.mismatch or other.mismatch
        self.exit_code = other.exit_code
        for name in ("programs", "exits", "cycles", "instructions"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("executed", "causes", "interrupts"):
            getattr(self, name).update(getattr(other, name))


def lockstep_config(name: str, stalls: bool) -> Config:
    """The verification build of preset ``name``, with or without random waits on the buses.

    Raises UserError for an unknown preset, and for one with Xfides, which Spike does not know.
    """
    try:
        config = preset(name)
    except ValueError as error:
        raise UserError(str(error)) from None
    if config.core.xfides:
        raise UserError(
            f"preset {name} has the Xfides extension, which the reference does not have: use base"
        )
    config = config.with_rvfi()
    return config.with_stalls(STALL_SEED) if stalls else config


class Lockstep:
    """The checker for one configuration. Make one with ``Lockstep.build``."""

    def __init__(self, config: Config, library: Path):
        self.config = config
        self._rows = instructions(xfides=False)
        loaded = ctypes.CDLL(str(library.absolute()))
        self._new, self._delete = loaded.lockstep_new, loaded.lockstep_delete
        self._write, self._run, self._report = (
            loaded.lockstep_write,
            loaded.lockstep_run,
            loaded.lockstep_report,
        )
        pointer = ctypes.c_void_p
        self._new.restype = pointer
        self._new.argtypes = [ctypes.POINTER(_Setup), ctypes.c_char_p, ctypes.c_size_t]
        self._delete.restype, self._delete.argtypes = None, [pointer]
        self._write.argtypes = [pointer, ctypes.c_uint64, ctypes.c_char_p, ctypes.c_uint64]
        self._run.restype = None
        self._run.argtypes = [pointer, ctypes.POINTER(_Options), ctypes.POINTER(_Result)]
        self._report.restype, self._report.argtypes = ctypes.c_char_p, [pointer]

        names = [text.encode() for signal in _SIGNALS for text in (signal.scope, signal.name)]
        encodings = [number for row in self._rows for number in (row.match, row.mask)]
        self._executed = (ctypes.c_uint64 * len(self._rows))()
        self._setup = _Setup(
            (ctypes.c_char_p * len(names))(*names),
            config.soc.memory_bytes,
            config.core.pmp_entries,
            (_Region * len(REGIONS))(*((r.base, r.size, r is not BOOT_ROM) for r in REGIONS)),
            len(REGIONS),
            (ctypes.c_uint32 * len(encodings))(*encodings),
            self._executed,
            len(self._rows),
        )

    @classmethod
    def build(
        cls,
        config: Config,
        *,
        directory: Path = BUILD_DIRECTORY,
        report: Callable[[str], None] = report_to_stderr,
    ) -> "Lockstep":
        """The checker for ``config`` (see ``lockstep_config``), built unless that was done before.

        Raises UserError when a tool is missing or the build fails.
        """
        spike = tools.spike_directory()
        directory = Path(directory, config.name)
        library = build_library(
            generated_verilog(config, directory / "rtl"),
            Path(__file__).with_name("lockstep.cpp"),
            _SIGNALS,
            directory,
            split=SPLIT_SIGNALS,
            kind="lockstep",
            # Spike's library was compiled with the old ABI of the C++ standard library.
            cflags=(f"-I{spike}/include", "-D_GLIBCXX_USE_CXX11_ABI=0"),
            ldflags=(f"-L{spike}/lib", "-lriscv", f"-Wl,-rpath,{spike}/lib"),
            report=report,
        )
        return cls(config, library)

    def run(self, seed: int, instructions: int = DEFAULT_INSTRUCTIONS, **options) -> LockstepOutcome:
        """Run the random program of ``seed``; the options are those of ``run_program``."""
        program = generate(seed, max(1, instructions // _INSTRUCTIONS_PER_BLOCK))
        return self.run_program(
            Program(program.segments, f"seed {seed}"),
            instructions,
            seed=seed,
            **{"interrupt_period": 300} | options,
        )

    def run_program(
        self,
        program: Program,
        instructions: int,
        *,
        seed: int = 1,
        interrupt_period: int = 0,
        fault: str = "none",
        fault_at: int = 0,
    ) -> LockstepOutcome:
        """Run ``program`` until it exits, and at most ``instructions`` instructions and traps of it.

        ``interrupt_period``: mean cycles between external interrupts, 0 for none; ``seed``: of their times.
        ``fault``, one of FAULTS: what of the core's first suitable report from number ``fault_at`` on is
        spoilt, to test the checker. Raises UserError when the program does not fit the main memory.
        """
        error = ctypes.create_string_buffer(400)
        ctypes.memset(self._executed, 0, ctypes.sizeof(self._executed))
        handle = self._new(self._setup, error, len(error))
        if not handle:
            raise RuntimeError(error.value.decode())
        try:
            for offset, data in program.segments:
                if self._write(handle, offset, data, len(data)):
                    raise UserError(f"{program.name} does not fit the main memory of {self.config.name}")
            options = _Options(instructions, seed, interrupt_period, fault_at, FAULTS.index(fault))
            result = _Result()
            self._run(handle, options, result)
            report = self._report(handle).decode(errors="replace")
        finally:
            self._delete(handle)
        executed = zip(self._rows, self._executed, strict=True)
        return LockstepOutcome(
            mismatch=report if result.mismatch else None,
            programs=1,
            exits=result.exited,
            exit_code=result.exit_code if result.exited else None,
            cycles=result.cycles,
            instructions=result.instructions,
            executed=Counter({row.name: count for row, count in executed if count}),
            causes=Counter({cause: count for cause, count in enumerate(result.by_cause) if count}),
            interrupts=Counter({cause: count for cause, count in enumerate(result.by_interrupt) if count}),
        )


def reproducer(preset_name: str, seed: int, instructions: int, stalls: bool) -> str:
    """The command line that runs one program again."""
    return shlex.join(
        [
            "python", "-m", "fides_core.flow.lockstep", "--preset", preset_name, "--seed", str(seed),
            "--programs", "1", "--instructions", str(instructions), "--stalls", "yes" if stalls else "no",
        ]
    )  # fmt: skip


def run_programs(
    preset_name: str,
    seed: int,
    programs: int,
    instructions: int,
    *,
    stalls: str = "both",
    seconds: float | None = None,
    report: Callable[[str], None] = report_to_stderr,
) -> LockstepOutcome:
    """Run ``programs`` programs, seeds counting up from ``seed``, until the first difference or for
    ``seconds``.

    ``stalls``: random waits on the buses, "yes", "no", or "both" for every other program. The outcome's
    ``mismatch`` names the seed and the command that shows it again. Raises UserError as ``lockstep_config``
    and ``Lockstep.build`` do.
    """
    kinds = {"yes": (True,), "no": (False,), "both": (False, True)}[stalls]
    checkers = [Lockstep.build(lockstep_config(preset_name, kind), report=report) for kind in kinds]
    total = LockstepOutcome()
    deadline = None if seconds is None else time.monotonic() + seconds
    for number in range(seed, seed + programs):
        which = number % len(kinds)
        outcome = checkers[which].run(number, instructions)
        total.add(outcome)
        if outcome.mismatch:
            again = reproducer(preset_name, number, instructions, kinds[which])
            total.mismatch = f"seed {number}: {outcome.mismatch}again: {again}"
            break
        if deadline is not None and time.monotonic() >= deadline:
            break
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns 0, 1 when core and reference differ, 2 when it cannot run."""
    parser = argparse.ArgumentParser(
        prog="python -m fides_core.flow.lockstep", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--preset", default="base", help="preset to verify (default: base)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first program (default: 1)")
    parser.add_argument("--programs", type=int, default=100, help="how many (default: 100)")
    parser.add_argument(
        "--instructions", type=int, default=DEFAULT_INSTRUCTIONS, help="per program, at most (default: 10000)"
    )
    parser.add_argument(
        "--stalls",
        choices=("yes", "no", "both"),
        default="both",
        help="random waits on the buses (default: both)",
    )
    options = parser.parse_args(arguments)
    start = time.monotonic()
    try:
        total = run_programs(
            options.preset, options.seed, options.programs, options.instructions, stalls=options.stalls
        )
    except UserError as error:
        print(f"lockstep: {error}", file=sys.stderr)
        return 2
    if total.mismatch:
        print(total.mismatch)
        return 1
    seconds = time.monotonic() - start
    exceptions, interrupts = sum(total.causes.values()), sum(total.interrupts.values())
    print(
        f"{total.programs} programs from seed {options.seed}: {total.instructions} instructions in "
        f"{total.cycles} cycles, {exceptions} exceptions, {interrupts} interrupts, "
        f"no difference ({seconds:.0f} s)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
