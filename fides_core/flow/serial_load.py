"""The host's side of the boot loader: sends a program over a serial line and starts it (docs/boot.md)."""

import contextlib
import errno
import os
import secrets
import select
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from fides_core.config import LARGEST_MEMORY_BYTES
from fides_core.errors import UserError
from fides_core.soc.boot_loader import REPLY_START, REQUEST_START, SYNC, Reply, Request

from .elf import image_bytes

__all__ = [
    "BLOCK_BYTES", "Answer", "Line", "LoaderClient", "SerialPort", "blocks", "frame", "load_image",
    "open_port", "ports",
]  # fmt: skip

#: Data bytes of a WRITE.
BLOCK_BYTES = 1024
#: Bytes of a CLEAR: what bounds the time until it is answered.
CLEAR_BYTES = 64 << 10
#: The word that the loader clears until a load is complete is in the block that is sent last.
_LAST_BLOCK_BYTES = 8

_REPLY_BYTES = 14
_BITS_PER_BYTE = 10
# So long may drivers and adapters hold back what has come.
_LATENCY_SECONDS = 0.3
_SILENCE_SECONDS = 0.05
_WRITE_SECONDS = 10.0
# Syncs are written so far ahead of the line.
_SYNC_AHEAD_SECONDS = 0.03
# More clock cycles than the loader takes for a byte to clear or to check; a bit takes 16 at least.
_CYCLES_PER_BYTE = 120
_CYCLES_PER_BIT = 16


class Line(Protocol):
    """A serial line. ``read`` waits until bytes have come, or for ``seconds``; ``now`` is its clock, in
    seconds."""

    def write(self, data: bytes) -> None: ...

    def read(self, seconds: float) -> bytes: ...

    def now(self) -> float: ...


@dataclass(frozen=True)
class Answer:
    """A reply of the loader; ``address`` and ``length`` are those of the request, or of the main memory."""

    code: int
    address: int
    length: int


def frame(
    request: Request, address: int, length: int, data: bytes = b"", checksum: int | None = None
) -> bytes:
    """The bytes of a request. ``checksum``: CRC-32 behind the data; None: there are no data."""
    head = bytes([request]) + address.to_bytes(4, "little") + length.to_bytes(4, "little")
    head += zlib.crc32(head).to_bytes(4, "little")
    tail = b"" if checksum is None else checksum.to_bytes(4, "little")
    return bytes([REQUEST_START]) + head + data + tail


