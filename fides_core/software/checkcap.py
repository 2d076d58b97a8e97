"""The build step between compiler and assembler: landing pads, handlers, traps (contract, sections 5, 7, 11).

It reads the assembly of gcc or a preprocessed hand-written file and adds

- an entry pad at each global function, and a local pad at each other function whose address is taken;
- around each call of setjmp: ``arm`` before it, the handler pad right after it, and ``arm`` again;
- a trap after each call that does not return, so that nothing runs on into what happens to follow.

The input stays valid assembly for a core without the extension, which is built by leaving this step out.
"""

import re
from dataclasses import dataclass

from fides_core.isa.assembler import arm, landing_pad
from fides_core.isa.xfides import PadKind

__all__ = ["Inserted", "Symbols", "insert_landing_pads", "parse_statement", "split_statements"]

#: Functions that do not return; gcc's output does not say so.
NO_RETURN = frozenset({"exit", "longjmp"})
SETJMP = frozenset({"setjmp"})

_SYMBOL = r"[A-Za-z_.$][\w.$]*"
_LABEL = re.compile(rf"^\s*({_SYMBOL}|\d+)\s*:")
_STATEMENT = re.compile(r"^\s*(?P<mnemonic>[A-Za-z_.][\w.]*)\s*(?P<operands>.*?)\s*$", re.S)
_REFERENCE = re.compile(rf"(?<![\w.$])({_SYMBOL})")
_CALLS = frozenset({"call", "tail", "jal", "j"})
_BRANCHES = frozenset({
    "beq", "bne", "blt", "bge", "bltu", "bgeu", "bgt", "ble", "bgtu", "bleu", "beqz", "bnez", "blez", "bgez",
    "bltz", "bgtz",
})  # fmt: skip
#: Directives whose operands are no references to a function's address.
_NAMING = frozenset({
    ".type", ".size", ".globl", ".global", ".weak", ".local", ".hidden", ".set", ".equ", ".section", ".file",
    ".ident", ".attribute", ".option", ".loc",
})  # fmt: skip


@dataclass(frozen=True)
class Inserted:
    """The new assembly and the numbers of what was put in."""

    text: str
    entry_pads: int
    local_pads: int
    handler_pads: int
    traps: int


def split_statements(line: str) -> list[str]:
    """The statements of a line, without comments. Raises ValueError when a string has no end."""
    statements, current, quoted, at = [], "", False, 0
    while at < len(line):
        character = line[at]
        if quoted and character == "\\":
            current += line[at : at + 2]
            at += 2
            continue
        if character == '"':
            quoted = not quoted
        if not quoted and character == "#":
            break
        if not quoted and character == ";":
            statements.append(current)
            current = ""
        else:
            current += character
        at += 1
    if quoted:
        raise ValueError(f"a string has no end: {line.strip()}")
    return [*statements, current]


def parse_statement(statement: str) -> tuple[list[str], str, str]:
    """(labels, mnemonic, operands) of a statement; the last two are empty for labels alone."""
    labels = []
    while label := _LABEL.match(statement):
        labels.append(label.group(1))
        statement = statement[label.end() :]
    if match := _STATEMENT.match(statement):
        return labels, match["mnemonic"], match["operands"]
    return labels, statement.strip(), ""  # something of a macro's, left as it is


@dataclass
class Symbols:
    """Names of the functions of an assembly source: all, those that other sources see, those whose address is
    taken."""

    functions: set[str]
    visible: set[str]
    address_taken: set[str]

    @classmethod
    def collect(cls, statements) -> "Symbols":
        """From the statements as ``parse_statement`` gives them."""
        found = cls(set(), set(), set())
        aliases = []
        for _, mnemonic, operands in statements:
            if mnemonic == ".type":
                name, _, kind = operands.partition(",")
                if kind.strip().lstrip("@%").strip('"') in ("function", "STT_FUNC"):
                    found.functions.add(name.strip())
            elif mnemonic in (".globl", ".global", ".weak"):
                found.visible |= {name.strip() for name in operands.split(",")}
            elif mnemonic in (".set", ".equ"):
                alias, _, name = operands.partition(",")
                aliases.append((alias.strip(), name.strip()))
            elif mnemonic not in _NAMING | _CALLS | _BRANCHES:
                found.address_taken |= set(_REFERENCE.findall(re.sub(r'"(\\.|[^"\\])*"', "", operands)))
        for alias, name in reversed(aliases):  # a chain of aliases is written from its end
            if alias in found.visible:
                found.visible.add(name)
            if alias in found.address_taken:
                found.address_taken.add(name)
        return found

    def pad(self, label: str) -> PadKind | None:
        """The kind of the pad that belongs at ``label``, or None."""
        if label not in self.functions:
            return None
        if label in self.visible:
            return PadKind.ENTRY
        return PadKind.LOCAL if label in self.address_taken else None


def insert_landing_pads(text: str, cid: int) -> Inserted:
    """Adds pads of the compartment ``cid`` (0 in fluid code) to the assembly ``text``.

    Raises ValueError when ``cid`` is not in 0..255, and when setjmp is called by a jump, which has no place
    for a handler pad.
    """
    lines = [
        [parse_statement(statement) for statement in split_statements(line)] for line in text.split("\n")
    ]
    symbols = Symbols.collect(statement for line in lines for statement in line)
    counts = {PadKind.ENTRY: 0, PadKind.LOCAL: 0, PadKind.HANDLER: 0, "trap": 0}
    output: list[str] = []
    called = None  # the function that the last instruction called
    for source, line in zip(text.split("\n"), lines, strict=True):
        if not any(mnemonic or labels for labels, mnemonic, _ in line):
            output.append(source)
            continue
        for labels, mnemonic, operands in line:
            kinds = {kind for label in labels if (kind := symbols.pad(label)) is not None}
            if kinds:
                output.append("\t.balign 4")
            output += [f"{label}:" for label in labels]
            if kinds:
                kind = min(kinds)  # an entry pad serves an address that is taken, too
                output.append(f"\t{landing_pad(cid, kind)}\t# checkcap")
                counts[kind] += 1
            if not mnemonic:
                continue
            ended = operands.split(",")[0].strip() if mnemonic == ".size" else None
            if called is not None and ended in symbols.functions:
                output.append("\tebreak")
                counts["trap"] += 1
                called = None
            target = operands.split(",")[-1].strip().removesuffix("@plt")
            if mnemonic in _CALLS and target in SETJMP:
                if mnemonic != "call":
                    raise ValueError(f"{mnemonic} {target}: only a call leaves room for the handler pad")
                site = f".Lhandler_pad_{counts[PadKind.HANDLER]}"
                output += [
                    f"\tlla t0, {site}",
                    f"\t{arm('t0')}\t# arm",
                    f"\tcall {target}",
                    f"{site}:",
                    f"\t{landing_pad(cid, PadKind.HANDLER)}\t# handler pad",
                    f"\tlla t0, {site}",
                    f"\t{arm('t0')}\t# arm",
                ]
                counts[PadKind.HANDLER] += 1
                called = None
                continue
            output.append(f"\t{mnemonic}\t{operands}")
            if mnemonic.startswith("."):
                continue
            called = target if mnemonic == "call" else None
            if called in NO_RETURN:
                output.append("\tebreak")
                counts["trap"] += 1
                called = None
    return Inserted("\n".join(output), *counts.values())
