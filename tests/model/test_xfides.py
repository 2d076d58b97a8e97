"""The extension on the hart: when checks apply, CSRs, encodings, traps (contract, sections 3, 4, 8 and 9)."""

from dataclasses import replace

import pytest

from fides_core.config import XfidesConfig, preset
from fides_core.isa.causes import ControlFlowFault, MemoryFault
from fides_core.isa.causes import ExceptionCause as Cause
from fides_core.isa.csrs import Comsel, XfidesCSR
from fides_core.isa.encode import encode
from fides_core.isa.instructions import INSTRUCTIONS
from fides_core.isa.xfides import PadKind, checkcap, pack_entry, pack_pointer
from fides_core.model.control import USER
from fides_core.soc.memory_map import MAIN_MEMORY_BASE

M = (1 << 64) - 1
START = MAIN_MEMORY_BASE
ONE, TWO, FLUID = START, START + 0x1000, START + 0x2000  # compartments 1 and 2, complete fluid
DATA, TABLE = START + 0x5000, START + 0x6000
NOP, RETURN = encode("addi"), encode("jalr", rs1=1)
RA, SP = 1, 2


@pytest.fixture
def user(bench):
    """U-mode with CEN in compartment 1, which may call 2."""
    state = bench.hart.compartments
    state.range_start[1:3], state.range_end[1:3] = [ONE, TWO], [TWO, FLUID]
    state.fluid_start, state.fluid_end = FLUID, FLUID + 0x1000
    state.restricted_fluid_start = FLUID
    state.allowed[1] = 1 << 2
    state.set_context(1, False)
    bench.x[RA], bench.x[SP] = ONE + 0x40, DATA
    return bench.mode(user=True, cen=True)


@pytest.fixture
def pointers(bench):
    """U-mode with FEN; entry 7 is 100 bytes at DATA with cookie 0x42; stack zone 16..31, fmark 16."""
    state = bench.hart.pointers
    state.base, state.stack_base, state.stack_end, state.mark.value = TABLE, 16, 32, 16
    bench.platform.store(TABLE + 8 * 7, 8, pack_entry(DATA, 100, 0x42))
    bench.x[5] = pack_pointer(DATA, 7, 0x42)
    return bench.mode(user=True, fen=True)


def comcause(bench):
    return bench.hart.xfides.comcause


