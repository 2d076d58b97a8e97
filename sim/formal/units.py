"""Small units, proved for all reachable states."""

from amaranth.hdl import Cat, Const, Signal

from fides_core.core.atomics import Atomics, AtomicStep, Reservation
from fides_core.core.pmp import PMPChecker, PMPPairChecker

from .harness import FormalTop

__all__ = ["ReservationTop", "AtomicsTop", "PMPPairTop"]


class ReservationTop(FormalTop):
    """For one address, any: it is held exactly if the last LR reserved it and no SC has completed since
    (unprivileged ISA, section 8.2)."""

    def properties(self):
        m = self.m
        m.submodules.unit = unit = Reservation()
        for name in ("set", "set_address", "clear", "address"):
            m.d.comb += getattr(unit, name).eq(self.free(len(getattr(unit, name)), name))
        watched = self.rigid(30, "watched")
        reserved = Signal()
        with m.If(unit.set):
            m.d.sync += reserved.eq(unit.set_address == watched)
        with m.Elif(unit.clear):
            m.d.sync += reserved.eq(0)
        with m.If(unit.address == watched):
            self.always(unit.held == reserved, "held")
        # The same of the registers, which makes it inductive.
        valid, held = self.probe(1, "unit.valid"), self.probe(30, "unit.reserved")
        self.helper((valid & (held == watched)) == reserved, "registers")


class AtomicsTop(FormalTop):
    """Of an AMO that runs undisturbed until it leaves: one granted read, its response, then one granted write
    and its response, unless it is refused or fails; nothing is asked for behind the last of them; the ALU's
    result is taken once, between them; it always gets on."""

    def properties(self):
        m = self.m
        m.submodules.unit = unit = Atomics()
        for name in ("active", "refused", "granted", "response", "error", "take"):
            m.d.comb += getattr(unit, name).eq(self.free(1, name))
        reads, writes, answers, computes, loads = (
            Signal(2, name=name) for name in ("reads", "writes", "answers", "computes", "loads")
        )
        failed, refused, begun, was_done = (
            Signal(name=n) for n in ("failed", "was_refused", "begun", "was_done")
        )
        waiting = Signal()
        ask = unit.request & unit.granted
        m.d.comb += waiting.eq(reads + writes != answers)
        # Execute: an AMO stays until it is done, a request is answered later and once, verdicts are stable.
        self.assume(~unit.take | ~begun | unit.done)
        self.assume(unit.active | ~begun)
        self.assume(~unit.response | waiting)
        self.assume((unit.refused == refused) | ~begun)
        with m.If(unit.take):
            m.d.sync += [s.eq(0) for s in (reads, writes, answers, computes, loads, failed, begun, was_done)]
        with m.Else():
            m.d.sync += [
                begun.eq(unit.active),
                refused.eq(unit.refused),
                was_done.eq(unit.done),
                reads.eq(reads + (ask & ~unit.we)),
                writes.eq(writes + (ask & unit.we)),
                answers.eq(answers + unit.response),
                computes.eq(computes + unit.compute),
                loads.eq(loads + unit.load),
                failed.eq(failed | (unit.response & unit.error)),
            ]
        step = unit.step
        self.always(~(unit.request & waiting), "one_at_a_time")
        self.always(~(ask & ~unit.we & (reads != 0)), "one_read")
        self.always(
            ~(ask & unit.we & ((reads != 1) | (writes != 0) | (computes != 1))), "one_write_behind_it"
        )
        self.always(~(unit.request & (failed | unit.refused)), "none_when_refused")
        self.always(~(unit.load & (loads != 0)), "loaded_once")
        self.always(unit.loaded == (loads != 0), "loaded")
        self.always(
            ~(unit.done & begun)
            | failed
            | (refused & (reads == 0))
            | ((reads == 1) & (writes == 1) & (answers == 2)),
            "done",
        )
        # The same as an invariant of the steps, which makes it inductive.
        counts = Cat(reads, writes, answers, computes, loads)
        with m.Switch(step):
            for at, (r, w, a, c) in {
                AtomicStep.CHECK: (0, 0, 0, 0),
                AtomicStep.READ: (0, 0, 0, 0),
                AtomicStep.READING: (1, 0, 0, 0),
                AtomicStep.COMPUTE: (1, 0, 1, 0),
                AtomicStep.WRITE: (1, 0, 1, 1),
                AtomicStep.WRITING: (1, 1, 1, 1),
                AtomicStep.DONE: (1, 1, 2, 1),
            }.items():
                with m.Case(at):
                    self.helper((counts == Cat(*_fields(r, w, a, c, a != 0))) & ~failed, f"counts_{at.name}")
            with m.Case(AtomicStep.FAULT):
                self.helper(~waiting & (failed | (refused & (counts == 0))), "counts_FAULT")
            with m.Default():
                self.helper(0, "no_other_step")
        self.helper((step == AtomicStep.CHECK) | begun, "begun")
        self.helper(step.matches(AtomicStep.CHECK, AtomicStep.FAULT) | ~refused, "checked")
        # Progress: something that is judged, granted, answered or computed moves on.
        before = Signal(3)
        moved = Signal()
        moves = (unit.active & (step == AtomicStep.CHECK)) | ask | unit.response | unit.compute
        m.d.sync += [before.eq(step), moved.eq(moves & ~unit.take)]
        self.always(~moved | (step != before), "gets_on")


def _fields(*values):
    return [Const(int(value), 2) for value in values]


class PMPPairTop(FormalTop):
    """The checker of instruction fetch says of both words what the checker of data accesses says."""

    def __init__(self, entries: int):
        super().__init__()
        self._count = entries

    def properties(self):
        m = self.m
        m.submodules.pair = pair = PMPPairChecker(self._count)
        m.d.comb += [
            pair.entries.as_value().eq(self.free(len(pair.entries.as_value()), "entries")),
            pair.address[3:].eq(self.free(29, "address")),
            pair.user.eq(self.free(1, "user")),
        ]
        for entry in pair.entries:
            self.assume(entry.ignored[0][0])
        for word in range(2):
            checker = PMPChecker(self._count)
            m.submodules[f"word{word}"] = checker
            m.d.comb += [
                checker.entries.eq(pair.entries),
                checker.address.eq(pair.address | 4 * word),
                checker.execute.eq(1),
                checker.user.eq(pair.user),
            ]
            self.always(pair.fault[word] == checker.fault, f"word{word}")
