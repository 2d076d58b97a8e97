"""Control and status registers of M and U mode, trap entry and return (privileged ISA 1.12, chapter 3)."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import CoreConfig
from ..isa.causes import InterruptCause
from ..isa.csrs import CSR, CSR_ROWS, Event, MonitorCSR, XfidesCSR, counted_event
from .counters import CounterMemory, CSRAccess
from .pmp import AddressMatch, PMPEntry, PMPSettings, by_lane, napot_ignored

__all__ = ["CSRAccess", "CSRLegality", "CSRFile", "counter_numbers", "implemented_csrs"]


def counter_numbers(config: CoreConfig) -> int:
    """How many counters mcounteren and the shadows from cycle on have: cycle, time, instret and the event
    counters."""
    return 3 + min(config.hpm_counters, len(Event))


def implemented_csrs(config: CoreConfig) -> frozenset[int]:
    """The numbers of all CSRs of a configuration; any other access is an illegal instruction."""
    numbers = {int(csr) for csr in CSR}
    for first, count in CSR_ROWS.items():
        numbers |= set(range(first, first + count))
    if not config.pmp_entries:  # with any, all 16 exist: those left out read 0 (section 3.7.1)
        numbers -= {CSR.PMPCFG0, CSR.PMPCFG2, *range(CSR.PMPADDR0, CSR.PMPADDR0 + CSR_ROWS[CSR.PMPADDR0])}
    if config.xfides:
        pointers = {XfidesCSR.FIDESMETADATABASE, XfidesCSR.FSTACKBASE, XfidesCSR.FSTACKEND, XfidesCSR.FMARK,
                    XfidesCSR.COOKIESEED}  # fmt: skip
        common = {XfidesCSR.COMCTL, XfidesCSR.COMCAUSE}
        tables = {XfidesCSR.COMSEL, XfidesCSR.COMDATA, XfidesCSR.SSDEPTH, XfidesCSR.SSBASE}
        for csr in XfidesCSR:
            if csr in common or (
                config.xfides.fat_pointers if csr in pointers else
                config.xfides.judges_crossings if csr in tables else config.xfides.compartments
            ):  # fmt: skip
                numbers.add(int(csr))
        if config.xfides.crossings == "monitor":
            numbers |= {int(csr) for csr in MonitorCSR}
    return frozenset(numbers)


class CSRLegality(wiring.Component):
    """Whether decode may pass a CSR access on; combinational. ``write``: the instruction writes.
    ``counters``: mcounteren."""

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "number": In(12),
                "write": In(1),
                "machine": In(1),
                "counters": In(counter_numbers(config)),
                "legal": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        implemented = Signal()
        allowed = Signal()
        enabled = Signal(32)  # counters left out are never enabled
        m.d.comb += [enabled.eq(self.counters), allowed.eq(self.machine | (self.number[8:10] == 0))]
        with m.Switch(self.number):
            # The counters' shadows need mcounteren in U-mode.
            with m.Case(f"{CSR.CYCLE >> 5:07b}-----"):
                m.d.comb += implemented.eq(1)
                m.d.comb += allowed.eq(self.machine | enabled.bit_select(self.number[:5], 1))
            with m.Case(*sorted(n for n in implemented_csrs(self._config) if n >> 5 != CSR.CYCLE >> 5)):
                m.d.comb += implemented.eq(1)
        read_only = self.number[10:12] == 3
        m.d.comb += self.legal.eq(implemented & allowed & ~(read_only & self.write))
        return m


class CSRFile(wiring.Component):
    """The registers, accessed in the memory stage.

    ``m_csr``: a CSR instruction is there (valid, whether it writes or not); at most in every other cycle,
    which the counters rely on. ``m_access``/``m_number``/``m_operand``: what it does; the number must be one
    that CSRLegality passes if it commits. ``m_rdata`` (64 bits) is combinational and means nothing without
    ``m_csr``; the write takes place in a cycle with ``m_commit``. ``m_write`` strobes with ``m_wdata`` for
    registers of the extension, which puts its read data on ``extension_rdata`` (0 when another register is
    addressed). ``flush``: the write of this cycle changes what fetch depends on; instructions behind it must
    be fetched again.

    ``retire``: an instruction retires; ``events``: bit i counts in mhpmcounter3+i (left out without event
    counters).

    ``trap``: enter the handler, with ``trap_pc`` (64 bits, even), ``trap_cause``, ``trap_interrupt``,
    ``trap_value``. ``mret``: return. ``handler``: trap vector for the last trap taken; ``mepc`` the return
    address. Not in a cycle with ``m_write``. With ``config.late_verdict``, mepc, mcause and mtval are written
    with ``record`` instead, which comes before ``trap`` or with it; ``unretire``: the instruction that
    retired in the cycle before has trapped. ``pmp``: what a write changes holds from the next cycle on, but
    ``ignored`` from the one after it.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        counters = counter_numbers(config)
        ports = {
            "m_csr": In(1),
            "m_access": In(CSRAccess),
            "m_number": In(12),
            "m_operand": In(64),
            "m_commit": In(1),
            "m_rdata": Out(64),
            "m_write": Out(1),
            "m_wdata": Out(64),
            "flush": Out(1),
            "extension_rdata": In(64),
            "retire": In(1),
            "trap": In(1),
            "trap_pc": In(64),
            "trap_cause": In(5),
            "trap_interrupt": In(1),
            "trap_value": In(64),
            "mret": In(1),
            "handler": Out(32),
            "mepc": Out(64),
            "machine": Out(1),  # privilege mode is M
            "data_user": Out(1),  # loads and stores have U-mode rights (MPRV)
            "timeout_wait": Out(1),  # mstatus.TW
            "counters": Out(counters),  # mcounteren
            "time": In(64),
            "software_interrupt": In(1),
            "timer_interrupt": In(1),
            "external_interrupt": In(1),
            "interrupt": Out(1),  # an enabled interrupt is pending and may be taken
            "interrupt_cause": Out(5),
            "wake": Out(1),  # an interrupt is pending that mie enables: wfi ends
            "pmp": Out(data.ArrayLayout(PMPEntry, config.pmp_entries)),
        }
        if counters > 3:
            ports["events"] = In(counters - 3)
        if config.late_verdict:
            ports |= {"record": In(1), "unretire": In(1)}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config = self._config
        counters = counter_numbers(config)

        machine = Signal(init=1)
        status = Signal(data.StructLayout({"mie": 1, "mpie": 1, "mpp": 1, "mprv": 1, "tw": 1}))  # mpp: 1 is M
        enabled = Signal(data.StructLayout({"software": 1, "timer": 1, "external": 1}))
        # Read from their copies in the counters' memory, which a reset does not change either.
        vector = Signal(30, reset_less=True)
        vectored = Signal(reset_less=True)
        pmp_address = [Signal(30, name=f"pmpaddr{i}", reset_less=True) for i in range(config.pmp_entries)]
        pmp_ignored = [Signal(29, name=f"pmpignored{i}", reset_less=True) for i in range(config.pmp_entries)]
        epc = Signal(63, reset_less=True)
        value = Signal(64, reset_less=True)
        cause = Signal(6)  # 0 after a reset (privileged ISA, section 3.4)
        cause_interrupt = Signal()
        counteren = Signal(counters)
        inhibit = Signal(counters)  # [1] stays 0

        pending = Cat(self.software_interrupt, self.timer_interrupt, self.external_interrupt)
        ready = Signal(3)
        m.d.comb += [
            self.machine.eq(machine),
            self.data_user.eq(Mux(status.mprv, ~status.mpp, ~machine)),
            self.timeout_wait.eq(status.tw),
            self.counters.eq(counteren),
            ready.eq(pending & enabled.as_value()),
            self.wake.eq(ready != 0),
            self.interrupt.eq((ready != 0) & (status.mie | ~machine)),
            # Priority: external, software, timer.
            self.interrupt_cause.eq(
                Mux(
                    ready[2],
                    InterruptCause.EXTERNAL,
                    Mux(ready[0], InterruptCause.SOFTWARE, InterruptCause.TIMER),
                )
            ),
            self.handler.eq(Cat(0, 0, vector + Mux(vectored & cause_interrupt, cause, 0))),
            self.mepc.eq(Cat(0, epc)),
        ]

        number = self.m_number
        selects = {}

        def selected(csr: int) -> Signal:
            """Whether the instruction addresses a register."""
            if csr not in selects:
                selects[csr] = Signal(name=f"selected_{csr:x}")
                m.d.comb += selects[csr].eq(number == int(csr))
            return selects[csr]

        # Whole registers in the counters' memory: their slots, and whether a write changes them.
        mtvec_slot, zero_slot = counters, counters + 1
        pmp_slot = 16 if zero_slot < 16 else 32
        slots = pmp_slot + (16 if config.pmp_entries else 0)
        m.submodules.memory = memory = CounterMemory(counters, slots, retired_late=config.late_verdict)
        writable = Signal()
        m.d.comb += memory.slot.eq(zero_slot)
        # mcycle.. at 0xB00 and their shadows at 0xC00; registers at 0x800 and 0xF00 are none of them.
        with m.If(number[11] & (number[9] ^ number[10]) & (number[:5] < counters)):
            m.d.comb += [memory.slot.eq(number[:5]), writable.eq(1)]
            with m.If(number[:5] == 1):
                m.d.comb += [memory.slot.eq(zero_slot), writable.eq(0)]
        with m.If(selected(CSR.MSCRATCH)):
            m.d.comb += [memory.slot.eq(1), writable.eq(1)]
        with m.If(selected(CSR.MTVEC)):
            m.d.comb += [memory.slot.eq(mtvec_slot), writable.eq(1)]
            m.d.comb += [memory.fixed[1].eq(1), memory.fixed[32:].eq(~Const(0, 32))]
        # Physical memory protection; the addresses of entries left out read 0.
        pmp = self.pmp
        settings = [Signal(PMPSettings, name=f"pmpcfg{i}") for i in range(config.pmp_entries)]
        frozen = Signal(config.pmp_entries)
        for i, entry in enumerate(settings):
            m.d.comb += [pmp[i][name].eq(entry[name]) for name in ("r", "w", "x", "a", "locked")]
            m.d.comb += [
                pmp[i].address.eq(pmp_address[i]),
                pmp[i].ignored.eq(Cat(1, pmp_ignored[i])),
                frozen[i].eq(entry.locked),
            ]
            if i + 1 < len(settings):
                # The address below a locked TOR entry is part of that entry.
                above = settings[i + 1]
                m.d.comb += frozen[i].eq(entry.locked | (above.locked & (above.a == AddressMatch.TOR)))
        if config.pmp_entries:
            protection = Signal()
            m.d.comb += protection.eq(number[5:] == CSR.PMPCFG0 >> 5)
            with m.If(protection & number[4]):
                m.d.comb += [memory.slot.eq(pmp_slot + number[:4]), memory.fixed[30:].eq(~Const(0, 34))]
                with m.Switch(number[:4]):
                    for i in range(config.pmp_entries):
                        with m.Case(i):
                            m.d.comb += writable.eq(~frozen[i])
            m.d.comb += self.flush.eq(self.m_write & protection)
            # One cycle late, off the path from the register that is read: whatever depends on it is fetched
            # again.
            written = Signal(30, reset_less=True)
            changed = Signal(config.pmp_entries, reset_less=True)
            ignored = Signal(30)
            m.d.sync += [
                written.eq(self.m_wdata),
                changed.eq(Mux(self.m_write & protection & number[4], Const(1) << number[:4], 0) & ~frozen),
            ]
            m.d.comb += ignored.eq(napot_ignored(written))
            for i, entry in enumerate(pmp_ignored):
                with m.If(changed[i]):
                    m.d.sync += entry.eq(by_lane(ignored)[1:])

        # Whole registers elsewhere; that the choice is encoded leaves an input of each bit's LUT.
        whole = ((CSR.TIME, self.time), (CSR.MEPC, self.mepc), (CSR.MTVAL, value))
        which = Signal(2)
        other = Signal(64)
        with m.Switch(number):
            for i, (csr, _) in enumerate(whole, start=1):
                with m.Case(csr):
                    m.d.comb += which.eq(i)
        with m.Switch(which):
            for i, (_, register) in enumerate(whole, start=1):
                with m.Case(i):
                    m.d.comb += other.eq(register)
        # Registers of a few bits, from the lowest bit each.
        interrupts = tuple(InterruptCause)
        extensions = "ACIMU" + ("B" if config.bitmanip else "") + ("X" if config.xfides else "")
        fields = [
            (CSR.MSTATUS, {3: status.mie, 7: status.mpie, 11: status.mpp.replicate(2), 17: status.mprv,
                           21: status.tw, 32: Const(2, 2)}),
            (CSR.MISA, {62: Const(2, 2), **{ord(letter) - ord("A"): Const(1) for letter in extensions}}),
            (CSR.MIE, dict(zip(interrupts, enabled.as_value(), strict=True))),
            (CSR.MIP, dict(zip(interrupts, pending, strict=True))),
            (CSR.MCOUNTEREN, {0: counteren}),
            (CSR.MCOUNTINHIBIT, {0: inhibit}),
            (CSR.MCAUSE, {0: cause, 63: cause_interrupt}),
            (CSR.MHARTID, {0: Const(config.hart_id, 64)}),
        ]  # fmt: skip
        for i in range(3, counters):
            event = counted_event(i, config.hpm_counters)
            fields.append((CSR.MHPMEVENT3 + i - 3, {0: Const(event)}))
        for first in range(0, config.pmp_entries, 8):
            bytes_ = {
                8 * i: Cat(entry.r, entry.w, entry.x, entry.a, Const(0, 2), entry.locked)
                for i, entry in enumerate(settings[first : first + 8])
            }
            fields.append((CSR.PMPCFG0 + first // 4, bytes_))
        small = Signal(64)
        with m.Switch(number):
            for csr, values in fields:
                with m.Case(csr):
                    m.d.comb += [small[i : i + len(field)].eq(field) for i, field in values.items()]

        wdata = self.m_wdata
        m.d.comb += [
            memory.access.eq(self.m_csr),
            memory.operation.eq(Mux(self.m_csr, self.m_access, CSRAccess.NONE)),
            memory.operand.eq(self.m_operand),
            memory.other.eq(other | small | (self.extension_rdata if config.xfides else 0)),
            memory.write.eq(self.m_write & writable),
            self.m_write.eq(self.m_csr & self.m_commit & (self.m_access != CSRAccess.NONE)),
            self.m_rdata.eq(memory.rdata),
            wdata.eq(memory.wdata),
        ]

        # What an instruction writes to mcountinhibit already holds for itself.
        uncounted = Signal()
        m.d.comb += uncounted.eq(Mux(self.m_write & selected(CSR.MCOUNTINHIBIT), wdata[2], inhibit[2]))
        # Halting for a debugger (dcsr.stopcount) would stop the increments here.
        counts = self.retire & ~uncounted
        if config.late_verdict:
            retired = Signal()
            # What writes minstret is not counted itself.
            m.d.sync += retired.eq(counts & ~(self.m_write & selected(CSR.MINSTRET)))
            counts = retired & ~self.unretire
        m.d.comb += memory.increment.eq(
            Cat(~inhibit[0], Const(0, 1), counts, *self._events(inhibit[3:]))
        )
        with m.If(self.m_write):
            with m.Switch(self.m_number):
                with m.Case(CSR.MSTATUS):
                    m.d.sync += [
                        status.mie.eq(wdata[3]),
                        status.mpie.eq(wdata[7]),
                        status.mpp.eq(wdata[11:13] == 3),
                        status.mprv.eq(wdata[17]),
                        status.tw.eq(wdata[21]),
                    ]
                with m.Case(CSR.MIE):
                    m.d.sync += enabled.eq(Cat(wdata[i] for i in interrupts))
                with m.Case(CSR.MTVEC):
                    m.d.sync += [vectored.eq(wdata[0]), vector.eq(wdata[2:32])]
                with m.Case(CSR.MCOUNTEREN):
                    m.d.sync += counteren.eq(wdata)
                with m.Case(CSR.MCOUNTINHIBIT):
                    m.d.sync += inhibit.eq(Cat(wdata[0], Const(0, 1), wdata[2:]))
                with m.Case(CSR.MEPC):
                    m.d.sync += epc.eq(wdata[1:])
                with m.Case(CSR.MCAUSE):
                    m.d.sync += [cause.eq(wdata), cause_interrupt.eq(wdata[63])]
                with m.Case(CSR.MTVAL):
                    m.d.sync += value.eq(wdata)
                for i, address in enumerate(pmp_address):
                    with m.Case(CSR.PMPADDR0 + i):
                        with m.If(~frozen[i]):
                            m.d.sync += address.eq(by_lane(wdata[:30]))
                for first in range(0, config.pmp_entries, 8):
                    with m.Case(CSR.PMPCFG0 + first // 4):
                        for i, entry in enumerate(settings[first : first + 8]):
                            byte = wdata.word_select(i, 8)
                            with m.If(~entry.locked):
                                m.d.sync += [
                                    entry.r.eq(byte[0]),
                                    entry.w.eq(byte[1] & byte[0]),  # W without R is reserved
                                    entry.x.eq(byte[2]),
                                    entry.a.eq(byte[3:5]),
                                    entry.locked.eq(byte[7]),
                                ]

        record = [
            epc.eq(self.trap_pc[1:]),
            cause.eq(self.trap_cause),
            cause_interrupt.eq(self.trap_interrupt),
            value.eq(self.trap_value),
        ]
        # A debug module's halt request and single step would enter here, as a trap to another vector.
        with m.If(self.trap):
            m.d.sync += [
                machine.eq(1),
                status.mie.eq(0),
                status.mpie.eq(status.mie),
                status.mpp.eq(machine),
            ]
            if not config.late_verdict:
                m.d.sync += record
        with m.Elif(self.mret):
            m.d.sync += [
                machine.eq(status.mpp),
                status.mie.eq(status.mpie),
                status.mpie.eq(1),
                status.mpp.eq(0),
                # Leaving M-mode clears MPRV (privileged ISA, section 3.1.6.3).
                status.mprv.eq(status.mprv & status.mpp),
            ]
        if config.late_verdict:
            with m.If(self.record):
                m.d.sync += record
        return m

    def _events(self, inhibit):
        """The increments of the event counters."""
        if len(inhibit):
            return [self.events & ~inhibit]
        return []