class TestControlFlow:
    def test_call_and_return(self, user):
        assert user.execute(checkcap(2), TWO) is None
        assert user.hart.compartments.context == (2, False)
        assert user.execute(RETURN, TWO + 0x10) is None
        assert user.hart.pc == ONE + 0x40 and user.hart.compartments.context == (1, False)
        assert user.execute(NOP) is None

    def test_fault(self, user):
        assert user.execute(NOP, TWO) == (Cause.CONTROL_FLOW, TWO)
        assert comcause(user) == ControlFlowFault.ILLEGAL_ENTRY
        user.mode(user=True, cen=True)
        assert user.execute(checkcap(3), TWO) == (Cause.CONTROL_FLOW, TWO)
        assert comcause(user) == ControlFlowFault.DENIED

    def test_only_that_return_is_one(self, user):
        user.execute(checkcap(2), TWO)
        for word in (encode("jalr", rd=5, rs1=1), encode("jalr", rs1=1, imm=4), encode("jalr", rs1=6)):
            user.x[6] = ONE + 0x40
            user.execute(word, TWO + 0x10)
            assert user.hart.compartments.ssdepth == 1

    def test_return_underflow(self, user):
        state = user.hart.compartments
        state.ssdepth = state.ssbase = 1
        assert user.execute(RETURN, ONE) == (Cause.CONTROL_FLOW, ONE)
        assert comcause(user) == ControlFlowFault.SHADOW_UNDERFLOW

    def test_return_to_a_halfword(self, user):
        """As after c.jalr: the target is where the call's next instruction is, aligned to 2 bytes."""
        user.x[RA] = ONE + 0x42
        user.execute(checkcap(2), TWO)
        assert user.do("c.jr", TWO + 0x12, rs1=RA) is None
        assert user.hart.pc == ONE + 0x42 and user.hart.compartments.context == (1, False)
        assert user.hart.compartments.ssdepth == 0

    def test_only_that_compressed_return_is_one(self, user):
        user.execute(checkcap(2), TWO)
        user.x[6] = ONE + 0x40
        assert user.do("c.jr", TWO + 0x10, rs1=6) is None
        assert user.do("c.jalr", TWO + 0x10, rs1=RA) is None
        assert user.hart.compartments.ssdepth == 1

    @pytest.mark.parametrize("kind", PadKind)
    def test_a_pad_that_is_not_aligned_is_none(self, user, kind):
        pad = checkcap(2, kind)
        assert user.execute(pad, TWO + 2) == (Cause.CONTROL_FLOW, TWO + 2)
        assert comcause(user) == ControlFlowFault.ILLEGAL_ENTRY
        user.mode(user=True, cen=True)
        user.hart.compartments.arm(ONE + 0x102, DATA)
        assert user.execute(pad, ONE + 0x102) == (Cause.ILLEGAL_INSTRUCTION, pad)
        assert user.hart.compartments.ssdepth == 1
        user.mode()  # without checks, too
        assert user.execute(pad, ONE + 0x102) == (Cause.ILLEGAL_INSTRUCTION, pad)
        assert user.execute(pad, ONE + 0x104) is None

    def test_compressed_instructions_are_checked_where_they_are(self, user):
        """The last halfword of the range is home, whatever follows; the next one is not."""
        assert user.do("c.addi", TWO - 2, rd=5, imm=1) is None
        assert user.do("c.addi", TWO, rd=5, imm=1) == (Cause.CONTROL_FLOW, TWO)
        user.mode(user=True, cen=True)
        assert user.execute(NOP, TWO - 2) is None
        assert user.hart.pc == TWO + 2
        assert user.execute(0, TWO + 2) == (Cause.CONTROL_FLOW, TWO + 2)
        user.mode(user=True, cen=True)
        assert user.execute(0, ONE + 2) == (Cause.ILLEGAL_INSTRUCTION, 0)

    def test_arm_handler_disarm(self, user):
        user.x[5] = ONE + 0x100
        assert user.do("arm", ONE, rs1=5) is None
        assert user.execute(checkcap(1, PadKind.HANDLER), ONE + 0x100) is None
        assert user.hart.compartments.ssdepth == 0
        assert user.execute(checkcap(1, PadKind.HANDLER), ONE + 0x100) == (Cause.CONTROL_FLOW, ONE + 0x100)
        user.mode(user=True, cen=True)
        assert user.do("disarm", ONE) == (Cause.CONTROL_FLOW, ONE)
        assert comcause(user) == ControlFlowFault.BAD_UNWIND

    def test_disarm(self, user):
        user.x[5] = ONE + 0x100
        user.do("arm", ONE, rs1=5)
        assert user.do("disarm", ONE) is None
        assert user.hart.compartments.ssdepth == 0

    @pytest.mark.parametrize(
        "word", [0xFFFF_FFFF, checkcap(2) | 1 << 28, checkcap(2) | 3 << 30, encode("mret")]
    )
    def test_illegal_instruction_outside_home_is_an_illegal_entry(self, user, word):
        assert user.execute(word, TWO) == (Cause.CONTROL_FLOW, TWO)
        user.mode(user=True, cen=True)
        assert user.execute(word, ONE) == (Cause.ILLEGAL_INSTRUCTION, word)

    def test_fetch_fault_comes_first(self, user):
        user.control.pmp.write_address(0, 0)
        user.control.pmp.write_config(0, 1 << 3)
        assert user.execute(NOP, TWO) == (Cause.INSTRUCTION_ACCESS_FAULT, TWO)

    def test_jump_into_another_compartment_traps_at_the_target(self, user):
        user.x[5] = TWO
        assert user.do("jalr", ONE, rd=1, rs1=5) is None
        user.word(TWO, NOP)
        user.hart.step()
        assert (user.control.mcause, user.control.mepc) == (Cause.CONTROL_FLOW, TWO)

    def test_trap_and_mret_leave_the_context(self, user):
        user.execute(checkcap(2), TWO)
        user.do("ecall")
        assert user.hart.compartments.context == (2, False)
        assert user.do("mret") is None
        assert user.hart.compartments.context == (2, False)

    @pytest.mark.parametrize("mode", [{"user": True}, {"cen": True}])
    def test_no_checks(self, user, mode):
        user.mode(**mode)
        before = user.hart.compartments.ssdepth
        pads = checkcap(3), checkcap(0, PadKind.HANDLER)
        for word in (NOP, *pads, encode("arm", rs1=1), encode("disarm"), RETURN):
            assert user.execute(word, TWO) is None
        assert user.hart.compartments.ssdepth == before and user.hart.compartments.context == (1, False)


