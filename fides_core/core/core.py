"""The core: six stages in a row, in order, single issue, with precise traps.

    fetch (two) -> decode -> execute -> memory -> writeback

Fetch follows a predicted path, execute finds out whether that was right (two cycles lost when not), loads
answer in memory (one cycle lost by an instruction that needs the datum at once), traps are taken in memory. A
``kill`` from memory is the only thing that can undo an instruction in execute, so whatever execute does while
memory is empty is final. A debug module would halt where interrupts are taken, in decode.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..config import CoreConfig
from ..isa.csrs import Event
from ..security.extension import SecurityExtension
from ..security.registers import extension_number
from .bus import DataBus, InstructionBus
from .csr import CSRFile
from .decode import DecodeStage
from .execute import ExecuteStage
from .fetch import FetchStage
from .memory import MemoryStage, WritebackRequest
from .multiplier import Multiplier
from .rvfi import report_retirement, rvfi_signature

__all__ = ["Core"]


class Core(wiring.Component):
    """The core. ``ibus`` and ``dbus``: see ``bus.py``. ``time``: mtime. Interrupts are level-sensitive.

    With ``config.rvfi`` the port ``rvfi`` reports every instruction in its writeback cycle.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        ports = {
            "ibus": Out(InstructionBus),
            "dbus": Out(DataBus),
            "fence_i": Out(1),  # stays high, without data requests, until fence_i_done
            "fence_i_done": In(1),  # what is fetched from now on is what was stored before
            "icache_miss": In(1),  # strobes, for the counters
            "dcache_miss": In(1),
            "time": In(64),
            "software_interrupt": In(1),
            "timer_interrupt": In(1),
            "external_interrupt": In(1),
        }
        if config.late_verdict:
            ports["withdraw"] = Out(1)  # the data request granted in the cycle before, if any, is void
        if config.rvfi:
            ports["rvfi"] = Out(rvfi_signature(config))
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.fetch = fetch = FetchStage(config)
        m.submodules.decode = decode = DecodeStage(config)
        m.submodules.execute = execute = ExecuteStage(config)
        m.submodules.memory = memory = MemoryStage(config)
        m.submodules.csr = csr = CSRFile(config)
        m.submodules.multiplier = multiplier = Multiplier()
        dbus = self.dbus
        connect(m, fetch.bus, flipped(self.ibus))
        connect(m, execute.bus, flipped(dbus))

        w = Signal(WritebackRequest)

        # Fetch goes on at the handler, or where mret returns to, or where a late branch goes, or again at the
        # next instruction when memory protection has changed, one cycle after memory decided so.
        leaving = Signal()
        returning = Signal()
        refetching = Signal()
        correcting = Signal()  # a late branch
        dropping = Signal()  # whatever is younger than the instruction in memory
        m.d.comb += dropping.eq(memory.trap | memory.mret | memory.mispredicted)
        m.d.sync += [
            leaving.eq(dropping | csr.flush),
            correcting.eq(memory.mispredicted),
            returning.eq(memory.mret),
            refetching.eq(csr.flush),
        ]
        next_pc = Cat(fetch.d_pc, fetch.d_pc_high)
        m.d.comb += [
            fetch.redirect.eq(leaving | execute.redirect),
            fetch.redirect_target.eq(
                Mux(
                    leaving,
                    Mux(
                        correcting,
                        memory.corrected,
                        Mux(refetching, next_pc, Mux(returning, csr.mepc, csr.handler)),
                    ),
                    execute.redirect_target,
                )
            ),
            fetch.m_taken.eq(memory.taken),
            fetch.m_wrong.eq(memory.mispredicted),
            fetch.machine.eq(csr.machine),
            fetch.pmp.eq(csr.pmp),
        ]

        m.d.comb += [
            decode.d_valid.eq(fetch.d_valid),
            fetch.d_ready.eq(decode.d_ready),
            decode.d_insn.eq(fetch.d_insn),
            decode.d_pc.eq(fetch.d_pc),
            decode.d_pc_high.eq(fetch.d_pc_high),
            decode.d_link.eq(fetch.d_link),
            decode.d_fault.eq(fetch.d_fault),
            decode.d_fault_second.eq(fetch.d_fault_second),
            decode.x_ready.eq(execute.ready),
            decode.x_load.eq(execute.load),
            decode.x_compute.eq(execute.compute),
            decode.x_forward.eq(execute.forward),
            decode.m_forward.eq(memory.forward),
            decode.machine.eq(csr.machine),
            decode.counters.eq(csr.counters),
            decode.timeout_wait.eq(csr.timeout_wait),
            decode.interrupt.eq(csr.interrupt),
            decode.interrupt_cause.eq(csr.interrupt_cause),
            # Privilege, protection and interrupt enables must be settled before the next instruction moves
            # on.
            decode.hold.eq(
                (execute.valid & (execute.current.control.csr | execute.current.control.mret))
                | (memory.valid & (memory.current.csr | memory.current.mret))
            ),
            execute.d_valid.eq(decode.x_valid),
            execute.d_request.eq(decode.x_request),
            execute.d_snapshot.eq(fetch.d_snapshot),
            execute.m_ready.eq(memory.ready),
            execute.m_empty.eq(memory.empty),
            execute.kill.eq(dropping),
            execute.flush.eq(leaving),
            execute.next_pc.eq(fetch.d_pc),
            execute.pc_high.eq(fetch.d_pc_high),
            execute.response.eq(dbus.rvalid),
            execute.response_error.eq(dbus.err),
            execute.reserve.eq(memory.reserve),
            execute.reserve_address.eq(memory.current.result[2:32]),
            execute.fence_i_done.eq(self.fence_i_done),
            execute.wake.eq(csr.wake),
            execute.interrupt.eq(csr.interrupt),
            execute.interrupt_cause.eq(csr.interrupt_cause),
            execute.data_user.eq(csr.data_user),
            execute.pmp.eq(csr.pmp),
            memory.x_valid.eq(execute.m_valid),
            memory.x_request.eq(execute.m_request),
            memory.response.eq(dbus.rvalid),
            memory.response_error.eq(dbus.err),
            memory.response_data.eq(dbus.rdata),
            memory.product.eq(multiplier.m_result),
            memory.w_result.eq(w.result),
            memory.pc_high.eq(fetch.d_pc_high),
            memory.csr_rdata.eq(csr.m_rdata),
            self.fence_i.eq(execute.fence_i),
        ]
        connect(m, execute.resolution, fetch.resolution)

        # Writeback: the register file, and the multiplier's result.
        w_result = Signal(64)
        m.d.sync += w.eq(memory.w_request)
        m.d.comb += [
            multiplier.x_a.eq(execute.current.rs1),
            multiplier.x_b.eq(execute.current.rs2),
            multiplier.x_funct3.eq(execute.current.control.funct3),
            multiplier.x_word.eq(execute.current.control.word),
            multiplier.m_enable.eq(memory.ready),
            w_result.eq(Mux(w.late, multiplier.w_result, w.result)),
            decode.w_forward.write.eq(w.write & ~memory.w_fault if config.late_verdict else w.write),
            decode.w_forward.rd.eq(w.rd),
            decode.w_forward.ready.eq(1),
            decode.w_forward.value.eq(w_result),
        ]

        m.d.comb += [
            csr.m_csr.eq(memory.valid & memory.current.csr),
            csr.m_access.eq(memory.csr_access),
            csr.m_number.eq(memory.current.csr_number),
            csr.m_operand.eq(memory.current.result),
            csr.m_commit.eq(memory.certain),
            csr.retire.eq(memory.commit),
            csr.trap.eq(memory.trap),
            csr.trap_pc.eq(memory.trap_pc),
            csr.trap_cause.eq(memory.trap_cause),
            csr.trap_interrupt.eq(memory.current.interrupt),
            csr.trap_value.eq(memory.trap_value),
            csr.mret.eq(memory.mret),
            csr.time.eq(self.time),
            csr.software_interrupt.eq(self.software_interrupt),
            csr.timer_interrupt.eq(self.timer_interrupt),
            csr.external_interrupt.eq(self.external_interrupt),
        ]
        # For simulators: where the program is, and whether it gets on.
        m_pc = Signal(32)
        m_retire = Signal()
        m.d.comb += m_pc.eq(memory.current.pc)
        if config.late_verdict:  # one cycle later, when it is certain
            committed = Signal()
            m.d.sync += committed.eq(memory.commit)
            m.d.comb += m_retire.eq(Mux(memory.w_fault, 0, committed))
        else:
            m.d.comb += m_retire.eq(memory.commit)
        # And, for pipeline traces, how instructions move: what is in a stage, and whether it leaves.
        for name, source in {
            "f_pc": fetch.cut_pc,
            "f_done": fetch.cut,
            "f_redirect": fetch.redirect,
            "d_valid": fetch.d_valid,
            "d_insn": fetch.d_insn,
            "d_done": decode.x_valid,
            "x_valid": execute.valid,
            "x_done": execute.m_valid,
            # With m_trap: the instruction in writeback traps, the one in memory is dropped.
            "m_done": memory.commit | memory.w_fault if config.late_verdict else memory.commit,
            "m_trap": memory.trap,
        }.items():
            signal = Signal(len(source), name=f"pipeline_{name}")
            m.d.comb += signal.eq(source)
        events = {
            Event.BRANCH_MISPREDICTION: execute.mispredicted | memory.mispredicted,
            Event.ICACHE_MISS: self.icache_miss,
            Event.DCACHE_MISS: self.dcache_miss,
            Event.STALL_FETCH: execute.ready & ~fetch.d_valid,
            Event.STALL_LOAD: execute.ready & decode.waiting,
            Event.STALL_EXECUTE: memory.ready & ~execute.ready,
            Event.STALL_MEMORY: ~memory.ready,
        }
        if config.xfides:
            events |= self._security(m, execute, memory, csr)
        if config.hpm_counters:
            # Counter i of those from mhpmcounter3 on counts event i + 1.
            m.d.comb += csr.events.eq(Cat(events.get(i + 1, Const(0)) for i in range(config.hpm_counters)))

        if config.rvfi:
            report_retirement(
                m,
                self.rvfi,
                config,
                decode=decode,
                execute=execute,
                memory=memory,
                csr=csr,
                w_result=w_result,
                dbus=dbus,
            )
        return m

    def _security(self, m, execute, memory, csr):
        late_verdict = self._config.late_verdict
        m.submodules.security = extension = SecurityExtension(self._config.xfides, late_verdict=late_verdict)
        view, current, dbus = execute.security, execute.current, self.dbus
        m.d.comb += [
            extension.x_op.eq(current.control.security),
            extension.x_judge.eq(view.judge),
            extension.x_pc.eq(current.pc),
            extension.x_rs1.eq(current.rs1),
            extension.x_rs2.eq(current.rs2),
            extension.x_cid.eq(Cat(current.rd, current.control.size)),
            extension.x_target.eq(view.target),
            extension.x_total.eq(view.total),
            extension.x_advance.eq(view.advance),
            extension.x_fire.eq(view.fire),
            extension.x_commit.eq(view.commit),
            extension.x_granted.eq(view.granted),
            extension.x_refused.eq(view.refused),
            view.wait.eq(extension.x_wait),
            view.interruptible.eq(extension.x_interruptible),
            view.fault.eq(extension.x_fault),
            view.cause.eq(extension.x_cause),
            view.tag.eq(extension.x_tag),
            view.minted.eq(extension.x_minted),
            view.mask_addresses.eq(extension.x_mask_addresses),
            view.request.eq(extension.x_request),
            view.we.eq(extension.x_we),
            view.table_op.eq(extension.x_table_op),
            view.table.eq(extension.x_table),
            view.index.eq(extension.x_index),
            view.set.eq(extension.x_set),
            extension.m_ready.eq(memory.ready),
            extension.m_empty.eq(memory.empty),
            extension.m_result.eq(memory.current.result),
            extension.m_size.eq(memory.current.size),
            extension.response.eq(dbus.rvalid),
            extension.response_error.eq(dbus.err),
            extension.response_data.eq(dbus.rdata),
            memory.security_fault.eq(extension.m_fault),
            memory.security_no_value.eq(extension.m_no_value),
            extension.machine.eq(csr.machine),
            extension.trap.eq(memory.trap & ~memory.current.interrupt),
            extension.registers.number.eq(
                extension_number(memory.current.csr_number, memory.valid & memory.current.csr)
            ),
            extension.registers.write.eq(csr.m_write),
            extension.registers.wdata.eq(csr.m_wdata),
            csr.extension_rdata.eq(extension.rdata),
        ]
        if late_verdict:
            m.d.comb += [
                memory.judged.eq(extension.m_checking),
                memory.w_fault.eq(extension.w_fault),
                csr.record.eq(memory.record),
                csr.unretire.eq(extension.w_fault),
                self.withdraw.eq(extension.w_fault),
            ]
        # Known late, counted a cycle later: no instruction behind them can look sooner.
        crossing, spill = Signal(), Signal()
        m.d.sync += [crossing.eq(extension.crossing), spill.eq(extension.spill)]
        return {
            Event.CROSSING: crossing,
            Event.SHADOW_STACK_SPILL: spill,
            Event.VAL_MISS: extension.m_checking & self.dcache_miss,
        }
