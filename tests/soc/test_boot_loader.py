"""The boot loader as the golden model runs it, a request at a time; systems that have it."""

import zlib
from dataclasses import replace

import pytest

from fides_core.config import SoCConfig, preset
from fides_core.flow import verilog
from fides_core.isa.encode import encode
from fides_core.isa.instructions import find
from fides_core.model import Platform
from fides_core.soc.boot_loader import AWAKE, SYNC, Reply, Request, loader_words
from fides_core.soc.memory_map import BOOT_ROM, CLINT, EXIT, MAIN_MEMORY_BASE, UART
from fides_core.soc.top import FidesSoC

MEMORY = 1 << 14
BASE = MAIN_MEMORY_BASE
FOR_EVER = 30_000


def with_loader(name="tiny", **core):
    config = preset(name)
    soc = replace(config.soc, boot="uart", memory_bytes=MEMORY)
    return replace(config, core=replace(config.core, **core), soc=soc)


def ends_with(code):
    words = (
        encode("lui", rd=5, imm=EXIT.base >> 12), encode("addi", rd=6, imm=code), encode("sw", rs1=5, rs2=6)
    )  # fmt: skip
    return b"".join(word.to_bytes(4, "little") for word in words)


def word(value):
    return value.to_bytes(4, "little")


def request(code, address, length, *behind):
    head = bytes([code]) + word(address) + word(length)
    return b"\x3c" + head + word(zlib.crc32(head)) + b"".join(behind)


def reply(code, address, length):
    body = bytes([code]) + word(address) + word(length)
    return b"\xc3" + body + word(zlib.crc32(body))


READY = reply(1, BASE, MEMORY)


def write(address, data):
    return request(1, address, len(data), data, word(zlib.crc32(data)))


class Loader:
    """A system from reset on; what it has sent so far has been looked at."""

    def __init__(self, config=None, **options):
        self.platform = Platform(config or with_loader(), **options)
        self.seen = 0

    def after(self, data=b"", steps=FOR_EVER):
        """What it sends in ``steps`` instructions when ``data`` come."""
        self.platform.receive(data)
        self.platform.run(steps)
        sent = bytes(self.platform.uart_output[self.seen :])
        self.seen += len(sent)
        return sent


@pytest.fixture
def loader():
    loader = Loader()
    assert loader.after(bytes([SYNC])) == bytes([AWAKE]) + READY
    return loader


def test_codes_of_the_protocol():
    """Those of docs/boot.md, which the requests of this file have as numbers."""
    assert [(code.name, int(code)) for code in Request] == [
        ("WRITE", 1), ("CLEAR", 2), ("RUN", 3), ("ECHO", 4)
    ]  # fmt: skip
    assert [code.name for code in Reply] == [
        "READY", "OK", "BAD_REQUEST", "BAD_DATA", "BAD_IMAGE", "OUT_OF_RANGE", "UNKNOWN"
    ]  # fmt: skip
    assert [int(code) for code in Reply] == list(range(1, 8))


@pytest.mark.parametrize("has_image", [False, True])
def test_only_base_instructions(has_image):
    words = loader_words(0, MEMORY, has_image=has_image)
    assert 100 < len(words) <= BOOT_ROM.size // 4
    assert {find(code).extension for code in words if code != encode("fence.i")} == {"I"}


def test_waits_for_ever_and_keeps_off_the_memory(monkeypatch):
    touched = set()
    for name in ("load", "store"):
        original = getattr(Platform, name)

        def watched(self, address, *rest, original=original):
            touched.add(address)
            return original(self, address, *rest)

        monkeypatch.setattr(Platform, name, watched)
    loader = Loader()
    loader.platform.load_segments([(0, ends_with(7))])
    assert loader.after() == bytes([AWAKE])
    assert loader.platform.exit_code is None
    assert {address & ~0xFF for address in touched} == {UART.base}


def test_loads_and_runs(loader):
    program = ends_with(42)
    assert loader.after(write(BASE + 8, program[8:])) == reply(2, BASE + 8, 4)
    assert loader.after(write(BASE, program[:8])) == reply(2, BASE, 8)
    run = request(3, BASE, len(program), word(zlib.crc32(program)))
    assert loader.after(run) == reply(2, BASE, 12)
    assert loader.platform.exit_code == 42


