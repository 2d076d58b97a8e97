"""The core in lockstep with a reference on random programs: ``python -m fides_core.flow.lockstep --seed 1
--programs 100``, or ``fides lockstep``. The reference is Spike, or for presets with Xfides the golden model
(``model_lockstep``).

Every retired instruction is compared: address, word, privilege mode, register written, memory read and
written, trap; and through the handler's reads of the trap registers the causes. External interrupts are
raised at random times; timer and software interrupts come from the program. Spike is made to take an
interrupt where the core does, and lose a reservation where the core does.
"""

import argparse
import ctypes
import multiprocessing
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fides_core.config import CacheConfig, Config, PredictorConfig, XfidesConfig, preset
from fides_core.errors import UserError
from fides_core.soc.memory_map import BOOT_ROM, REGIONS
from fides_core.software.random_program import generate

from . import tools
from .elf import Program
from .model_lockstep import MANY_CROSSINGS, ModelLockstep, ModelOutcome
from .reference import SPIKE_CFLAGS, ExecutionCounters, reference_isa
from .run_totals import RunTotals
from .simulation import BUILD_DIRECTORY, SPLIT_SIGNALS, generated_verilog
from .verilate import PublicSignal, build_library, report_to_stderr

__all__ = [
    "FAULTS", "VARIANTS", "Lockstep", "LockstepOutcome", "build_checker", "lockstep_config", "main",
    "run_programs", "variants_of",
]  # fmt: skip

_SIGNALS = (
    PublicSignal("main_memory", "words", writable=True),
    PublicSignal("tile.core.csr", "cause"),
    PublicSignal("tile.core.csr", "cause_interrupt"),
)

#: What the checker's own test can spoil in a report of the core; the order is that of ``Fault`` in
#: lockstep.cpp.
FAULTS = (
    "none", "pc", "instruction", "trap", "mode", "rd", "rd_value", "address", "store_value", "mask", "drop",
    "success",
)  # fmt: skip

DEFAULT_INSTRUCTIONS = 100_000
_STALL_SEED = 1
_MOST_INSTRUCTIONS = 8  # times the instructions asked for: a program that is still running then is stopped

_SMALL_CACHE = CacheConfig(size=1 << 10, ways=1, line=16)
_WIDE_CACHE = CacheConfig(ways=4, line=64)

#: Verification variants by name: changes to the core of a preset. "stalls" has random waits on its buses.
VARIANTS: dict[str, dict] = {
    "plain": {},
    "stalls": {},
    "small": {
        "icache": _SMALL_CACHE,
        "dcache": _SMALL_CACHE,
        "predictor": PredictorConfig(btb_entries=128, history=4, counters=512, return_stack=2),
    },
    "wide": {"icache": _WIDE_CACHE, "dcache": _WIDE_CACHE},
    "nopredict": {"predictor": None},
    "pmp16": {"pmp_entries": 16},
    "pmp0": {"pmp_entries": 0},
    "few": {"xfides": XfidesConfig(compartments=16, shadow_stack_entries=16)},
}
# Those of presets without caches and predictor, and those that have something to do with Xfides.
_SIMPLE_VARIANTS = ("plain", "stalls", "few")
_XFIDES_VARIANTS = ("plain", "stalls", "small", "few")


class _Region(ctypes.Structure):
    _fields_ = [("base", ctypes.c_uint64), ("bytes", ctypes.c_uint64), ("writable", ctypes.c_uint32)]


class _Setup(ctypes.Structure):
    _fields_ = [
        ("names", ctypes.POINTER(ctypes.c_char_p)),
        ("isa", ctypes.c_char_p),
        ("memory_bytes", ctypes.c_uint64),
        ("pmp_entries", ctypes.c_uint32),
        ("hpm_counters", ctypes.c_uint32),
        ("devices", ctypes.POINTER(_Region)),
        ("device_count", ctypes.c_uint64),
        ("encodings", ctypes.POINTER(ctypes.c_uint32)),
        ("executed", ctypes.POINTER(ctypes.c_uint64)),
        ("encoding_count", ctypes.c_uint64),
        ("executed_halfwords", ctypes.POINTER(ctypes.c_uint64)),
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
        ("store_conditional", ctypes.c_uint64 * 2),
        ("exited", ctypes.c_uint32),
        ("exit_code", ctypes.c_uint32),
        ("mismatch", ctypes.c_uint32),
    ]


@dataclass
class LockstepOutcome(RunTotals):
    """What runs did, added up. ``exit_code``: of the last program, None when it did not end; ``executed``:
    retirements by instruction name; ``causes`` and ``interrupts`` are by number; ``store_conditional``: sc by
    success."""

    exit_code: int | None = None
    executed: Counter = field(default_factory=Counter)
    store_conditional: Counter = field(default_factory=Counter)

    def add(self, other: "LockstepOutcome") -> None:
        """Add another run to this one."""
        super().add(other)
        self.exit_code = other.exit_code


