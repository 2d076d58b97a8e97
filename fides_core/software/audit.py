"""The last look at a linked image: does its code say what the policy says?

What it refuses would be a hole that no check at run time can see: code outside the ranges, a pad's bits where
no pad was put (contract, section 11), a pad with another compartment's id or of a kind that it should not
have, a range that code can run out of, ``mint`` or ``revoke`` where the compiler put none, instructions of
the extension in code that was built without it, memory that can be written and executed, a pointer with
another's tag. It looks at every even address, as the core executes at any.
"""

import bisect
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fides_core.config import Config
from fides_core.errors import UserError
from fides_core.isa.xfides import MAX_COMPARTMENTS, PadKind, pack_pointer, pad_fields

from .code import Step, identify, jumps, sweep
from .image_file import ImageFile, ImageSymbol
from .layout import GUARD
from .policy_section import PolicySection, check_image

__all__ = ["Audit", "Expected", "Piece", "audit_image", "refuse"]

_WRITE, _EXECUTE = 2, 1  # p_flags
_SHF_ALLOC, _SHF_EXECINSTR = 2, 4
_ALLOCATING = frozenset({"mint", "revoke"})


@dataclass(frozen=True)
class Piece:
    """One object's code in the image, ``bytes`` at ``address``. ``plain``: built without the extension;
    ``runtime``: of the runtime library; ``origin``: the object's name; ``owner``: the range it belongs in."""

    address: int
    bytes: int
    owner: str
    origin: str
    plain: bool = False
    runtime: bool = False


@dataclass(frozen=True)
class Expected:
    """What the linker has decided. ``pads``: address -> instruction of every landing pad; ``pieces``: all
    code; ``mints``: addresses of ``mint`` and ``revoke`` that the compiler noted."""

    pads: Mapping[int, int]
    pieces: tuple[Piece, ...]
    mints: frozenset[int] = frozenset()


