"""Main memory and boot ROM: an instruction port and a data port, one access a cycle each."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from . import memory_map

__all__ = ["MainMemory", "BootROM"]


class MainMemory(wiring.Component):
    """``size`` bytes of 64-bit words; addresses wrap around. A request (``i_request``, ``d_request``) is
    answered in the next cycle; the data port reads or writes, so that both ports fit one dual-port block
    RAM."""

    i_request: In(1)
    i_address: In(32)
    i_data: Out(64)
    d_request: In(1)
    d_address: In(32)
    d_lanes: In(8)  # bytes to write; none: a read
    d_wdata: In(64)
    d_data: Out(64)

    def __init__(self, size: int):
        self._depth = size // 8
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        # The instruction port may read what is being written: fence.i orders that.
        m.submodules.words = words = Memory(
            shape=64, depth=self._depth, init=[], attrs={"ram_style": "block", "rw_addr_collision": "yes"}
        )
        instruction, data, write = words.read_port(), words.read_port(), words.write_port(granularity=8)
        writing = self.d_lanes != 0
        m.d.comb += [
            instruction.addr.eq(self.i_address[3:]),
            instruction.en.eq(self.i_request),
            self.i_data.eq(instruction.data),
            data.addr.eq(self.d_address[3:]),
            data.en.eq(self.d_request & ~writing),
            self.d_data.eq(data.data),
            write.addr.eq(self.d_address[3:]),
            write.data.eq(self.d_wdata),
            write.en.eq(self.d_lanes & self.d_request.replicate(8)),
        ]
        return m


def _boot_words(hart_id: int) -> list[int]:
    """Jump to main memory with a0 = mhartid and a1 = 0, as RISC-V firmware expects."""
    if not 0 <= hart_id < 2048:
        raise ValueError(f"hart_id {hart_id} does not fit the boot ROM's immediate")
    assert memory_map.MAIN_MEMORY_BASE == 1 << 31
    addi, a0, a1, t1 = 0x13, 10, 11, 6
    return [
        addi | a0 << 7 | hart_id << 20,
        addi | a1 << 7,
        addi | t1 << 7 | 1 << 20,
        0x1013 | t1 << 7 | t1 << 15 | 31 << 20,  # slli t1, t1, 31
        0x67 | t1 << 15,  # jr t1
        0x13,
    ]


class BootROM(wiring.Component):
    """Read-only, answered in the next cycle like main memory."""

    i_request: In(1)
    i_address: In(32)
    i_data: Out(64)
    d_request: In(1)
    d_address: In(32)
    d_data: Out(64)

    def __init__(self, hart_id: int):
        self._words = _boot_words(hart_id)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        i_word = Signal(64)
        d_word = Signal(64)
        with m.Switch(self.i_address[3:12]):
            for i in range(0, len(self._words), 2):
                with m.Case(i // 2):
                    m.d.comb += i_word.eq(self._words[i] | self._words[i + 1] << 32)
        with m.Switch(self.d_address[3:12]):
            for i in range(0, len(self._words), 2):
                with m.Case(i // 2):
                    m.d.comb += d_word.eq(self._words[i] | self._words[i + 1] << 32)
        with m.If(self.i_request):
            m.d.sync += self.i_data.eq(i_word)
        with m.If(self.d_request):
            m.d.sync += self.d_data.eq(d_word)
        return m
