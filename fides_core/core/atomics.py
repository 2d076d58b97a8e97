"""Atomic memory operations: the steps of a read-modify-write in execute, and the reservation of LR and SC
(unprivileged ISA, chapter 8).

There is one hart and no other manager of its memory, so an instruction that stays in execute until its
accesses are done is atomic. The steps need no data path of their own: the value that was read comes back
through the forwarding path of loads into the first operand's register, and the ALU's result through that of
execute into the second's, from where it is stored.
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AtomicStep", "Atomics", "Reservation"]


class AtomicStep(enum.IntEnum, shape=3):
    """Where a read-modify-write stands."""

    CHECK = 0  # waits for the verdict on it, which comes late
    READ = 1  # asks for the old value
    READING = 2
    COMPUTE = 3
    WRITE = 4
    WRITING = 5
    DONE = 6
    FAULT = 7  # it is refused, or an access has failed


class Atomics(wiring.Component):
    """Sequencer. ``active``: an AMO is in execute, behind an empty memory stage; ``refused``: it must not
    access memory; ``granted``: its request is accepted; ``response`` with ``error``: the bus answers.
    ``take``: the instruction leaves execute.

    ``request``, ``we``: wants the bus. ``load``: the first operand is replaced by the value read;
    ``compute``: the second by the ALU's result (both at the end of the cycle). ``loaded``: the first has been
    replaced. ``done``: it may leave."""

    active: In(1)
    refused: In(1)
    granted: In(1)
    response: In(1)
    error: In(1)
    take: In(1)
    step: Out(AtomicStep)
    request: Out(1)
    we: Out(1)
    load: Out(1)
    compute: Out(1)
    loaded: Out(1)
    done: Out(1)

    def elaborate(self, platform):
        m = Module()
        step = self.step
        reading, writing = step == AtomicStep.READING, step == AtomicStep.WRITING
        m.d.comb += [
            self.we.eq(step == AtomicStep.WRITE),
            self.request.eq(self.active & ((step == AtomicStep.READ) | self.we)),
            self.load.eq(reading & self.response),
            self.compute.eq(step == AtomicStep.COMPUTE),
            self.done.eq((step == AtomicStep.DONE) | (step == AtomicStep.FAULT)),
        ]
        m.d.sync += self.loaded.eq((self.loaded | self.load) & ~self.take)
        with m.If(self.take):
            m.d.sync += step.eq(AtomicStep.CHECK)
        with m.Elif((reading | writing) & self.response & self.error):
            m.d.sync += step.eq(AtomicStep.FAULT)
        with m.Elif(self.active & (step == AtomicStep.CHECK)):
            m.d.sync += step.eq(Mux(self.refused, AtomicStep.FAULT, AtomicStep.READ))
        with m.Elif((self.request & self.granted) | ((reading | writing) & self.response) | self.compute):
            m.d.sync += step.eq(step + 1)
        return m


class Reservation(wiring.Component):
    """The address (bits [31:2]) that LR has reserved; an SC to another address fails, and any SC that does
    not trap ends the reservation. ``set`` with ``set_address``: an LR has completed; ``clear``: an SC
    completes; ``held``: ``address`` is reserved."""

    set: In(1)
    set_address: In(30)
    clear: In(1)
    address: In(30)
    held: Out(1)

    def elaborate(self, platform):
        m = Module()
        valid = Signal()
        reserved = Signal(30, reset_less=True)
        m.d.comb += self.held.eq(valid & (reserved == self.address))
        with m.If(self.set):
            m.d.sync += [valid.eq(1), reserved.eq(self.set_address)]
        with m.Elif(self.clear):
            m.d.sync += valid.eq(0)
        return m
