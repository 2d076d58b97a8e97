"""Read side of the registers that only software changes: one distributed memory instead of a multiplexer.

The units hold these registers for their own use; what was written is kept here a second time, to be read. It
is less logic than a multiplexer of that many bits (contract, section 11).
"""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..isa.csrs import XfidesCSR
from .registers import RegisterPort, number_pattern

__all__ = ["Readback", "KEPT_FIELDS"]

_BOUNDS = (XfidesCSR.PARCOMPCSTART, XfidesCSR.ANYCOMPCSTART, XfidesCSR.ANYCOMPCEND)
_TABLE = (XfidesCSR.FIDESMETADATABASE,)
_ZONE = (XfidesCSR.FSTACKBASE, XfidesCSR.FSTACKEND)

#: Bits [high:low] that each register holds; the others read 0.
KEPT_FIELDS = (
    {csr: (31, 6) for csr in _BOUNDS} | {csr: (31, 3) for csr in _TABLE} | {csr: (15, 6) for csr in _ZONE}
)


class Readback(wiring.Component):
    """``rdata`` (64 bits) is what was last written to the register that ``registers`` names, 0 for any other.
    Writes are ignored while ``locked`` is high, as in the units. Like the registers, undefined after
    reset."""

    registers: In(RegisterPort)
    locked: In(1)
    rdata: Out(64)

    def elaborate(self, platform):
        m = Module()
        m.submodules.kept = kept = Memory(shape=29, depth=32, init=[], attrs={"ram_style": "distributed"})
        write, read = kept.write_port(), kept.read_port(domain="comb")
        m.d.comb += [
            write.addr.eq(self.registers.number[:5]),
            write.data.eq(self.registers.wdata[3:32]),
            write.en.eq(self.registers.write & ~self.locked),
            read.addr.eq(self.registers.number[:5]),
        ]

        selected = {}
        for name, group in (("bounds", _BOUNDS), ("table", _TABLE), ("zone", _ZONE)):
            selected[name] = Signal(name=f"is_{name}")
            patterns = [number_pattern(csr) for csr in group]
            m.d.comb += selected[name].eq(self.registers.number.matches(*patterns))
        wide = selected["bounds"] | selected["table"]
        word = read.data
        m.d.comb += self.rdata.eq(
            Cat(
                Const(0, 3),
                word[:3] & selected["table"].replicate(3),
                word[3:13] & (wide | selected["zone"]).replicate(10),
                word[13:] & wide.replicate(16),
            )
        )
        return m
