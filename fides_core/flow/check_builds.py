"""The benchmark programs by ``fides cc``: without the extension, with landing pads, with checks of
pointers, and in compartments; what is in their code.

For compartments the functions that ``benchmark_run`` calls are made visible in a copy of the source, and not
inlined, and go to a compartment of their own; CoreMark has one for each file. The same objects are linked
with all of it in one compartment, so that the two images differ in nothing but who owns what.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fides_core.compiler.driver import run_command
from fides_core.compiler.runtime import runtime_library
from fides_core.config import preset
from fides_core.errors import UserError
from fides_core.isa.instructions import BY_NAME
from fides_core.software.code import identify, sweep
from fides_core.software.image_file import ImageFile
from fides_core.software.linker.arguments import parse_arguments
from fides_core.software.linker.link import Linked, link

from . import coremark, tools

__all__ = ["BUILD", "CALLED", "COREMARK", "VARIANTS", "Built", "Code", "build", "code_of"]

HARNESS = tools.ROOT / "sw" / "bench"
PROGRAMS = HARNESS
OWN = HARNESS / "checks"
BUILD = tools.ROOT / "build" / "bench" / "checks"
COREMARK = "coremark"

#: What is called from ``benchmark_run``, and is in another compartment than it.
CALLED = {
    "mix": ("label", "move", "renew", "same_kind"),
    "fannkuch": ("reversals", "advance"),
    "nbody": ("prepare", "energy", "advance"),
    "spectral_norm": ("multiply", "multiply_transposed"),
    "mandelbrot": ("inside",),
    "fasta": ("random_sequence", "repeated_sequence"),
    "binary_trees": ("build", "count", "discard", "count_and_discard"),
    "pidigits": ("multiply_add", "settled_digit"),
}


@dataclass(frozen=True)
class Variant:
    """One way to build a program: ``preset``, options of ``fides cc``, whether its functions are ``divided``
    among compartments that the policy ``split`` puts them into."""

    preset: str
    options: tuple[str, ...] = ()
    divided: bool = False
    split: bool = False


VARIANTS = {
    "base": Variant("base"),
    "pads": Variant("fides", ("-fno-fides-checks",)),
    "checks": Variant("fides"),
    "one": Variant("fides", ("-fno-fides-checks",), divided=True),
    "split": Variant("fides", ("-fno-fides-checks",), divided=True, split=True),
    "clear": Variant("fides", ("-fno-fides-checks", "-ffides-clear"), divided=True, split=True),
}

_FLAGS = ("-ffp-contract=off", f"-I{HARNESS}", f"-I{OWN}")


@dataclass(frozen=True)
class Code:
    """The program's own code in an image. ``bytes``: with what aligns functions. ``instructions``: addresses
    by kind: "checkcap" (or the no-op in its place), "check" (``val``, ``vali``), "access" (loads, stores and
    atomics but for those on the stack)."""

    bytes: int
    instructions: Mapping[str, frozenset[int]]

    def count(self, kind: str) -> int:
        """How many there are of ``kind``."""
        return len(self.instructions[kind])


@dataclass(frozen=True)
class Built:
    """``image``: what to run; ``own``: the program's code; ``library``: the runtime library's; ``report``: of
    the compiler, all sources added up."""

    image: Path
    own: Code
    library: Code
    report: Mapping[str, int]


def code_of(image: ImageFile, pieces: Iterable[tuple[int, int]], pads: Iterable[int] = ()) -> Code:
    """The code of ``pieces``, (address, bytes) each. ``pads``: addresses of landing pads, those that the
    linker has made no-ops included."""
    kinds: dict[str, set[int]] = {"checkcap": set(), "check": set(), "access": set()}
    total, last = 0, None
    for address, size in sorted(pieces):
        if last is not None and 0 <= address - last < 4:
            total += address - last
        total, last = total + size, address + size
        kinds["checkcap"].update(pad for pad in pads if address <= pad < address + size)
        for step in sweep(image.bytes(address, size), address, image.functions):
            kind = None if step.word is None else _kind(step.word)
            if kind:
                kinds[kind].add(step.address)
    return Code(total, {kind: frozenset(found) for kind, found in kinds.items()})


_STACK = 2


def _kind(word: int) -> str | None:
    row = identify(word)
    if row is None:
        return None
    if row.name.startswith(("val.", "vali.")):
        return "check"
    if word & 0x7F in _MEMORY_OPCODES and word >> 15 & 31 != _STACK:
        return "access"
    return None


def _opcode(name: str) -> int:
    return BY_NAME[name].match & 0x7F


_MEMORY_OPCODES = frozenset(map(_opcode, ("ld", "sd", "lr.d")))


def _divided(source: Path, functions: Sequence[str], target: Path) -> Path:
    """A copy of ``source`` in which ``functions`` are visible from outside and stay functions."""
    text = source.read_text()
    for name in functions:
        pattern = rf"^static (?:SEPARATE )?(?=[^;=()]*\b{name}\([^;]*\)\n)"
        text, found = re.subn(pattern, "__attribute__((noinline)) ", text, flags=re.MULTILINE)
        if found != 1:
            raise UserError(f"{source} has {found} static functions {name}")
    target.write_text(text)
    return target


def _policy(program: str, sources: Sequence[Path]) -> str:
    """The split of the program, as a policy."""
    if program == COREMARK:
        names = [source.stem for source in sources]
        return _compartments(program, {name: [f'sources = ["{name}.o"]'] for name in names})
    return _compartments(
        program,
        {
            "harness": ['sources = ["main.o"]'],
            "driver": [f'functions = ["{program}.o:benchmark_run"]'],
            "work": [f'sources = ["{program}.o"]'],
        },
    )


def _compartments(program: str, parts: Mapping[str, Sequence[str]]) -> str:
    lines = [f'name = "{program}"', ""]
    for number, (name, own) in enumerate(parts.items(), 1):
        others = json.dumps([other for other in parts if other != name])
        lines += [f"[compartments.{name}]", f"id = {number}", *own, f"calls = {others}", ""]
    return "\n".join(lines)


def _sources(program: str, source: Path | None, iterations: int, flags: Sequence[str]):
    """What a program is made of: its own files, others, options."""
    if program != COREMARK:
        return [PROGRAMS / f"{program}.c"], [OWN / "main.c"], []
    texts = {
        "PERFORMANCE_RUN": "1",
        "ITERATIONS": str(iterations),
        "CLOCK_HZ": str(coremark.NOMINAL_HZ * iterations),
        "COMPILER_FLAGS": json.dumps(" ".join(flags)),
        "MEM_LOCATION": '"on chip"',
    }
    options = [f"-D{name}={text}" for name, text in texts.items()]
    options += [f"-I{coremark.PORT}", f"-I{source}", "-w"]
    return [source / name for name in coremark.SOURCES], [OWN / "core_portme.c"], options


def build(
    program: str,
    variant: str,
    *,
    flags: Sequence[str],
    source: Path | None = None,
    iterations: int = coremark.ITERATIONS,
    directory: Path = BUILD,
) -> Built:
    """Compile and link ``program`` (one of ``CALLED``, or CoreMark, a checkout of which is in ``source``).

    Objects and image stay in a folder of the program and the variant in ``directory``. Raises UserError when
    it does not compile or link.
    """
    kind = VARIANTS[variant]
    work = directory / program / variant
    work.mkdir(parents=True, exist_ok=True)
    report = work / "report.json"
    report.unlink(missing_ok=True)
    own, others, options = _sources(program, source, iterations, flags)
    if kind.divided and program != COREMARK:
        own = [_divided(own[0], CALLED[program], work / f"{program}.c")]
    words = ["--preset", kind.preset, *flags, *_FLAGS, *options, *kind.options]
    objects = {path: work / f"{path.stem}.o" for path in (*own, *others)}
    for path, target in objects.items():
        more = ["--report", str(report)] if path in own else []
        if run_command([*words, *more, "-c", str(path), "-o", str(target)]):
            raise UserError(f"fides cc does not compile {path}")
    policy = work / "policy.toml"
    policy.write_text(_policy(program, [*own, *others]))
    linked = _link(kind, list(objects.values()), work / f"{program}.elf", policy if kind.split else None)
    ours = {str(objects[path]) for path in own}
    pieces = linked.expected.pieces
    return Built(
        work / f"{program}.elf",
        code_of(
            linked.image,
            ((one.address, one.bytes) for one in pieces if one.origin in ours),
            [pad.address for pad in linked.pads],
        ),
        code_of(linked.image, ((one.address, one.bytes) for one in pieces if one.runtime)),
        _report(report),
    )


def _link(kind: Variant, objects: Sequence[Path], image: Path, policy: Path | None) -> Linked:
    core = preset(kind.preset).core
    library = runtime_library(kind.preset, core.march, xfides=core.xfides is not None)
    words = ["-o", str(image), "--preset", kind.preset, *(["--policy", str(policy)] if policy else [])]
    libraries = ["--start-group", "--runtime", str(library), "-lc", "-lm", "-lgcc", "--end-group"]
    return link(parse_arguments([*words, *map(str, objects), *libraries]))


def _report(path: Path) -> dict[str, int]:
    counts: Counter[str] = Counter()
    if path.exists():
        for line in path.read_text().splitlines():
            counts.update(json.loads(line)["counts"])
    return dict(counts)