def _preset(name: str) -> Config:
    try:
        return preset(name)
    except ValueError as error:
        raise UserError(str(error)) from None


def variants_of(name: str) -> tuple[str, ...]:
    """The verification variants of preset ``name``. Raises UserError for an unknown one, and for one that
    nothing can be beside."""
    core = _preset(name).core
    if core.xfides and core.xfides.crossings == "monitor":
        raise UserError(f"preset {name} crosses in software, which no reference does: docs/ablation.md")
    variants = [variant for variant in VARIANTS if core.icache or variant in _SIMPLE_VARIANTS]
    if core.xfides:
        return tuple(variant for variant in variants if variant in _XFIDES_VARIANTS)
    return tuple(variant for variant in variants if variant != "few")


def lockstep_config(name: str, variant: str = "plain") -> Config:
    """The verification build of preset ``name``, changed as ``VARIANTS`` says.

    Raises UserError for an unknown preset, and for a variant that the preset does not have.
    """
    config = _preset(name)
    if variant not in variants_of(name):
        raise UserError(f"preset {name} has no variant {variant}; there are {', '.join(variants_of(name))}")
    config = replace(config.with_rvfi(), soc=replace(config.soc, axi_checker=True))
    if variant == "stalls":
        return config.with_stalls(_STALL_SEED)
    if variant == "plain":
        return config
    return replace(
        config, name=f"{config.name}_{variant}", core=replace(config.core, **VARIANTS[variant])
    )


