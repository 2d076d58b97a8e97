"""The fat-pointer validator against the contract, section 9, and the contract notes, order of checks."""

from amaranth.hdl import Cat, Const, Mux, Signal

from fides_core.core.control import SecurityOp
from fides_core.isa.causes import ExceptionCause, MemoryFault
from fides_core.isa.csrs import XfidesCSR
from fides_core.security.fat_pointer import FatPointer

from .harness import FormalTop

__all__ = ["FatPointerTop"]


class _Choice:
    """The first of several reasons that applies, in the contract's order; 0 for none."""

    def __init__(self):
        self.value = Const(0, 3)

    def otherwise(self, condition, reason):
        self.value = Mux(self.value != 0, self.value, Mux(condition, Const(int(reason), 3), Const(0, 3)))
        return self


class FatPointerTop(FormalTop):
    """Verdicts of val, mint and revoke are those of the contract, in wide integers where the unit works
    modulo powers of two; a val asks for one entry, that of its pointer, unless its index faults; mint and
    revoke write exactly the entry the contract says, once, behind a read that shows it dead or live (none for
    the stack zone), and nothing when they fault; a mint never uses cookie 0, and its result has the cookie
    that it wrote. fmark changes only by a mint from it, by ``restore`` and by its CSR, which lowers it from
    U-mode. Without ``x_active`` the unit asks for nothing, stops nothing and changes nothing.

    Assumed of the core: an instruction of which an access has been granted stays as it is until it leaves; it
    leaves only when the unit lets it; responses answer requests; what a val had for pointer is there when its
    entry comes; in U-mode the only register that is written is fmark; execute is empty when a CSR instruction
    names one. The registers are undefined after reset: claims begin when each has been written.
    """

    def properties(self):
        m = self.m
        m.submodules.unit = unit = FatPointer()
        ports = (
            "x_rs1", "x_rs2", "x_total", "x_active", "x_block", "x_fire", "m_empty", "x_granted", "x_refused",
            "m_check", "m_pointer", "m_size", "response", "response_error", "response_data", "restore",
            "restore_mark", "machine", "locked",
        )  # fmt: skip
        m.d.comb += [getattr(unit, n).eq(self.free(len(getattr(unit, n)), n)) for n in ports]
        op = self.free(4, "x_op")
        m.d.comb += unit.x_op.eq(op)
        self.assume(op.matches(*(int(each) for each in SecurityOp)))
        registers = unit.registers
        for name in registers.signature.members:
            m.d.comb += getattr(registers, name).eq(self.free(len(getattr(registers, name)), f"csr_{name}"))
        number, datum = registers.number, registers.wdata
        self.assume(number.matches(*(int(csr) for csr in XfidesCSR), 0xFFF))
        self.assume(~registers.write | unit.machine | (number[8:] != 7))

        is_val, is_mint, is_revoke = (
            op == int(each) for each in (SecurityOp.VAL, SecurityOp.MINT, SecurityOp.REVOKE)
        )
        active = Signal()
        m.d.comb += active.eq(unit.x_active & ~unit.x_block & (is_val | is_mint | is_revoke))
        slow = active & ~is_val

        # Registers, as the contract notes size them.
        known = Signal(3)
        values = []
        for i, (csr, low, high) in enumerate(
            (
                (XfidesCSR.FIDESMETADATABASE, 3, 32),
                (XfidesCSR.FSTACKBASE, 6, 16),
                (XfidesCSR.FSTACKEND, 6, 16),
            )
        ):
            value = Signal(high, name=f"{csr.name.lower()}_value")
            with m.If(registers.write & (number == int(csr)) & ~unit.locked):
                m.d.sync += [value.eq(Cat(Const(0, low), datum[low:high])), known[i].eq(1)]
            register = self.probe(high - low, "unit." + ("table", "zone_start", "zone_end")[i])
            self.helper(~known[i] | (value == Cat(Const(0, low), register)), f"{csr.name.lower()}_register")
            values.append(value)
        table, zone, end = values
        ready = known.all()

        # What an instruction has asked for so far. ``alone``: it was here with an empty memory stage.
        begun, due, read, written = (Signal(name=n) for n in ("begun", "due", "has_read", "has_written"))
        alone, denied, denied_write = Signal(), Signal(), Signal()
        found, failed = Signal(64), Signal()
        cookie = Signal(8)
        asks = unit.x_request & unit.x_granted
        self.assume(~unit.x_granted | ~unit.x_refused)
        waits = unit.x_active & (is_mint | is_revoke)
        with m.If(unit.x_fire):
            m.d.sync += alone.eq(0)
        with m.Elif(waits & unit.m_empty):
            m.d.sync += alone.eq(1)
        with m.If(slow & unit.x_request & unit.x_refused):
            m.d.sync += [denied.eq(1), denied_write.eq(unit.x_we)]
        with m.If(unit.x_fire):
            m.d.sync += [signal.eq(0) for signal in (begun, due, read, written, failed, denied)]
        with m.Elif(slow & asks):
            m.d.sync += [begun.eq(1), due.eq(1)]
            with m.If(unit.x_we):
                m.d.sync += [written.eq(1), cookie.eq(unit.x_tag[:8])]
            with m.Else():
                m.d.sync += read.eq(1)
        with m.Elif(due & unit.response):
            m.d.sync += [due.eq(0), failed.eq(unit.response_error)]
            with m.If(~written):
                m.d.sync += found.eq(unit.response_data)

        # The core's side.
        self.assume(~unit.response | due | unit.m_check)
        self.assume(~(unit.m_check & begun) & ~(unit.m_check & unit.m_empty))
        self.assume(~alone | unit.m_empty)
        self.assume(~unit.x_fire | ~unit.x_wait)
        self.assume(~(active & is_val & asks) | unit.x_fire)
        self.assume(~(active & is_val & unit.x_request & unit.x_fire) | unit.x_granted | unit.x_refused)
        self.assume(unit.m_size <= 4)
        self.assume(~is_mint | (unit.x_total == unit.x_rs1 + unit.x_rs2))
        self.assume(~(slow & is_revoke & due) | (unit.m_pointer == unit.x_rs1))
        kept = Cat(
            op, unit.x_active, unit.x_block, unit.x_rs1, unit.x_rs2, unit.x_total, unit.machine, unit.locked
        )
        last = Signal(len(kept))
        m.d.sync += last.eq(kept)
        self.assume(~alone | (last == kept))
        self.assume(~alone | (~unit.restore & ~registers.write))
        self.assume((number == 0xFFF) | ~(unit.restore | unit.x_active))
        self.assume(~unit.restore | ~active)

        # val: the index, then the entry.
        pointer, given = unit.x_rs1, unit.x_rs2[32:48]
        index = pointer[40:56]
        in_table = index < end
        in_zone = (zone <= index) & in_table
        of_index = _Choice().otherwise(~in_table | (in_zone & ~(index < unit.mark)), MemoryFault.INVALID)
        here = active & is_val & ready
        reason = of_index.value
        self.always(~here | (unit.x_request == (reason == 0)), "val_asks")
        self.always(~here | ~unit.x_request | ~unit.x_we, "val_reads")
        self.always(~here | ~unit.x_request | (unit.x_index == index), "val_entry")
        refused = unit.x_request & unit.x_refused
        self.always(~here | (unit.x_fault == ((reason != 0) | refused)), "val_faults")
        self.always(~here | refused | (unit.x_reason == reason), "val_reason")
        load_fault = int(ExceptionCause.LOAD_ACCESS_FAULT)
        self.always(~here | ~refused | (unit.x_cause == load_fault), "val_refused")
        self.always(
            ~here | ~unit.x_fault | refused | (unit.x_cause == int(ExceptionCause.MEMORY)), "val_cause"
        )
        self.always(~(active & is_val) | ~unit.x_wait, "val_stays_not")

        entry = unit.response_data
        base, size = entry[32:64], entry[8:32]
        address = unit.m_pointer[:32]
        wide = (Cat(address, Const(1, 1)) - base)[:34]  # 2^32 + address - base, positive
        of_entry = (
            _Choice()
            .otherwise(size == 0, MemoryFault.INVALID)
            .otherwise(entry[:8] != unit.m_pointer[32:40], MemoryFault.TEMPORAL)
            .otherwise(Cat(wide[:32], Const(0, 8)) + (Const(1, 40) << unit.m_size) > size, MemoryFault.BOUNDS)
        )
        judged = unit.m_check & unit.response & ~unit.response_error
        self.always(~judged | (unit.m_fault == (of_entry.value != 0)), "val_verdict")
        self.always(~judged | ~unit.m_fault | (unit.m_reason == of_entry.value), "val_verdict_reason")
        self.always(unit.m_check | ~unit.m_fault, "val_only")
        found_before = Signal(3)
        m.d.sync += found_before.eq(Mux(judged, of_entry.value, 0))
        self.always((found_before == 0) | (unit.w_reason == found_before), "val_reason_stays")

        # mint.
        sum_ = Cat(unit.x_rs1[:32], Const(0, 2)) + unit.x_rs2[:24]
        from_mark = given == 0
        target = Mux(is_mint, Mux(from_mark, unit.mark, given), index)
        mint = (
            _Choice()
            .otherwise((unit.x_rs2[24:32] != 0) | (sum_ > 1 << 32), MemoryFault.BOUNDS)
            .otherwise(from_mark & ~((zone <= unit.mark) & (unit.mark < end)), MemoryFault.EXHAUSTED)
            .otherwise(~from_mark & ~(given < zone), MemoryFault.INVALID)
        )
        revoke = (
            _Choice()
            .otherwise((index == 0) | in_zone, MemoryFault.NOT_BASE)
            .otherwise(~in_table, MemoryFault.INVALID)
        )
        early = Mux(is_mint, mint.value, revoke.value)
        dead = found[8:32] == 0
        late = Mux(
            is_mint,
            _Choice().otherwise(~dead, MemoryFault.INVALID).value,
            _Choice()
            .otherwise(dead, MemoryFault.INVALID)
            .otherwise(found[:8] != pointer[32:40], MemoryFault.TEMPORAL)
            .otherwise(found[32:] != pointer[:32], MemoryFault.NOT_BASE)
            .value,
        )
        needs_read = ~(is_mint & from_mark)
        requests = slow & ready & unit.x_request
        self.always(~requests | ((early == 0) & ~due & ~failed & unit.m_empty), "asks_if_it_may")
        self.always(~requests | (unit.x_index == target), "entry")
        self.always(~requests | unit.x_we | (needs_read & ~read & ~written), "reads_once")
        self.always(~requests | ~unit.x_we | ~written, "writes_once")
        self.always(~requests | ~unit.x_we | ~needs_read | (read & (late == 0)), "writes_behind_verdict")
        self.always(~requests | ~unit.x_we | (unit.x_set == is_mint), "what_it_writes")
        self.always(~requests | ~unit.x_we | ~is_mint | (unit.x_tag[:8] != 0), "cookie_not_0")
        self.always(~unit.x_request | ~known[0] | (Cat(Const(0, 3), unit.x_table) == table), "table")

        leaves = slow & ready & unit.x_fire
        access = failed | denied
        reason = Mux(early != 0, early, Mux(access, 0, Mux(needs_read, late, 0)))
        faults = (early != 0) | access | (needs_read & (late != 0))
        self.always(~leaves | (unit.x_fault == faults), "faults")
        self.always(~leaves | ~faults | (unit.x_reason == reason), "reason")
        on_write = Mux(denied, denied_write, written)
        cause = Mux(
            (early == 0) & access,
            Mux(on_write, int(ExceptionCause.STORE_ACCESS_FAULT), int(ExceptionCause.LOAD_ACCESS_FAULT)),
            int(ExceptionCause.MEMORY),
        )
        self.always(~leaves | ~faults | (unit.x_cause == cause), "cause")
        self.always(~leaves | faults | (written & ~due & (read == needs_read)), "complete")
        self.always(~leaves | ~faults | ~written | failed, "none_written_when_it_faults")
        succeeds = leaves & ~faults & is_mint
        tag = Cat(cookie, target, Const(0, 8))
        self.always(~succeeds | (unit.x_minted & (unit.x_tag == tag)), "result")
        self.always(unit.x_minted == (slow & is_mint & written & ~due & ~failed), "minted")

        # fmark.
        mark = Signal(16)
        minted = slow & unit.x_fire & ~unit.x_fault & is_mint & from_mark
        with m.If(unit.restore):
            m.d.sync += mark.eq(unit.restore_mark)
        with m.Elif(minted):
            m.d.sync += mark.eq(mark + 1)
        with m.Elif(registers.write & (number == int(XfidesCSR.FMARK))):
            with m.If(unit.machine | (datum[:16] < mark)):
                m.d.sync += mark.eq(datum)
        self.always(unit.mark == mark, "mark")
        self.always(unit.rdata == Mux(number == int(XfidesCSR.FMARK), mark, 0), "mark_reads")

        # Nothing without x_active; what another unit has stopped leaves without an access.
        effect = unit.x_request | unit.x_fault | unit.x_minted
        self.always(active | ~effect, "inactive")
        self.always(unit.x_active | ~unit.x_wait, "inactive_waits_not")

        # The steps, which makes it inductive.
        phase = self.probe(3, "unit.phase")
        was_write = self.probe(1, "unit.wrote")
        self.helper(~due | (was_write == written), "was_write")
        steps = Cat(begun, due, read, written, failed, denied)
        idle, look, reading, write, writing, done, fault = range(7)
        stored, own_early = unit.w_reason, self.probe(3, "unit.early")
        with m.Switch(phase):
            for step, state in {idle: 0b000000, look: 0b000000, reading: 0b000111}.items():
                with m.Case(step):
                    self.helper((steps == state) & (needs_read | (step != reading)), f"step{step}")
            with m.Case(write):
                unfit = (steps == 0) & (stored == own_early) & (stored != 0)
                self.helper(unfit | ((steps == 0b000101) & needs_read & (stored == late)), "step3")
            with m.Case(writing):
                self.helper(begun & due & written & ~failed & (read == needs_read), "step4")
            with m.Case(done):
                self.helper(begun & ~due & written & ~failed & (read == needs_read), "step5")
            with m.Case(fault):
                self.helper(~slow | (begun & failed) | denied, "step6")
                self.helper(~due & (slow | ~begun), "step6_over")
                self.helper(~begun | failed | (read & ~written & (late == 0)), "step6_read")
                self.helper(~slow | (own_early == 0), "step6_early")
                wrote = Mux(denied, denied_write, written)
                self.helper(~slow | (self.probe(1, "unit.wrote") == wrote), "step6_write")
            with m.Default():
                self.helper(0, "no_other_step")
        self.helper(~denied | ((phase == fault) & slow & ~failed & ~written), "denied")
        self.helper(~denied | (denied_write == (read | ~needs_read)), "denied_write")
        self.helper((phase == idle) | (alone & waits), "alone")
        self.helper((phase == idle) | ~is_mint | (self.probe(1, "unit.named") == (given != 0)), "named")
        self.helper((phase == idle) | (phase == fault) | slow, "stopped")
        self.helper(~begun | slow, "begun_active")
        self.helper(~ready | ~begun | (early == 0), "early")
        self.helper(~(begun | denied) | (own_early == 0), "early_signal")
        self.helper(~begun | ~written | ~needs_read | (late == 0), "verdict")
        generator = self.probe(32, "unit.lfsr")
        now = Mux(generator[:8] == 0, 1, generator[:8])
        self.helper(~written | (is_revoke | (cookie == now)), "cookie")
