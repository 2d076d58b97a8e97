"""The addresses and byte lanes of the beats of a burst (IHI 0022H, A3.4)."""

from amaranth.hdl import Const, Mux, Value

from .signatures import Burst

__all__ = ["next_address", "byte_lanes"]


def next_address(address: Value, length: Value, size: Value, burst: Value) -> Value:
    """The address of the beat behind the one at ``address`` (bytes, both of the same width, at least 12
    bits: no burst crosses 4 KiB). ``length``, ``size`` and ``burst`` are AxLEN, AxSIZE and AxBURST; wrapping
    bursts have 2, 4, 8 or 16 beats of at most 8 bytes."""
    beat = (1 << size)[:4]
    following = ((address & ~(beat - 1)) + beat)[: len(address)]
    # A wrapping burst stays in its block, of (length + 1) << size bytes.
    inside = (beat - 1)[:3] | (length[:4] << size[:2])[:7] | Const(0, len(address))
    wrapped = (address & ~inside) | (following & inside)
    return Mux(burst == Burst.INCR, following, Mux(burst == Burst.WRAP, wrapped, address))


def byte_lanes(address: Value, size: Value) -> Value:
    """The lanes (8 bits) of a 64-bit bus that a beat of 2^``size`` bytes at ``address`` may use; one that
    begins unaligned uses the rest of its aligned block."""
    lanes = 0
    for log2, width in enumerate((1, 2, 4, 8)):
        block = ((1 << width) - 1) << (address[:3] & (8 - width))
        lanes = Mux(size == log2, block, lanes)
    return (lanes & (0xFF << address[:3]))[:8]
