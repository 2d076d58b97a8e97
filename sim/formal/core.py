"""The core with any memory behind its buses: base of the checks of what it retires.

Multiplier and divider are cut: their results, and the time a division takes, are free. That allows more than
the units do, so what is proved holds with them, but nothing is proved of their results.
"""

from dataclasses import replace

from amaranth.hdl import Assume, Module, Mux, Signal

from fides_core.config import preset
from fides_core.core import core as core_module
from fides_core.core import execute as execute_module
from fides_core.core.core import Core
from fides_core.core.divider import Divider
from fides_core.core.expander import Expander
from fides_core.core.multiplier import Multiplier

from .harness import FormalTop

__all__ = ["CoreTop", "cut_arithmetic"]


def cut(unit, outputs):
    """``unit`` with the same ports and outputs from the function ``outputs``."""

    class Cut(unit):
        def elaborate(self, platform):
            m = Module()
            m.d.comb += [getattr(self, name).eq(value) for name, value in outputs(self).items()]
            return m

    return Cut


def cut_arithmetic(top: FormalTop) -> None:
    """Cut multiplier and divider in every core that ``top`` makes from now on; of several, alike."""
    low, high, quotient = (top.free(64, name) for name in ("product_low", "product_high", "quotient"))
    divided = top.free(1, "divided")
    # The modules were imported for this top alone.
    core_module.Multiplier = cut(Multiplier, lambda unit: {"m_result": low, "w_result": high})
    execute_module.Divider = cut(
        Divider,
        lambda unit: {
            "x_done": unit.x_request & divided,
            "x_result": Mux(unit.x_request, quotient, unit.x_a),
        },
    )


class CoreTop(FormalTop):
    """Gives ``self.rvfi``, the retirement port; ``self.word``, the instruction with a compressed one
    expanded; ``self.length`` in bytes; ``self.legal``: it is no reserved compressed encoding;
    ``self.retires``: one retires without an exception; ``self.failed``: the data bus reported an error one
    cycle ago.

    Buses answer with anything, an error too, after any time, but only what was asked, and was not withdrawn
    (``self.withdrawn``). ``pmp``: entries of
    memory protection; without, what traps is known. ``csrs``: the port reports CSR accesses.
    ``fetch_errors``: the instruction bus may report them.
    """

    pmp = 0
    csrs = False
    fetch_errors = True

    def configuration(self):
        """The core's configuration."""
        return replace(preset("tiny").with_rvfi(csrs=self.csrs).core, pmp_entries=self.pmp)

    def core_submodule(self, core):
        """What becomes the submodule ``core``."""
        return core

    def properties(self):
        m = self.m
        cut_arithmetic(self)
        config = self.configuration()
        core = Core(config)
        m.submodules.core = self.core_submodule(core)
        for name in ("time", "software_interrupt", "timer_interrupt", "external_interrupt", "fence_i_done"):
            port = getattr(core, name)
            m.d.comb += port.eq(self.free(len(port), name))
        self.due = {}  # a response is
        if config.late_verdict:
            # The request granted in the cycle before, which has no response from now on.
            asked, self.withdrawn = Signal(), Signal(name="withdrawn")
            m.d.sync += asked.eq(core.dbus.req & core.dbus.gnt)
            m.d.comb += self.withdrawn.eq(core.withdraw & asked)
        for name in ("ibus", "dbus"):
            bus = getattr(core, name)
            due = self.due[name] = Signal(name=f"{name}_due")
            granted = bus.req & bus.gnt
            remains = due & ~self.withdrawn if name == "dbus" and config.late_verdict else due
            m.d.comb += [
                getattr(bus, port).eq(self.free(len(getattr(bus, port)), f"{name}_{port}"))
                for port in ("gnt", "rvalid", "rdata", "err")
            ]
            m.d.sync += due.eq(granted | (remains & ~bus.rvalid))
            self.assume(remains | ~bus.rvalid)
            self.always(~bus.req | ~due | bus.rvalid, f"{name}_one_at_a_time")
        if not self.fetch_errors:
            self.assume(~core.ibus.err)
        self.failed = Signal()
        m.d.sync += self.failed.eq(core.dbus.rvalid & core.dbus.err)
        self.core = core

        # Register 0 holds 0 from the beginning, and what runs before reset does not write it either.
        write = self.probe(1, "core.decode.w_forward.write")
        number = self.probe(5, "core.decode.w_forward.rd")
        m.d.comb += Assume(self.running | ~write | (number != 0))

        self.rvfi = core.rvfi
        m.submodules.expander = expander = Expander()
        self.word = Signal(32)
        self.length = Signal(3)
        self.legal = Signal()
        self.retires = Signal()
        m.d.comb += [
            expander.insn.eq(core.rvfi.insn),
            self.word.eq(expander.word),
            self.length.eq(Mux(expander.compressed, 2, 4)),
            self.legal.eq(expander.legal),
            self.retires.eq(core.rvfi.valid & ~core.rvfi.trap),
        ]
        self.claims()

    def claims(self):
        """What is claimed of ``self.rvfi``."""
        raise NotImplementedError