def test_entry_and_what_the_program_finds():
    config = with_loader("base", hart_id=5)
    loader = Loader(config)
    loader.after(bytes([SYNC]))
    stop = word(encode("jal"))
    loader.after(write(BASE + 64, stop))
    loader.after(request(3, BASE + 64, 0, word(0)))
    hart = loader.platform.hart
    assert (hart.pc, hart.x[10], hart.x[11]) == (BASE + 64, 5, 0)


@pytest.mark.parametrize(
    ("code", "address", "length"),
    [
        (1, BASE - 1, 2), (1, BASE + MEMORY - 1, 2), (1, BASE + MEMORY, 1), (1, BASE, MEMORY + 1),
        (1, BASE + 8, 0xFFFF_FFFF), (1, 0, 4), (1, UART.base, 4), (2, BASE + MEMORY - 8, 9),
        (2, CLINT.base, 1), (2, 0xFFFF_FFFF, 1), (3, BASE + MEMORY, 0), (3, BASE, MEMORY + 1),
        (3, BASE + 1, 0), (3, BOOT_ROM.base, 0),
    ],
)  # fmt: skip
def test_out_of_range(loader, code, address, length):
    loader.platform.load_segments([(0, b"\xa5" * MEMORY)])
    assert loader.after(request(code, address, length, word(0))) == reply(6, address, length)
    assert loader.platform.memory == b"\xa5" * MEMORY
    assert loader.after(write(BASE, b"fine")) == reply(2, BASE, 4)


def test_echo(loader):
    loader.platform.load_segments([(0, b"\xa5" * MEMORY)])
    assert loader.after(request(4, 0x1234_5678, 0xFEDC_BA98)) == reply(2, 0x1234_5678, 0xFEDC_BA98)
    assert loader.platform.memory == b"\xa5" * MEMORY


@pytest.mark.parametrize("code", [0, 5, 255])
def test_unknown_requests(loader, code):
    assert loader.after(request(code, BASE, 0)) == reply(7, BASE, 0)


def test_ends_of_the_memory(loader):
    data = bytes(range(1, 17))
    assert loader.after(write(BASE + MEMORY - 16, data)) == reply(2, BASE + MEMORY - 16, 16)
    assert loader.platform.memory[-16:] == data
    assert loader.after(request(2, BASE + MEMORY - 15, 14)) == reply(2, BASE + MEMORY - 15, 14)
    assert loader.platform.memory[-16:] == data[:1] + bytes(14) + data[-1:]
    assert loader.after(request(2, BASE, MEMORY), 10 * MEMORY) == reply(2, BASE, MEMORY)
    assert not any(loader.platform.memory)