class TestPointers:
    def test_val(self, pointers):
        pointers.x[6] = 92
        assert pointers.do("val.8", rd=7, rs1=5, rs2=6) is None
        assert pointers.x[7] == pointers.x[5] + 92

    def test_published_form(self, pointers):
        assert pointers.do("val.1", rs1=5) is None
        pointers.x[5] += 100
        pc = pointers.hart.pc
        assert pointers.do("val.1", pc, rs1=5) == (Cause.MEMORY, pointers.x[5])
        assert comcause(pointers) == MemoryFault.BOUNDS

    @pytest.mark.parametrize("log2", range(5))
    def test_sizes(self, pointers, log2):
        size = 1 << log2
        pointers.x[6] = 101 - size
        value = pointers.x[5] + 101 - size
        assert pointers.do(f"val.{size}", START, rd=7, rs1=5, rs2=6) == (Cause.MEMORY, value)
        pointers.mode(user=True, fen=True)
        assert pointers.do(f"vali.{size}", START, rs1=5, imm=101 - size) == (Cause.MEMORY, value)
        pointers.mode(user=True, fen=True)
        assert pointers.do(f"vali.{size}", START, rs1=5, imm=100 - size) is None

    def test_vali_before_the_object(self, pointers):
        assert pointers.do("vali.1", rs1=5, imm=-1) == (Cause.MEMORY, pointers.x[5] - 1)

    def test_ptradd_is_not_checked(self, pointers):
        pointers.x[6] = M - 0xFFFF
        assert pointers.do("ptradd", rd=7, rs1=5, rs2=6) is None
        assert pointers.x[7] == pack_pointer(DATA - 0x10000, 7, 0x42)

    def test_mint_and_revoke(self, pointers):
        pointers.x[6] = 9 << 32 | 64
        assert pointers.do("mint", rd=7, rs1=5, rs2=6) is None
        assert pointers.do("vali.8", rs1=7, imm=56) is None
        assert pointers.do("revoke", rs1=7) is None
        assert pointers.platform.load(TABLE + 72, 8) == 0
        assert pointers.do("vali.8", rs1=7) == (Cause.MEMORY, pointers.x[7])
        assert comcause(pointers) == MemoryFault.INVALID

    def test_exhausted_has_mtval_0(self, pointers):
        pointers.hart.pointers.mark.value = 32
        pointers.x[6] = 8
        assert pointers.do("mint", rd=7, rs1=5, rs2=6) == (Cause.MEMORY, 0)
        assert comcause(pointers) == MemoryFault.EXHAUSTED

    @pytest.mark.parametrize("address", [0, 1 << 30])
    def test_table_that_cannot_be_accessed(self, pointers, address):
        pointers.hart.pointers.base = address
        pointers.x[6] = 9 << 32 | 8
        pointer = pointers.x[5]
        assert pointers.do("vali.1", START, rs1=5, imm=3) == (Cause.LOAD_ACCESS_FAULT, pointer + 3)
        for name, value in (("val.1", pointer + 8), ("mint", pointer), ("revoke", pointer)):
            pointers.mode(user=True, fen=True)
            assert pointers.do(name, START, rs1=5, rs2=6) == (Cause.LOAD_ACCESS_FAULT, value)
        pointers.mode(user=True, fen=True)
        assert pointers.do("mint", START, rs1=5, rs2=8) == (Cause.STORE_ACCESS_FAULT, pointer)
        assert pointers.hart.pointers.mark.value == 16

    def test_table_is_accessed_with_machine_rights(self, pointers):
        pmp = pointers.control.pmp  # entry 0: everything below the table
        pmp.write_address(0, TABLE >> 2)
        pmp.write_config(0, 1 << 3 | 7)
        assert pointers.do("vali.1", rs1=5) is None
        pointers.x[6] = TABLE
        assert pointers.do("ld", rs1=6) == (Cause.LOAD_ACCESS_FAULT, TABLE)

    def test_tagged_addresses_are_masked(self, pointers):
        pointers.x[6] = 0x0123_4567_89AB_CDEF
        assert pointers.do("sd", rs1=5, rs2=6, imm=8) is None
        assert pointers.do("ld", rd=7, rs1=5, imm=8) is None
        assert pointers.x[7] == pointers.x[6]
        assert pointers.do("lw", rs1=5, imm=2) == (Cause.LOAD_MISALIGNED, DATA + 2)
        pointers.mode(user=True, fen=True)
        pointers.x[5] = 7 << 40 | 0x10
        assert pointers.do("sw", START, rs1=5) == (Cause.STORE_ACCESS_FAULT, 0x10)

    def test_jump_targets_are_not_masked(self, pointers):
        pointers.x[6] = 1 << 40 | START
        assert pointers.do("jalr", rs1=6) is None
        assert pointers.execute(None) == (Cause.INSTRUCTION_ACCESS_FAULT, 1 << 40 | START)

    @pytest.mark.parametrize("mode", [{"user": True}, {"fen": True}, {"user": True, "cen": True}])
    def test_no_checks(self, pointers, mode):
        pointers.mode(**mode)
        pointers.hart.compartments.fluid_end = 0xFFFF_FFC0  # home everywhere
        pointers.x[6] = 1000
        for name in ("val.8", "ptradd"):
            assert pointers.do(name, rd=7, rs1=5, rs2=6) is None
            assert pointers.x[7] == pointers.x[5] + 1000
        assert pointers.do("vali.8", rs1=5, imm=1000) is None
        table = pointers.platform.memory[TABLE - START : TABLE - START + 256]
        assert pointers.do("mint", rd=7, rs1=5, rs2=6) is None
        assert pointers.x[7] == pointers.x[5]
        assert pointers.do("revoke", rs1=5) is None
        assert pointers.platform.memory[TABLE - START : TABLE - START + 256] == table
        assert pointers.hart.pointers.mark.value == 16
        assert pointers.do("lw", START, rs1=5) == (Cause.LOAD_ACCESS_FAULT, pointers.x[5])


