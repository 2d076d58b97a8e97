"""Retirement reports for verification: the fields of the RISC-V Formal Interface that the benches use.

An instruction that raises an exception is reported with ``trap``; an interrupt is not reported itself, but
marks the first instruction of its handler (as does an exception) with ``intr``.
"""

from amaranth.hdl import Cat, Const, Mux, Signal
from amaranth.lib.wiring import Out, Signature

__all__ = ["RVFI", "report_retirement", "RVFI_FIELDS"]

#: Field widths in bits.
RVFI_FIELDS = {
    "valid": 1,
    "order": 64,
    "insn": 32,
    "trap": 1,
    "intr": 1,
    "mode": 2,
    "pc_rdata": 64,
    "rd_addr": 5,
    "rd_wdata": 64,
    "mem_addr": 64,
    "mem_rmask": 8,
    "mem_wmask": 8,
    "mem_wdata": 64,
}

RVFI = Signature({name: Out(width) for name, width in RVFI_FIELDS.items()})


def report_retirement(m, rvfi, *, decode, execute, memory, csr, w_result, dbus):
    """Add to module ``m`` what follows every instruction from decode to writeback and drives ``rvfi`` there.

    ``mem_addr`` is the address of the aligned 64-bit word that was accessed; the masks tell the lanes.
    """
    x_insn = Signal(32)
    m_insn = Signal(32)
    m_address = Signal(32)
    m_loaded = Signal(8)
    m_stored = Signal(8)
    m_data = Signal(64)
    # An AMO makes its accesses before it moves on.
    x_loaded = Signal(8)
    x_stored = Signal(8)
    x_data = Signal(64)
    atomic = execute.current.control.atomic
    requested = Mux(dbus.req & dbus.gnt, dbus.be, 0)
    compressed = decode.d_insn[:2] != 3
    with m.If(execute.ready):
        m.d.sync += [
            x_insn.eq(Cat(decode.d_insn[:16], Mux(compressed, 0, decode.d_insn[16:]))),
            x_loaded.eq(0),
            x_stored.eq(0),
        ]
    with m.Elif(atomic & dbus.req & dbus.gnt):
        with m.If(dbus.we):
            m.d.sync += [x_stored.eq(dbus.be), x_data.eq(dbus.wdata)]
        with m.Else():
            m.d.sync += x_loaded.eq(dbus.be)
    with m.If(memory.ready):
        m.d.sync += [
            m_insn.eq(x_insn),
            m_address.eq(Mux(atomic, execute.held_address, dbus.addr)),
            m_loaded.eq(Mux(atomic, x_loaded, Mux(dbus.we, 0, requested))),
            m_stored.eq(Mux(atomic, x_stored, Mux(dbus.we, requested, 0))),
            m_data.eq(Mux(atomic, x_data, dbus.wdata)),
        ]

    entering = Signal()  # the next instruction is the first of a handler
    order = Signal(64)
    report = Signal()
    m.d.comb += report.eq(memory.commit | (memory.trap & ~memory.current.interrupt))
    w = {name: Signal(width, name=f"rvfi_{name}") for name, width in RVFI_FIELDS.items()}
    m.d.sync += w["valid"].eq(report)
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
            w["rd_addr"].eq(Mux(memory.w_request.write, memory.w_request.rd, 0)),
            w["mem_addr"].eq(m_address & ~Const(7, 32)),
            w["mem_rmask"].eq(m_loaded),
            w["mem_wmask"].eq(Mux(memory.commit, m_stored, 0)),
            w["mem_wdata"].eq(m_data),
        ]
    m.d.comb += [getattr(rvfi, name).eq(signal) for name, signal in w.items()]
    m.d.comb += rvfi.rd_wdata.eq(Mux(w["rd_addr"] != 0, w_result, 0))
