"""The boot loader: it takes a program over the UART and runs it (docs/boot.md has the protocol).

It is code for the boot ROM, of RV64I and fence.i, that keeps everything in registers: of the main memory it
touches what it is told to load, and the first word.
"""

from enum import IntEnum

from ..config import SoCConfig
from ..isa.code_builder import CodeBuilder
from .memory_map import CLINT, MAIN_MEMORY_BASE, UART, UartRegister

__all__ = [
    "AWAKE", "CRC_POLYNOMIAL", "REPLY_START", "REQUEST_START", "SYNC", "WINDOW_CHARACTERS", "Reply",
    "Request", "check_power_up_image", "loader_words",
]  # fmt: skip

#: Sent once after reset: SYN, which a terminal does not show.
AWAKE = 0x16
#: Asks for READY. Bits alternate on the line, start and stop bit included, so that a receiver that begins to
#: listen in the middle of many such bytes finds the same byte at every falling edge.
SYNC = 0x55
#: First bytes of requests and replies. A tail of SYNC, which a late receiver may find, is neither.
REQUEST_START = 0x3C
REPLY_START = 0xC3
#: With an image in the main memory the loader waits for SYNC so long.
WINDOW_CHARACTERS = 4
#: CRC-32 of IEEE 802.3, bits reversed, as in zlib.
CRC_POLYNOMIAL = 0xEDB88320

_MTIME = 0xBFF8  # in the CLINT


class Request(IntEnum):
    """What the host asks for."""

    WRITE = 1
    CLEAR = 2
    RUN = 3
    ECHO = 4


class Reply(IntEnum):
    """What the loader answers."""

    READY = 1
    OK = 2
    BAD_REQUEST = 3  # checksum of the request
    BAD_DATA = 4  # checksum of the data
    BAD_IMAGE = 5  # checksum of the memory's contents
    OUT_OF_RANGE = 6
    UNKNOWN = 7


# The register of each value.
_RETURN, _AGAIN, _SENDER = 1, 5, 26  # return addresses of subroutines, by depth
_T, _COUNT, _BYTES, _KEPT = 6, 7, 29, 30  # temporary
_BYTE, _WORD, _CODE = 10, 11, 12  # arguments
_UART, _CLOCK, _BASE, _SIZE, _CRC, _POLYNOMIAL = 8, 9, 18, 19, 20, 21
_REQUEST, _ADDRESS, _LENGTH, _AT, _END = 22, 23, 24, 25, 27
_A0, _A1 = 10, 11


def loader_words(hart_id: int, memory_bytes: int, *, has_image: bool) -> list[int]:
    """The loader's instructions, for address 0x1000 or any other.

    ``memory_bytes``: size of the main memory, a power of two. ``has_image``: the main memory has a program
    after power-up, which is run unless a host calls. Raises ValueError for a ``hart_id`` of 2048 or more.
    """
    if not 0 <= hart_id < 2048:
        raise ValueError(f"hart_id {hart_id} does not fit the boot ROM's immediate")
    code = CodeBuilder()
    do, at = code.do, code.at
    code.constant(_UART, UART.base)
    code.constant(_BASE, MAIN_MEMORY_BASE)
    code.constant(_SIZE, memory_bytes)
    code.constant(_POLYNOMIAL, CRC_POLYNOMIAL - (1 << 32))
    code.constant(_BYTE, AWAKE)
    do("sw", rs1=_UART, rs2=_BYTE, imm=UartRegister.TRANSMIT)
    if has_image:
        _window(code)
    _hunt(code)
    _requests(code)

    at("enter")  # the program at _ADDRESS
    do("fence.i")
    do("addi", rd=_A0, imm=hart_id)
    do("addi", rd=_A1)
    do("addi", rd=_T, rs1=_ADDRESS)
    do("jalr", rs1=_T)

    _send(code)
    _receive(code)
    return code.words()


def check_power_up_image(image: bytes, config: SoCConfig) -> None:
    """Raises ValueError for an image that the main memory cannot hold after power-up, or that the boot ROM
    would not run: empty, too large, or, for the loader, with a first word of 0."""
    if not image:
        raise ValueError("the image is empty")
    if (excess := len(image) - config.memory_bytes) > 0:
        raise ValueError(
            f"the image needs {len(image)} bytes, {excess} more than the {config.memory_bytes} of main memory"
        )
    if config.boot == "uart" and not any(image[:4]):
        raise ValueError("the image's first word is 0, which the boot loader takes for no image")


