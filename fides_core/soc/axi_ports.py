"""AXI4 ports for a core without caches."""

from collections.abc import Iterable

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..axi.obi_bridge import ObiBridge
from ..axi.signatures import Axi4, AxiLite, Burst
from ..cache.regions import Region, inside
from ..core.bus import DataBus, InstructionBus

__all__ = ["AxiPorts"]


def _single_beat(m, lite, axi, size):
    """``axi`` gets what ``lite``, of AXI4-Lite, asks for, in transfers of 2^``size`` bytes."""
    for name, member in AxiLite().members.items():
        source, sink = (lite, axi) if member.flow is Out else (axi, lite)
        m.d.comb += getattr(sink, name).eq(getattr(source, name))
    m.d.comb += [
        axi.awsize.eq(size),
        axi.arsize.eq(size),
        axi.awburst.eq(Burst.INCR),
        axi.arburst.eq(Burst.INCR),
        axi.wlast.eq(1),
    ]


class AxiPorts(wiring.Component):
    """Between ``ibus`` and ``dbus`` of a core and AXI4, for systems other than ours: the ports are those of a
    tile with caches. Each access is one transfer of its own size, in the order of the program on ``daxi``;
    the next one of the same bus waits for its response. SLVERR and DECERR become the error of that access.

    ``executable``: where instructions are fetched; elsewhere a fetch fails without a transfer, so that none
    that was only predicted or fetched ahead reaches a device. Raises ValueError, when it is elaborated, for
    a region that is not naturally aligned."""

    ibus: In(InstructionBus)
    dbus: In(DataBus)
    iaxi: Out(Axi4())
    daxi: Out(Axi4())

    def __init__(self, executable: Iterable[Region]):
        self._executable = tuple(executable)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        self._instructions(m)
        self._data(m)
        return m

    def _instructions(self, m):
        m.submodules.instruction_bridge = bridge = ObiBridge()
        ibus, obi = self.ibus, bridge.obi
        allowed = Signal()
        refused = Signal()
        m.d.comb += [
            allowed.eq(inside(ibus.addr, self._executable)),
            obi.req.eq(ibus.req & allowed),
            obi.addr.eq(ibus.addr),
            obi.be.eq(0xFF),
            ibus.gnt.eq(obi.gnt),
            ibus.rvalid.eq(obi.rvalid | refused),
            ibus.rdata.eq(obi.rdata),
            ibus.err.eq(obi.err | refused),
        ]
        # The core has one request under way at most, so the bridge has none when one is refused.
        m.d.sync += refused.eq(ibus.req & ibus.gnt & ~allowed)
        _single_beat(m, bridge.lite, self.iaxi, 3)

    def _data(self, m):
        m.submodules.data_bridge = bridge = ObiBridge()
        connect(m, flipped(self.dbus), bridge.obi)
        # The bridge holds the lanes for reads, too.
        lanes = bridge.lite.wstrb
        ones = sum(lanes[i] for i in range(8))
        size = Signal(2)
        m.d.comb += size.eq(Mux(ones[3], 3, Mux(ones[2], 2, ones[1])))
        _single_beat(m, bridge.lite, self.daxi, size)
