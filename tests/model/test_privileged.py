"""Privilege modes, traps, interrupts and CSRs (privileged ISA 1.12, chapter 3; docs/contract-notes.md)."""

from dataclasses import replace

import pytest

from fides_core.config import preset
from fides_core.isa.causes import ExceptionCause as Cause
from fides_core.isa.causes import InterruptCause
from fides_core.isa.csrs import CSR
from fides_core.isa.encode import encode
from fides_core.model.control import MACHINE, USER
from fides_core.soc.memory_map import CLINT, MAIN_MEMORY_BASE

M = (1 << 64) - 1
START = MAIN_MEMORY_BASE
NOP = encode("addi")
MSIP, MTIP, MEIP = (1 << cause for cause in InterruptCause)


class TestTraps:
    def test_ecall_and_ebreak(self, bench):
        assert bench.do("ecall", START) == (Cause.ECALL_FROM_M, 0)
        assert bench.do("ebreak", START) == (Cause.BREAKPOINT, START)
        bench.mode(user=True)
        assert bench.do("ecall", START) == (Cause.ECALL_FROM_U, 0)

    @pytest.mark.parametrize("enabled", [True, False])
    @pytest.mark.parametrize("user", [True, False])
    def test_entry_and_return(self, bench, user, enabled):
        bench.mode(user=user)
        bench.control.interrupts_enabled = enabled
        bench.do("ecall", START)
        control = bench.control
        assert (control.previous_privilege, control.privilege) == (USER if user else MACHINE, MACHINE)
        assert control.previous_enabled == enabled and not control.interrupts_enabled
        assert bench.do("mret") is None
        assert bench.hart.pc == START and control.privilege == (USER if user else MACHINE)
        assert control.interrupts_enabled == enabled
        assert control.previous_enabled and control.previous_privilege == USER

    @pytest.mark.parametrize("name", ["mret", "wfi"])
    def test_machine_mode_instructions(self, bench, name):
        bench.mode(user=True)
        bench.control.timeout_wait = True
        assert bench.do(name) == (Cause.ILLEGAL_INSTRUCTION, encode(name))

    def test_pc_beyond_32_bits(self, bench):
        bench.hart.pc = 0xFFFF_FFFC
        bench.x[5] = 1 << 32
        assert bench.do("jalr", START, rs1=5) is None
        assert bench.execute(None) == (Cause.INSTRUCTION_ACCESS_FAULT, 1 << 32)
        assert bench.csr_read(CSR.MEPC) == 1 << 32

    def test_trapped_instructions_are_not_counted(self, bench):
        before = bench.csr_read(CSR.MINSTRET)
        bench.do("ecall")
        assert bench.csr_read(CSR.MINSTRET) == before + 1


class TestInterrupts:
    @pytest.fixture
    def armed(self, bench):
        """All interrupts enabled in mie, none pending."""
        bench.control.mie = MSIP | MTIP | MEIP
        bench.control.interrupts_enabled = True
        return bench

    @pytest.mark.parametrize("vectored", [False, True])
    @pytest.mark.parametrize("cause", list(InterruptCause))
    def test_taken_before_the_next_instruction(self, armed, cause, vectored):
        self.raise_interrupt(armed, cause)
        armed.control.mtvec |= vectored
        vector = armed.control.mtvec & ~3
        armed.hart.step()
        control = armed.control
        assert armed.hart.pc == vector + (4 * cause if vectored else 0)
        assert (control.mcause, control.mepc, control.mtval) == (1 << 63 | cause, START, 0)
        assert not control.interrupts_enabled and control.retired == 0

    def test_exceptions_are_not_vectored(self, bench):
        bench.control.mtvec |= 1
        assert bench.do("ecall") == (Cause.ECALL_FROM_M, 0)

    @staticmethod
    def raise_interrupt(bench, cause):
        if cause is InterruptCause.SOFTWARE:
            bench.platform.store(CLINT.base, 4, 1)
        elif cause is InterruptCause.TIMER:
            bench.platform.store(CLINT.base + 0x4000, 8, 0)
        else:
            bench.platform.external_interrupt = True

    def test_priority(self, armed):
        for cause in (InterruptCause.TIMER, InterruptCause.SOFTWARE, InterruptCause.EXTERNAL):
            self.raise_interrupt(armed, cause)
            armed.hart.pc = START
            armed.control.interrupts_enabled = True
            armed.hart.step()
            assert armed.control.mcause & 0x3F == cause
        assert armed.csr_read(CSR.MIP) == MSIP | MTIP | MEIP

    def test_masked_in_machine_mode_never_in_user_mode(self, armed):
        self.raise_interrupt(armed, InterruptCause.EXTERNAL)
        armed.control.interrupts_enabled = False
        assert armed.execute(NOP) is None
        armed.mode(user=True)
        armed.hart.step()
        assert armed.control.mcause == 1 << 63 | InterruptCause.EXTERNAL

    def test_not_enabled_in_mie(self, armed):
        self.raise_interrupt(armed, InterruptCause.EXTERNAL)
        armed.control.mie = MSIP | MTIP
        assert armed.execute(NOP) is None

    def test_mip_is_read_only(self, bench):
        bench.csr_write(CSR.MIP, M)
        assert bench.csr_read(CSR.MIP) == 0

    def test_wfi_waits_for_the_timer(self, armed):
        armed.control.interrupts_enabled = False
        armed.platform.store(CLINT.base + 0x4000, 8, 10_000)
        assert armed.do("wfi") is None
        assert not armed.hart.stalled and 10_000 <= armed.platform.time() <= 10_001

    def test_wfi_that_nothing_ends(self, armed):
        armed.control.mie = MSIP
        armed.word(START, encode("wfi"))
        outcome = armed.platform.run(1000)
        assert (outcome.exit_code, outcome.instructions, outcome.pc) == (None, 1, START + 4)
        assert armed.hart.stalled

    def test_wfi_with_an_interrupt_pending(self, armed):
        armed.control.mie, armed.control.interrupts_enabled = MSIP, False
        self.raise_interrupt(armed, InterruptCause.SOFTWARE)
        assert armed.do("wfi") is None
        assert not armed.hart.stalled

    def test_wfi_in_user_mode(self, armed):
        armed.mode(user=True)
        armed.control.mie = 0
        assert armed.do("wfi") is None


