"""Loading over a serial line: the host's side against the loader, as the golden model runs it and as the
small system does, with its line driven bit by bit; and the command, on a pseudo-terminal with the model
behind it."""

import contextlib
import os
import pty
import random
import select
import signal
import subprocess
import sys
import threading
import time
import tty
from dataclasses import replace

import pytest

from fides_core.config import preset
from fides_core.errors import UserError
from fides_core.flow import serial_load, simulation, tools, verilate, verilog
from fides_core.flow.elf import Program, image_bytes
from fides_core.flow.serial_load import BLOCK_BYTES, CLEAR_BYTES, LoaderClient, blocks
from fides_core.isa.encode import encode
from fides_core.model import Platform
from fides_core.soc.boot_loader import AWAKE, REPLY_START, REQUEST_START, SYNC, Reply, Request
from fides_core.soc.memory_map import EXIT, MAIN_MEMORY_BASE, UART
from fides_core.soc.top import FidesSoC

MEMORY = 1 << 14
TINY = preset("tiny")
CONFIG = replace(TINY, name="tiny_loader", soc=replace(TINY.soc, boot="uart", memory_bytes=MEMORY))
HERTZ = 400_000
BAUD = HERTZ // 16
MESSAGE = b"here I am\n"


def program(code, text=b""):
    """Sends ``text`` and stores ``code`` to the exit device."""
    words = [encode("lui", rd=5, imm=UART.base >> 12)]
    for byte in text:
        words.append(encode("addi", rd=6, imm=byte))
        words.append(encode("sw", rs1=5, rs2=6, imm=(UART.base & 0xFFF) + 4))
    words += [encode("lui", rd=5, imm=EXIT.base >> 12), encode("addi", rd=6, imm=code)]
    words += [encode("sw", rs1=5, rs2=6), encode("jal")]
    return b"".join(word.to_bytes(4, "little") for word in words)


BAKED = program(7)
# Six blocks, one of which is cleared.
IMAGE = program(42, MESSAGE).ljust(BLOCK_BYTES, b"\xab") + bytes(BLOCK_BYTES)
IMAGE += random.Random(3).randbytes(2 * BLOCK_BYTES + 13)


class ModelLine:
    """The golden model on a serial line; its clock counts instructions."""

    def __init__(self, image=None):
        self.platform = Platform(CONFIG, image=image)
        self._steps = self._taken = 0

    def write(self, data):
        self.platform.receive(data)

    def read(self, seconds):
        end = self.now() + seconds
        while self.now() < end:
            self._steps += 500
            self.platform.run(500)
            if sent := bytes(self.platform.uart_output[self._taken :]):
                self._taken += len(sent)
                return sent
        return b""

    def now(self):
        return self._steps / HERTZ

    def memory(self):
        return bytes(self.platform.memory)

    @property
    def exit_code(self):
        return self.platform.exit_code


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    """Of the small system, with an image in its memory after power-up."""
    source = tmp_path_factory.mktemp("rtl") / "tiny_loader.v"
    source.write_text(verilog.convert(FidesSoC(CONFIG, BAKED), verilog.TOP))
    library = verilate.build_library(
        source,
        tools.ROOT / "fides_core" / "flow" / "simulator.cpp",
        simulation.SIGNALS,
        simulation.BUILD_DIRECTORY / CONFIG.name,
        split=simulation.SPLIT_SIGNALS,
    )
    return simulation.Simulator(CONFIG, lambda trace, pipeline: library)


@pytest.fixture(params=["model", "hardware"])
def line(request):
    """From reset on, with an image in the memory."""
    if request.param == "model":
        yield ModelLine(BAKED)
    else:
        with request.getfixturevalue("simulator").serial_line(HERTZ) as line:
            yield line


