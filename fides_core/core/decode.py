"""Decode: registers, forwarding, hazards, and everything about an instruction that is known before it
executes."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..config import CoreConfig
from ..isa.causes import ExceptionCause
from .alu import AluResult, Logic
from .control import EFFECTS, ExecuteRequest, Result, SecurityOp
from .csr import CSRLegality, counter_numbers
from .decoder import Decoder
from .expander import Expander

__all__ = ["DecodeStage", "Forward"]


class Forward(data.Struct):
    """A result on its way to the registers. ``write``: there is one, for register ``rd``; ``ready``:
    ``value`` is it; ``soon``: the next stage will have it when it leaves that."""

    write: 1
    rd: 5
    ready: 1
    soon: 1
    value: 64


class DecodeStage(wiring.Component):
    """Decode stage.

    ``d_*``: the instruction from fetch. ``x_request``/``x_valid``/``x_ready``: its successor; ``x_valid`` is
    high in the cycle in which the instruction moves on. ``x_forward``, ``m_forward``, ``w_forward``: results
    of older instructions; writeback's is also written to the registers. ``hold``: nothing may move on because
    an instruction ahead changes what decode depends on. Interrupts replace the instruction that moves on, so
    they are precise. ``waiting``: the instruction here lacks an operand.

    ``x_load``, ``x_compute``: the first operand of ``x_request`` is what the memory stage forwards, the
    second what execute forwards, for the steps of an atomic instruction.

    ``read_rs1``, ``read_rs2`` (only with a retirement port): the registers that the instruction reads, or 0.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        ports = {}
        if config.rvfi:
            ports = {"read_rs1": Out(5), "read_rs2": Out(5)}
        super().__init__(
            ports
            | {
                "d_valid": In(1),
                "d_ready": Out(1),
                "d_insn": In(32),
                "d_pc": In(32),
                "d_pc_high": In(32),
                "d_link": In(32),
                "d_fault": In(1),
                "d_fault_second": In(1),
                "x_valid": Out(1),
                "x_ready": In(1),
                "x_request": Out(ExecuteRequest),
                "x_load": In(1),
                "x_compute": In(1),
                "waiting": Out(1),
                "x_forward": In(Forward),
                "m_forward": In(Forward),
                "w_forward": In(Forward),
                "hold": In(1),
                "machine": In(1),
                "counters": In(counter_numbers(config)),
                "timeout_wait": In(1),
                "interrupt": In(1),
                "interrupt_cause": In(5),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.expander = expander = Expander()
        m.submodules.decoder = decoder = Decoder(self._config)
        m.submodules.csr_legality = legality = CSRLegality(self._config)
        # Written in place, so that an asynchronous read becomes distributed memory.
        m.submodules.registers = registers = Memory(
            shape=64, depth=32, init=[], attrs={"ram_style": "distributed"}
        )
        write = registers.write_port()
        m.d.comb += [
            expander.insn.eq(self.d_insn),
            decoder.insn.eq(expander.word),
            decoder.misaligned.eq(self.d_pc[1]),
            write.addr.eq(self.w_forward.rd),
            write.data.eq(self.w_forward.value),
            write.en.eq(self.w_forward.write),
        ]

        # Operands: the youngest older result wins.
        waiting = self.waiting
        request = self.x_request
        # The late ALU can take one operand from the instruction ahead.
        soon = {name: Signal(name=f"{name}_soon") for name in ("rs1", "rs2")}
        late = Signal()
        if self._config.late_alu:
            m.d.comb += late.eq(decoder.deferrable & (soon["rs1"] ^ soon["rs2"]))
        for name, number, reads, replaced_by in (
            ("rs1", decoder.rs1, decoder.reads_rs1, self.m_forward),
            ("rs2", decoder.rs2, decoder.reads_rs2, self.x_forward),
        ):
            read = registers.read_port(domain="comb")
            operand = self.x_request[name]
            m.d.comb += [read.addr.eq(number), operand.eq(read.data)]
            not_ready = 0
            for stage, source in (("w", self.w_forward), ("m", self.m_forward), ("x", self.x_forward)):
                match = Signal(name=f"{name}_from_{stage}")
                matches = source.write & (source.rd == number)
                # While a step of an atomic instruction is due, nothing moves on to execute.
                if source is replaced_by:
                    matches |= self.x_load if stage == "m" else self.x_compute
                elif stage == "x":
                    matches &= ~self.x_load
                m.d.comb += match.eq(matches)
                with m.If(match):
                    m.d.comb += operand.eq(source.value)
                missing = ~source.ready
                if stage == "x":
                    m.d.comb += soon[name].eq(match & missing & source.soon & reads)
                    missing &= ~late
                not_ready = Mux(match, missing, not_ready)
            with m.If(reads & not_ready & self.d_valid):
                m.d.comb += waiting.eq(1)

        if self._config.rvfi:
            m.d.comb += [
                self.read_rs1.eq(Mux(decoder.reads_rs1, decoder.rs1, 0)),
                self.read_rs2.eq(Mux(decoder.reads_rs2, decoder.rs2, 0)),
            ]

        # Exceptions known here, in the order of their priority.
        m.d.comb += [
            legality.number.eq(decoder.insn[20:32]),
            legality.write.eq(decoder.csr_write),
            legality.machine.eq(self.machine),
            legality.counters.eq(self.counters),
        ]
        legal = Signal()
        m.d.comb += legal.eq(
            decoder.legal
            & expander.legal
            & (~decoder.control.csr | legality.legal)
            & ~(decoder.control.mret & ~self.machine)
            & ~(decoder.control.wfi & ~self.machine & self.timeout_wait)
        )
        fetch_fault = self.d_fault | request.far
        m.d.comb += [
            request.pc.eq(self.d_pc),
            request.link.eq(self.d_link),
            request.second.eq(self.d_fault & self.d_fault_second & ~request.far),
            request.far.eq(self.d_pc_high != 0),
            request.immediate.eq(decoder.immediate),
            request.rd.eq(decoder.rd),
            request.control.eq(decoder.control),
        ]
        exception = request.exception
        with m.If(fetch_fault):
            m.d.comb += [exception.eq(1), request.cause.eq(ExceptionCause.INSTRUCTION_ACCESS_FAULT)]
        with m.Elif(~legal):
            # The immediate carries the word to mtval.
            m.d.comb += [
                exception.eq(1),
                request.cause.eq(ExceptionCause.ILLEGAL_INSTRUCTION),
                request.immediate.eq(Cat(self.d_insn[:16], Mux(expander.compressed, 0, self.d_insn[16:]))),
            ]
        with m.Elif(decoder.ecall):
            m.d.comb += [
                exception.eq(1),
                request.cause.eq(Mux(self.machine, ExceptionCause.ECALL_FROM_M, ExceptionCause.ECALL_FROM_U)),
            ]
        with m.Elif(decoder.ebreak):
            m.d.comb += [exception.eq(1), request.cause.eq(ExceptionCause.BREAKPOINT)]
        with m.If(self.interrupt):
            m.d.comb += [request.interrupt.eq(1), request.cause.eq(self.interrupt_cause)]
        # What passes execute is the other operand.
        with m.If(late & soon["rs1"]):
            m.d.comb += [
                request.control.alu.result.eq(AluResult.LOGIC),
                request.control.alu.function.eq(Logic.B),
                request.control.alu.subtract.eq(0),
            ]
        with m.If(late & soon["rs2"]):
            m.d.comb += request.control.result.eq(Result.DIVIDER)
        m.d.comb += [
            request.late.eq(late & ~exception & ~self.interrupt),
            request.late_control.subtract.eq(decoder.control.alu.subtract),
            request.late_control.unsigned.eq(decoder.control.alu.unsigned),
            request.late_control.word.eq(decoder.control.alu.word),
            request.late_control.second.eq(soon["rs2"]),
            request.late_control.shift.eq(decoder.control.alu.result == AluResult.SHIFT),
            request.late_control.arithmetic.eq(decoder.control.alu.arithmetic),
        ]
        with m.If(exception | self.interrupt):
            # Nothing of the instruction takes effect.
            control = request.control
            m.d.comb += [getattr(control, field).eq(0) for field in EFFECTS]
            m.d.comb += [
                control.result.eq(Result.OTHER),
                control.keep_upper.eq(0),
                control.security.eq(SecurityOp.NONE),
            ]

        m.d.comb += [
            self.x_valid.eq(self.d_valid & ~waiting & ~self.hold & self.x_ready),
            self.d_ready.eq(self.x_valid),
        ]
        return m