class TestRegisters:
    @pytest.mark.parametrize("csr, written, read", [
        (CSR.MSTATUS, M, 2 << 32 | 1 << 21 | 1 << 17 | 3 << 11 | 1 << 7 | 1 << 3), (CSR.MSTATUS, 0, 2 << 32),
        (CSR.MSTATUS, 1 << 11, 2 << 32), (CSR.MSTATUS, 2 << 11, 2 << 32), (CSR.MIE, M, 0x888),
        (CSR.MTVEC, M, 0xFFFF_FFFD), (CSR.MCOUNTEREN, M, 0x1FFF), (CSR.MSCRATCH, M, M),
        (CSR.MEPC, M, M - 1), (CSR.MCAUSE, M, 1 << 63 | 0x3F), (CSR.MTVAL, M, M),
        (CSR.MCOUNTINHIBIT, M, 0x1FFD), (CSR.MENVCFG, M, 0), (CSR.MHPMCOUNTER3, M, 0),
        (CSR.MHPMCOUNTER3 + 28, M, 0), (CSR.MHPMEVENT3 + 28, M, 0),
        (CSR.MHPMEVENT3, M, 1), (CSR.MHPMEVENT3 + 9, 0, 10), (CSR.MHPMEVENT3 + 10, M, 0),
        (CSR.MISA, 0, 2 << 62 | 1 << 23 | 1 << 20 | 1 << 12 | 1 << 8 | 7),
        (CSR.PMPADDR0, M, (1 << 30) - 1),
        (CSR.PMPADDR0 + 15, M, 0), (CSR.PMPCFG2, M, 0),
    ])  # fmt: skip
    def test_fields(self, bench, csr, written, read):
        bench.csr_write(csr, written)
        assert bench.csr_read(csr) == read

    def test_misa_of_the_base_core(self, base_bench):
        assert base_bench.csr_read(CSR.MISA) == 2 << 62 | 1 << 20 | 1 << 12 | 1 << 8 | 7  # A, B, C

    @pytest.mark.parametrize("counters, mask", [(0, 0), (1, 1 << 3), (13, 0x1FFF << 3)])
    def test_as_many_counters_as_configured(self, make_bench, counters, mask):
        config = preset("base")
        bench = make_bench(replace(config, core=replace(config.core, hpm_counters=counters)))
        for csr, standard in ((CSR.MCOUNTEREN, 7), (CSR.MCOUNTINHIBIT, 5)):
            bench.csr_write(csr, M)
            assert bench.csr_read(csr) == standard | mask
        events = [bench.csr_read(CSR.MHPMEVENT3 + number) for number in range(29)]
        assert [event for event in events if event] == list(range(1, min(counters, 10) + 1))

    @pytest.mark.parametrize(
        "csr", [CSR.MVENDORID, CSR.MARCHID, CSR.MIMPID, CSR.MHARTID, CSR.MCONFIGPTR, CSR.CYCLE]
    )
    def test_read_only(self, bench, csr):
        bench.csr_read(csr)
        with pytest.raises(LookupError):
            bench.csr_write(csr, 0)
        assert bench.do("csrrc", csr=csr) is None  # rs1 = x0 does not write

    @pytest.mark.parametrize("csr", [0x000, 0x100, 0x180, 0x302, 0x3A1, 0x3A3, 0x3C0, 0x7A0, 0xB01, 0xC80])
    def test_registers_that_do_not_exist(self, bench, csr):
        word = encode("csrrs", rd=5, csr=csr)
        assert bench.execute(word) == (Cause.ILLEGAL_INSTRUCTION, word)

    def test_user_mode_reaches_no_machine_register(self, bench):
        bench.mode(user=True)
        for csr in (CSR.MSTATUS, CSR.MSCRATCH, CSR.MHARTID, CSR.MCYCLE, CSR.PMPCFG0):
            bench.mode(user=True)
            with pytest.raises(LookupError):
                bench.csr_read(csr)

    def test_counters_in_user_mode(self, bench):
        for bit, csr in enumerate((CSR.CYCLE, CSR.TIME, CSR.INSTRET, CSR.HPMCOUNTER3)):
            for enabled in range(16):
                bench.control.mcounteren = enabled
                bench.mode(user=True)
                legal = enabled >> bit & 1
                word = encode("csrrs", rd=5, csr=csr)
                assert (bench.execute(word, START) is None) == bool(legal)

    def test_no_pmp_registers_without_pmp(self, make_bench):
        config = preset("base")
        bench = make_bench(replace(config, core=replace(config.core, pmp_entries=0)))
        for csr in (CSR.PMPCFG0, CSR.PMPADDR0):
            with pytest.raises(LookupError):
                bench.csr_read(csr)