def _window(code: CodeBuilder) -> None:
    """Goes on behind itself when there is no image, or runs it unless a SYNC comes in time."""
    do, at = code.do, code.at
    code.constant(_CLOCK, CLINT.base + _MTIME)
    do("lw", rd=_T, rs1=_UART, imm=UartRegister.BAUD)
    assert WINDOW_CHARACTERS * 160 == (1 << 9) + (1 << 7)
    do("slli", rd=_COUNT, rs1=_T, imm=9)
    do("slli", rd=_T, rs1=_T, imm=7)
    do("add", rd=_T, rs1=_T, rs2=_COUNT)
    do("ld", rd=_END, rs1=_CLOCK)
    do("add", rd=_END, rs1=_END, rs2=_T)
    at("window")
    do("lw", rd=_T, rs1=_UART, imm=UartRegister.STATUS)
    do("andi", rd=_T, rs1=_T, imm=UartRegister.STATUS_RX_NOT_EMPTY)
    do("beq", "no_byte", rs1=_T)
    do("lw", rd=_BYTE, rs1=_UART, imm=UartRegister.RECEIVE)
    code.constant(_T, SYNC)
    do("beq", "ready", rs1=_BYTE, rs2=_T)
    at("no_byte")
    do("ld", rd=_T, rs1=_CLOCK)
    do("bltu", "window", rs1=_T, rs2=_END)
    # A load that was not completed leaves 0 there, and a reset does not bring the image back.
    do("addi", rd=_ADDRESS, rs1=_BASE)
    do("lw", rd=_T, rs1=_BASE)
    do("bne", "enter", rs1=_T)


def _hunt(code: CodeBuilder) -> None:
    """Waits for a SYNC, which it answers, or a request, behind which it goes on."""
    do, at = code.do, code.at
    at("hunt")
    do("jal", "get", rd=_AGAIN)
    code.constant(_T, SYNC)
    do("beq", "sync", rs1=_BYTE, rs2=_T)
    code.constant(_T, REQUEST_START)
    do("bne", "hunt", rs1=_BYTE, rs2=_T)
    code.constant(_CRC, -1)
    do("jal", "get", rd=_AGAIN)
    do("addi", rd=_REQUEST, rs1=_BYTE)
    do("jal", "get_word", rd=_RETURN)
    do("addi", rd=_ADDRESS, rs1=_WORD)
    do("jal", "get_word", rd=_RETURN)
    do("addi", rd=_LENGTH, rs1=_WORD)
    do("jal", "get_check", rd=_SENDER)
    code.constant(_CODE, Reply.BAD_REQUEST)
    do("beq", "requests", rs1=_T)
    at("respond")
    do("jal", "send", rd=_SENDER)
    do("jal", "hunt")

    at("sync")
    # Many come one after the other; what is answered must not fill the transmit buffer.
    do("lw", rd=_T, rs1=_UART, imm=UartRegister.STATUS)
    do("andi", rd=_T, rs1=_T, imm=UartRegister.STATUS_TX_EMPTY)
    do("beq", "hunt", rs1=_T)
    at("ready")
    do("addi", rd=_ADDRESS, rs1=_BASE)
    do("addi", rd=_LENGTH, rs1=_SIZE)
    code.constant(_CODE, Reply.READY)
    do("jal", "respond")


def _requests(code: CodeBuilder) -> None:
    """What each request does."""
    do, at = code.do, code.at
    at("requests")
    code.constant(_CODE, Reply.UNKNOWN)
    do("addi", rd=_COUNT, rs1=_REQUEST, imm=-Request.WRITE)
    do("sltiu", rd=_T, rs1=_COUNT, imm=len(Request))
    do("beq", "respond", rs1=_T)
    code.constant(_T, Request.ECHO)
    do("beq", "done", rs1=_REQUEST, rs2=_T)
    code.constant(_CODE, Reply.OUT_OF_RANGE)
    do("bltu", "respond", rs1=_SIZE, rs2=_LENGTH)
    do("sub", rd=_T, rs1=_ADDRESS, rs2=_BASE)
    do("bgeu", "respond", rs1=_T, rs2=_SIZE)
    code.constant(_KEPT, Request.RUN)
    do("beq", "run", rs1=_REQUEST, rs2=_KEPT)
    do("sub", rd=_T, rs1=_SIZE, rs2=_T)
    do("bltu", "respond", rs1=_T, rs2=_LENGTH)
    do("sw", rs1=_BASE)  # from now on there is no image to run after a reset
    do("addi", rd=_AT, rs1=_ADDRESS)
    do("add", rd=_END, rs1=_AT, rs2=_LENGTH)
    do("beq", "write", rs1=_COUNT)

    at("clear")
    do("beq", "done", rs1=_AT, rs2=_END)
    do("sb", rs1=_AT)
    do("addi", rd=_AT, rs1=_AT, imm=1)
    do("jal", "clear")

    at("write")
    code.constant(_CRC, -1)
    do("jal", "written")
    at("next_byte")
    do("jal", "get", rd=_AGAIN)
    do("sb", rs1=_AT, rs2=_BYTE)
    do("addi", rd=_AT, rs1=_AT, imm=1)
    at("written")
    do("bne", "next_byte", rs1=_AT, rs2=_END)
    do("jal", "get_check", rd=_SENDER)
    code.constant(_CODE, Reply.BAD_DATA)
    do("bne", "refuse", rs1=_T)
    at("done")
    code.constant(_CODE, Reply.OK)
    do("jal", "respond")

    at("run")
    do("andi", rd=_T, rs1=_ADDRESS, imm=1)
    do("bne", "respond", rs1=_T)
    do("addi", rd=_AT, rs1=_BASE)
    do("add", rd=_END, rs1=_BASE, rs2=_LENGTH)
    code.constant(_CRC, -1)
    do("jal", "checked")
    at("check_byte")
    do("lbu", rd=_BYTE, rs1=_AT)
    do("addi", rd=_AT, rs1=_AT, imm=1)
    do("jal", "crc", rd=_AGAIN)
    at("checked")
    do("bne", "check_byte", rs1=_AT, rs2=_END)
    do("jal", "get_check", rd=_SENDER)
    code.constant(_CODE, Reply.BAD_IMAGE)
    do("beq", "right", rs1=_T)
    at("refuse")
    do("sw", rs1=_BASE)
    do("jal", "respond")
    at("right")
    code.constant(_CODE, Reply.OK)
    do("jal", "send", rd=_SENDER)
    at("sending")  # the program finds the transmit buffer empty
    do("lw", rd=_T, rs1=_UART, imm=UartRegister.STATUS)
    do("andi", rd=_T, rs1=_T, imm=UartRegister.STATUS_TX_EMPTY)
    do("beq", "sending", rs1=_T)