class Damaged:
    """A line that changes what goes over it: ``sent(data)`` and ``received(data)`` return what arrives."""

    def __init__(self, line, sent=lambda data: data, received=lambda data: data):
        self._line, self._sent, self._received = line, sent, received
        self.now = line.now

    def write(self, data):
        self._line.write(self._sent(data))

    def read(self, seconds):
        return self._received(self._line.read(seconds))


def client(line, **options):
    return LoaderClient(line, "the line", baud=BAUD, **{"timeout": 2.0, **options})


def rest(line, talker):
    """What the program sends until it ends."""
    sent = talker.take_rest()
    end = line.now() + 1
    while line.exit_code is None and line.now() < end:
        sent += line.read(0.002)
    return sent + line.read(0.01)


def arrived(line, talker):
    assert rest(line, talker) == MESSAGE
    assert line.exit_code == 42
    assert line.memory()[: len(IMAGE)] == IMAGE


def test_blocks():
    """Each byte once, the first last; zeros are cleared where that is a block or more."""
    random_bytes = random.Random(1).randbytes
    for image in (
        b"\1", b"\1" * 8, b"\1" * 9, IMAGE, random_bytes(5 * BLOCK_BYTES), bytes(3 * BLOCK_BYTES + 5),
        b"\1" * 5000 + bytes(3 * CLEAR_BYTES) + b"\1" * 100, b"\1" * 12 + bytes(20 * BLOCK_BYTES),
    ):  # fmt: skip
        contents = bytearray(b"\xee" * len(image))
        end, count = len(image), 0
        for offset, content in blocks(image):
            length = content if isinstance(content, int) else len(content)
            assert 0 < length <= (CLEAR_BYTES if isinstance(content, int) else BLOCK_BYTES)
            assert offset + length == end
            contents[offset:end] = bytes(content) if isinstance(content, int) else content
            end, count = offset, count + 1
        assert end == 0 and contents == image
        assert length <= 8
    assert count == 3


def test_image_runs_without_a_host(line):
    assert rest(line, client(line)) == bytes([AWAKE])
    assert line.exit_code == 7
    assert line.now() * HERTZ < 12_000


def test_loads_and_runs(line):
    talker, steps = client(line), []
    talker.load(IMAGE, steps.append)
    assert steps == sorted(steps) and len(steps) == 6 and steps[-1] == len(IMAGE)
    arrived(line, talker)
    assert talker.repeated == 0


def frames(damages):
    """Damages the n-th frame that is sent, echoes not counted, as ``damages[n]`` says; what is left there has
    not happened."""
    count = 0

    def damage(data):
        nonlocal count
        if data[0] != REQUEST_START or data[1] == Request.ECHO:
            return data
        count += 1
        return damages.pop(count, lambda data: data)(data)

    return damage


def flipped(at):
    return lambda data: data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


def without(first, count=1):
    return lambda data: data[:first] + data[first + count :]


def test_damage_on_the_way(line):
    """Frames are counted as they are sent, those that come again as well."""
    damages = {
        1: flipped(5),  # address
        3: flipped(9),  # length
        5: flipped(20),  # data
        7: flipped(-1),  # checksum of the data
        9: without(0),
        11: without(4, 700),
    }
    kinds = len(damages)
    talker = client(Damaged(line, sent=frames(damages)))
    talker.load(IMAGE)
    assert not damages and talker.repeated == kinds
    arrived(line, talker)


def test_damaged_and_lost_replies(line):
    number, last = 0, b""

    def sent(data):
        nonlocal last
        last = data
        return data

    def received(data):
        nonlocal number
        if data and Reply.OK in data[1:2] and last[1] != Request.ECHO:
            number += 1
            if number == 1:
                return b""
            if number == 3:
                return data[:1] + bytes([Reply.OUT_OF_RANGE]) + data[2:]
        return data

    # Replies whole, as they come from an adapter.
    talker = client(Damaged(Whole(line), sent, received))
    talker.load(IMAGE)
    assert number > 3 and talker.repeated == 2
    arrived(line, talker)


