"""The core with Xfides: what a trap writes of the machine's registers, and that nothing behind it counts."""

from amaranth.hdl import Cat, Const, Mux, Signal
from amaranth.lib import data

from fides_core.isa.causes import ExceptionCause, MemoryFault
from fides_core.isa.csrs import CSR, Comctl, XfidesCSR

from .security import COMPARTMENTS, ENTRIES, SecurityTop

__all__ = ["TrapEntryTop"]

_LEFT = data.StructLayout(
    {
        "pc": 32, "far": 1, "exception": 1, "interrupt": 1, "cause": 5, "value": 64, "val": 1, "pointer": 64,
        "size": 3, "store": 1,
    }
)  # fmt: skip


class TrapEntryTop(SecurityTop):
    """What goes on in the memory stage, and in writeback with a late verdict.

    A ``val`` with checks that has left execute without an exception is judged when its entry comes, with the
    pointer, the address and the size that it had in execute, and traps exactly if it is found to fail. A
    trap leaves mepc, mcause, mtval and comcause of the instruction that traps, and M-mode. In M-mode these
    change by traps and CSR instructions alone, and U-mode cannot name the first three. Behind a trap the
    pipeline is empty and no answer of the data bus is due; nothing that was behind it retires, writes a
    register or a CSR, or is counted. With a late verdict a request is withdrawn in the cycle after its grant
    only, and only behind a ``val`` that fails.

    The verdict itself is claimed by ``fat_pointer``, the reason in execute by that and ``compartments``.
    """

    def claim(self):
        m, x, memory, bus = self.m, self.x, self.memory, self.core.dbus
        began = self.past(self.running, "running")

        # What the instruction in the memory stage was in execute.
        word, funct3 = self.x_word, self.x_word[12:15]
        custom1 = word[:7] == 0x2B
        register_form = (funct3 == 2) & (word[28:] == 0) & (word[25:28] <= 4)
        immediate_form = (funct3 == 3) & (word[7:12] <= 4)
        is_val = custom1 & (register_form | immediate_form)
        offset = Mux(funct3 == 3, word[20:].as_signed(), x.rs2[:32].as_signed())
        result = self.sent.result
        left = Signal(_LEFT)
        what = Signal(_LEFT)
        m.d.comb += [
            what.pc.eq(x.pc),
            what.far.eq(x.far),
            what.exception.eq(self.exception),
            what.interrupt.eq(self.interrupt),
            what.cause.eq(self.cause),
            what.value.eq(result),
            what.val.eq(self.leaves & ~self.early & self.user & self.pointers_on & is_val),
            what.pointer.eq(Cat((x.rs1[:32].as_signed() + offset)[:32], x.rs1[32:])),
            what.size.eq(Mux(funct3 == 3, word[7:10], word[25:28])),
            what.store.eq(bus.we),
        ]
        with m.If(self.fires):
            m.d.sync += left.eq(what)
        self.always(~(self.fires & is_val & ~x.exception) | self.early | (result == what.pointer), "ea")
        memory_fault = self.fires & self.exception & (self.cause == int(ExceptionCause.MEMORY))
        slow = custom1 & ((funct3 == 4) | (funct3 == 5))
        self.always(~(memory_fault & slow) | (result == x.rs1), "value_of_mint_and_revoke")
        self.always(~memory_fault | (self.user & self.pointers_on & (slow | is_val)), "memory_fault")

        # Its reason, which it has in the cycle after.
        recorded, kept, left_reason = self.probe(3, "core.security.recorded"), Signal(3), Signal(3)
        arrived = began & self.past(self.fires, "fires")
        m.d.comb += left_reason.eq(Mux(arrived, recorded, kept))
        m.d.sync += kept.eq(left_reason)
        raised = self.past(self.probe(3, "core.security.fat_pointer.x_reason"), "pointer_reason")
        was_memory = arrived & left.exception & (left.cause == int(ExceptionCause.MEMORY))
        self.always(~was_memory | ((recorded == raised) & (recorded != 0)), "reason_of_memory_fault")
        own = left.exception & left.cause.matches(24, 25)
        self.always(~self.m_valid | left.interrupt | ((left_reason != 0) == own), "reason_of_own_faults")

        # val.
        checking = self.probe(1, "core.security.fat_pointer.m_check")
        found = self.probe(1, "core.security.fat_pointer.m_fault")
        found_reason = self.probe(3, "core.security.fat_pointer.m_reason")
        pointer = self.probe(64, "core.security.fat_pointer.m_pointer")
        size = self.probe(3, "core.security.fat_pointer.m_size")
        self.always(checking == (self.m_valid & left.val), "judges_val")
        as_it_was = (pointer == left.pointer) & (size == left.size)
        self.always(~checking | as_it_was, "judged_as_it_was")
        fails = Signal()
        m.d.comb += fails.eq(checking & bus.rvalid & ~bus.err & found)
        stopped = self.past(fails, "fails") if self.late else fails
        culprit = Signal(_LEFT)
        reason = Signal(3)
        if self.late:
            m.d.comb += [
                culprit.eq(self.past(left.as_value(), "left")),
                reason.eq(self.past(found_reason, "found")),
            ]
            self.always(~began | (self.w_fault == stopped), "late_verdict")
        else:
            m.d.comb += [culprit.eq(left), reason.eq(found_reason)]
        self.always(~began | ~stopped | self.trap, "traps")
        self.always(~self.trap | ~self.commit, "nothing_retires")
        retired = self.past(self.commit, "commit") & ~self.w_fault

        # What a trap leaves.
        held_reason = self.probe(3, "core.security.cause")
        stays = self.m_valid & ~self.w_fault
        bus_error = stays & memory.access & bus.rvalid & bus.err
        decided = stays & (left.exception | left.interrupt)
        waits = memory.access & ~bus.rvalid
        self.always(~began | (self.trap == (stopped | bus_error | decided)), "traps_for_a_reason")
        self.always(~(stays & waits) | ~self.commit, "waits_for_the_bus")
        entered = Signal(data.StructLayout({"pc": 32, "far": 1, "interrupt": 1, "cause": 6, "value": 64}))
        comcause = Signal(3)
        m.d.comb += [
            entered.pc.eq(left.pc),
            entered.far.eq(left.far),
            entered.interrupt.eq(left.interrupt),
            entered.cause.eq(left.cause),
            entered.value.eq(left.value),
            comcause.eq(held_reason),
        ]
        with m.If(stopped):
            m.d.comb += [
                entered.pc.eq(culprit.pc),
                entered.far.eq(culprit.far),
                entered.interrupt.eq(0),
                entered.cause.eq(int(ExceptionCause.MEMORY)),
                entered.value.eq(culprit.pointer),
                comcause.eq(reason),
            ]
        with m.Elif(bus_error):
            access_fault = Mux(
                left.store, int(ExceptionCause.STORE_ACCESS_FAULT), int(ExceptionCause.LOAD_ACCESS_FAULT)
            )
            m.d.comb += entered.cause.eq(access_fault)
        with m.Elif(left.interrupt):
            m.d.comb += entered.value.eq(0)
        with m.Elif(left.exception & (left.cause == int(ExceptionCause.CONTROL_FLOW))):
            m.d.comb += entered.value.eq(left.pc)
        with m.Elif(
            left.exception
            & (left.cause == int(ExceptionCause.MEMORY))
            & (left_reason == int(MemoryFault.EXHAUSTED))
        ):
            m.d.comb += entered.value.eq(0)
        with m.If(self.trap & ~stopped & ~bus_error & own & ~left.interrupt):
            m.d.comb += comcause.eq(left_reason)
        with m.If(self.written(XfidesCSR.COMCAUSE)):
            m.d.comb += comcause.eq(self.csr_data)
        epc, value = self.probe(63, "core.csr.epc"), self.probe(64, "core.csr.value")
        cause = Cat(self.probe(6, "core.csr.cause"), self.probe(1, "core.csr.cause_interrupt"))
        after = began & self.past(self.trap, "trap")
        expected = self.past(entered.as_value(), "entered")
        expected = data.View(entered.shape(), expected)
        self.always(~after | expected.far | (epc == expected.pc[1:]), "mepc")
        self.always(~after | (cause == Cat(expected.cause, expected.interrupt)), "mcause")
        self.always(~after | (value == expected.value), "mtval")
        self.always(~began | (held_reason == self.past(comcause, "comcause")), "comcause")

        # And nothing else writes them where they can be read.
        calm = began & ~self.past(self.user, "user") & ~self.past(self.trap, "trap")
        for csr, register in ((CSR.MEPC, epc), (CSR.MCAUSE, cause), (CSR.MTVAL, value)):
            name = csr.name.lower()
            same = register == self.past(register, name)
            self.always(~calm | self.past(self.written(csr), f"written_{name}") | same, f"{name}_kept")
        own_number = memory.csr_number[8:10] == 0
        self.always(~(self.user & self.m_valid & memory.csr) | own_number, "no_machine_csr_in_user_mode")
        self.always(~after | ~self.user, "traps_into_machine_mode")
        left_user = began & self.past(self.user, "user") & ~self.past(self.trap, "trap")
        self.always(~left_user | self.user, "left_by_traps_alone")

        # Nothing behind a trap, nor behind a branch of the late ALU that fetch has not followed.
        wrong = self.probe(1, "core.memory.mispredicted") if self.late else Const(0)
        empty = ~self.m_valid & ~self.x_valid & ~self.due["dbus"]
        dropping = self.trap | wrong | self.probe(1, "core.memory.mret")
        dropped = self.past(dropping, "dropping")
        behind = began & dropped
        self.always(~behind | empty, "nothing_behind")
        self.always(~(bus.req & dropping), "nothing_asked_behind")
        self.always(~self.csr_write | self.commit, "csr_write_retires")
        reported = self.rvfi.valid & ~self.rvfi.trap
        self.always(~began | (reported == retired), "reported")
        self.always(
            ~(began & self.probe(1, "core.decode.w_forward.write")) | retired, "register_write_retires"
        )
        counts = self.probe(3, "core.csr.memory.increment")[2]
        self.always(~(began & counts) | (retired if self.late else self.commit), "counts")
        if self.late:
            self.always(~self.core.withdraw | stopped, "withdraws_behind_val")
            self.always(~self.core.withdraw | ~self.due["dbus"] | self.withdrawn, "withdraws_at_once")
            self.always(~self.withdrawn | (self.m_valid & ~self.commit), "withdraws_what_is_dropped")
        self._assumed(dropping, dropped, began)
        self._invariants()

        # What is in the memory stage is what left execute.
        held = Cat(memory.pc, memory.far, memory.exception, memory.interrupt, memory.cause, memory.result)
        as_left = Cat(left.pc, left.far, left.exception, left.interrupt, left.cause, left.value)
        self.helper(~self.m_valid | (held == as_left), "held")
        self.helper(~self.m_valid | (recorded == left_reason), "recorded")
        is_memory = left.exception & (left.cause == int(ExceptionCause.MEMORY))
        held_kind = self.probe(1, "core.security.memory_fault")
        self.helper(~self.m_valid | (held_kind == is_memory), "kind_of_fault")
        exceptional = memory.exception | memory.interrupt
        self.helper(~(self.m_valid & memory.access) | ~(exceptional | memory.late_branch), "access")
        self.helper(~(self.m_valid & memory.access) | (memory.store == left.store), "store")
        self.helper(~(self.m_valid & left.val) | (self.user & self.pointers_on & memory.access), "val")
        if self.late:
            self.helper(~self.w_fault | self.user, "w_fault")

    def _assumed(self, dropping, dropped, began):
        """What the proof of the capability check assumes of the core, and that what is written through comsel
        and comdata is what the tables are written with."""
        self.always(~(began & self.past(dropped, "dropped")) | ~self.x_valid, "empty_for_two_cycles")
        raises = self.past(self.fires & (self.exception | self.interrupt), "raises")
        self.always(~(began & raises) | dropping, "raises_at_once")
        idle = self.probe(12, "core.security.registers__number") == 0xFFF
        self.always(~(self.x_valid & began) | (idle & self.past(idle, "idle")), "no_register_named")
        log2 = max(COMPARTMENTS, ENTRIES).bit_length() - 1
        number = self.probe(log2, "core.security.number")
        item = self.probe(4, "core.security.item")
        locked = self.probe(1, "core.security.locked")
        selected = Mux(
            self.written(XfidesCSR.COMSEL), Cat(self.csr_data[:log2], self.csr_data[16:20]), Cat(number, item)
        )
        self.always(~began | (Cat(number, item) == self.past(selected, "selected")), "comsel")
        locks = locked | (self.written(XfidesCSR.COMCTL) & self.csr_data[Comctl.LOCK])
        self.always(~began | (locked == self.past(locks, "locks")), "lock")
        comdata = self.written(XfidesCSR.COMDATA)
        given = {"number": Cat(number, Const(0, 16 - log2)), "item": item, "write": comdata, "locked": locked}
        for unit, names in (("capability_check", given), ("shadow_stack", ("number", "item", "write"))):
            path = f"core.security.{unit}."
            for name in names:
                value = given[name]
                same = self.probe(len(value), f"{path}window__{name}") == value
                self.always(same, f"comdata_{name}_{unit}")
            datum = self.probe(64, f"{path}registers__wdata")
            self.always(~comdata | (datum == self.csr_data), f"comdata_{unit}")