def _send(code: CodeBuilder) -> None:
    """send: a reply with _CODE, _ADDRESS and _LENGTH. put: the low byte of _BYTE, with the checksum."""
    do, at = code.do, code.at
    at("send")
    code.constant(_BYTE, REPLY_START)
    do("jal", "put", rd=_AGAIN)
    code.constant(_CRC, -1)
    do("addi", rd=_BYTE, rs1=_CODE)
    do("jal", "put", rd=_AGAIN)
    do("addi", rd=_WORD, rs1=_ADDRESS)
    do("jal", "put_word", rd=_RETURN)
    do("addi", rd=_WORD, rs1=_LENGTH)
    do("jal", "put_word", rd=_RETURN)
    do("xori", rd=_WORD, rs1=_CRC, imm=-1)
    do("addi", rd=_RETURN, rs1=_SENDER)

    at("put_word")
    code.constant(_BYTES, 4)
    at("put_bytes")
    do("addi", rd=_BYTE, rs1=_WORD)
    do("srli", rd=_WORD, rs1=_WORD, imm=8)
    do("jal", "put", rd=_AGAIN)
    do("addi", rd=_BYTES, rs1=_BYTES, imm=-1)
    do("bne", "put_bytes", rs1=_BYTES)
    do("jalr", rs1=_RETURN)

    at("put")
    do("lw", rd=_T, rs1=_UART, imm=UartRegister.STATUS)
    do("andi", rd=_T, rs1=_T, imm=UartRegister.STATUS_TX_FULL)
    do("bne", "put", rs1=_T)
    do("andi", rd=_BYTE, rs1=_BYTE, imm=0xFF)
    do("sw", rs1=_UART, rs2=_BYTE, imm=UartRegister.TRANSMIT)
    do("jal", "crc")


def _receive(code: CodeBuilder) -> None:
    """get_check: a checksum; _T is 0 if it is that of what came before. get_word: four bytes, to _WORD. get:
    a byte, into _BYTE. crc: _BYTE into the checksum, which is held sign-extended from 32 bits and not yet
    inverted."""
    do, at = code.do, code.at
    at("get_check")
    do("addi", rd=_KEPT, rs1=_CRC)
    do("jal", "get_word", rd=_RETURN)
    do("xor", rd=_T, rs1=_WORD, rs2=_KEPT)
    do("addiw", rd=_T, rs1=_T, imm=1)
    do("jalr", rs1=_SENDER)

    at("get_word")
    code.constant(_BYTES, 4)
    at("get_bytes")
    do("jal", "get", rd=_AGAIN)
    do("srliw", rd=_WORD, rs1=_WORD, imm=8)
    do("slli", rd=_BYTE, rs1=_BYTE, imm=24)
    do("or", rd=_WORD, rs1=_WORD, rs2=_BYTE)
    do("addi", rd=_BYTES, rs1=_BYTES, imm=-1)
    do("bne", "get_bytes", rs1=_BYTES)
    do("jalr", rs1=_RETURN)

    at("get")
    do("lw", rd=_T, rs1=_UART, imm=UartRegister.STATUS)
    do("andi", rd=_T, rs1=_T, imm=UartRegister.STATUS_RX_NOT_EMPTY)
    do("beq", "get", rs1=_T)
    do("lw", rd=_BYTE, rs1=_UART, imm=UartRegister.RECEIVE)

    at("crc")
    do("xor", rd=_CRC, rs1=_CRC, rs2=_BYTE)
    for _ in range(8):
        do("andi", rd=_T, rs1=_CRC, imm=1)
        do("sub", rd=_T, rs2=_T)
        do("and", rd=_T, rs1=_T, rs2=_POLYNOMIAL)
        do("srliw", rd=_CRC, rs1=_CRC, imm=1)
        do("xor", rd=_CRC, rs1=_CRC, rs2=_T)
    do("jalr", rs1=_AGAIN)