class Whole:
    """A line that brings what it receives without pauses in one piece."""

    def __init__(self, line):
        self._line = line
        self.write, self.now = line.write, line.now

    def read(self, seconds):
        data = self._line.read(seconds)
        while data and (more := self._line.read(30 / BAUD)):
            data += more
        return data


def test_many_syncs(simulator):
    """They are not answered while an answer is on its way, so that none waits when they end."""
    with simulator.serial_line(HERTZ) as line:
        line.write(bytes([SYNC]) * 100)
        line.read(1)  # AWAKE
        answers = Whole(line).read(1)
        ready = answers[: 14]
        assert (ready[0], ready[1]) == (REPLY_START, Reply.READY)
        count, more = divmod(len(answers), len(ready))
        assert not more and answers == ready * count
        assert 5 < count < 10


def test_noise_and_half_a_request_before(line):
    talker = client(line)
    talker.synchronise()
    seed = int(os.environ.get("FIDES_SEED", random.randrange(1 << 32)))
    print(f"FIDES_SEED={seed}")
    line.write(random.Random(seed).randbytes(300) + bytes([REQUEST_START]) * 5)
    line.write(serial_load.frame(Request.WRITE, MAIN_MEMORY_BASE + 4096, 500, b"half", 0)[:-4])
    line.read(0.01)
    talker.load(IMAGE)
    arrived(line, talker)


def test_too_often_damaged(line):
    """Half an image does not run, after a reset neither."""
    damaged = Damaged(line, sent=lambda data: data.replace(b"\xab\xab", b"\xac\xab"))
    with pytest.raises(UserError) as error:
        client(damaged, retries=2).load(IMAGE)
    failed = "WRITE of 1016 bytes at 0x80000008 failed 3 times on the line: 3 checksum errors, 0 times no"
    assert str(error.value).startswith(failed)
    again = ModelLine(BAKED)
    again.platform.load_segments([(0, line.memory())])
    for system in (line, again):
        for _ in range(5):
            system.read(0.02)
        assert system.exit_code is None
    talker = client(again)
    talker.load(IMAGE)
    arrived(again, talker)


def test_refusals(line):
    talker = client(line)
    with pytest.raises(UserError, match=r"needs 16389 bytes, 5 more than the 16384 bytes of main memory"):
        talker.load(b"\1" * (MEMORY + 5))
    with pytest.raises(UserError, match=r"refused WRITE: 8 bytes at 0x80003ffc are not in its main memory"):
        talker.request(Request.WRITE, MAIN_MEMORY_BASE + MEMORY - 4, 8, b"\1" * 8, 0)
    talker.synchronise()
    talker.request(Request.CLEAR, MAIN_MEMORY_BASE, 8)
    with pytest.raises(UserError, match=r"refused RUN: its main memory does not hold what was sent"):
        talker.request(Request.RUN, MAIN_MEMORY_BASE, 8, checksum=1)
    assert line.exit_code is None
    talker.load(IMAGE)
    arrived(line, talker)


def test_nobody_there():
    line = Damaged(ModelLine(), sent=lambda data: b"")
    begin = line.now()
    with pytest.raises(UserError, match=r"no answer .* on the line at 25000 baud in 0.5 s: reset the board"):
        client(line, timeout=0.5).load(IMAGE)
    assert 0.5 <= line.now() - begin < 0.6