class TestRegisters:
    """Section 4."""

    def select(self, bench, what, number):
        bench.csr_write(XfidesCSR.COMSEL, what << 16 | number)

    @pytest.mark.parametrize("csr, read", [
        (XfidesCSR.COMCTL, 512 << 16 | 8 << 8 | 0x83), (XfidesCSR.COMCAUSE, 7), (XfidesCSR.CURRCOM, 0x1FF),
        (XfidesCSR.PARCOMPCSTART, 0xFFFF_FFC0), (XfidesCSR.ANYCOMPCSTART, 0xFFFF_FFC0),
        (XfidesCSR.ANYCOMPCEND, 0xFFFF_FFC0), (XfidesCSR.FIDESMETADATABASE, 0xFFFF_FFF8),
        (XfidesCSR.FSTACKBASE, 0xFFC0), (XfidesCSR.FSTACKEND, 0xFFC0), (XfidesCSR.SSDEPTH, 0xFFFF),
        (XfidesCSR.SSBASE, 0xFFFF), (XfidesCSR.COMSEL, 0xF_01FF), (XfidesCSR.COMDATA, 0),
        (XfidesCSR.FMARK, 0xFFFF), (XfidesCSR.COOKIESEED, 0),
    ])  # fmt: skip
    def test_fields(self, bench, csr, read):
        bench.csr_write(csr, M)
        assert bench.csr_read(csr) == read

    def test_reset(self, bench):
        for csr in (XfidesCSR.CURRCOM, XfidesCSR.SSDEPTH, XfidesCSR.SSBASE):
            assert bench.csr_read(csr) == 0
        assert bench.csr_read(XfidesCSR.COMCTL) == 512 << 16 | 8 << 8

    def test_only_fmark_in_user_mode(self, bench):
        for csr in XfidesCSR:
            bench.mode(user=True)
            bench.hart.pc = START
            if csr is XfidesCSR.FMARK:
                assert bench.csr_read(csr) == 0
            else:
                with pytest.raises(LookupError):
                    bench.csr_read(csr)

    def test_user_mode_only_lowers_fmark(self, bench):
        bench.csr_write(XfidesCSR.FMARK, 100)
        bench.mode(user=True)
        for written, read in ((101, 100), (1 << 16 | 200, 100), (99, 99), (1 << 16 | 5, 5), (0, 0)):
            bench.csr_write(XfidesCSR.FMARK, written)
            assert bench.csr_read(XfidesCSR.FMARK) == read
        bench.mode()
        bench.csr_write(XfidesCSR.FMARK, 300)
        assert bench.csr_read(XfidesCSR.FMARK) == 300

    def test_ranges_and_matrix(self, bench):
        state = bench.hart.compartments
        for what, number, value in (
            (Comsel.RANGE_START, 3, M), (Comsel.RANGE_END, 255, 0x8000_1040), (Comsel.RANGE_END, 256 + 4, 64),
            (Comsel.MATRIX_WORD0, 3, 1 << 63 | 1), (Comsel.MATRIX_WORD3, 3, 1),
        ):  # fmt: skip
            self.select(bench, what, number)
            bench.csr_write(XfidesCSR.COMDATA, value)
            assert bench.csr_read(XfidesCSR.COMDATA) == 0
        assert state.range_start[3] == 0xFFFF_FFC0 and state.range_end[255] == 0x8000_1040
        assert state.range_end[4] == 64
        assert state.allowed[3] == 1 << 192 | 1 << 63 | 1 and sum(state.allowed) == state.allowed[3]
        self.select(bench, Comsel.MATRIX_WORD0, 3)
        bench.csr_write(XfidesCSR.COMDATA, 2)
        assert state.allowed[3] == 1 << 192 | 2

    def test_writing_currcom_loads_the_range(self, bench):
        for what, value in ((Comsel.RANGE_START, 0x8000_0040), (Comsel.RANGE_END, 0x8000_0080)):
            self.select(bench, what, 9)
            bench.csr_write(XfidesCSR.COMDATA, value)
        bench.csr_write(XfidesCSR.CURRCOM, 9)
        state = bench.hart.compartments
        assert (state.current_start, state.current_end) == (0x8000_0040, 0x8000_0080)

    def test_entries_by_number(self, bench):
        values = {Comsel.ENTRY_RA: M, Comsel.ENTRY_SP: 0x1_2345_6780, Comsel.ENTRY_CONTEXT: M}
        for what, value in values.items():
            self.select(bench, what, 512 + 5)
            bench.csr_write(XfidesCSR.COMDATA, value)
        assert bench.hart.compartments.slots[5] == (1, 0xFFFF_FFFF, 0x2345_6780, 255, True, 0xFFFF)
        for what, value in zip(values, (0xFFFF_FFFF, 0x2345_6780, 0xFFFF_03FF), strict=True):
            self.select(bench, what, 5)
            assert bench.csr_read(XfidesCSR.COMDATA) == value

    def test_lock(self, bench):
        locked = (
            XfidesCSR.PARCOMPCSTART, XfidesCSR.ANYCOMPCSTART, XfidesCSR.ANYCOMPCEND,
            XfidesCSR.FIDESMETADATABASE, XfidesCSR.FSTACKBASE, XfidesCSR.FSTACKEND,
        )  # fmt: skip
        bench.csr_write(XfidesCSR.COMCTL, 0x80)
        bench.csr_write(XfidesCSR.COMCTL, 0x03)
        assert bench.csr_read(XfidesCSR.COMCTL) & 0xFF == 0x83
        for csr in locked:
            bench.csr_write(csr, M)
            assert bench.csr_read(csr) == 0
        for what in range(Comsel.RANGE_START, Comsel.MATRIX_WORD3 + 1):
            self.select(bench, what, 3)
            bench.csr_write(XfidesCSR.COMDATA, M)
        state = bench.hart.compartments
        assert not any(state.range_start) and not any(state.range_end) and not any(state.allowed)
        for csr in (XfidesCSR.SSDEPTH, XfidesCSR.SSBASE, XfidesCSR.CURRCOM, XfidesCSR.FMARK):
            bench.csr_write(csr, 5)
            assert bench.csr_read(csr) == 5
        self.select(bench, Comsel.ENTRY_RA, 3)
        bench.csr_write(XfidesCSR.COMDATA, 8)
        assert bench.csr_read(XfidesCSR.COMDATA) == 8
        before = bench.hart.pointers.cookie_state
        bench.csr_write(XfidesCSR.COOKIESEED, 1)
        assert bench.hart.pointers.cookie_state != before

    def test_cookieseed(self, bench):
        for seed in (0x1234_5678, 0xFFFF_FFFF, 1):
            for bit in range(31, -1, -1):
                bench.csr_write(XfidesCSR.COOKIESEED, M - 1 + (seed >> bit & 1))  # bit 0 alone counts
            assert bench.hart.pointers.cookie_state == seed
        for _ in range(33):
            bench.csr_write(XfidesCSR.COOKIESEED, 0)
        assert bench.hart.pointers.cookie_state != 0

    def test_trap_sets_comcause_only_for_the_extension(self, bench):
        bench.csr_write(XfidesCSR.COMCAUSE, 6)
        bench.do("ecall")
        assert bench.csr_read(XfidesCSR.COMCAUSE) == 6

    def test_mark_is_shared(self, user):
        user.hart.pointers.mark.value = 9
        user.execute(checkcap(2), TWO)
        assert user.hart.compartments.entry(0).fmark == 9
        user.hart.pointers.mark.value = 20
        user.execute(RETURN, TWO)
        assert user.hart.pointers.mark.value == 9


