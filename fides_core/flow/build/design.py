"""What is built: a preset on a board, with its memory, its clock and the program baked in."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from fides_core.config import Config
from fides_core.errors import UserError
from fides_core.flow import tools, verilog
from fides_core.flow.elf import image_bytes
from fides_core.soc.board import Board
from fides_core.soc.boot_loader import check_power_up_image
from fides_core.soc.clocking import baud_divisor

__all__ = ["BAUD", "Design", "TOP", "plan"]

TOP = "board_top"
"""The top module of every design."""

BAUD = 115200


@dataclass(frozen=True)
class Design:
    """``config``: the preset with the memory and the UART's divisor of this design; ``system_hz``: of its
    clock, in Hz, as it is made; ``baud``: what the UART was asked for; ``image``: the contents of the main
    memory from its first byte on, None when it comes up empty; ``image_name``: of the file that had it."""

    board: Board
    config: Config
    system_hz: float
    baud: int
    image: bytes | None = field(default=None, repr=False)
    image_name: str | None = None

    @property
    def name(self) -> str:
        """As files and folders are called: board and preset."""
        return f"{self.board.name}-{self.config.name}"

    @cached_property
    def sources(self) -> Mapping[str, str]:
        """The Verilog by file name: the system on a chip, as ``fides generate`` writes it, and the top level
        ``TOP`` around it. Takes seconds. Raises ToolMissing without Yosys."""
        tools.yosys_command()
        from fides_core.soc.board_top import SOC, BoardTop
        from fides_core.soc.top import FidesSoC

        soc = FidesSoC(self.config, image=self.image)
        return {
            f"{SOC}.v": verilog.convert(soc, SOC),
            f"{TOP}.v": verilog.convert(BoardTop(self.board, self.system_hz), TOP),
        }

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each source; that of the system is also in the manifest of ``fides generate`` when it
        has the same memory and divisor."""
        return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in self.sources.items()}

    def describe(self) -> dict:
        """What it is, for the report, as JSON takes it."""
        return {
            "board": self.board.name,
            "title": self.board.title,
            "part": self.board.part,
            "preset": self.config.name,
            "configuration": json.loads(json.dumps(self.config.to_dict())),
            "memory_bytes": self.config.soc.memory_bytes,
            "system_hz": self.system_hz,
            "baud": self.baud,
            "uart_divisor": self.config.soc.uart_divisor,
            "image": self.image_name,
            "image_sha256": None if self.image is None else hashlib.sha256(self.image).hexdigest(),
            "sources": self.hashes,
        }


def plan(
    board: Board,
    preset: str | Config,
    *,
    memory_bytes: int | None = None,
    system_hz: float | None = None,
    baud: int = BAUD,
    image: Path | None = None,
    boot: str = "uart",
) -> Design:
    """The design of a preset on a board, checked; the defaults are the board's.

    ``memory_bytes``: of main memory; ``system_hz``: of the clock, in Hz; ``image``: an executable (ELF), or
    the memory's contents (.bin). ``boot``: as ``SoCConfig`` has it; without a loader and without an image
    there is nothing to run.
    Raises UserError when the preset is unknown, the board has not so much memory or cannot make that clock,
    the baud rate is more than 2 % off, or the image does not fit.
    """
    config = verilog.configuration(preset)
    memory_bytes = board.memory_bytes if memory_bytes is None else memory_bytes
    if memory_bytes > board.largest_memory_bytes:
        raise UserError(
            f"{board.name} has room for {board.largest_memory_bytes >> 10} KiB of main memory, "
            f"not {memory_bytes >> 10}"
        )
    if boot == "memory" and image is None:
        raise UserError("a system that boots from its memory needs an image in it")
    try:
        hz = board.dividers(system_hz).output_hz
        divisor = baud_divisor(hz, baud)
        soc = replace(config.soc, memory_bytes=memory_bytes, uart_divisor=divisor, boot=boot)
        config = replace(config, soc=soc)
    except ValueError as error:
        raise UserError(str(error)) from None
    contents = None
    if image is not None:
        contents = image_bytes(image, memory_bytes)
        try:
            check_power_up_image(contents, config.soc)
        except ValueError as error:
            raise UserError(f"{image}: {error}") from None
    return Design(board, config, hz, baud, contents, None if image is None else image.name)