@pytest.fixture
def file(tmp_path):
    def make(data, name="image.bin"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return make


def test_files(file):
    assert image_bytes(file(b"1234567"), 7) == b"1234567"
    for name, data, reason in (
        ("a.bin", b"12345678", "too large: it needs 8 of 7 bytes"), ("b.bin", b"", "b.bin is empty"),
        ("c.bin", b"\x7fELFxxx", "is an ELF file"), ("d", b"1234567", "d is not an ELF file"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=reason):
            image_bytes(file(data, name), 7)


def test_flat_program():
    assert Program(((4, b"ab"), (8, b"c"), (0, b"d"))).flat() == b"d\0\0\0ab\0\0c"


class Board(threading.Thread):
    """The golden model behind a pseudo-terminal. ``damage``: of what the host sends; ``bytes_until_gone``:
    so many more that come, and the port vanishes."""

    def __init__(self, damage=lambda data: data, bytes_until_gone=None):
        super().__init__(daemon=True)
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        self.port = os.ttyname(slave)
        self._slave = slave
        self._damage, self._left = damage, bytes_until_gone
        self.platform = Platform(CONFIG)
        self._ended = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self.join()
        for end in (self.master, self._slave):
            with contextlib.suppress(OSError):
                os.close(end)

    def run(self):
        taken = 0
        while not self._ended.is_set():
            if select.select([self.master], [], [], 0 if self.platform.exit_code is None else 0.01)[0]:
                data = os.read(self.master, 4096)
                self.platform.receive(self._damage(data))
                if self._left is not None:
                    self._left -= len(data)
                    if self._left < 0:
                        os.close(self._slave)
                        os.close(self.master)
                        return
            self.platform.run(2000)
            if sent := bytes(self.platform.uart_output[taken:]):
                taken += len(sent)
                os.write(self.master, sent)


def load(*arguments):
    """The command; with a rate that leaves the model much time to answer."""
    return subprocess.Popen(
        [sys.executable, "-m", "fides_core.cli", "load", "--baud", "4800", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(tools.ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_command(file):
    with Board() as board:
        process = load(board.port, file(IMAGE), "--monitor")
        killer = threading.Timer(60, process.kill)
        killer.start()
        assert process.stdout.readline() == MESSAGE.decode()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        killer.cancel()
    assert (process.returncode, out) == (0, "")
    lines = err.splitlines()
    assert lines[0] == f"waiting for the boot loader on {board.port}: reset the board"
    assert lines[-2] == f"{len(IMAGE)} of {len(IMAGE)} bytes"
    assert f"image.bin runs: {len(IMAGE)} bytes in " in lines[-1]
    assert board.platform.exit_code == 42


@pytest.mark.parametrize(
    ("board", "image", "options", "message"),
    [
        ({"bytes_until_gone": 1500}, IMAGE, (), "serial port {port} has gone: "),
        ({}, b"\1" * (MEMORY + 1), (), "1 more than the 16384 bytes of main memory that the loader"),
        ({"damage": lambda data: b""}, IMAGE, ("--timeout", "0.4"), "no answer from a boot loader on {port}"),
        (
            {"damage": lambda data: data.replace(b"\xab\xab", b"\xac\xab")}, IMAGE, ("--retries", "1"),
            "WRITE of 1016 bytes at 0x80000008 failed 2 times on {port}: 2 checksum errors",
        ),
    ],
    ids=["port gone", "too large", "no answer", "damage"],
)  # fmt: skip
def test_command_that_fails(file, board, image, options, message):
    with Board(**board) as board:
        process = load(board.port, file(image), *options)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    errors = [line for line in err.splitlines() if line.startswith("fides: ")]
    assert errors == err.splitlines()[-1:]
    assert message.format(port=board.port) in errors[0]
    assert board.platform.exit_code is None


def test_ports_that_cannot_be_opened(file):
    begin = time.monotonic()
    with Board() as board, serial_load.open_port(board.port, 115200):
        for port, reason in (
            ("/dev/nonesuch", "no such file or directory"), ("/dev/null", "it is no serial port"),
            (board.port, "another program uses it"),
        ):  # fmt: skip
            with pytest.raises(UserError) as error:
                serial_load.open_port(port, 115200)
            expected = f"cannot open serial port {port}: {reason} (ports there are: "
            assert str(error.value).startswith(expected)
    assert time.monotonic() - begin < 20