class TestEncodings:
    @pytest.mark.parametrize("word", [
        checkcap(1) | 1 << 28, checkcap(1) | 1 << 29, checkcap(1) | 3 << 30, checkcap(1) | 1 << 7,
        checkcap(1) | 1 << 15, encode("arm") | 1 << 7, encode("arm") | 1 << 20, encode("disarm") | 1 << 15,
        encode("disarm") | 1 << 7, encode("val.1") | 5 << 25, encode("val.1") | 8 << 25,
        encode("vali.1") | 5 << 7, encode("vali.1") | 16 << 7, encode("ptradd") | 1 << 25,
        encode("mint") | 1 << 25, encode("revoke") | 1 << 7, encode("revoke") | 1 << 20,
        encode("revoke") | 1 << 25, encode("checkcap") | 2 << 12, encode("val.1") & ~0x7000,
    ])  # fmt: skip
    @pytest.mark.parametrize("enabled", [False, True])
    def test_other_values_are_illegal(self, bench, word, enabled):
        bench.hart.compartments.fluid_end = 0xFFFF_FFC0
        bench.mode(user=enabled, cen=enabled, fen=enabled)
        assert bench.execute(word) == (Cause.ILLEGAL_INSTRUCTION, word)

    def test_base_core_has_no_trace(self, base_bench):
        rows = [row for row in INSTRUCTIONS if row.extension == "Xfides"]
        assert len(rows) > 10
        for row in rows:
            assert base_bench.execute(row.match, START) == (Cause.ILLEGAL_INSTRUCTION, row.match)
        for csr in XfidesCSR:
            with pytest.raises(LookupError):
                base_bench.csr_read(csr)


