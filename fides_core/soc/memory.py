"""Main memory and boot ROM: 64-bit words, answered in the next cycle."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from ..axi.sram import ReadPort, WritePort
from ..config import Config
from . import memory_map
from .boot_loader import loader_words

__all__ = ["MainMemory", "BootROM", "boot_words"]

_GROUPS_OF_LOGIC = 8


class MainMemory(wiring.Component):
    """``size`` bytes; addresses wrap around. ``reads``: number of read ports, array ``read``. Two fit
    dual-port block RAM if the second is used with the address of ``write``, and not while it writes; without
    a second one any two accesses go together. ``image``: contents after power-up, from the first byte on;
    behind them nothing may rely on what is there."""

    def __init__(self, size: int, reads: int, image: bytes = b""):
        self._depth = size // 8
        self._init = [int.from_bytes(image[i : i + 8], "little") for i in range(0, len(image), 8)]
        super().__init__({"read": In(ReadPort).array(reads), "write": In(WritePort)})

    def elaborate(self, platform):
        m = Module()
        # A read port may read what is being written: the bus, and fence.i, order that.
        m.submodules.words = words = Memory(
            shape=64,
            depth=self._depth,
            init=self._init,
            attrs={"ram_style": "block", "rw_addr_collision": "yes"},
        )
        for port in self.read:
            read = words.read_port()
            m.d.comb += [
                read.addr.eq(port.address[3:]), read.en.eq(port.request), port.data.eq(read.data)
            ]  # fmt: skip
        write = words.write_port(granularity=8)
        m.d.comb += [
            write.addr.eq(self.write.address[3:]),
            write.data.eq(self.write.data),
            write.en.eq(self.write.lanes),
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


def boot_words(config: Config, *, has_image: bool = False) -> list[int]:
    """The instructions of the boot ROM. ``has_image``: the main memory has a program after power-up. Raises
    ValueError for a ``hart_id`` of 2048 or more."""
    hart_id = config.core.hart_id
    if config.soc.boot == "memory":
        return _boot_words(hart_id)
    return loader_words(hart_id, config.soc.memory_bytes, has_image=has_image)


class BootROM(wiring.Component):
    """``words`` (``boot_words``), behind them zeros. A few are logic; the loader would take 160 to 240 LUT6,
    and is in a block RAM of 36 Kibit. Raises ValueError for more than fit."""

    read: In(ReadPort)

    def __init__(self, words: list[int]):
        if 4 * len(words) > memory_map.BOOT_ROM.size:
            raise ValueError(f"{len(words)} instructions do not fit the boot ROM")
        even = [*words, 0] if len(words) % 2 else words
        self._groups = [low | high << 32 for low, high in zip(even[::2], even[1::2], strict=True)]
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        if len(self._groups) > _GROUPS_OF_LOGIC:
            m.submodules.words = words = Memory(
                shape=64,
                depth=memory_map.BOOT_ROM.size // 8,
                init=self._groups,
                attrs={"ram_style": "block"},
            )
            port = words.read_port()
            m.d.comb += [
                port.addr.eq(self.read.address[3:12]),
                port.en.eq(self.read.request),
                self.read.data.eq(port.data),
            ]
            return m
        group = Signal(64)
        with m.Switch(self.read.address[3:12]):
            for i, value in enumerate(self._groups):
                with m.Case(i):
                    m.d.comb += group.eq(value)
        with m.If(self.read.request):
            m.d.sync += self.read.data.eq(group)
        return m
