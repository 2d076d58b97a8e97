"""Retirement reports for verification: the fields of the RISC-V Formal Interface that the benches and the
formal checks use.

An instruction that raises an exception is reported with ``trap``; an interrupt is not reported itself, but
marks the first instruction of its handler (as does an exception) with ``intr``.
"""

from amaranth.hdl import Cat, Const, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Out, Signature

from ..config import CoreConfig
from ..isa.csrs import CSR_NAMES
from .csr import CSRAccess, implemented_csrs

__all__ = ["CSR_FIELDS", "RVFI_FIELDS", "report_retirement", "rvfi_fields", "rvfi_signature"]

#: Field widths in bits, of every retirement port.
RVFI_FIELDS = {
    "valid": 1,
    "order": 64,
    "insn": 32,
    "trap": 1,
    "halt": 1,
    "intr": 1,
    "mode": 2,
    "ixl": 2,
    "rs1_addr": 5,
    "rs2_addr": 5,
    "rs1_rdata": 64,
    "rs2_rdata": 64,
    "pc_rdata": 64,
    "pc_wdata": 64,
    "rd_addr": 5,
    "rd_wdata": 64,
    "mem_addr": 64,
    "mem_rmask": 8,
    "mem_wmask": 8,
    "mem_rdata": 64,
    "mem_wdata": 64,
}

#: Those that are known in decode.
OPERANDS = data.StructLayout({"rs1_addr": 5, "rs2_addr": 5, "rs1_rdata": 64, "rs2_rdata": 64})

#: What is reported of each CSR with ``CoreConfig.rvfi_csrs``, 64 bits each.
CSR_FIELDS = ("rmask", "wmask", "rdata", "wdata")


def rvfi_fields(config: CoreConfig) -> dict[str, int]:
    """The fields of a configuration's port with their widths in bits: for the CSRs, ``csr_<name>_<field>`` of
    each that the core implements."""
    if not config.rvfi_csrs:
        return dict(RVFI_FIELDS)
    names = [CSR_NAMES[number] for number in sorted(implemented_csrs(config))]
    return RVFI_FIELDS | {f"csr_{name}_{field}": 64 for name in names for field in CSR_FIELDS}


def rvfi_signature(config: CoreConfig) -> Signature:
    """The retirement port of a configuration."""
    return Signature({name: Out(width) for name, width in rvfi_fields(config).items()})


