"""Xfides as the core sees it: one port per stage, behind it the three units and the registers they share."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import XfidesConfig
from ..core.control import SecurityOp
from ..isa.causes import ControlFlowFault, ExceptionCause, MemoryFault
from ..isa.csrs import Comctl, XfidesCSR
from .capability_check import CapabilityCheck
from .fat_pointer import FatPointer
from .monitor_check import MonitorCheck
from .readback import Readback
from .registers import RegisterPort, number_pattern
from .shadow_stack import ShadowStack

__all__ = ["SecurityExtension"]


class SecurityExtension(wiring.Component):
    """The extension.

    Execute: the instruction there is described by ``x_op``, ``x_pc``, its operands, ``x_cid``, ``x_total``
    (sum of the operands) and ``x_target`` (where a return goes, ra of a pad, pc of a handler pad);
    ``x_judge`` says that it is valid and neither an interrupt nor an instruction access fault takes its
    place. ``x_wait``: it must stay. ``x_fault``: it leaves with exception ``x_cause`` (the contract's faults
    come before any other but the two above). ``x_minted``: the upper half of the result is ``x_tag``.
    ``x_interruptible``: it waits in a state in which an interrupt may take its place. ``x_advance``: it moves
    to the memory stage unless the instruction there traps; ``x_fire``: it does move; ``x_commit``: without an
    exception. ``x_mask_addresses``: loads and stores use the low 32 bits of their address.

    ``x_table_op``: the instruction may access the metadata table (``x_table``, bits [31:3] of its address;
    entry ``x_index``); ``x_request`` and what belongs to it: it does. ``m_*``: memory stage; ``m_ready`` it
    takes a new instruction, ``m_empty`` it holds none; ``m_fault``: the val there finds a memory fault in its
    entry, which is there (perhaps with an error, which comes first). With ``late_verdict``, ``w_fault`` says
    so in the cycle after its response instead.
    ``trap`` records the reason in comcause.

    For the counters: ``crossing`` completes, ``spill``: the shadow stack overflows or underflows,
    ``m_checking``: a val waits for its entry.
    """

    x_op: In(SecurityOp)
    x_judge: In(1)
    x_pc: In(32)
    x_rs1: In(64)
    x_rs2: In(64)
    x_cid: In(8)
    x_total: In(64)
    x_target: In(64)
    x_advance: In(1)
    x_fire: In(1)
    x_commit: In(1)
    x_wait: Out(1)
    x_interruptible: Out(1)
    x_fault: Out(1)
    x_cause: Out(5)
    x_tag: Out(32)
    x_minted: Out(1)
    x_mask_addresses: Out(1)
    x_table_op: Out(1)
    x_table: Out(29)
    x_index: Out(16)
    x_request: Out(1)
    x_we: Out(1)
    x_set: Out(1)
    x_granted: In(1)
    x_refused: In(1)
    m_ready: In(1)
    m_empty: In(1)
    m_result: In(64)
    m_size: In(3)
    response: In(1)
    response_error: In(1)
    response_data: In(64)
    m_fault: Out(1)
    w_fault: Out(1)
    m_no_value: Out(1)  # mtval is 0
    crossing: Out(1)
    spill: Out(1)
    m_checking: Out(1)
    machine: In(1)
    trap: In(1)
    registers: In(RegisterPort)
    rdata: Out(64)

    def __init__(self, config: XfidesConfig, *, late_verdict: bool = False):
        self._config = config
        self._late_verdict = late_verdict
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        config = self._config
        registers = self.registers

        compartments_on = Signal()
        pointers_on = Signal()
        locked = Signal()
        cause = Signal(3)
        x_reason = Signal(3)
        m_reason = Signal(3)
        recorded = Signal(3)
        memory_fault = Signal()
        m.d.comb += self.m_no_value.eq(memory_fault & (recorded == MemoryFault.EXHAUSTED))
        user = ~self.machine

        # Reason of an exception raised in execute, held while it passes the memory stage.
        with m.If(self.m_ready):
            m.d.sync += [recorded.eq(x_reason), memory_fault.eq(self.x_cause == ExceptionCause.MEMORY)]
        # Every exception of the extension has a reason, and no other exception has.
        reason = m_reason | recorded  # of one of the two
        own_trap = self.trap & ~self.w_fault
        with m.If(own_trap & (reason != 0)):
            m.d.sync += cause.eq(reason)
        if config.judges_crossings:
            # The two highest reasons, which no memory exception has.
            m.d.comb += self.spill.eq(own_trap & (reason[1:] == ControlFlowFault.SHADOW_OVERFLOW >> 1))

        rdata = []
        own = Signal(64)
        rdata.append(own)
        entries = config.shadow_stack_entries if config.judges_crossings else 0
        numbers = max(config.compartments, entries)
        log2 = (config.compartments - 1).bit_length() if config.compartments else 0
        number = Signal(max(1, (numbers - 1).bit_length()))
        item = Signal(4)
        with m.Switch(registers.number):
            with m.Case(number_pattern(XfidesCSR.COMCTL)):
                m.d.comb += own.eq(
                    Cat(compartments_on, pointers_on, Const(0, 5), locked, Const(log2, 8), Const(entries, 16))
                )
                with m.If(registers.write):
                    if config.compartments:
                        m.d.sync += compartments_on.eq(registers.wdata[Comctl.CEN])
                    if config.fat_pointers:
                        m.d.sync += pointers_on.eq(registers.wdata[Comctl.FEN])
                    m.d.sync += locked.eq(locked | registers.wdata[Comctl.LOCK])
            with m.Case(number_pattern(XfidesCSR.COMCAUSE)):
                m.d.comb += own.eq(cause)
                with m.If(registers.write):
                    m.d.sync += cause.eq(registers.wdata)
            if config.judges_crossings:
                with m.Case(number_pattern(XfidesCSR.COMSEL)):
                    m.d.comb += own.eq(Cat(number, Const(0, 16 - len(number)), item))
                    with m.If(registers.write):
                        m.d.sync += [number.eq(registers.wdata), item.eq(registers.wdata[16:20])]

        m.submodules.readback = readback = Readback()
        m.d.comb += [
            *self._register_port(readback),
            readback.locked.eq(locked),
        ]
        rdata.append(readback.rdata)

        m.d.comb += self.x_cause.eq(ExceptionCause.CONTROL_FLOW)

        monitor_fault = Const(0)
        if config.crossings == "monitor":
            m.submodules.monitor_check = monitor = MonitorCheck(config)
            m.d.comb += [
                monitor.x_check.eq(self.x_judge & compartments_on & user),
                monitor.x_pc.eq(self.x_pc),
                monitor.x_op.eq(self.x_op),
                monitor.locked.eq(locked),
                *self._register_port(monitor),
            ]
            rdata.append(monitor.rdata)
            monitor_fault = monitor.x_reason != 0
            with m.If(monitor_fault):
                m.d.comb += [self.x_fault.eq(1), x_reason.eq(monitor.x_reason)]

        if config.judges_crossings:
            m.submodules.capability_check = check = CapabilityCheck(config)
            m.submodules.shadow_stack = stack = ShadowStack(config)
            for unit in (check, stack):
                m.d.comb += [
                    *self._register_port(unit),
                    unit.window.number.eq(number),
                    unit.window.item.eq(item),
                    unit.window.locked.eq(locked),
                    unit.window.write.eq(
                        registers.write & registers.number.matches(number_pattern(XfidesCSR.COMDATA))
                    ),
                ]
                rdata.append(unit.rdata)
            self._compartments(m, check, stack, compartments_on & user, x_reason)

        if config.fat_pointers:
            m.submodules.fat_pointer = pointer = FatPointer()
            m_check = Signal()
            m.d.comb += [
                pointer.x_op.eq(self.x_op),
                pointer.x_active.eq(self.x_judge & pointers_on & user),
                pointer.x_rs1.eq(self.x_rs1),
                pointer.x_rs2.eq(self.x_rs2),
                pointer.x_total.eq(self.x_total),
                pointer.x_fire.eq(self.x_fire),
                pointer.m_empty.eq(self.m_empty),
                pointer.x_granted.eq(self.x_granted),
                pointer.x_refused.eq(self.x_refused),
                pointer.m_check.eq(m_check),
                self.m_checking.eq(m_check),
                pointer.m_pointer.eq(self.m_result),
                pointer.m_size.eq(self.m_size),
                pointer.response.eq(self.response),
                pointer.response_error.eq(self.response_error),
                pointer.response_data.eq(self.response_data),
                pointer.machine.eq(self.machine),
                pointer.locked.eq(locked),
                *self._register_port(pointer),
                self.x_tag.eq(pointer.x_tag),
                self.x_minted.eq(pointer.x_minted),
                self.x_table_op.eq(pointer.x_table_op),
                self.x_table.eq(pointer.x_table),
                self.x_index.eq(pointer.x_index),
                self.x_request.eq(pointer.x_request),
                self.x_we.eq(pointer.x_we),
                self.x_set.eq(pointer.x_set),
                self.x_mask_addresses.eq(pointers_on & user),
            ]
            rdata.append(pointer.rdata)
            with m.If(self.m_ready):
                m.d.sync += m_check.eq(self.x_request & self.x_granted & self.x_fire)
            if config.crossings == "monitor":
                m.d.comb += pointer.x_block.eq(monitor_fault)
            if config.judges_crossings:
                m.d.comb += [
                    pointer.x_block.eq(check.x_fault),
                    stack.x_mark.eq(pointer.mark),
                    pointer.restore.eq(check.restore),
                    pointer.restore_mark.eq(stack.top.mark),
                ]
            with m.If(pointer.x_wait):
                m.d.comb += self.x_wait.eq(1)
            with m.If(pointer.x_fault):
                m.d.comb += [
                    self.x_fault.eq(1),
                    self.x_cause.eq(pointer.x_cause),
                    x_reason.eq(pointer.x_reason),
                ]
            if self._late_verdict:
                m.d.sync += self.w_fault.eq(pointer.m_fault & ~self.response_error & ~self.w_fault)
                with m.If(self.w_fault):
                    m.d.sync += cause.eq(pointer.w_reason)
            else:
                m.d.comb += self.m_fault.eq(pointer.m_fault)
                with m.If(m_check & ~self.response_error):
                    m.d.comb += m_reason.eq(pointer.m_reason)

        value = rdata[0]
        for other in rdata[1:]:
            value = value | other
        m.d.comb += self.rdata.eq(value)
        return m

    def _register_port(self, unit):
        """Statements that connect ``unit``'s register port."""
        ours, its = self.registers, unit.registers
        return [its.number.eq(ours.number), its.write.eq(ours.write), its.wdata.eq(ours.wdata)]

    def _compartments(self, m, check, stack, enabled, x_reason):
        """Sections 5 to 7: capability check and shadow stack together."""
        op = self.x_op
        checked = Signal()
        is_return, is_handler = op == SecurityOp.RETURN, op == SecurityOp.HANDLER_PAD
        is_arm, is_disarm = op == SecurityOp.ARM, op == SecurityOp.DISARM
        is_pad = (op == SecurityOp.ENTRY_PAD) | (op == SecurityOp.LOCAL_PAD)
        # Nothing undoes an instruction that leaves execute without an exception, but for loads and stores.
        committed = Signal()
        m.d.comb += [
            checked.eq(self.x_judge & enabled),
            committed.eq(checked & self.x_commit),
            check.x_check.eq(checked),
            check.x_pc.eq(self.x_pc),
            check.x_pad.eq(is_pad),
            check.x_local.eq(op == SecurityOp.LOCAL_PAD),
            check.x_handler.eq(is_handler),
            check.x_cid.eq(self.x_cid),
            check.x_advance.eq(self.x_advance),
            check.x_commit.eq(self.x_commit),
            stack.machine.eq(self.machine),
            # jalr's target for returns, ra for pads, pc for handler pads: decode has arranged that.
            stack.x_target.eq(self.x_target),
            stack.x_ra.eq(self.x_rs1),
            stack.x_sp.eq(self.x_rs2),
            stack.x_context.eq(check.context),
            stack.x_kind.eq(is_arm),
            stack.x_write.eq(checked & (is_pad | is_arm)),
            stack.x_grows.eq(is_pad | is_arm),
        ]
        call_matches = Signal()
        m.d.comb += call_matches.eq(stack.present & stack.matches & ~stack.top.kind)

        # What needs the top waits until it is there. A crossing has waited already, for the tables.
        busy = Signal()
        m.d.comb += busy.eq(~stack.top_ready)
        with m.If(check.x_wait | (checked & (is_return | is_handler | is_disarm) & busy)):
            m.d.comb += self.x_wait.eq(1)
        if self._late_verdict:
            # What changes state may leave only when nothing can undo it.
            with m.If(checked & (is_pad | is_return | is_arm | is_disarm) & self.m_checking):
                m.d.comb += self.x_wait.eq(1)

        # What else stands against a crossing (contract notes: order of checks).
        with m.If(stack.wide):
            m.d.comb += check.x_obstacle.eq(ControlFlowFault.BAD_PAD)
        with m.Elif(stack.spilled):
            m.d.comb += check.x_obstacle.eq(ControlFlowFault.SHADOW_UNDERFLOW)
        with m.Elif(~call_matches & stack.full):
            m.d.comb += check.x_obstacle.eq(ControlFlowFault.SHADOW_OVERFLOW)

        # Unwinding: a pop every other cycle, behind an empty memory stage.
        found = Signal()
        unwind = Signal()
        restore_handler = Signal()
        m.d.comb += [
            unwind.eq(checked & is_handler & ~found & ~busy & self.m_empty),
            restore_handler.eq(unwind & stack.present),
        ]
        with m.If(self.x_fire):
            m.d.sync += found.eq(0)
        with m.Elif(restore_handler):
            m.d.sync += found.eq(stack.matches & stack.top.kind)

        fault = Signal(3)
        with m.If(check.x_fault):
            m.d.comb += fault.eq(check.x_reason)
        with m.Elif(checked):
            with m.Switch(op):
                with m.Case(SecurityOp.RETURN):
                    with m.If(stack.spilled):
                        m.d.comb += fault.eq(ControlFlowFault.SHADOW_UNDERFLOW)
                with m.Case(SecurityOp.ARM):
                    with m.If(stack.wide):
                        m.d.comb += fault.eq(ControlFlowFault.BAD_UNWIND)
                    with m.Elif(stack.full):
                        m.d.comb += fault.eq(ControlFlowFault.SHADOW_OVERFLOW)
                with m.Case(SecurityOp.DISARM):
                    with m.If(stack.spilled):
                        m.d.comb += fault.eq(ControlFlowFault.SHADOW_UNDERFLOW)
                    with m.Elif(~stack.present | ~stack.top.kind):
                        m.d.comb += fault.eq(ControlFlowFault.BAD_UNWIND)
                with m.Case(SecurityOp.HANDLER_PAD):
                    with m.If(found):
                        m.d.comb += fault.eq(Mux(check.x_home, 0, ControlFlowFault.BAD_UNWIND))
                    with m.Elif(stack.spilled):
                        m.d.comb += fault.eq(ControlFlowFault.SHADOW_UNDERFLOW)
                    with m.Elif(~stack.present):
                        m.d.comb += fault.eq(ControlFlowFault.BAD_UNWIND)
        with m.If(fault != 0):
            m.d.comb += [self.x_fault.eq(1), x_reason.eq(fault)]
        # A handler pad stays until it has found its entry, or nothing is left to pop.
        with m.If(checked & is_handler & ~found & (~self.m_empty | stack.present)):
            m.d.comb += self.x_wait.eq(1)
        # Between two pops, so that the entry that ends the unwinding is never lost.
        m.d.comb += self.x_interruptible.eq(checked & is_handler & ~found & busy & self.m_empty)

        returns = checked & is_return & call_matches
        crossing = check.x_crossing & self.x_commit
        m.d.comb += [
            check.restore_read.eq((returns & self.x_advance) | restore_handler),
            check.restore.eq((returns & self.x_commit) | restore_handler),
            check.restore_context.eq(stack.top.context),
            stack.push.eq((committed & is_arm) | (crossing & ~call_matches)),
            stack.pop.eq((committed & is_disarm) | check.restore),
            self.crossing.eq(crossing),
        ]
