"""What CSR instructions do, written from the unprivileged ISA manual, chapter 6 (Zicsr; version of 2024)."""

from amaranth.hdl import Cat, Mux, Signal

from fides_core.isa.csrs import CSR_NAMES

from .core import CoreTop

__all__ = ["CSRTop"]

#: Registers of which all bits can be written, so that what a program wrote comes back.
PLAIN = ("mscratch",)


class CSRTop(CoreTop):
    """A CSR instruction reports that it reads the register it names, and no other, and that it writes it
    exactly if it should; rd gets what was read, the register what the operation makes of it; nothing else
    reports an access. ``mscratch`` holds what was last written."""

    csrs = True

    def claims(self):
        m, rvfi, word = self.m, self.rvfi, self.word
        funct3, source = word[12:15], word[15:20]
        accesses, writes = Signal(), Signal()
        operand, result = Signal(64), Signal(64)
        read = Signal(64)
        m.d.comb += [
            accesses.eq((word[:7] == 0b1110011) & (funct3[:2] != 0) & self.retires & self.legal),
            writes.eq((funct3[:2] == 1) | (source != 0)),
            operand.eq(Mux(funct3[2], source, rvfi.rs1_rdata)),
        ]
        with m.Switch(funct3[:2]):
            with m.Case(1):
                m.d.comb += result.eq(operand)
            with m.Case(2):
                m.d.comb += result.eq(read | operand)
            with m.Case(3):
                m.d.comb += result.eq(read & ~operand)

        number_of = {name: number for number, name in CSR_NAMES.items()}
        names = [name for name in number_of if f"csr_{name}_rmask" in rvfi.signature.members]
        reads_it, writes_it = [], []
        for name in names:
            rmask, wmask, rdata, wdata = (
                getattr(rvfi, f"csr_{name}_{field}") for field in ("rmask", "wmask", "rdata", "wdata")
            )
            named = Signal(name=f"named_{name}")
            m.d.comb += named.eq(accesses & (word[20:] == number_of[name]))
            with m.If(named):
                m.d.comb += read.eq(rdata)
            reads_it.append(rmask == named.replicate(64))
            writes_it.append(wmask == (named & writes).replicate(64))
            if name in PLAIN:
                known, value = Signal(name=f"{name}_known"), Signal(64, name=f"{name}_value")
                with m.If(rvfi.valid & wmask.any()):
                    m.d.sync += [known.eq(1), value.eq(wdata)]
                self.always(~(rvfi.valid & named & known) | (rdata == value), f"{name}_held")
                self.always(~(rvfi.valid & wmask.any()) | (wdata == result), f"{name}_result")
        self.always(~rvfi.valid | Cat(reads_it).all(), "read")
        self.always(~rvfi.valid | Cat(writes_it).all(), "written")
        self.always(~accesses | (rvfi.rd_addr == word[7:12]), "rd")
        self.always(~accesses | (rvfi.rd_wdata == Mux(word[7:12] == 0, 0, read)), "rd_value")
        # A number that no register has, or that is read-only and would be written, traps.
        known = word[20:].matches(*sorted(number_of[name] for name in names))
        self.always(~accesses | known, "unknown_traps")
        self.always(~accesses | ~writes | (word[30:] != 3), "read_only_traps")
