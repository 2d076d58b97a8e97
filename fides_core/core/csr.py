"""Control and status registers of M and U mode, trap entry and return (privileged ISA 1.12, chapter 3)."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from ..config import CoreConfig
from ..isa.causes import InterruptCause
from ..isa.csrs import CSR, XfidesCSR
from .pmp import AddressMatch, PMPEntry

__all__ = ["CSRAccess", "CSRLegality", "CSRFile", "implemented_csrs"]


def counter_enable_bits(config):
    return 3


class CSRAccess(enum.IntEnum, shape=2):
    """What a CSR instruction does; the values are funct3[1:0]."""

    NONE = 0
    WRITE = 1
    SET = 2
    CLEAR = 3


def implemented_csrs(config: CoreConfig) -> frozenset[int]:
    """The numbers of all CSRs of a configuration; any other access is an illegal instruction."""
    numbers = {int(csr) for csr in CSR}
    numbers -= {CSR.PMPCFG0, CSR.PMPCFG2, CSR.PMPADDR0, CSR.MHPMEVENT3, CSR.MHPMCOUNTER3, CSR.HPMCOUNTER3}
    for i in range(3, 32):
        numbers |= {CSR.MHPMEVENT3 + i - 3, CSR.MHPMCOUNTER3 + i - 3, CSR.HPMCOUNTER3 + i - 3}
    if config.pmp_entries:  # all 16 exist then, those left out read 0 (privileged ISA, section 3.7.1)
        numbers |= {CSR.PMPADDR0 + i for i in range(16)} | {CSR.PMPCFG0, CSR.PMPCFG2}
    if config.xfides:
        pointers = {XfidesCSR.FIDESMETADATABASE, XfidesCSR.FSTACKBASE, XfidesCSR.FSTACKEND, XfidesCSR.FMARK,
                    XfidesCSR.COOKIESEED}  # fmt: skip
        common = {XfidesCSR.COMCTL, XfidesCSR.COMCAUSE}
        for csr in XfidesCSR:
            if csr in common or (
                config.xfides.fat_pointers if csr in pointers else config.xfides.compartments
            ):
                numbers.add(int(csr))
    return frozenset(numbers)


class CSRLegality(wiring.Component):
    """Whether decode may pass a CSR access on; combinational. ``write``: the instruction writes."""

    number: In(12)
    write: In(1)
    machine: In(1)
    counters: In(3)  # mcounteren
    legal: Out(1)

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        implemented = Signal()
        allowed = Signal()
        m.d.comb += allowed.eq(self.machine | (self.number[8:10] == 0))
        with m.Switch(self.number):
            # The counters' shadows need mcounteren in U-mode; those of the event counters are never enabled.
            with m.Case(f"{CSR.CYCLE >> 5:07b}-----"):
                m.d.comb += implemented.eq(1)
                m.d.comb += allowed.eq(
                    self.machine | ((self.number[2:5] == 0) & self.counters.bit_select(self.number[:2], 1))
                )
            with m.Case(*sorted(n for n in implemented_csrs(self._config) if n >> 5 != CSR.CYCLE >> 5)):
                m.d.comb += implemented.eq(1)
        read_only = self.number[10:12] == 3
        m.d.comb += self.legal.eq(implemented & allowed & ~(read_only & self.write))
        return m


class CSRFile(wiring.Component):
    """The registers, accessed in the memory stage.

    ``m_access``/``m_number``/``m_operand``: the instruction there; ``m_rdata`` (64 bits) is combinational;
    the write takes place in a cycle with ``m_commit``. ``m_write`` strobes with ``m_wdata`` for registers of
    the extension, which puts its read data on ``extension_rdata`` (0 when another register is addressed).

    ``trap``: enter the handler, with ``trap_pc`` (64 bits), ``trap_cause``, ``trap_interrupt``,
    ``trap_value``. ``mret``: return. ``handler``: trap vector for the last trap taken; ``mepc`` the return
    address.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        super().__init__(
            {
                "m_access": In(CSRAccess),
                "m_number": In(12),
                "m_operand": In(64),
                "m_commit": In(1),
                "m_rdata": Out(64),
                "m_write": Out(1),
                "m_wdata": Out(64),
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
                "counters": Out(3),  # mcounteren
                "time": In(64),
                "software_interrupt": In(1),
                "timer_interrupt": In(1),
                "external_interrupt": In(1),
                "flush": Out(1),
                "interrupt": Out(1),  # an enabled interrupt is pending and may be taken
                "interrupt_cause": Out(5),
                "wake": Out(1),  # an interrupt is pending that mie enables: wfi ends
                "pmp": Out(data.ArrayLayout(PMPEntry, config.pmp_entries)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config

        machine = Signal(init=1)
        status = Signal(data.StructLayout({"mie": 1, "mpie": 1, "mpp": 1, "mprv": 1, "tw": 1}))  # mpp: 1 is M
        enabled = Signal(data.StructLayout({"software": 1, "timer": 1, "external": 1}))
        vector = Signal(30, reset_less=True)
        vectored = Signal()
        scratch = Signal(64, reset_less=True)
        epc = Signal(63, reset_less=True)
        value = Signal(64, reset_less=True)
        cause = Signal(6, reset_less=True)
        cause_interrupt = Signal()
        counteren = Signal(3)
        inhibit = Signal(data.StructLayout({"cycle": 1, "instret": 1}))
        mcycle = Signal(64)
        minstret = Signal(64)

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
            self.mepc.eq(Cat(Const(0,1), epc)), self.flush.eq(self.m_write & (self.m_number >> 5 == 0x1d)),
        ]

        def bits(fields):
            """A read value from {bit position: signal}."""
            parts, at = [], 0
            for position, signal in sorted(fields.items()):
                parts += [Const(0, position - at), signal] if position > at else [signal]
                at = position + len(signal)
            return Cat(*parts)

        interrupts = tuple(InterruptCause)
        misa = 2 << 62 | 1 | 4 | 1 << 8 | 1 << 12 | 1 << 20 | (1 << 23 if config.xfides else 0)
        read = {
            CSR.CYCLE: mcycle,
            CSR.MCYCLE: mcycle,
            CSR.INSTRET: minstret,
            CSR.MINSTRET: minstret,
            CSR.TIME: self.time,
            CSR.MSTATUS: bits(
                {3: status.mie, 7: status.mpie, 11: status.mpp.replicate(2), 17: status.mprv, 21: status.tw,
                 32: Const(2, 2)}
            ),
            CSR.MISA: Const(misa, 64),
            CSR.MIE: bits(dict(zip(interrupts, enabled.as_value(), strict=True))),
            CSR.MIP: bits(dict(zip(interrupts, pending, strict=True))),
            CSR.MTVEC: Cat(vectored, Const(0, 1), vector),
            CSR.MCOUNTEREN: counteren,
            CSR.MCOUNTINHIBIT: Cat(inhibit.cycle, Const(0, 1), inhibit.instret),
            CSR.MSCRATCH: scratch,
            CSR.MEPC: self.mepc,
            CSR.MCAUSE: Cat(cause, Const(0, 57), cause_interrupt),
            CSR.MTVAL: value,
            CSR.MHARTID: Const(config.hart_id, 64),
        }  # fmt: skip

        # Physical memory protection.
        pmp = [Signal(PMPEntry, name=f"pmp{i}") for i in range(config.pmp_entries)]
        for i, entry in enumerate(pmp):
            m.d.comb += self.pmp[i].eq(entry)
            read[CSR.PMPADDR0 + i] = entry.address
        for i in range(0, config.pmp_entries, 8):
            read[CSR.PMPCFG0 + i // 4] = Cat(
                Cat(e.r, e.w, e.x, e.a, Const(0, 2), e.locked) for e in pmp[i : i + 8]
            )

        standard = Signal(64)
        m.d.comb += self.m_rdata.eq(standard)
        with m.Switch(self.m_number):
            for number, word in read.items():
                with m.Case(int(number)):
                    m.d.comb += standard.eq(word)
        if config.xfides:
            m.d.comb += self.m_rdata.eq(standard | self.extension_rdata)

        wdata = self.m_wdata
        with m.Switch(self.m_access):
            with m.Case(CSRAccess.WRITE):
                m.d.comb += wdata.eq(self.m_operand)
            with m.Case(CSRAccess.SET):
                m.d.comb += wdata.eq(self.m_rdata | self.m_operand)
            with m.Case(CSRAccess.CLEAR):
                m.d.comb += wdata.eq(self.m_rdata & ~self.m_operand)
        m.d.comb += self.m_write.eq(self.m_commit & (self.m_access != CSRAccess.NONE))

        # What an instruction writes to mcountinhibit already holds for itself.
        uncounted = Signal()
        m.d.comb += uncounted.eq(inhibit.instret)
        with m.If(self.m_write & (self.m_number == CSR.MCOUNTINHIBIT)):
            m.d.comb += uncounted.eq(wdata[2])
        m.d.sync += mcycle.eq(mcycle + ~inhibit.cycle)
        # Whether an instruction retires is known late: an enable, not a carry.
        with m.If(self.retire & ~uncounted):
            m.d.sync += minstret.eq(minstret + 1)
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
                    m.d.sync += [inhibit.cycle.eq(wdata[0]), inhibit.instret.eq(wdata[2])]
                with m.Case(CSR.MSCRATCH):
                    m.d.sync += scratch.eq(wdata)
                with m.Case(CSR.MEPC):
                    m.d.sync += epc.eq(wdata[1:])
                with m.Case(CSR.MCAUSE):
                    m.d.sync += [cause.eq(wdata), cause_interrupt.eq(wdata[63])]
                with m.Case(CSR.MTVAL):
                    m.d.sync += value.eq(wdata)
                with m.Case(CSR.MCYCLE):
                    m.d.sync += mcycle.eq(wdata)
                with m.Case(CSR.MINSTRET):
                    m.d.sync += minstret.eq(wdata)
                for i, entry in enumerate(pmp):
                    with m.Case(CSR.PMPADDR0 + i):
                        # The address below a locked TOR entry is part of that entry.
                        above = pmp[i + 1] if i + 1 < len(pmp) else None
                        frozen = entry.locked
                        if above is not None:
                            frozen = frozen | (above.locked & (above.a == AddressMatch.TOR))
                        with m.If(~frozen):
                            m.d.sync += entry.address.eq(wdata)
                for first in range(0, config.pmp_entries, 8):
                    with m.Case(CSR.PMPCFG0 + first // 4):
                        for i, entry in enumerate(pmp[first : first + 8]):
                            byte = wdata.word_select(i, 8)
                            with m.If(~entry.locked):
                                m.d.sync += [
                                    entry.r.eq(byte[0]),
                                    entry.w.eq(byte[1] & byte[0]),  # W without R is reserved
                                    entry.x.eq(byte[2]),
                                    entry.a.eq(byte[3:5]),
                                    entry.locked.eq(byte[7]),
                                ]

        with m.If(self.trap):
            m.d.sync += [
                machine.eq(1),
                status.mie.eq(0),
                status.mpie.eq(status.mie),
                status.mpp.eq(machine),
                epc.eq(self.trap_pc[1:]),
                cause.eq(self.trap_cause),
                cause_interrupt.eq(self.trap_interrupt),
                value.eq(self.trap_value),
            ]
        with m.Elif(self.mret):
            m.d.sync += [
                machine.eq(status.mpp),
                status.mie.eq(status.mpie),
                status.mpie.eq(1),
                status.mpp.eq(0),
                # Leaving M-mode clears MPRV (privileged ISA, section 3.1.6.3).
                status.mprv.eq(status.mprv & status.mpp),
            ]
        return m