def report_retirement(m, rvfi, config, *, decode, execute, memory, csr, w_result, dbus):
    """Add to module ``m`` what follows every instruction from decode to writeback and drives ``rvfi`` there.

    ``mem_addr`` is the address of the aligned 64-bit word that was accessed, an entry of the metadata table
    too; the masks tell the lanes.
    ``rs1_addr`` and ``rs2_addr`` are 0 for operands that are not read; the value of register 0 is 0.
    ``pc_wdata`` is where the program goes on if no interrupt comes: after a trap, the handler. ``halt`` is
    never set, ``ixl`` is always 2 (64 bits).

    Of a CSR that the instruction names, the masks say with all bits or none whether it reads it (every CSR
    instruction is said to) and writes it; ``rdata`` is what it read, ``wdata`` what it wrote, before the
    register drops the bits that it does not have. What traps and mret do to CSRs is not reported.
    """
    x_operands = Signal(OPERANDS)
    m_operands = Signal(OPERANDS)
    m_successor = Signal(64)
    m_target = Signal(64)
    m_link = Signal(32)
    x_read = Signal(64)
    m_read = Signal(64)
    x_insn = Signal(32)
    m_insn = Signal(32)
    m_address = Signal(32)
    m_loaded = Signal(8)
    m_stored = Signal(8)
    m_data = Signal(64)
    # What an AMO, and an instruction with accesses to the metadata table, does before it moves on.
    x_address = Signal(32)
    x_loaded = Signal(8)
    x_stored = Signal(8)
    x_data = Signal(64)
    requested = Mux(dbus.req & dbus.gnt, dbus.be, 0)
    compressed = decode.d_insn[:2] != 3
    with m.If(execute.ready):
        m.d.sync += [
            x_insn.eq(Cat(decode.d_insn[:16], Mux(compressed, 0, decode.d_insn[16:]))),
            x_loaded.eq(0),
            x_stored.eq(0),
            x_operands.rs1_addr.eq(decode.read_rs1),
            x_operands.rs2_addr.eq(decode.read_rs2),
            x_operands.rs1_rdata.eq(Mux(decode.read_rs1 != 0, decode.x_request.rs1, 0)),
            x_operands.rs2_rdata.eq(Mux(decode.read_rs2 != 0, decode.x_request.rs2, 0)),
        ]
    with m.Elif(dbus.req & dbus.gnt):
        m.d.sync += x_address.eq(dbus.addr)
        with m.If(dbus.we):
            m.d.sync += [x_stored.eq(dbus.be), x_data.eq(dbus.wdata)]
        with m.Else():
            m.d.sync += x_loaded.eq(dbus.be)
    with m.If(execute.load):
        m.d.sync += x_read.eq(dbus.rdata)
    with m.If(memory.ready):
        m.d.sync += [
            m_operands.eq(x_operands),
            m_successor.eq(execute.redirect_target),
            m_target.eq(execute.target),
            m_link.eq(execute.current.link),
            m_read.eq(x_read),
            m_insn.eq(x_insn),
            m_address.eq(Mux(requested.any(), dbus.addr, x_address)),
            m_loaded.eq(x_loaded | Mux(dbus.we, 0, requested)),
            m_stored.eq(x_stored | Mux(dbus.we, requested, 0)),
            m_data.eq(Mux(requested.any() & dbus.we, dbus.wdata, x_data)),
        ]

    late, second = memory.current.late, memory.current.late_control.second
    entering = Signal()  # the next instruction is the first of a handler
    order = Signal(64)
    report = Signal()
    # A val whose verdict comes late traps in its writeback cycle, and what is in the memory stage is dropped.
    w_fault = memory.w_fault if config.late_verdict else Const(0)
    m.d.comb += report.eq(memory.commit | (memory.trap & ~w_fault & ~memory.current.interrupt))
    w = {name: Signal(width, name=f"rvfi_{name}") for name, width in RVFI_FIELDS.items()}
    w_trap = Signal()  # the core goes on at the handler, and where mret returns to, in the writeback cycle
    w_mret = Signal()
    m.d.sync += [w["valid"].eq(report), w_trap.eq(memory.trap), w_mret.eq(memory.mret)]
    with m.If(memory.trap):
        m.d.sync += entering.eq(1)
    with m.Elif(report):
        m.d.sync += entering.eq(0)
    with m.If(report):
        m.d.sync += [
            order.eq(order + 1),
            w["order"].eq(order),
            w["insn"].eq(m_insn),
            w["trap"].eq(memory.trap),
            w["intr"].eq(entering),
            w["mode"].eq(csr.machine.replicate(2)),
            w["pc_rdata"].eq(memory.trap_pc),
            w["pc_wdata"].eq(
                Mux(memory.current.late_branch, Mux(memory.taken, m_target, m_link), m_successor)
            ),
            w["rs1_addr"].eq(m_operands.rs1_addr),
            w["rs2_addr"].eq(m_operands.rs2_addr),
            w["rs1_rdata"].eq(Mux(late & ~second, memory.w_result, m_operands.rs1_rdata)),
            w["rs2_rdata"].eq(Mux(late & second, memory.w_result, m_operands.rs2_rdata)),
            w["rd_addr"].eq(Mux(memory.w_request.write, memory.w_request.rd, 0)),
            w["mem_addr"].eq(m_address & ~Const(7, 32)),
            w["mem_rmask"].eq(m_loaded),
            w["mem_wmask"].eq(Mux(memory.commit, m_stored, 0)),
            w["mem_rdata"].eq(Mux(memory.current.access, dbus.rdata, m_read)),
            w["mem_wdata"].eq(m_data),
        ]
    m.d.comb += w["ixl"].eq(2)
    m.d.comb += [getattr(rvfi, name).eq(signal) for name, signal in w.items()]
    with m.If(w_fault):
        m.d.comb += [rvfi.trap.eq(1), rvfi.rd_addr.eq(0)]
    m.d.comb += rvfi.rd_wdata.eq(Mux(rvfi.rd_addr != 0, w_result, 0))
    if config.rvfi_csrs:
        _report_csrs(m, rvfi, config, report=report, memory=memory, csr=csr)
    with m.If(w_trap | w_fault):
        m.d.comb += rvfi.pc_wdata.eq(csr.handler)
    with m.Elif(w_mret):
        m.d.comb += rvfi.pc_wdata.eq(csr.mepc)


def _report_csrs(m, rvfi, config, *, report, memory, csr):
    access, written = Signal(), Signal()
    number = Signal(12)
    rdata, wdata = Signal(64), Signal(64)
    with m.If(report):
        m.d.sync += [
            access.eq(memory.commit & memory.current.csr),
            written.eq(memory.csr_access != CSRAccess.NONE),
            number.eq(memory.current.csr_number),
            rdata.eq(csr.m_rdata),
            wdata.eq(csr.m_wdata),
        ]
    for each in implemented_csrs(config):
        named, write = Signal(name=f"names_{each:x}"), Signal(name=f"writes_{each:x}")
        m.d.comb += [named.eq(access & (number == each)), write.eq(named & written)]
        values = {
            "rmask": named.replicate(64),
            "wmask": write.replicate(64),
            "rdata": Mux(named, rdata, 0),
            "wdata": Mux(write, wdata, 0),
        }
        for field, value in values.items():
            m.d.comb += getattr(rvfi, f"csr_{CSR_NAMES[each]}_{field}").eq(value)
