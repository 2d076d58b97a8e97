"""Instruction decoder: combinational, made from the table in ``fides_core.isa``.

Control signals are taken from the fields the manual gives a meaning (opcode, funct3, funct7), those of the
ALU from its table; what is a legal instruction at all comes from the table's masks and matches.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import CoreConfig
from ..isa.instructions import BY_NAME, instructions
from ..isa.xfides import PadKind
from .alu import ALU_CONTROL, AluControl
from .control import Control, Result, SecurityOp
from .late_alu import DEFERRABLE

__all__ = ["Decoder"]

_OPCODE = 0x7F


def _major(name):
    """Bits [6:2] of an instruction's opcode."""
    return BY_NAME[name].match >> 2 & 0x1F


def _pattern(row, high=31, low=7):
    """The row's bits [high:low] as an Amaranth pattern."""
    return "".join(
        str(row.match >> bit & 1) if row.mask >> bit & 1 else "-" for bit in range(high, low - 1, -1)
    )


def _distinguishing_bits(on, off) -> int:
    """A mask, as small as goes step by step, of the bits [31:7] that tell the rows ``on`` from ``off``."""

    def apart(mask):
        return all((x.match ^ y.match) & x.mask & y.mask & mask for x in on for y in off)

    mask = 0xFFFFFF80
    # funct3 tells most apart and stays to the last.
    for bit in (*range(31, 14, -1), *range(7, 15)):
        if apart(mask & ~(1 << bit)):
            mask &= ~(1 << bit)
    return mask


def _selection(insn, rows, on):
    """A signal that is high for those of ``rows``, which have their opcode in common, that are in ``on``; its
    value for what is no instruction does not matter."""
    off = [row for row in rows if row not in on]
    if not on or not off:
        return Const(bool(on))
    bits = _distinguishing_bits(on, off)
    patterns = {
        "".join(str(row.match >> bit & 1) if row.mask & bits & 1 << bit else "-" for bit in range(31, 6, -1))
        for row in on
    }
    return insn[7:].matches(*sorted(patterns))