class TestPartialConfigurations:
    def make(self, make_bench, **changes):
        config = preset("fides")
        return make_bench(replace(config, core=replace(config.core, xfides=XfidesConfig(**changes))))

    def test_without_fat_pointers(self, make_bench):
        bench = self.make(make_bench, fat_pointers=False)
        bench.csr_write(XfidesCSR.COMCTL, 3)
        assert bench.csr_read(XfidesCSR.COMCTL) & 3 == 1
        with pytest.raises(LookupError):
            bench.csr_read(XfidesCSR.FMARK)
        bench.control.privilege = USER
        bench.hart.compartments.fluid_end = 0xFFFF_FFC0
        bench.control.pmp.write_address(0, M)
        bench.control.pmp.write_config(0, 0x1F)
        bench.hart.refresh()
        bench.x[5], bench.x[6] = 7 << 40, 5
        assert bench.do("val.1", START, rd=7, rs1=5, rs2=6) is None
        assert bench.x[7] == 7 << 40 | 5

    def test_without_compartments(self, make_bench):
        bench = self.make(make_bench, compartments=0)
        bench.csr_write(XfidesCSR.COMCTL, 3)
        assert bench.csr_read(XfidesCSR.COMCTL) == 2
        with pytest.raises(LookupError):
            bench.csr_read(XfidesCSR.CURRCOM)

    def test_fewer_compartments(self, make_bench):
        bench = self.make(make_bench, compartments=16, shadow_stack_entries=32)
        assert bench.csr_read(XfidesCSR.COMCTL) == 32 << 16 | 4 << 8
        bench.csr_write(XfidesCSR.CURRCOM, 0x1F5)
        assert bench.csr_read(XfidesCSR.CURRCOM) == 0x105