def test_each_wrong_bit_of_a_request_is_found(loader):
    """But for the first byte: without it nothing is a request."""
    good = request(2, BASE + 8, 4)
    loader.platform.load_segments([(0, b"\xa5" * MEMORY)])
    for bit in range(8, 8 * len(good)):
        wrong = bytearray(good)
        wrong[bit // 8] ^= 1 << bit % 8
        sent = loader.after(wrong, 3000)
        assert sent[:2] == b"\xc3\x03", bit
    assert loader.platform.memory == b"\xa5" * MEMORY
    assert loader.after(good) == reply(2, BASE + 8, 4)


def test_wrong_data_are_found_and_may_come_again(loader):
    data = ends_with(9)
    good = write(BASE, data)
    for at in (14, 20, len(good) - 1):
        wrong = bytearray(good)
        wrong[at] ^= 0x10
        assert loader.after(wrong) == reply(4, BASE, len(data))
        assert loader.platform.memory[:4] == bytes(4)
    assert loader.after(good) == reply(2, BASE, len(data))
    assert loader.after(request(3, BASE, 12, word(zlib.crc32(data)))) == reply(2, BASE, 12)
    assert loader.platform.exit_code == 9


def test_a_wrong_image_does_not_run(loader):
    data = ends_with(9)
    loader.after(write(BASE, data))
    wrong = request(3, BASE, 12, word(zlib.crc32(data) ^ 1))
    assert loader.after(wrong) == reply(5, BASE, 12)
    assert loader.platform.exit_code is None and loader.platform.memory[:4] == bytes(4)
    assert loader.after(bytes([SYNC])) == READY


def test_noise(loader):
    """Bytes that are no requests are passed over; a sync is answered while nothing is being sent."""
    assert loader.after(bytes(set(range(256)) - {SYNC, 0x3C})) == b""
    assert set(loader.after(bytes([SYNC] * 40), 2 * FOR_EVER).split(READY)) == {b""}
    assert loader.after(b"\x3c" * 14)[:2] == b"\xc3\x03"
    assert loader.after(write(BASE, b"fine")) == reply(2, BASE, 4)


class TestImage:
    IMAGE = ends_with(7)

    def test_runs_soon(self):
        loader = Loader(image=self.IMAGE)
        assert loader.after(steps=1000) == bytes([AWAKE])
        assert loader.platform.exit_code == 7

    @pytest.mark.parametrize("divisor", [1, 13])
    def test_window(self, divisor):
        """Four characters of 160 cycles; mtime counts instructions here."""
        config = with_loader()
        config = replace(config, soc=replace(config.soc, uart_divisor=divisor))
        loader = Loader(config, image=self.IMAGE)
        loader.after(steps=640 * divisor)
        assert loader.platform.hart.pc < MAIN_MEMORY_BASE
        loader.after(steps=60)
        assert loader.platform.exit_code == 7

    def test_sync_within_the_window(self):
        loader = Loader(image=self.IMAGE)
        loader.after(steps=500)
        assert loader.after(bytes([SYNC])) == READY
        assert loader.platform.exit_code is None

    def test_other_bytes_do_not_hold_it_up(self):
        loader = Loader(image=self.IMAGE)
        loader.after(b"\x3c\x00\xaa\xff" * 4)
        assert loader.platform.exit_code == 7

    @pytest.mark.parametrize(
        "begun", [request(2, BASE + 8, 4), write(BASE + 12, b"half")[:16]], ids=["clear", "half a write"]
    )
    def test_not_after_a_load_that_was_begun(self, begun):
        """Nor after a reset, which leaves the memory as it is."""
        before = Loader(image=self.IMAGE)
        before.after(bytes([SYNC]) + begun)
        after = Loader(image=self.IMAGE)
        after.platform.load_segments([(0, before.platform.memory)])
        assert after.after() == bytes([AWAKE])
        assert after.platform.exit_code is None
        assert after.after(bytes([SYNC])) == READY

    @pytest.mark.parametrize(
        ("image", "reason"),
        [
            (b"", "the image is empty"),
            (bytes(MEMORY + 3), "3 more than the 16384 of main memory"),
            (bytes(4) + b"code", "first word is 0"),
        ],
        ids=["empty", "large", "zero"],
    )
    def test_refused(self, image, reason):
        for system in (Platform, FidesSoC):
            with pytest.raises(ValueError, match=reason):
                system(with_loader(), image=image)

    def test_without_the_loader(self):
        config = with_loader()
        platform = Platform(replace(config, soc=replace(config.soc, boot="memory")), image=self.IMAGE)
        platform.run(100)
        assert platform.exit_code == 7 and platform.uart_output == b""

    @pytest.mark.parametrize("name", ["tiny", "base"])
    def test_in_the_verilog(self, idle, name):
        image = bytes(range(1, 12))
        text = verilog.convert(FidesSoC(with_loader(name), image), verilog.TOP)
        memory = text[text.index("module \\fides_soc.main_memory ") :]
        memory = memory[: memory.index("endmodule")]
        for index, value in enumerate(("0807060504030201", "00000000000b0a09", "0000000000000000")):
            assert f"words[{index}] = 64'h{value};" in memory
        roms = text.count('(* ram_style = "block" *)\n  reg [63:0] words [511:0];')
        assert roms == (1 if name == "base" else 2)


def test_other_places_to_boot_from():
    with pytest.raises(ValueError, match="not from 'flash'"):
        SoCConfig(boot="flash")