@dataclass
class Audit:
    """One image on one configuration. Without ``expected``, pads are judged by the symbols: each global
    function has an entry pad, other functions may have a local one. ``problems`` names everything that is
    wrong, with addresses."""

    image: ImageFile
    policy: PolicySection
    config: Config
    expected: Expected | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def xfides(self) -> bool:
        """Whether the core has the extension."""
        return self.config.core.xfides is not None

    @cached_property
    def functions(self) -> dict[int, list[ImageSymbol]]:
        """Address -> functions there, of U-mode."""
        header = self.policy.header
        return {
            address: symbols
            for address, symbols in self.image.functions.items()
            if header["text_start"] <= address < header["constants_start"]
        }

    @cached_property
    def ranges(self) -> list[tuple[str, int, int, int]]:
        """(name, start, end, cid in pads) of every range that is not empty."""
        cids = {row["name"]: row["cid"] for row in self.policy.compartments}
        return [
            (name, start, end, cids.get(name, 0)) for name, start, end in self.policy.ranges() if start != end
        ]

    @cached_property
    def steps(self) -> dict[str, list[Step]]:
        """Name of a range -> its instructions. Ranges with holes are left out: they are a problem already."""
        found = {}
        for name, start, end, _ in self.ranges:
            try:
                code = self.image.bytes(start, end - start)
            except ValueError:
                continue
            found[name] = list(sweep(code, start, self.functions))
        return found

    def run(self) -> list[str]:
        """Collects and returns the problems."""
        self._memory()
        self._coverage()
        for name, start, end, cid in self.ranges:
            if name not in self.steps:
                self._problem(start, f"a hole in the range of {name}")
                continue
            self._range(name, end)
            if self.xfides:
                self._pads(name, start, end, cid)
        self._functions()
        if self.expected is not None:
            self._pieces(self.expected.pieces)
        self._pointers()
        if self.policy.header["entry"] not in self.functions:
            self._problem(self.policy.header["entry"], "the entry is no function")
        return self.problems

    def _problem(self, address: int, what: str) -> None:
        names = ", ".join(dict.fromkeys(symbol.name for symbol in self.functions.get(address, ())))
        if not names and (function := self.image.function_at(address)) is not None:
            names = f"{function.name}+{address - function.address:#x}"
        self.problems.append(f"{address:#x}{f' ({names})' if names else ''}: {what}")

    def _memory(self) -> None:
        """Nothing can be written and executed; what is in U-mode's regions may be there."""
        for segment in self.image.elf.iter_segments("PT_LOAD"):
            if segment["p_flags"] & _WRITE and segment["p_flags"] & _EXECUTE:
                self._problem(segment["p_vaddr"], "memory that can be written and executed")
        header = self.policy.header
        for section in self.image.elf.iter_sections():
            flags, start = section["sh_flags"], section["sh_addr"]
            if not flags & _SHF_ALLOC or not section["sh_size"]:
                continue
            in_text = header["text_start"] <= start < header["constants_start"]
            in_user = header["text_start"] <= start < header["data_end"]
            if flags & _SHF_EXECINSTR and in_user and not in_text:
                self._problem(start, f"code in the data of U-mode: {section.name}")

    def _coverage(self) -> None:
        """Text outside all ranges must be traps: no check finds anything else there."""
        header = self.policy.header
        inside = sorted((start, end) for _, start, end, _ in self.ranges)
        for section in self.image.elf.iter_sections():
            start, end = section["sh_addr"], section["sh_addr"] + section["sh_size"]
            if not section["sh_flags"] & _SHF_ALLOC or not (
                header["text_start"] <= start < header["constants_start"]
            ):
                continue
            data = section.data()
            at = start
            for low, high in [*inside, (end, end)]:
                for address in range(at, max(at, min(low, end)), 2):
                    half = int.from_bytes(data[address - start : address - start + 2], "little")
                    if half not in (0, GUARD):
                        self._problem(address, "code outside all ranges")
                        break
                at = max(at, min(high, end))

    def _range(self, name: str, end: int) -> None:
        steps = self.steps[name]
        if len(steps) < 2 or any(step.bits != GUARD for step in steps[-2:]):
            self._problem(end - 4, f"the range of {name} does not end in a trap")
        core = self.config.core
        for step in steps:
            if step.bits == 0:
                continue  # illegal by definition, and what assemblers fill up with
            row = None
            if step.word is not None:
                row = identify(step.word, xfides=self.xfides, bitmanip=core.bitmanip, zicond=core.zicond)
            if row is None:
                bits = f"{step.bits:#0{2 + 2 * step.length}x}"
                self._problem(step.address, f"{bits} is no instruction of this core")
            elif row.extension == "Xfides" and self.expected is not None:
                self._extension(step.address, row.name, self.expected)

    def _extension(self, address: int, name: str, expected: Expected) -> None:
        """An instruction of the extension: whose is it?"""
        piece = self._piece(address)
        if piece is not None and piece.runtime:
            return
        if piece is not None and piece.plain:
            self._problem(address, f"{name} in {piece.origin}, which is built without Xfides")
        elif name in _ALLOCATING and address not in expected.mints:
            self._problem(address, f"{name} where the compiler put none")

    def _pads(self, name: str, start: int, end: int, cid: int) -> None:
        code = self.image.bytes(start, end - start)
        starts = {step.address for step in self.steps[name] if step.length == 4}
        calls = {jump.address: jump for jump in jumps(self.steps[name]) if jump.link == 1}
        ends = {step.end: step.address for step in self.steps[name]}
        # Of the opcode's byte, for speed.
        at = code.find(b"\x0b")
        while at >= 0:
            address = start + at
            fields = pad_fields(int.from_bytes(code[at : at + 4], "little")) if at % 2 == 0 else None
            if fields is not None and at + 4 <= len(code):
                if address % 4 or address not in starts:
                    self._problem(address, "the bits of a landing pad where no pad is")
                elif fields[0] != cid:
                    self._problem(address, f"a landing pad of compartment {fields[0]} in the range of {cid}")
                else:
                    self._pad(address, fields[1], calls.get(ends.get(address)))
            at = code.find(b"\x0b", at + 1)
        if self.expected is not None:
            for address, word in self.expected.pads.items():
                if start <= address < end and self.image.word(address) != word:
                    self._problem(address, f"{word:#010x} should be here")
            return
        for address, symbols in self.functions.items():
            if start <= address < end and any(symbol.visible for symbol in symbols):
                if pad_fields(self.image.word(address)) is None:
                    self._problem(address, "a global function without a landing pad")

    def _pad(self, address: int, kind: PadKind, call) -> None:
        """A pad of the right compartment. ``call``: the jump before it, if it is a call."""
        symbols = self.functions.get(address, ())
        visible = any(symbol.visible for symbol in symbols)
        if self.expected is not None:
            if address not in self.expected.pads:
                self._problem(address, "a landing pad that the compiler did not put here")
            elif kind == PadKind.HANDLER and call is None:
                self._problem(address, "a handler pad that does not follow a call")
            elif kind != PadKind.HANDLER and not symbols:
                self._problem(address, "a landing pad where no function starts")
        elif kind == PadKind.HANDLER:
            called = self.functions.get(call.target, ()) if call is not None else ()
            if not any(symbol.name == "setjmp" for symbol in called):
                self._problem(address, "a handler pad that does not follow a call of setjmp")
        elif not symbols:
            self._problem(address, "a landing pad where no function starts")
        elif kind == PadKind.ENTRY and not visible:
            self._problem(address, "an entry pad at a function that is not global")
        elif kind == PadKind.LOCAL and visible:
            self._problem(address, "a local pad at a global function")

    def _functions(self) -> None:
        for address, symbols in self.functions.items():
            end = address + max(symbol.size for symbol in symbols)
            owners = [name for name, low, high, _ in self.ranges if low <= address < high and end <= high]
            if len(owners) != 1:
                inside = any(low <= address < high for _, low, high, _ in self.ranges)
                what = "that leaves its range" if inside else "outside all ranges"
                self._problem(address, f"a function {what}")

    @cached_property
    def _piece_starts(self) -> tuple[list[int], list[Piece]]:
        pieces = sorted(self.expected.pieces, key=lambda piece: piece.address)
        return [piece.address for piece in pieces], pieces

    def _piece(self, address: int) -> Piece | None:
        starts, pieces = self._piece_starts
        number = bisect.bisect_right(starts, address) - 1
        if number >= 0 and address < pieces[number].address + pieces[number].bytes:
            return pieces[number]
        return None

    def _pieces(self, pieces: Iterable[Piece]) -> None:
        bounds = {name.replace(" ", "_"): (start, end) for name, start, end, _ in self.ranges}
        for piece in pieces:
            start, end = bounds.get(piece.owner, (0, 0))
            if not start <= piece.address or not piece.address + piece.bytes <= end:
                self._problem(
                    piece.address, f"code of {piece.origin}, which is not in the range of {piece.owner}"
                )

    def _pointers(self) -> None:
        """Cells that the compiler noted carry the tag of the static that they are to point to."""
        statics = {row["base"]: row for row in self.policy.statics}
        for row in self.policy.statics:
            sizes = {symbol.size for symbol in self.image.symbols if symbol.address == row["base"]}
            if row["size"] not in sizes:
                self._problem(row["base"], f"no object of {row['size']} bytes is here, as the policy says")
        for cell, base in struct.iter_unpack("<QQ", self.image.section(".fides.pointers")):
            row = statics.get(base)
            tag = pack_pointer(0, row["index"], row["cookie"]) >> 32 if row else 0
            if int.from_bytes(self.image.bytes(cell, 8), "little") >> 32 != tag:
                self._problem(cell, f"a pointer that has not the tag of the object at {base:#x}")


def refuse(name: str, problems: list[str]) -> None:
    """Raises UserError with the first of ``problems``, if there are any."""
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise UserError(f"{name}: {'; '.join(problems[:3])}{more}")


def audit_image(path: Path, config: Config, expected: Expected | None = None) -> None:
    """Raises UserError, naming the first problems, when the image at ``path`` breaks a rule on ``config``."""
    xfides = config.core.xfides
    policy = check_image(path, xfides.compartments if xfides else MAX_COMPARTMENTS)
    refuse(path.name, Audit(ImageFile.read(path), policy, config, expected).run())
