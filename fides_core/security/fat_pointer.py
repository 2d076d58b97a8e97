"""Fat-pointer validator: val, vali, ptradd, mint, revoke, and the marks of the stack zone (contract, section
9).

val reads its entry in execute and judges it in the memory stage, like a load. mint and revoke stay in
execute, behind an empty memory stage, until their accesses to the metadata table are done; their entry is
judged by the same checker.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from ..core.control import SecurityOp
from ..isa.causes import ExceptionCause, MemoryFault
from ..isa.csrs import XfidesCSR
from ..isa.xfides import ZONE_ALIGN
from .registers import RegisterPort, number_pattern

__all__ = ["FatPointer"]

#: x^32 + x^22 + x^2 + x + 1 (Xilinx XAPP052), with XNOR feedback: the state it cannot leave is all ones.
_LFSR_TAPS = (31, 21, 1, 0)
_ZONE_GRAIN = (ZONE_ALIGN - 1).bit_length()


class _Phase(enum.IntEnum, shape=3):
    IDLE = 0
    LOOK = 1  # at the operands; the first request
    READING = 2
    WRITE = 3
    WRITING = 4
    DONE = 5
    FAULT = 6  # of an access


def _carry_save_sum(a, b, c):
    """a + b + c (unsigned values), modulo two to the width of the widest, with one carry chain."""
    width = max(map(len, (a, b, c)))
    a, b, c = (Cat(value, Const(0, width - len(value))) for value in (a, b, c))
    carries = (a & b) | (a & c) | (b & c)
    return (a ^ b ^ c) + Cat(Const(0, 1), carries[:-1])


class FatPointer(wiring.Component):
    """The unit.

    Execute: ``x_op`` (NONE when nothing is to be done), with checks only if ``x_active``; operands ``x_rs1``,
    ``x_rs2`` and ``x_total``, the 64-bit sum of rs1 and the second operand. ``x_minted``: the upper half of
    rd is ``x_tag`` (in all other cases rd, or mtval, follow from the operands). ``x_wait``: stay in execute.
    ``x_fault``: leave with exception ``x_cause`` and ``x_reason``. ``x_block``: another unit has stopped the
    instruction. ``x_fire``: the instruction leaves execute. ``m_empty``: the memory stage holds no
    instruction.

    Metadata request: ``x_request``, ``x_we`` to entry ``x_index`` of ``x_table`` (bits [31:3] of the table's
    address); ``x_table_op`` is high whenever there might be one; what a write stores is the cookie
    (``x_tag[:8]``) with base and size as mint's operands hold them if ``x_set``, else 0; ``x_granted``
    accepts it in the same cycle, ``x_refused`` says that memory protection forbids it.

    Memory stage: ``m_check`` while a val waits for its entry; ``m_pointer`` (64 bits: upper half of rs1 and
    the effective address) and ``m_size`` (log2 bytes) describe the instruction there or, for mint and revoke,
    in execute. ``m_fault``/``m_reason`` are valid with ``response`` and without ``response_error``;
    ``w_reason`` is ``m_reason`` from the cycle after on, until the next response.

    ``rdata``: fmark; the other registers are read elsewhere (``readback.py``).

    ``restore``: fmark becomes ``restore_mark``.
    """

    x_op: In(SecurityOp)
    x_active: In(1)
    x_rs1: In(64)
    x_rs2: In(64)
    x_total: In(64)
    x_tag: Out(32)
    x_minted: Out(1)
    x_wait: Out(1)
    x_fault: Out(1)
    x_cause: Out(5)
    x_reason: Out(3)
    x_block: In(1)
    x_fire: In(1)
    m_empty: In(1)
    x_table_op: Out(1)
    x_table: Out(29)
    x_index: Out(16)
    x_request: Out(1)
    x_we: Out(1)
    x_set: Out(1)
    x_granted: In(1)
    x_refused: In(1)
    m_check: In(1)
    m_pointer: In(64)
    m_size: In(3)
    response: In(1)
    response_error: In(1)
    response_data: In(64)
    m_fault: Out(1)
    m_reason: Out(3)
    w_reason: Out(3)
    restore: In(1)
    restore_mark: In(16)
    mark: Out(16)
    machine: In(1)
    locked: In(1)
    registers: In(RegisterPort)
    rdata: Out(64)

    def elaborate(self, platform):
        m = Module()
        table = Signal(29, reset_less=True)  # fidesmetadatabase[31:3]
        zone_start = Signal(10, reset_less=True)
        zone_end = Signal(10, reset_less=True)
        mark = self.mark
        # No reset, and few bits read: most of it fits a LUT-based shift register. The monitor shifts the seed
        # in.
        lfsr = Signal(32, reset_less=True)
        cookie = Signal(8)
        m.d.comb += cookie.eq(Cat(lfsr[0] | (lfsr[:8] == 0), lfsr[1:8]))

        phase = Signal(_Phase)
        is_val, is_mint, is_revoke = (
            self.x_op == op for op in (SecurityOp.VAL, SecurityOp.MINT, SecurityOp.REVOKE)
        )
        slow = Signal()
        active = Signal()
        m.d.comb += [
            slow.eq(self.x_active & (is_mint | is_revoke)),
            active.eq(self.x_active & ~self.x_block & (is_val | is_mint | is_revoke)),
        ]

        # Which entry?
        given = self.x_rs2[32:48]  # mint's
        pointed = self.x_rs1[40:56]  # val's and revoke's
        named = Signal(reset_less=True)  # mint has an index of its own; known from phase LOOK on
        from_mark = Signal()
        index = Signal(16)
        in_zone = Signal()
        below_mark = Signal()  # the index of val, or what a CSR instruction has for fmark
        in_table = Signal()
        datum = self.registers.wdata
        sets_mark = self.registers.number.matches(number_pattern(XfidesCSR.FMARK))
        m.d.sync += named.eq(given != 0)
        m.d.comb += [
            from_mark.eq(is_mint & ~named),
            index.eq(Mux(from_mark, mark, Mux(is_mint, given, pointed))),
            in_zone.eq(index[_ZONE_GRAIN:] >= zone_start),
            in_table.eq(index[_ZONE_GRAIN:] < zone_end),
            # mark > index as the carry of mark + ~index, so that the choice needs no LUTs of its own.
            below_mark.eq((mark + (~Mux(sets_mark, datum, pointed))[:16])[16]),
            self.x_index.eq(index),
            self.x_table.eq(table),
            self.x_table_op.eq(is_val | is_mint | is_revoke),
        ]

        # Faults that need no entry.
        early = Signal(3)
        carry = self.x_total[32] ^ self.x_rs1[32] ^ self.x_rs2[32]
        with m.Switch(self.x_op):
            with m.Case(SecurityOp.VAL):
                with m.If(~in_table | (in_zone & ~below_mark)):
                    m.d.comb += early.eq(MemoryFault.INVALID)
            with m.Case(SecurityOp.REVOKE):
                with m.If((pointed == 0) | (in_zone & in_table)):
                    m.d.comb += early.eq(MemoryFault.NOT_BASE)
                with m.Elif(~in_table):
                    m.d.comb += early.eq(MemoryFault.INVALID)
            with m.Case(SecurityOp.MINT):
                with m.If((self.x_rs2[24:32] != 0) | (carry & (self.x_total[:32] != 0))):
                    m.d.comb += early.eq(MemoryFault.BOUNDS)
                with m.Elif(from_mark & ~(in_zone & in_table)):
                    m.d.comb += early.eq(MemoryFault.EXHAUSTED)
                with m.Elif(~from_mark & in_zone):
                    m.d.comb += early.eq(MemoryFault.INVALID)

        # The checker. rs1's half of the pointer is in m_pointer even while mint or revoke waits in execute.
        # offset + 2^n <= size, with offset = (ea - base) mod 2^32: the offset must be below 2^24, and what is
        # left behind the access, base + size - ea - 2^n, not negative; then 26 bits of it are enough. Neither
        # waits for the other. The entry comes late, last = ea + 2^n - 1 is there before.
        entry = self.response_data
        base, size, address = entry[32:], entry[8:32], self.m_pointer[:32]
        last = Signal(26)
        offset = Signal(32)
        left = Signal(26)
        m.d.comb += [
            last.eq(address + ((1 << self.m_size) - 1)[:4]),
            offset.eq(address - base),
            left.eq(_carry_save_sum(base[:26], size, ~last)),
        ]
        inside = Signal()
        stale = Signal()
        m.d.comb += [
            inside.eq((offset[24:] == 0) & ~left[25]),
            stale.eq(entry[:8] != self.m_pointer[32:40]),
            # An entry without a size has no inside.
            self.m_fault.eq(self.m_check & self.response & ~(inside & ~stale)),
        ]
        late = Signal(3)
        with m.If(is_mint & ~self.m_check):
            m.d.comb += late.eq(Mux(size != 0, MemoryFault.INVALID, 0))
        with m.Elif(size == 0):
            m.d.comb += late.eq(MemoryFault.INVALID)
        with m.Elif(stale):
            m.d.comb += late.eq(MemoryFault.TEMPORAL)
        with m.Elif(~self.m_check):
            m.d.comb += late.eq(Mux(offset != 0, MemoryFault.NOT_BASE, 0))
        with m.Else():
            m.d.comb += late.eq(Mux(inside, 0, MemoryFault.BOUNDS))
        m.d.comb += self.m_reason.eq(late)

        # mint and revoke.
        # Whether they wait, which fetch waits for, depends on registers alone.
        reason = self.w_reason  # what their operands, or the last entry, were found to be
        unfit = Signal()
        storing = Signal()
        m.d.comb += [
            unfit.eq((phase == _Phase.WRITE) & (reason != 0)),
            storing.eq((phase == _Phase.WRITE) | from_mark),
            self.x_we.eq(~is_val & storing),
            self.x_set.eq(is_mint),
            self.x_wait.eq(slow & (phase != _Phase.DONE) & (phase != _Phase.FAULT) & ~unfit),
        ]
        with m.If(is_val):
            m.d.comb += self.x_request.eq(active & (early == 0))
        with m.Else():
            m.d.comb += self.x_request.eq(
                slow & (((phase == _Phase.LOOK) & (early == 0)) | ((phase == _Phase.WRITE) & (reason == 0)))
            )
        with m.Switch(phase):
            with m.Case(_Phase.IDLE):
                with m.If(slow & self.m_empty):
                    m.d.sync += phase.eq(Mux(self.x_block, _Phase.FAULT, _Phase.LOOK))
            with m.Case(_Phase.LOOK):
                with m.If(early != 0):
                    m.d.sync += phase.eq(_Phase.WRITE)
                with m.Elif(self.x_refused):
                    m.d.sync += phase.eq(_Phase.FAULT)
                with m.Elif(self.x_granted):
                    m.d.sync += phase.eq(Mux(from_mark, _Phase.WRITING, _Phase.READING))
            with m.Case(_Phase.READING):
                with m.If(self.response):
                    m.d.sync += phase.eq(Mux(self.response_error, _Phase.FAULT, _Phase.WRITE))
            with m.Case(_Phase.WRITE):
                with m.If(unfit):
                    pass
                with m.Elif(self.x_refused):
                    m.d.sync += phase.eq(_Phase.FAULT)
                with m.Elif(self.x_granted):
                    m.d.sync += phase.eq(_Phase.WRITING)
            with m.Case(_Phase.WRITING):
                with m.If(self.response):
                    m.d.sync += phase.eq(Mux(self.response_error, _Phase.FAULT, _Phase.DONE))
        with m.If(self.response):
            m.d.sync += reason.eq(Mux(self.response_error, 0, late))
        with m.Elif(phase == _Phase.LOOK):
            m.d.sync += reason.eq(early)
        wrote = Signal(reset_less=True)  # the last request was the write
        with m.If(self.x_request):
            m.d.sync += wrote.eq(self.x_we)
        with m.If(self.x_fire):
            m.d.sync += phase.eq(_Phase.IDLE)

        store_fault = (phase == _Phase.FAULT) & wrote
        access_fault = Signal()
        with m.If(active):
            with m.If(is_val):
                m.d.comb += [
                    self.x_reason.eq(early),
                    access_fault.eq((early == 0) & self.x_refused),
                    self.x_fault.eq((early != 0) | self.x_refused),
                ]
            with m.Elif((phase == _Phase.FAULT) | unfit):
                m.d.comb += [self.x_fault.eq(1), access_fault.eq(~unfit)]
                with m.If(unfit):
                    m.d.comb += self.x_reason.eq(reason)
        m.d.comb += self.x_cause.eq(
            Mux(
                access_fault,
                Mux(store_fault, ExceptionCause.STORE_ACCESS_FAULT, ExceptionCause.LOAD_ACCESS_FAULT),
                ExceptionCause.MEMORY,
            )
        )

        minted = self.x_minted
        m.d.comb += [
            minted.eq(is_mint & (phase == _Phase.DONE)),
            self.x_tag.eq(Cat(cookie, index, Const(0, 8))),
        ]

        # A mint must see one cookie from its write to its result; otherwise the generator runs freely.
        seeding = self.registers.write & self.registers.number.matches(number_pattern(XfidesCSR.COOKIESEED))
        with m.If(~is_mint | self.x_fire):
            feedback = ~Cat(lfsr[tap] for tap in _LFSR_TAPS).xor()
            m.d.sync += lfsr.eq(Cat(feedback ^ (seeding & self.registers.wdata[0]), lfsr[:31]))
        with m.If(self.restore):
            m.d.sync += mark.eq(self.restore_mark)
        with m.Elif(minted & from_mark & self.x_fire):
            m.d.sync += mark.eq(mark + 1)

        registers = self.registers
        with m.Switch(registers.number):
            with m.Case(number_pattern(XfidesCSR.FIDESMETADATABASE)):
                with m.If(registers.write & ~self.locked):
                    m.d.sync += table.eq(datum[3:32])
            with m.Case(number_pattern(XfidesCSR.FSTACKBASE)):
                with m.If(registers.write & ~self.locked):
                    m.d.sync += zone_start.eq(datum[_ZONE_GRAIN:16])
            with m.Case(number_pattern(XfidesCSR.FSTACKEND)):
                with m.If(registers.write & ~self.locked):
                    m.d.sync += zone_end.eq(datum[_ZONE_GRAIN:16])
            with m.Case(number_pattern(XfidesCSR.FMARK)):
                m.d.comb += self.rdata.eq(mark)
                # Bits above 15 are not looked at: whatever U-mode writes, the mark is only lowered.
                with m.If(registers.write & (self.machine | below_mark)):
                    m.d.sync += mark.eq(datum)
        return m