class TestCounters:
    @pytest.mark.parametrize("csr, shadow", [(CSR.MCYCLE, CSR.CYCLE), (CSR.MINSTRET, CSR.INSTRET)])
    def test_write_is_what_the_next_instruction_reads(self, bench, csr, shadow):
        bench.csr_write(csr, 1000)
        assert [bench.csr_read(csr), bench.csr_read(shadow)] == [1000, 1001]

    def test_inhibit(self, bench):
        bench.csr_write(CSR.MCYCLE, 0)
        bench.csr_write(CSR.MCOUNTINHIBIT, 1)  # still counted
        assert [bench.csr_read(CSR.MCYCLE), bench.csr_read(CSR.MCYCLE)] == [1, 1]
        first = bench.csr_read(CSR.MINSTRET)
        assert bench.csr_read(CSR.MINSTRET) == first + 1
        bench.csr_write(CSR.MCYCLE, 50)
        assert bench.csr_read(CSR.MCYCLE) == 50
        bench.csr_write(CSR.MCOUNTINHIBIT, 0)
        assert [bench.csr_read(CSR.MCYCLE), bench.csr_read(CSR.MCYCLE)] == [50, 51]

    def test_wraps(self, bench):
        bench.csr_write(CSR.MINSTRET, M)
        assert [bench.csr_read(CSR.MINSTRET), bench.csr_read(CSR.MINSTRET)] == [M, 0]


class TestProtection:
    REGION = START + 0x4000

    @pytest.fixture
    def protected(self, bench):
        """Below REGION executable and readable for U-mode, above it nothing."""
        bench.mode(user=True)
        bench.control.pmp.write_address(0, self.REGION >> 2)
        bench.control.pmp.write_config(0, 1 << 3 | 5)
        return bench

    def test_user_accesses(self, protected):
        protected.x[5] = self.REGION
        assert protected.do("lw", START, rs1=5) == (Cause.LOAD_ACCESS_FAULT, self.REGION)

    def test_user_store(self, protected):
        protected.x[5] = self.REGION - 8
        assert protected.do("sd", START, rs1=5) == (Cause.STORE_ACCESS_FAULT, self.REGION - 8)

    def test_user_fetch(self, protected):
        assert protected.execute(NOP, self.REGION) == (Cause.INSTRUCTION_ACCESS_FAULT, self.REGION)

    def test_machine_mode_with_mprv(self, protected):
        protected.control.privilege = MACHINE
        protected.control.previous_privilege = USER
        protected.csr_write(CSR.MSTATUS, 1 << 17)
        protected.x[5] = self.REGION
        assert protected.do("lw", START, rs1=5) == (Cause.LOAD_ACCESS_FAULT, self.REGION)
        assert protected.execute(NOP, self.REGION) is None  # fetches keep M-mode's rights

    def test_mret_to_user_mode_clears_mprv(self, protected):
        protected.control.privilege = MACHINE
        protected.control.mepc = START
        protected.csr_write(CSR.MSTATUS, 1 << 17)
        protected.do("mret")
        assert not protected.control.modify_privilege
        protected.control.privilege = MACHINE
        protected.csr_write(CSR.MSTATUS, 1 << 17 | 3 << 11)
        protected.do("mret")
        assert protected.control.modify_privilege

    def test_decoded_instructions_forget_their_permission(self, protected):
        protected.word(START, NOP)
        protected.word(START + 4, encode("csrrw", csr=CSR.PMPCFG0))  # entry 0 off: nothing for U-mode
        protected.hart.pc = START
        protected.hart.step()
        assert protected.hart.pc == START + 4
        protected.control.privilege = MACHINE
        protected.hart.refresh()
        protected.hart.step()
        protected.control.privilege = USER
        protected.hart.refresh()
        protected.hart.pc = START
        protected.hart.step()
        assert protected.control.mcause == Cause.INSTRUCTION_ACCESS_FAULT