class Decoder(wiring.Component):
    """``insn``, a 32-bit instruction or the equivalent of a compressed one, to ``control``, register numbers,
    and the 32-bit signed ``immediate``. ``misaligned``: it stands at an address that is no multiple of 4.

    For CSR instructions the immediate holds the CSR number in [16:5] and the 5-bit source field in [4:0].
    ``deferrable``: the late ALU can do it. ``legal`` does not judge CSR accesses and privileges; ``ecall``,
    ``ebreak``, ``mret`` and ``wfi`` say which of them it is. Instructions that the security units need ra or
    sp for read them through rs1 and rs2 (contract, section 5).
    """

    insn: In(32)
    misaligned: In(1)
    control: Out(Control)
    legal: Out(1)
    rs1: Out(5)
    rs2: Out(5)
    rd: Out(5)
    immediate: Out(signed(32))
    reads_rs1: Out(1)
    reads_rs2: Out(1)
    deferrable: Out(1)
    csr_write: Out(1)
    ecall: Out(1)
    ebreak: Out(1)

    def __init__(self, config: CoreConfig):
        self._xfides = config.xfides
        self._rows = instructions(
            xfides=config.xfides is not None, bitmanip=config.bitmanip, zicond=config.zicond
        )
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        insn = self.insn
        control = self.control
        funct3 = insn[12:15]
        rs1_field, rs2_field, rd_field = insn[15:20], insn[20:25], insn[7:12]

        i_imm = insn[20:32].as_signed()
        s_imm = Cat(insn[7:12], insn[25:32]).as_signed()
        b_imm = Cat(0, insn[8:12], insn[25:31], insn[7], insn[31]).as_signed()
        u_imm = Cat(Const(0, 12), insn[12:32]).as_signed()
        j_imm = Cat(0, insn[21:31], insn[20], insn[12:20], insn[31]).as_signed()
        csr_imm = Cat(insn[15:32])

        m.d.comb += [
            self.rs1.eq(rs1_field),
            self.rs2.eq(rs2_field),
            self.rd.eq(rd_field),
            control.funct3.eq(funct3),
            self.immediate.eq(i_imm),
        ]
        writes = Signal()
        m.d.comb += control.write.eq(writes & (rd_field != 0))

        by_major = {}
        for row in self._rows:
            by_major.setdefault(row.match >> 2 & 0x1F, []).append(row)
        known = Signal()
        with m.Switch(insn[2:7]):
            for major, group in by_major.items():
                with m.Case(major):
                    m.d.comb += known.eq(insn[7:].matches(*(_pattern(row) for row in group)))
                    self._alu(m, group)
                    late = [row for row in group if row.name in DEFERRABLE]
                    m.d.comb += self.deferrable.eq(_selection(insn, group, late))
        m.d.comb += self.legal.eq(known & (insn[:2] == 3))

        links = (rd_field == 1) | (rd_field == 5)
        returns = (rs1_field == 1) | (rs1_field == 5)
        with m.Switch(insn[2:7]):
            with m.Case(_major("lui"), _major("auipc")):
                # lui adds to x0.
                pc = insn[5] == 0
                m.d.comb += [
                    self.immediate.eq(u_imm),
                    self.rs1.eq(0),
                    control.result.eq(Result.ADDRESS),
                    control.base_pc.eq(pc),
                    writes.eq(1),
                ]
            with m.Case(_major("jal")):
                m.d.comb += [
                    self.immediate.eq(j_imm),
                    control.base_pc.eq(1),
                    control.jump.eq(1),
                    control.call.eq(links),
                    control.result.eq(Result.OTHER),
                    writes.eq(1),
                ]
            with m.Case(_major("jalr")):
                m.d.comb += [
                    control.jump.eq(1),
                    control.call.eq(links),
                    control.ret.eq(returns & (rd_field != rs1_field)),
                    control.result.eq(Result.OTHER),
                    self.reads_rs1.eq(1),
                    writes.eq(1),
                ]
                if self._xfides and self._xfides.judges_crossings:
                    with m.If((rd_field == 0) & (rs1_field == 1) & (i_imm == 0)):
                        m.d.comb += [
                            control.security.eq(SecurityOp.RETURN),
                            self.rs2.eq(2),
                            self.reads_rs2.eq(1),
                        ]
            with m.Case(_major("beq")):
                m.d.comb += [
                    self.immediate.eq(b_imm),
                    control.base_pc.eq(1),
                    control.branch.eq(1),
                    self.reads_rs1.eq(1),
                    self.reads_rs2.eq(1),
                ]
            with m.Case(_major("lb")):
                m.d.comb += [
                    control.load.eq(1),
                    control.result.eq(Result.ADDRESS),
                    self.reads_rs1.eq(1),
                    writes.eq(1),
                ]
            with m.Case(_major("sb")):
                m.d.comb += [
                    self.immediate.eq(s_imm),
                    control.store.eq(1),
                    control.result.eq(Result.ADDRESS),
                    self.reads_rs1.eq(1),
                    self.reads_rs2.eq(1),
                ]
            with m.Case(_major("addi"), _major("addiw")):
                m.d.comb += [control.b_immediate.eq(1), self.reads_rs1.eq(1), writes.eq(1)]
            with m.Case(_major("add"), _major("addw")):
                multiplies = insn[25] & ~insn[27]
                m.d.comb += [
                    control.word.eq(insn[3]),
                    control.multiply.eq(multiplies & ~funct3[2]),
                    control.divide.eq(multiplies & funct3[2]),
                    control.result.eq(Mux(multiplies, Result.DIVIDER, Result.ALU)),
                    self.reads_rs1.eq(1),
                    self.reads_rs2.eq(1),
                    writes.eq(1),
                ]
            with m.Case(_major("lr.w")):
                special = insn[28]  # LR or SC, by the next bit
                m.d.comb += [
                    self.immediate.eq(0),
                    control.load.eq(special & ~insn[27]),
                    control.reserve.eq(special & ~insn[27]),
                    control.store.eq(special & insn[27]),
                    control.conditional.eq(special & insn[27]),
                    control.atomic.eq(~special),
                    control.result.eq(Result.ADDRESS),
                    self.reads_rs1.eq(1),
                    self.reads_rs2.eq(~(special & ~insn[27])),
                    writes.eq(1),
                ]
            with m.Case(_major("fence")):
                m.d.comb += control.fence_i.eq(funct3[0])
            with m.Case(_major("ecall")):
                is_csr = funct3 != 0
                m.d.comb += [
                    self.immediate.eq(csr_imm),
                    control.csr.eq(is_csr),
                    control.result.eq(Result.DIVIDER),
                    control.mret.eq(~is_csr & (insn[28:30] == 3)),
                    control.wfi.eq(~is_csr & (insn[28:30] == 1)),
                    self.ecall.eq(~is_csr & (insn[28] == 0) & ~insn[20]),
                    self.ebreak.eq(~is_csr & (insn[28] == 0) & insn[20]),
                    self.csr_write.eq((funct3[:2] == 1) | (rs1_field != 0)),
                    self.reads_rs1.eq(is_csr & ~funct3[2]),
                    # The immediate forms add their operand to x0.
                    self.rs1.eq(rs1_field & ~funct3[2].replicate(5)),
                    writes.eq(is_csr),
                ]
                # An access that only reads: the kind of access in funct3[1:0] becomes none.
                with m.If(is_csr & ~self.csr_write):
                    m.d.comb += control.funct3[:2].eq(0)
            if self._xfides:
                self._custom(m, writes)
        return m

    def _alu(self, m, rows):
        """The ALU's control signals for instructions of one opcode."""
        fields = AluControl.as_shape().members
        for name in fields:
            field = Value.cast(self.control.alu[name])
            for bit in range(len(field)):
                on = [row for row in rows if ALU_CONTROL.get(row.name, {}).get(name, 0) >> bit & 1]
                m.d.comb += field[bit].eq(_selection(self.insn, rows, on))

    def _custom(self, m, writes):
        insn, control = self.insn, self.control
        funct3 = insn[12:15]
        kind, reserved = insn[30:32], insn[28:30]
        with m.Case(_major("checkcap")):
            with m.If(~funct3[0]):  # checkcap
                with m.If((kind == 3) | (reserved != 0) | self.misaligned):
                    m.d.comb += self.legal.eq(0)
                if self._xfides.compartments:
                    m.d.comb += control.security.eq(Cat(kind + 1, Const(0, 2)))
                if self._xfides.judges_crossings:
                    m.d.comb += [
                        self.rs1.eq(1),
                        self.rs2.eq(2),
                        self.reads_rs1.eq(1),
                        self.reads_rs2.eq(1),
                        # The address adder gives what is compared with the shadow stack: ra, or pc at a
                        # handler.
                        self.immediate.eq(0),
                        control.base_pc.eq(kind == PadKind.HANDLER),
                        # The compartment takes the place of rd and size.
                        control.size.eq(insn[25:28]),
                        self.rd.eq(insn[20:25]),
                    ]
            if self._xfides.compartments:
                with m.Else():
                    m.d.comb += control.security.eq(Mux(funct3[1], SecurityOp.DISARM, SecurityOp.ARM))
                    if self._xfides.judges_crossings:
                        m.d.comb += [self.rs2.eq(2), self.reads_rs1.eq(1), self.reads_rs2.eq(1)]
        with m.Case(_major("ptradd")):
            m.d.comb += [
                self.reads_rs1.eq(1),
                control.keep_upper.eq(1),
            ]
            with m.Switch(funct3[:3]):
                with m.Case(2):
                    m.d.comb += [
                        control.size.eq(insn[25:28]),
                        control.security.eq(Mux(insn[31], SecurityOp.PTRADD, SecurityOp.VAL)),
                        self.reads_rs2.eq(1),
                        writes.eq(1),
                    ]
                with m.Case(3):
                    m.d.comb += [
                        control.size.eq(insn[7:10]),
                        control.security.eq(SecurityOp.VAL),
                        control.b_immediate.eq(1),
                    ]
                with m.Case(4):
                    m.d.comb += [
                        control.security.eq(SecurityOp.MINT),
                        control.result.eq(Result.DIVIDER),
                        self.reads_rs2.eq(1),
                        writes.eq(1),
                    ]
                with m.Case(5):
                    m.d.comb += [
                        control.security.eq(SecurityOp.REVOKE),
                        # The immediate of this encoding is 0: the address is rs1 as it is.
                        control.b_immediate.eq(1),
                    ]