def blocks(image: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(offset, data to write, or number of bytes to clear) of the blocks of ``image``, the last address
    first."""
    end = len(image)
    while end > 0:
        start = max((end - 1) // BLOCK_BYTES * BLOCK_BYTES, 0)
        if start == 0 and end > _LAST_BLOCK_BYTES:
            start = _LAST_BLOCK_BYTES
        if any(image[start:end]):
            yield start, image[start:end]
        else:
            while start >= BLOCK_BYTES and end - start < CLEAR_BYTES:
                if any(image[start - BLOCK_BYTES : start]):
                    break
                start -= BLOCK_BYTES
            start = max(start, _LAST_BLOCK_BYTES) if end > _LAST_BLOCK_BYTES else start
            yield start, end - start
        end = start


class LoaderClient:
    """Talks to the loader on ``line``. ``name``: of the port, for messages; ``baud``: bits per second;
    ``timeout``: seconds until the loader must have answered; ``retries``: how often a block is sent again.
    The methods raise UserError when the loader does not answer, refuses a request, or a block fails too
    often."""

    def __init__(self, line: Line, name: str, *, baud: int, timeout: float = 30.0, retries: int = 5):
        self._line, self._name = line, name
        self._byte_seconds = _BITS_PER_BYTE / baud
        self._baud, self._timeout, self._retries = baud, timeout, retries
        self._received = bytearray()
        self._nonce = secrets.randbits(32)
        #: Blocks that were sent again so far.
        self.repeated = 0

    def synchronise(self, timeout: float | None = None) -> Answer:
        """Send syncs until the loader is ready and has done all that was sent before; returns its READY.
        ``timeout``: seconds, None for the client's."""
        timeout = self._timeout if timeout is None else timeout
        end = self._line.now() + timeout
        while ready := self._ready(end):
            self._wait_for_silence()
            # Replies are in order: when this one is answered, no other is under way.
            self._nonce = (self._nonce + 1) % (1 << 32)
            echo = frame(Request.ECHO, self._nonce, 0)
            self._line.write(echo)
            seconds = (len(echo) + _REPLY_BYTES) * self._byte_seconds + _LATENCY_SECONDS
            if self._answer_to(self._nonce, 0, seconds):
                return ready
        raise UserError(
            f"no answer from a boot loader on {self._name} at {self._baud:g} baud in {timeout:g} s: reset "
            "the board while `fides load` waits, or give another --baud or a longer --timeout"
        )

    def _ready(self, end: float) -> Answer | None:
        """Send syncs until one is answered; None when it is not before ``end``."""
        self._received.clear()
        begin, sent = self._line.now(), 0
        while (now := self._line.now()) <= end:
            due = int((now - begin + _SYNC_AHEAD_SECONDS) / self._byte_seconds) + 4
            if due > sent:
                self._line.write(bytes([SYNC]) * (due - sent))
                sent = due
            answer = self._answer(_SYNC_AHEAD_SECONDS / 3)
            if answer and answer.code == Reply.READY:
                return answer
        return None

    def load(self, image: bytes, progress: Callable[[int], None] = lambda done: None) -> None:
        """Send ``image``, to the start of the main memory, and run it from there. ``progress`` is called with
        the number of bytes that have arrived."""
        ready = self.synchronise()
        if (excess := len(image) - ready.length) > 0:
            raise UserError(
                f"the image needs {len(image)} bytes, {excess} more than the {ready.length} bytes of main "
                f"memory that the loader on {self._name} reports"
            )
        done = 0
        for offset, content in blocks(image):
            if isinstance(content, int):
                length = content
                self.request(Request.CLEAR, ready.address + offset, length)
            else:
                length = len(content)
                self.request(Request.WRITE, ready.address + offset, length, content, zlib.crc32(content))
            done += length
            progress(done)
        self.request(Request.RUN, ready.address, len(image), checksum=zlib.crc32(image))

    def request(
        self, request: Request, address: int, length: int, data: bytes = b"", checksum: int | None = None
    ) -> None:
        """Make a request as ``frame`` has it, until it is answered with OK."""
        text = frame(request, address, length, data, checksum)
        work = 0 if request is Request.WRITE else length * _CYCLES_PER_BYTE
        seconds = (len(text) + _REPLY_BYTES) * self._byte_seconds + work / (_CYCLES_PER_BIT * self._baud)
        wrong, silent = 0, 0
        for attempt in range(self._retries + 1):
            if attempt:
                self.repeated += 1
                self.synchronise(min(self._timeout, 2 * seconds + 2))
            self._line.write(text)
            answer = self._answer_to(address, length, seconds + _LATENCY_SECONDS)
            if answer is None:
                silent += 1
            elif answer.code == Reply.OK:
                return
            elif answer.code in (Reply.BAD_REQUEST, Reply.BAD_DATA):
                wrong += 1
            else:
                self._refused(answer, request, address, length)
        raise UserError(
            f"{request.name} of {length} bytes at {address:#x} failed {self._retries + 1} times on "
            f"{self._name}: {wrong} checksum errors, {silent} times no answer; check the cable and --baud"
        )

    def _refused(self, answer: Answer, request: Request, address: int, length: int) -> None:
        what = {
            Reply.OUT_OF_RANGE: f"{length} bytes at {address:#x} are not in its main memory",
            Reply.BAD_IMAGE: "its main memory does not hold what was sent",
            Reply.UNKNOWN: "it does not know the request",
        }.get(answer.code, f"code {answer.code}")
        raise UserError(f"the loader on {self._name} refused {request.name}: {what}")

    def _answer_to(self, address: int, length: int, seconds: float) -> Answer | None:
        """The next reply, but for those to other requests; None when there is none in time."""
        end = self._line.now() + seconds
        while (left := end - self._line.now()) > 0:
            answer = self._answer(left)
            if answer is None or answer.code == Reply.READY:
                continue
            if answer.code != Reply.BAD_REQUEST and (answer.address, answer.length) != (address, length):
                continue
            return answer
        return None

    def _answer(self, seconds: float) -> Answer | None:
        """The next whole reply with the right checksum; None when ``seconds`` have passed without one."""
        end = self._line.now() + seconds
        while True:
            start = self._received.find(REPLY_START)
            del self._received[: start if start >= 0 else len(self._received)]
            if len(self._received) >= _REPLY_BYTES:
                body = bytes(self._received[1:_REPLY_BYTES])
                if zlib.crc32(body[:-4]) == int.from_bytes(body[-4:], "little"):
                    del self._received[:_REPLY_BYTES]
                    return Answer(
                        body[0], int.from_bytes(body[1:5], "little"), int.from_bytes(body[5:9], "little")
                    )
                del self._received[0]
                continue
            left = end - self._line.now()
            if left <= 0:
                return None
            self._received += self._line.read(left)

    def _wait_for_silence(self) -> None:
        """Until the loader has answered the syncs that were under way; not for ever on a line with noise."""
        silence = max(_SILENCE_SECONDS, 2 * _REPLY_BYTES * self._byte_seconds) + _SYNC_AHEAD_SECONDS
        end = self._line.now() + 20 * silence
        while self._line.read(silence) and self._line.now() < end:
            pass
        self._received.clear()

    def take_rest(self) -> bytes:
        """What has come behind the last reply: the first of what the program sends."""
        rest = bytes(self._received)
        self._received.clear()
        return rest


def load_image(
    port: str,
    path: Path,
    *,
    baud: int,
    timeout: float,
    retries: int,
    console: Console,
    monitor: Callable[[bytes], None] | None = None,
) -> None:
    """Load the program in ``path`` into the board at ``port`` and run it, with progress on ``console``.

    ``monitor``: is called with what the program sends then, until Ctrl-C. Raises UserError.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    image = image_bytes(path, LARGEST_MEMORY_BYTES)
    with open_port(port, baud) as line:
        client = LoaderClient(line, port, baud=baud, timeout=timeout, retries=retries)
        console.print(f"waiting for the boot loader on {port}: reset the board", soft_wrap=True)
        begin = time.monotonic()
        columns = "{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn()
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task(path.name, total=len(image))

            def progress(done: int) -> None:
                nonlocal shown
                bar.update(task, completed=done)
                if not console.is_terminal and done * 10 // len(image) > shown:
                    shown = done * 10 // len(image)
                    console.print(f"{done} of {len(image)} bytes", soft_wrap=True)

            shown = 0
            client.load(image, progress)
        seconds = time.monotonic() - begin
        again = f", {client.repeated} times again" if client.repeated else ""
        console.print(f"{path} runs: {len(image)} bytes in {seconds:.1f} s{again}", soft_wrap=True)
        if monitor is not None:
            with contextlib.suppress(KeyboardInterrupt):
                monitor(client.take_rest())
                while True:
                    monitor(line.read(0.2))


def ports() -> list[str]:
    """Names of the serial ports of this machine."""
    from serial.tools import list_ports

    return sorted(port.device for port in list_ports.comports())


class SerialPort:
    """A port of this machine, 8N1. A context manager; its methods raise UserError when the port is gone, or
    takes nothing."""

    def __init__(self, port, name: str):
        self._port, self._name = port, name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._port.close()

    def write(self, data: bytes) -> None:
        with self._errors():
            self._port.write(data)

    def read(self, seconds: float) -> bytes:
        with self._errors():
            if not select.select([self._port], [], [], max(seconds, 0))[0]:
                return b""
            return self._port.read(self._port.in_waiting or 1)

    def now(self) -> float:
        return time.monotonic()

    @contextlib.contextmanager
    def _errors(self):
        from serial import SerialException, SerialTimeoutException

        try:
            yield
        except SerialTimeoutException:
            raise UserError(f"serial port {self._name} takes no more data") from None
        except (SerialException, OSError) as error:
            raise UserError(f"serial port {self._name} has gone: {error}") from None


def open_port(name: str, baud: int) -> SerialPort:
    """Open the serial port ``name``. Raises UserError when it cannot be."""
    try:
        import serial
    except ImportError:
        raise UserError("pyserial is not installed: run `make setup`") from None
    try:
        port = serial.Serial(name, baud, timeout=0, write_timeout=_WRITE_SECONDS, exclusive=True)
    except (serial.SerialException, OSError, ValueError, OverflowError) as error:
        number = getattr(error, "errno", None)
        reasons = {
            errno.EAGAIN: "another program uses it",
            errno.EACCES: "permission denied; its group, often dialout, may use it",
        }
        reason = reasons.get(number) or (os.strerror(number).lower() if number else str(error))
        if os.strerror(errno.ENOTTY) in reason:
            reason = "it is no serial port"
        there = ", ".join(ports()) or "none"
        raise UserError(f"cannot open serial port {name}: {reason} (ports there are: {there})") from None
    return SerialPort(port, name)
