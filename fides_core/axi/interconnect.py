"""AXI4 interconnect: managers share one path to subordinates for reads and one for writes.

A path carries one transaction at a time, from the address to the last response. The main memory behind it
has one port for reads and one for writes, so a second transaction would only wait there instead; and nothing
can be reordered or needs wider identifiers on its way back. Managers take turns.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .signatures import Axi4, Response

__all__ = ["Target", "Axi4Interconnect", "selects"]


@dataclass(frozen=True)
class Target:
    """Where a subordinate is: ``base`` and ``size`` in bytes, a power of two that the base is a multiple of.
    ``managers``: numbers of those that reach it, None for all. ``writable``: whether writes do. Raises
    ValueError when the base is not aligned."""

    base: int
    size: int
    managers: Collection[int] | None = None
    writable: bool = True

    def __post_init__(self):
        if self.size <= 0 or self.size & (self.size - 1) or self.base % self.size:
            raise ValueError(f"a region of {self.size:#x} bytes at {self.base:#x} is not aligned")


def selects(address: Value, target) -> Value:
    """Whether ``address`` (32 bits) lies in ``target``, which has ``base`` and ``size``."""
    bits = target.size.bit_length() - 1
    return address[bits:] == target.base >> bits


class Axi4Interconnect(wiring.Component):
    """``managers``: array of ports that managers connect to, ``subordinates``: of those to connect
    subordinates to, one for each of ``targets``. A request goes to the first target that covers its address
    and that it may reach; without one it is answered DECERR, with all its beats. A request that is alone
    reaches its subordinate one cycle later, and responses come back in the same cycle. ``id_bits``: of all
    ports."""

    def __init__(self, managers: int, targets: Sequence[Target], id_bits: int = 1):
        self._managers, self._targets = managers, tuple(targets)
        super().__init__(
            {
                "managers": In(Axi4(id_bits)).array(managers),
                "subordinates": Out(Axi4(id_bits)).array(len(self._targets)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._reads(m)
        self._writes(m)
        return m

    def _arbiter(self, m, channel: str, finished: Value):
        """A grant and its route, from one cycle before the transaction until ``finished``. Returns whether
        there is one, the manager (one-hot) and the target (one-hot, the last bit is none of them)."""
        count = self._managers
        active = Signal(name=f"{channel}_active")
        owner = Signal(count, init=1, name=f"{channel}_owner")
        target = Signal(len(self._targets) + 1, name=f"{channel}_target")
        valids = [getattr(port, f"{channel}valid") for port in self.managers]
        routes = []
        for number, port in enumerate(self.managers):
            hits = [
                selects(getattr(port, f"{channel}addr"), where)
                & (where.managers is None or number in where.managers)
                & (where.writable or channel == "ar")
                for where in self._targets
            ]
            hits.append(1)
            routes.append(Cat(hit & ~Cat(*hits[:i]).any() for i, hit in enumerate(hits)))
        with m.If(~active):
            # Round robin: the manager behind the last owner comes first. Later assignments win.
            for last in range(count):
                with m.If(owner[last]):
                    for step in reversed(range(1, count + 1)):
                        candidate = (last + step) % count
                        with m.If(valids[candidate]):
                            m.d.sync += [owner.eq(1 << candidate), target.eq(routes[candidate])]
            m.d.sync += active.eq(Cat(*valids).any())
        with m.Elif(finished):
            m.d.sync += active.eq(0)
        return active, owner, target

    @staticmethod
    def _forward(m, names, sources, owner, sinks):
        """Payloads from the manager that owns the path to all subordinates."""
        for name in names:
            value = 0
            for bit, port in zip(owner, sources, strict=True):
                value = value | Mux(bit, Value.cast(getattr(port, name)), 0)
            m.d.comb += [getattr(port, name).eq(value) for port in sinks]

    @staticmethod
    def _back(m, names, subordinates, target, managers):
        """Payloads from the subordinate that answers to all managers."""
        for name in names:
            value = 0
            for bit, port in zip(target, subordinates, strict=False):
                value = value | Mux(bit, Value.cast(getattr(port, name)), 0)
            m.d.comb += [getattr(port, name).eq(value) for port in managers]

    def _reads(self, m):
        finished = Signal()
        active, owner, target = self._arbiter(m, "ar", finished)
        asked = Signal()  # the address has been transferred
        mine, theirs = self.managers, self.subordinates
        nowhere = target[-1]

        def of_owner(name):
            return (Cat(getattr(port, name) for port in mine) & owner).any()

        def of_target(name, default):
            return (Cat(*(getattr(port, name) for port in theirs), default) & target).any()

        # The answer to requests that lead nowhere.
        beats_left = Signal(8, reset_less=True)
        identifier = Signal(len(mine[0].arid), reset_less=True)

        payload = ("araddr", "arprot", "arid", "arlen", "arsize", "arburst", "arcache")
        self._forward(m, payload, mine, owner, theirs)
        self._back(m, ("rid", "rdata", "rresp", "rlast"), theirs, target, mine)
        arvalid = Signal()
        rvalid = Signal()
        rready = Signal()
        accept = Signal()
        m.d.comb += [
            arvalid.eq(active & ~asked & of_owner("arvalid")),
            accept.eq(active & ~asked & of_target("arready", 1)),
            rvalid.eq(asked & of_target("rvalid", 1)),
            rready.eq(asked & of_owner("rready")),
            finished.eq(rvalid & rready & mine[0].rlast),
        ]
        for bit, port in zip(target, theirs, strict=False):
            m.d.comb += [port.arvalid.eq(arvalid & bit), port.rready.eq(rready & bit)]
        for bit, port in zip(owner, mine, strict=True):
            m.d.comb += [port.arready.eq(accept & bit), port.rvalid.eq(rvalid & bit)]
        with m.If(arvalid & accept):
            m.d.sync += asked.eq(1)
            m.d.sync += [beats_left.eq(theirs[0].arlen), identifier.eq(theirs[0].arid)]
        with m.If(finished):
            m.d.sync += asked.eq(0)
        with m.If(nowhere):
            for port in mine:
                m.d.comb += [
                    port.rid.eq(identifier), port.rdata.eq(0), port.rresp.eq(Response.DECERR),
                    port.rlast.eq(beats_left == 0),
                ]  # fmt: skip
            with m.If(rvalid & rready):
                m.d.sync += beats_left.eq(beats_left - 1)

    def _writes(self, m):
        finished = Signal()
        active, owner, target = self._arbiter(m, "aw", finished)
        # The address, and all data, have been transferred.
        asked = Signal()
        sent = Signal()
        mine, theirs = self.managers, self.subordinates
        nowhere = target[-1]

        def of_owner(name):
            return (Cat(getattr(port, name) for port in mine) & owner).any()

        def of_target(name, default):
            return (Cat(*(getattr(port, name) for port in theirs), default) & target).any()

        identifier = Signal(len(mine[0].awid), reset_less=True)
        payload = ("awaddr", "awprot", "awid", "awlen", "awsize", "awburst", "awcache")
        self._forward(m, (*payload, "wdata", "wstrb", "wlast"), mine, owner, theirs)
        self._back(m, ("bid", "bresp"), theirs, target, mine)
        # Address and data go in parallel: a subordinate may wait for both.
        awvalid = Signal()
        wvalid = Signal()
        awready = Signal()
        wready = Signal()
        bvalid = Signal()
        bready = Signal()
        m.d.comb += [
            awvalid.eq(active & ~asked & of_owner("awvalid")),
            awready.eq(active & ~asked & of_target("awready", 1)),
            wvalid.eq(active & ~sent & of_owner("wvalid")),
            wready.eq(active & ~sent & of_target("wready", 1)),
            bvalid.eq(asked & sent & of_target("bvalid", 1)),
            bready.eq(asked & sent & of_owner("bready")),
            finished.eq(bvalid & bready),
        ]
        for bit, port in zip(target, theirs, strict=False):
            m.d.comb += [
                port.awvalid.eq(awvalid & bit), port.wvalid.eq(wvalid & bit), port.bready.eq(bready & bit)
            ]  # fmt: skip
        for bit, port in zip(owner, mine, strict=True):
            m.d.comb += [
                port.awready.eq(awready & bit), port.wready.eq(wready & bit), port.bvalid.eq(bvalid & bit)
            ]  # fmt: skip
        with m.If(awvalid & awready):
            m.d.sync += [asked.eq(1), identifier.eq(theirs[0].awid)]
        with m.If(wvalid & wready & theirs[0].wlast):
            m.d.sync += sent.eq(1)
        with m.If(finished):
            m.d.sync += [asked.eq(0), sent.eq(0)]
        with m.If(nowhere):
            for port in mine:
                m.d.comb += [port.bid.eq(identifier), port.bresp.eq(Response.DECERR)]