def test_monitor_program_spills_and_returns(user):
    """A trap handler in machine code moves the oldest entry out on overflow, and the call is retried."""
    state = user.hart.compartments
    for i in range(512):
        state.arm(i, DATA)
    handler = user.control.mtvec
    code = [
        encode("csrrs", rd=6, csr=XfidesCSR.SSBASE),
        encode("lui", rd=5, imm=Comsel.ENTRY_RA << 4),
        encode("or", rd=5, rs1=5, rs2=6),
        encode("csrrw", rs1=5, csr=XfidesCSR.COMSEL),
        encode("csrrs", rd=7, csr=XfidesCSR.COMDATA),
        encode("addi", rd=6, rs1=6, imm=1),
        encode("csrrw", rs1=6, csr=XfidesCSR.SSBASE),
        encode("mret"),
    ]
    for offset, word in enumerate(code):
        user.word(handler + 4 * offset, word)
    assert user.execute(checkcap(2), TWO) == (Cause.CONTROL_FLOW, TWO)
    assert comcause(user) == ControlFlowFault.SHADOW_OVERFLOW
    user.word(TWO, checkcap(2))
    for _ in range(len(code) + 1):
        user.hart.step()
    assert user.hart.pc == TWO + 4 and state.context == (2, False)
    assert (state.ssbase, state.ssdepth, user.x[7]) == (1, 513, 0)