class Lockstep:
    """The checker for one configuration. Make one with ``Lockstep.build``."""

    def __init__(self, config: Config, library: Path):
        self.config = config
        self._counters = counters = ExecutionCounters(config)
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
        self._setup = _Setup(
            (ctypes.c_char_p * len(names))(*names),
            reference_isa(config).encode(),
            config.soc.memory_bytes,
            config.core.pmp_entries,
            config.core.hpm_counters,
            (_Region * len(REGIONS))(*((r.base, r.size, r is not BOOT_ROM) for r in REGIONS)),
            len(REGIONS),
            counters.encodings,
            counters.executed,
            len(counters.rows),
            counters.halfwords,
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
            cflags=(f"-I{spike}/include", *SPIKE_CFLAGS),
            ldflags=(f"-L{spike}/lib", "-lriscv", f"-Wl,-rpath,{spike}/lib"),
            report=report,
        )
        return cls(config, library)

    def run(self, seed: int, instructions: int = DEFAULT_INSTRUCTIONS, **options) -> LockstepOutcome:
        """Run the random program of ``seed`` that executes about so many instructions; the options are those
        of ``run_program``."""
        program = generate(seed, self.config.core, self.config.soc.memory_bytes, instructions)
        return self.run_program(
            Program(program.segments, f"seed {seed}"),
            _MOST_INSTRUCTIONS * instructions,
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
        self._counters.clear()
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
        succeeded, failed = result.store_conditional
        return LockstepOutcome(
            mismatch=report if result.mismatch else None,
            programs=1,
            exits=result.exited,
            exit_code=result.exit_code if result.exited else None,
            cycles=result.cycles,
            instructions=result.instructions,
            executed=self._counters.by_name(),
            causes=Counter({cause: count for cause, count in enumerate(result.by_cause) if count}),
            interrupts=Counter({cause: count for cause, count in enumerate(result.by_interrupt) if count}),
            store_conditional=Counter({True: succeeded, False: failed}),
        )


def build_checker(
    config: Config, report: Callable[[str], None] = report_to_stderr
) -> "Lockstep | ModelLockstep":
    """The checker for ``config`` (see ``lockstep_config``), against the reference that knows it. Raises
    UserError as its ``build`` does."""
    return (ModelLockstep if config.core.xfides else Lockstep).build(config, report=report)


def _reproducer(preset_name: str, variant: str, seed: int, instructions: int) -> str:
    """The command line that runs one program again."""
    return shlex.join(
        [
            "python", "-m", "fides_core.flow.lockstep", "--preset", preset_name, "--variant", variant,
            "--seed", str(seed), "--programs", "1", "--instructions", str(instructions), "--jobs", "1",
        ]
    )  # fmt: skip


def _silent(text: str) -> None:
    """For processes beside the one that reports."""


@dataclass
class _Work:
    """What one process does: programs ``first``, ``first + step``... below ``end`` of one build."""

    preset_name: str
    variant: str
    first: int
    end: int
    step: int
    instructions: int
    seconds: float | None

    def run(self, stop, results) -> None:
        """Puts an outcome for every program on the queue ``results``, then None; ends early when the event
        ``stop`` is set or the time is over."""
        try:
            deadline = None if self.seconds is None else time.monotonic() + self.seconds
            checker = build_checker(lockstep_config(self.preset_name, self.variant), _silent)
            for seed in range(self.first, self.end, self.step):
                if stop.is_set() or (deadline is not None and time.monotonic() >= deadline):
                    break
                outcome = checker.run(seed, self.instructions)
                if outcome.mismatch:
                    again = _reproducer(self.preset_name, self.variant, seed, self.instructions)
                    outcome.mismatch = (
                        f"{self.preset_name} {self.variant}, seed {seed}: {outcome.mismatch}again: {again}"
                    )
                results.put(outcome)
                if outcome.mismatch:
                    break
        except Exception as error:
            results.put(UserError(f"lockstep of {self.preset_name} {self.variant}: {error}"))
        results.put(None)


def run_programs(
    preset_name: str,
    seed: int,
    programs: int,
    instructions: int = DEFAULT_INSTRUCTIONS,
    *,
    variant: str = "plain",
    jobs: int = 1,
    seconds: float | None = None,
    report: Callable[[str], None] = report_to_stderr,
    progress_seconds: float = 15.0,
) -> "LockstepOutcome | ModelOutcome":
    """Run ``programs`` programs of about ``instructions`` instructions each on one variant of a preset, in
    ``jobs`` processes, until the first difference.

    Seeds count up from ``seed``. ``seconds``: no program is started after so many. ``report`` gets a line of
    progress every ``progress_seconds``. The outcome's ``mismatch`` names the seed and the command that shows
    it again. Raises UserError as ``lockstep_config`` and ``build_checker`` do.
    """
    config = lockstep_config(preset_name, variant)
    build_checker(config, report)
    total = ModelOutcome() if config.core.xfides else LockstepOutcome()
    context = multiprocessing.get_context("fork")
    stop, results = context.Event(), context.Queue()
    jobs = max(1, min(jobs, programs))
    workers = []
    for job in range(jobs):
        work = _Work(preset_name, variant, seed + job, seed + programs, jobs, instructions, seconds)
        workers.append(context.Process(target=work.run, args=(stop, results), daemon=True))
    start = said = time.monotonic()
    try:
        for worker in workers:
            worker.start()
        running = jobs
        while running:
            result = results.get()
            if result is None:
                running -= 1
            elif isinstance(result, UserError):
                raise result
            else:
                total.add(result)
                if result.mismatch:
                    stop.set()
            if time.monotonic() - said >= progress_seconds:
                said = time.monotonic()
                report(
                    f"{preset_name} {variant}: {total.programs} programs, {total.instructions} instructions, "
                    f"{said - start:.0f} s"
                )
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    return total


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--preset", default="base", help="preset to verify (default: base)")
    parser.add_argument(
        "--variant",
        default="all",
        help=f"one of {', '.join(VARIANTS)}, or all that the preset has (default: all)",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the first program (default: 1)")
    parser.add_argument("--programs", type=int, default=20, help="of each variant (default: 20)")
    parser.add_argument(
        "--instructions",
        type=int,
        default=DEFAULT_INSTRUCTIONS,
        help=f"per program, about (default: {DEFAULT_INSTRUCTIONS})",
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument(
        "--seconds", type=float, help="start no program of a variant after so many (default: no limit)"
    )


def run_command(
    preset_name: str,
    variant: str,
    seed: int,
    programs: int,
    instructions: int,
    jobs: int,
    seconds: float | None,
) -> int:
    """Runs a variant, or "all", and prints a line for each. Returns 0, or 1 when core and reference differ.
    Raises UserError as ``run_programs`` does, and for numbers that are too small."""
    if min(programs, instructions, jobs) < 1 or seed < 0:
        raise UserError("programs, instructions and jobs must be 1 at least, and the seed not negative")
    variants = variants_of(preset_name) if variant == "all" else (variant,)
    for name in variants:
        start = time.monotonic()
        total = run_programs(
            preset_name, seed, programs, instructions, variant=name, jobs=jobs, seconds=seconds
        )
        if total.mismatch:
            print(total.mismatch)
            return 1
        exceptions, interrupts = sum(total.causes.values()), sum(total.interrupts.values())
        crossings = ""
        if isinstance(total, ModelOutcome):
            many = f"{total.many_crossings} programs with more than {MANY_CROSSINGS}"
            crossings = f"{total.crossings.total()} crossings ({many}), "
        print(
            f"{preset_name} {name}: {total.programs} programs from seed {seed}, {total.instructions} "
            f"instructions in {total.cycles} cycles, {crossings}{exceptions} exceptions, {interrupts} "
            f"interrupts, no difference ({time.monotonic() - start:.0f} s)",
            flush=True,
        )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns 0, 1 when core and reference differ, 2 when it cannot run."""
    parser = argparse.ArgumentParser(
        prog="python -m fides_core.flow.lockstep", description=__doc__.splitlines()[0]
    )
    add_arguments(parser)
    options = parser.parse_args(arguments)
    try:
        return run_command(
            options.preset, options.variant, options.seed, options.programs, options.instructions,
            options.jobs, options.seconds,
        )  # fmt: skip
    except UserError as error:
        print(f"lockstep: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
