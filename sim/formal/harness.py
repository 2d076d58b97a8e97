"""What formal tops have in common, and how a property is described."""

import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec, spec_from_loader
from pathlib import Path

from amaranth.hdl import Assert, Assume, ClockDomain, Elaboratable, Fragment, Module, Signal

__all__ = ["Mutant", "Property", "mutated", "release", "FormalTop"]


@dataclass(frozen=True)
class Mutant:
    """A spoilt design: ``old``, which occurs once in the source of ``module``, is ``new``. ``nightly``: takes
    minutes."""

    module: str
    old: str
    new: str
    nightly: bool = False


@dataclass(frozen=True)
class Property:
    """One proof.

    ``top``: "module:class" in this package, without arguments or with ``arguments``. ``method``: "bmc" (all
    states that are ``depth`` cycles or fewer from reset, whatever the registers held before it) or
    "induction" (all reachable states, by ``depth``-induction). ``quick``: part of the quick set. ``mutants``:
    each must fail within ``mutant_depth`` cycles from reset; they go with the property, unless
    ``nightly_mutants``.
    """

    name: str
    top: str
    method: str
    depth: int
    mutants: dict[str, Mutant]
    arguments: tuple = ()
    quick: bool = False
    mutant_depth: int = 10
    nightly_mutants: bool = False


class _MutatingFinder:
    """Imports one module from changed source."""

    def __init__(self, mutant: Mutant):
        self._mutant = mutant
        sys.meta_path.remove(self) if self in sys.meta_path else None
        spec = find_spec(mutant.module)
        self._path = spec.origin
        text = Path(self._path).read_text()
        count = text.count(mutant.old)
        if count != 1:
            raise ValueError(f"{mutant.old!r} occurs {count} times in {mutant.module}")
        self._text = text.replace(mutant.old, mutant.new)

    def find_spec(self, name, path=None, target=None):
        if name != self._mutant.module:
            return None
        text = self._text

        class Loader(SourceFileLoader):
            def get_code(self, fullname):
                return compile(text, self.path, "exec")

        return spec_from_loader(name, Loader(name, self._path), origin=self._path)


@contextmanager
def mutated(mutant: Mutant | None):
    """While the block runs, imports of the design and of the tops are fresh, from the mutant's source. Raises
    ValueError if that is not the source any more."""
    own = re.compile(r"(fides_core\.(config|core|security|isa)|formal\.(?!harness))\b")
    kept = {name: module for name, module in sys.modules.items() if own.match(name)}
    finder = _MutatingFinder(mutant) if mutant else None
    for name in kept:
        del sys.modules[name]
    if finder:
        sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        if finder:
            sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if own.match(name)]:
            del sys.modules[name]
        sys.modules.update(kept)


def release(fragment: Fragment, paths):
    """Take the reset from registers of a fragment, named by their paths in it ("csr.machine"), so that they
    begin with any value. Raises ValueError if there is no such register."""
    for path in paths:
        *modules, name = path.split(".")
        inner = fragment
        for module in modules:
            inner = inner.find_subfragment(module)
        written = [signal for signal in inner.statements["sync"]._lhs_signals() if signal.name == name]
        if len(written) != 1:
            raise ValueError(f"{len(written)} registers are called {path}")
        written[0]._reset_less = True


class _Claim(Elaboratable):
    """An assertion as a module, which gives it a name in reports. It holds where ``holds`` is not driven."""

    def __init__(self, name: str):
        self.holds = Signal(init=1, name=f"holds_{name}")
        self.running = Signal()

    def elaborate(self, platform):
        m = Module()
        m.d.comb += Assert(self.holds | ~self.running)
        return m


class FormalTop:
    """Base of the tops. ``self.m`` is the module; every input of the design is a free signal unless assumed.

    Registers start with any value; the first cycle is a reset, and ``self.running`` is high afterwards.
    """

    #: Patterns of memories (by their path in the flattened design) that become registers.
    unfolded = ()

    def __init__(self):
        self.m = Module()
        self.ports = []
        self.probes = {}  # signal: name in the flattened design
        self._probed = {}
        self.running = Signal(name="formal_running")
        self.with_helpers = True  # mutants do without, so that it is a claim that fails

    def free(self, shape, name: str) -> Signal:
        """An input of the proof: any value in every cycle."""
        signal = Signal(shape, name=name)
        self.ports.append(signal)
        return signal

    def rigid(self, shape, name: str) -> Signal:
        """Any value, the same in all cycles."""
        signal = Signal(shape, name=name, reset_less=True)
        self.m.d.sync += signal.eq(signal)
        return signal

    def probe(self, shape, path: str) -> Signal:
        """A signal inside of the design, by its path from the top: "fetch.level"."""
        if path in self._probed:
            return self._probed[path]
        signal = self._probed[path] = Signal(shape, name="probe_" + path.replace(".", "_"))
        self.ports.append(signal)
        self.probes[signal.name] = path
        return signal

    def always(self, condition, name: str):
        """``condition`` must hold in every cycle after reset."""
        claim = _Claim(name)
        self.m.submodules[f"claim_{name}"] = claim
        self.m.d.comb += [claim.holds.eq(condition), claim.running.eq(self.running)]

    def helper(self, condition, name: str):
        """An invariant of internal registers, without which induction does not close. It is proved, too."""
        if self.with_helpers:
            self.always(condition, name)

    def assume(self, condition):
        """Only runs in which ``condition`` holds in every cycle after reset."""
        held = Signal()
        self.m.d.comb += [held.eq(condition), Assume(held | ~self.running)]

    def properties(self):
        """Add design and claims to ``self.m``."""
        raise NotImplementedError

    def elaborate(self, platform):
        m = self.m
        m.domains.sync = sync = ClockDomain("sync", local=True)
        m.domains.start = start = ClockDomain("start", reset_less=True, local=True)
        clock = Signal(name="formal_clock")
        self.ports.append(clock)
        m.d.comb += [sync.clk.eq(clock), start.clk.eq(clock), sync.rst.eq(~self.running)]
        m.d.start += self.running.eq(1)
        self.properties()
        return m
