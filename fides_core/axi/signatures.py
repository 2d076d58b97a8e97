"""Port signatures of AXI4 and AXI4-Lite (AMBA AXI and ACE protocol specification, IHI 0022H), seen from the
manager. 32-bit addresses, 64-bit data."""

from amaranth.lib import enum
from amaranth.lib.wiring import In, Out, Signature

__all__ = ["Axi4", "AxiLite", "Burst", "Response"]


class Burst(enum.IntEnum, shape=2):
    """AxBURST."""

    FIXED = 0
    INCR = 1
    WRAP = 2


class Response(enum.IntEnum, shape=2):
    """xRESP."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


def _address(channel: str) -> dict:
    return {
        f"{channel}valid": Out(1),
        f"{channel}ready": In(1),
        f"{channel}addr": Out(32),
        f"{channel}prot": Out(3),
    }


def _burst(channel: str, id_bits: int) -> dict:
    return {
        f"{channel}id": Out(id_bits),
        f"{channel}len": Out(8),  # beats - 1
        f"{channel}size": Out(3),  # log2 of the bytes of a beat
        f"{channel}burst": Out(Burst),
        f"{channel}cache": Out(4),
    }


class Axi4(Signature):
    """AXI4 without locks, regions, QoS and user signals. ``id_bits``: width of the identifiers."""

    def __init__(self, id_bits: int = 1):
        self.id_bits = id_bits
        super().__init__(
            _address("aw") | _burst("aw", id_bits) | {
                "wvalid": Out(1),
                "wready": In(1),
                "wdata": Out(64),
                "wstrb": Out(8),
                "wlast": Out(1),
                "bvalid": In(1),
                "bready": Out(1),
                "bid": In(id_bits),
                "bresp": In(Response),
            } | _address("ar") | _burst("ar", id_bits) | {
                "rvalid": In(1),
                "rready": Out(1),
                "rid": In(id_bits),
                "rdata": In(64),
                "rresp": In(Response),
                "rlast": In(1),
            }
        )  # fmt: skip


class AxiLite(Signature):
    """AXI4-Lite with 64-bit data."""

    def __init__(self):
        super().__init__(
            _address("aw") | {
                "wvalid": Out(1),
                "wready": In(1),
                "wdata": Out(64),
                "wstrb": Out(8),
                "bvalid": In(1),
                "bready": Out(1),
                "bresp": In(Response),
            } | _address("ar") | {
                "rvalid": In(1),
                "rready": Out(1),
                "rdata": In(64),
                "rresp": In(Response),
            }
        )  # fmt: skip
