"""The last look at a linked image: do its landing pads and ranges say what the policy says?

What it refuses would be a hole that no check at run time can see: a pad's bits where no pad was put
(contract, section 11), a pad with another compartment's id, a global function without a pad, a range that
code can run out of.
"""

from pathlib import Path

from elftools.elf.elffile import ELFFile

from fides_core.config import Config
from fides_core.errors import UserError
from fides_core.isa.instructions import BY_NAME, find
from fides_core.isa.xfides import MAX_COMPARTMENTS, PadKind, pad_fields

from .layout import GUARD
from .policy_section import PolicySection, check_image

__all__ = ["Audit", "audit_image"]


class Audit:
    """The U-mode text of an image. ``problems`` names everything that is wrong, with addresses."""

    def __init__(self, elf: ELFFile, policy: PolicySection, *, xfides: bool):
        self.policy = policy
        self.xfides = xfides
        self.problems: list[str] = []
        self.words = self._words(elf)
        self.functions = self._functions(elf)

    def _words(self, elf: ELFFile) -> dict[int, int]:
        low, high = self.policy.header["text_start"], self.policy.header["constants_start"]
        words = {}
        for section in elf.iter_sections():
            start = section["sh_addr"]
            if section["sh_type"] == "SHT_PROGBITS" and low <= start < high:
                data = section.data()
                for offset in range(0, len(data) - 3, 4):
                    words[start + offset] = int.from_bytes(data[offset : offset + 4], "little")
        return words

    def _functions(self, elf: ELFFile) -> dict[int, list]:
        """address -> symbols of functions there"""
        functions: dict[int, list] = {}
        for symbol in elf.get_section_by_name(".symtab").iter_symbols():
            if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_value"] in self.words:
                functions.setdefault(symbol["st_value"], []).append(symbol)
        return functions

    def run(self) -> list[str]:
        """Collects and returns the problems."""
        header = self.policy.header
        owners = {row["name"]: row["cid"] for row in self.policy.compartments}
        covered = set()
        for name, start, end in self.policy.ranges():
            # ranges of fluid code carry the id 0
            covered |= set(range(start, end, 4))
            self._range(name, start, end, owners.get(name, 0))
        for address in self.functions:
            if address not in covered:
                self._problem(address, "a function outside all ranges")
        if header["entry"] not in self.functions:
            self._problem(header["entry"], "the entry is no function")
        return self.problems

    def _problem(self, address: int, what: str) -> None:
        names = ", ".join(symbol.name for symbol in self.functions.get(address, ()))
        self.problems.append(f"{address:#x}{f' ({names})' if names else ''}: {what}")

    def _range(self, name: str, start: int, end: int, cid: int) -> None:
        if start != end and self.words.get(end - 4) != (GUARD << 16 | GUARD):
            self._problem(end - 4, f"the range of {name} does not end in a trap")
        for address in range(start, end, 4):
            word = self.words.get(address)
            if word is None:
                self._problem(address, f"a hole in the range of {name}")
                continue
            # 0 is illegal by definition, and what the assembler pads with.
            if word not in (0, GUARD << 16 | GUARD) and find(word, xfides=self.xfides) is None:
                self._problem(address, f"{word:#010x} is no instruction of this core")
            straddling = word >> 16 | self.words.get(address + 4, 0) << 16 & 0xFFFFFFFF
            if self.xfides and pad_fields(straddling) is not None:
                self._problem(address + 2, "the bits of a landing pad where no pad is")
            if self.xfides:
                self._pad(address, word, cid)

    def _pad(self, address: int, word: int, cid: int) -> None:
        pad = pad_fields(word)
        symbols = self.functions.get(address, ())
        visible = any(symbol["st_info"]["bind"] != "STB_LOCAL" for symbol in symbols)
        if pad is None:
            if visible:
                self._problem(address, "a global function without a landing pad")
            return
        if pad[0] != cid:
            self._problem(address, f"a landing pad of compartment {pad[0]} in the range of {cid}")
        if pad[1] == PadKind.HANDLER:
            if self.jump_at(address - 4) != (1, "setjmp"):
                self._problem(address, "a handler pad that does not follow a call of setjmp")
        elif not symbols:
            self._problem(address, "a landing pad where no function starts")
        elif pad[1] == PadKind.ENTRY and not visible:
            self._problem(address, "an entry pad at a function that is not global")
        elif pad[1] == PadKind.LOCAL and visible:
            self._problem(address, "a local pad at a global function")

    def jump_at(self, address: int) -> tuple[int, str] | None:
        """(link register, function) of the ``jal`` at ``address``; None when there is none to a function."""
        word = self.words.get(address, 0)
        row = BY_NAME["jal"]
        if word & row.mask != row.match:
            return None
        offset = (word >> 21 & 0x3FF) << 1 | (word >> 20 & 1) << 11 | (word >> 12 & 0xFF) << 12
        offset -= (word >> 31) << 20
        symbols = self.functions.get(address + offset, ())
        return (word >> 7 & 31, symbols[0].name) if symbols else None


def audit_image(path: Path, config: Config) -> None:
    """Raises UserError, naming the first problems, when the image at ``path`` breaks a rule on ``config``."""
    xfides = config.core.xfides
    policy = check_image(path, xfides.compartments if xfides else MAX_COMPARTMENTS)
    with path.open("rb") as stream:
        problems = Audit(ELFFile(stream), policy, xfides=xfides is not None).run()
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise UserError(f"{path.name}: {'; '.join(problems[:3])}{more}")
