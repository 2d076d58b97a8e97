"""Landing pads in the assembly of clang or of a hand, and what the linker is told about them.

Pads have the compartment 0: the linker writes the ids into the linked text. It finds pads, and the ``mint``
of function prologues, by records in sections of their own (docs/compiler.md).
"""

import re

from fides_core.isa.assembler import arm, landing_pad, statement_templates
from fides_core.isa.xfides import PadKind
from fides_core.software.checkcap import Symbols, parse_statement, split_statements

__all__ = ["NOTE_CHECKS", "NOTE_PADS", "insert_pads"]

MARKER = "# fides: landing pads are in"
NOTE_MAGIC = 0x46494445
NOTE_PADS = 1
NOTE_CHECKS = 2

#: What clang ends the statements of the pass with.
_OWN = "# fides"
#: mint as clang writes it: numbers in decimal, whatever base the pass gave them in.
_FIELDS = [
    int(field, 0)
    for field in re.findall(r"0x[0-9a-f]+|\b\d+\b", statement_templates()["mint"].partition("{")[0])
]
_MINT = re.compile(rf"\s*\.insn\s+r\s+{_FIELDS[0]}, {_FIELDS[1]}, {_FIELDS[2]}, .*{_OWN}\s*$")
_SETJMP = frozenset({"setjmp", "_setjmp", "__fides_setjmp"})
_CALLS = frozenset({"call", "jal", "tail", "j"})
_LABELLED = re.compile(r"^\s*[\w.$]+\s*:")


def _record(section: str, address: str, kind: int) -> list[str]:
    return [
        f'\t.pushsection {section},"",@progbits',
        f"\t.dword {address}",
        f"\t.word {kind}, 0",
        "\t.popsection",
    ]


class _Inserter:
    """Goes through the lines of one source; ``norvc``: functions without compressed instructions."""

    def __init__(self, symbols: Symbols, norvc: frozenset[str]):
        self.symbols = symbols
        self.norvc = norvc
        self.output: list[str] = []
        self.sites = 0
        self.mints = 0
        self.open: str | None = None  # the function that is being assembled without compressed instructions
        self.called = False  # the last instruction was a call

    def label(self, labels: list[str]) -> None:
        kinds = {kind for label in labels if (kind := self.symbols.pad(label)) is not None}
        for name in labels:
            if name in self.norvc and self.open is None:
                self.output += ["\t.option push", "\t.option norvc"]
                self.open = name
        if kinds:
            self.output.append("\t.p2align 2")
        self.output += [f"{label}:" for label in labels]
        if kinds:
            kind = min(kinds)  # an entry pad serves an address that is taken, too
            self.output.append(f"\t{landing_pad(0, kind)}\t# landing pad")
            self.output += _record(
                ".fides.pads", next(label for label in labels if self.symbols.pad(label) == kind), kind
            )

    def setjmp(self, mnemonic: str, function: str) -> None:
        """a0: the buffer; a1: not 0 when this site's handler is armed already."""
        if mnemonic != "call":
            raise ValueError(f"{mnemonic} {function}: only a call leaves room for the handler pad")
        pad, armed = f".Lfides_handler{self.sites}", f".Lfides_armed{self.sites}"
        self.sites += 1
        self.output += [
            *(["\tli a1, 0"] if function != "__fides_setjmp" else []),
            f"\tbnez a1, {armed}",
            f"\tlla t0, {pad}",
            f"\t{arm('t0')}\t# arm",
            f"{armed}:",
            "\t.p2align 2",
            "\tcall __fides_setjmp",
            f"{pad}:",
            f"\t{landing_pad(0, PadKind.HANDLER)}\t# handler pad",
            *_record(".fides.pads", pad, PadKind.HANDLER),
            f"\tlla t0, {pad}",
            f"\t{arm('t0')}\t# arm",
        ]

    def line(self, source: str) -> None:
        if _MINT.match(source):
            label = f".Lfides_mint{self.mints}"
            self.mints += 1
            self.output += [f"{label}:", source, *_record(".fides.mints", label, 0)]
            self.called = False
            return
        for statement in split_statements(source):
            labels, mnemonic, operands = parse_statement(statement)
            if labels:
                self.label(labels)
            if mnemonic:
                self.statement(mnemonic, operands)

    def statement(self, mnemonic: str, operands: str) -> None:
        if mnemonic == ".size":
            name = operands.split(",")[0].strip()
            if self.called and name in self.symbols.functions:
                self.output.append("\tebreak")  # it does not return, or runs on into what follows
            self.called = False
            self.output.append(f"\t{mnemonic}\t{operands}")
            if name == self.open:
                self.output.append("\t.option pop")
                self.open = None
            return
        target = operands.split(",")[-1].strip().removesuffix("@plt")
        if mnemonic in _CALLS and target in _SETJMP:
            self.setjmp(mnemonic, target)
        else:
            self.output.append(f"\t{mnemonic}\t{operands}")
        if not mnemonic.startswith("."):
            self.called = mnemonic == "call"


def _interesting(line: str) -> bool:
    """Whether a line can need more than to be copied; most do not, and looking closer takes ten times as
    long."""
    return (
        ":" in line or "call" in line or ".size" in line or "setjmp" in line or _MINT.match(line) is not None
    )


def insert_pads(text: str, *, checks: bool, norvc: frozenset[str] = frozenset()) -> str:
    """The assembly ``text`` with landing pads and records; unchanged when it has been here before.

    ``checks``: whether the code was compiled with them, for the note. ``norvc``: functions to assemble
    without compressed instructions. Raises ValueError when setjmp is called by a jump, which has no place for
    a handler pad, and for strings without an end.
    """
    if text.startswith(MARKER):
        return text
    lines = text.split("\n")
    parsed = [parse_statement(statement) for line in lines for statement in split_statements(line)]
    inserter = _Inserter(Symbols.collect(parsed), norvc)
    called = False
    for line in lines:
        if _interesting(line):
            inserter.called = called
            inserter.line(line)
            called = inserter.called
        else:
            inserter.output.append(line)
            stripped = line.strip()
            if stripped and not stripped.startswith((".", "#")):
                called = False
    flags = NOTE_PADS | (NOTE_CHECKS if checks else 0)
    note = ['\t.section .fides.note,"",@progbits', f"\t.word {NOTE_MAGIC:#x}, {flags}"]
    return "\n".join([MARKER, *inserter.output, *note, ""])
