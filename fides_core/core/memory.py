"""Memory: data responses, CSR accesses, and the one place where traps are taken."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import CoreConfig
from ..isa.causes import ExceptionCause
from .control import MemoryRequest
from .csr import CSRAccess
from .decode import Forward
from .late_alu import LateALU
from .load_store import LoadLanes

__all__ = ["MemoryStage", "WritebackRequest"]


class WritebackRequest(data.Struct):
    """Memory to writeback. ``late``: the result comes from the multiplier's last stage instead."""

    write: 1
    rd: 5
    late: 1
    result: 64


class MemoryStage(wiring.Component):
    """Memory stage.

    ``x_valid``/``x_request``: what execute sends; it is here from the next cycle on. ``ready``: it may send
    something. ``trap``: the instruction here traps in this cycle (everything younger must be dropped); the
    core goes on at the handler one cycle later, as after ``mret``. ``commit``: the instruction here completes
    without an exception; ``certain``: the same, known early, of one that makes no access.
    ``security_fault``: the extension finds a memory fault in the response of this cycle;
    ``security_no_value``: mtval is 0. With ``config.late_verdict`` it says so one cycle later instead,
    ``w_fault``: the instruction that was here traps, the one that is here is dropped. That it may
    (``judged``) is known before; ``record``: cause, address and value of a trap are those of the instruction
    here, which will trap, if at all, before anything can read them. ``product``: the multiplier's low half
    for the instruction here. ``forward.value`` is that of a load's data also while the stage is empty, for
    AMOs in execute. ``reserve``: an LR completes. ``w_result``: what is in writeback, for the late ALU.
    ``taken``: what the late branch here does; ``mispredicted``: fetch has gone the other way, everything
    younger must be dropped, and the core goes on one cycle later at ``corrected``.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "x_valid": In(1),
                "x_request": In(MemoryRequest),
                "ready": Out(1),
                "empty": Out(1),
                "valid": Out(1),
                "current": Out(MemoryRequest),
                "forward": Out(Forward),
                "response": In(1),
                "response_error": In(1),
                "response_data": In(64),
                "product": In(64),
                "w_result": In(64),
                "security_fault": In(1),
                "security_no_value": In(1),
                **({"judged": In(1), "w_fault": In(1), "record": Out(1)} if config.late_verdict else {}),
                "pc_high": In(32),
                "csr_access": Out(CSRAccess),
                "csr_rdata": In(64),
                "commit": Out(1),
                "certain": Out(1),
                "reserve": Out(1),
                "mret": Out(1),
                "trap": Out(1),
                "trap_pc": Out(64),
                "trap_cause": Out(5),
                "trap_value": Out(64),
                "taken": Out(1),
                "mispredicted": Out(1),
                "corrected": Out(signed(64)),
                "w_request": Out(WritebackRequest),
            }
        )

    def elaborate(self, platform):
        m = Module()
        current = Signal(MemoryRequest, reset_less=True)
        m.d.comb += self.current.eq(current)
        late_verdict = self._config.late_verdict
        m.submodules.lanes = lanes = LoadLanes()

        done = Signal()
        bus_error = Signal()
        # An instruction that is here unless one ahead of it traps in writeback.
        stays = self.valid & ~self.w_fault if late_verdict else self.valid
        m.d.comb += [
            done.eq(~current.access | self.response),
            bus_error.eq(current.access & self.response & self.response_error),
            self.empty.eq(~self.valid & ~self.w_fault if late_verdict else ~self.valid),
            self.ready.eq(~(stays & ~done)),
        ]
        with m.If(self.ready):
            m.d.sync += [self.valid.eq(self.x_valid), current.eq(self.x_request)]

        decided = current.exception | current.interrupt
        settled = stays & done
        traps = settled & (decided | bus_error | self.security_fault)
        m.d.comb += [
            self.certain.eq(stays & ~decided),
            self.trap.eq(traps | self.w_fault if late_verdict else traps),
            self.commit.eq(settled & ~(decided | bus_error | self.security_fault)),
            self.trap_pc.eq(Cat(current.pc, Mux(current.far, self.pc_high, 0))),
            self.trap_cause.eq(current.cause),
            self.trap_value.eq(current.result),
        ]
        control_flow = current.exception & (current.cause == ExceptionCause.CONTROL_FLOW)
        with m.If(current.interrupt | self.security_no_value):
            m.d.comb += self.trap_value.eq(0)
        with m.Elif(control_flow):
            m.d.comb += self.trap_value.eq(current.pc)
        with m.If(bus_error):
            m.d.comb += self.trap_cause.eq(
                Mux(current.store, ExceptionCause.STORE_ACCESS_FAULT, ExceptionCause.LOAD_ACCESS_FAULT)
            )
        with m.Elif(self.judged if late_verdict else self.security_fault):
            m.d.comb += self.trap_cause.eq(ExceptionCause.MEMORY)
        if late_verdict:
            # Checks are made in U-mode only, which is left by a trap alone.
            m.d.comb += self.record.eq(settled & (decided | bus_error | self.judged))

        m.d.comb += [
            lanes.funct3.eq(current.funct3),
            lanes.offset.eq(current.result[:3]),
            lanes.word.eq(self.response_data),
            self.mret.eq(self.certain & current.mret),
            self.reserve.eq(self.commit & current.reserve),
        ]
        # funct3[1:0] is the kind of access; decode has cleared it for those that only read.
        with m.If(current.csr):
            m.d.comb += self.csr_access.eq(current.funct3[:2])

        late = current.multiply & (current.funct3 != 0)  # the upper half of a product
        result = Signal(64)
        late_result = Signal(64)
        with m.If(current.load):
            m.d.comb += result.eq(lanes.data)
        with m.Elif(current.csr):
            m.d.comb += result.eq(self.csr_rdata)
        with m.Elif(current.multiply):
            m.d.comb += result.eq(self.product)
        with m.Elif(current.conditional):
            m.d.comb += result.eq(~current.access)  # an SC that stores nothing has failed
        with m.Elif(current.late):
            m.d.comb += result.eq(late_result)
        with m.Else():
            m.d.comb += result.eq(current.result)
        if self._config.late_alu:
            m.submodules.late_alu = late_alu = LateALU()
            m.d.comb += [
                late_alu.late.eq(self.w_result),
                late_alu.other.eq(current.result),
                late_alu.control.eq(current.late_control),
                late_alu.funct3.eq(current.funct3),
                late_result.eq(late_alu.result),
                self.taken.eq(late_alu.taken),
                self.mispredicted.eq(
                    self.certain & current.late_branch & (late_alu.taken ^ current.followed)
                ),
            ]
            m.d.sync += self.corrected.eq(current.alternative)
        m.d.comb += [
            self.forward.write.eq(self.valid & current.write),
            self.forward.rd.eq(current.rd),
            self.forward.ready.eq(done & ~late),
            self.forward.value.eq(result),
            self.w_request.write.eq(self.commit & current.write),
            self.w_request.rd.eq(current.rd),
            self.w_request.late.eq(late),
            self.w_request.result.eq(result),
        ]
        return m
