"""The command line of ``fides ld``: what compiler drivers pass to GNU ld, and its own options.

Options that choose what an image of the monitor cannot be (shared libraries, other scripts, other addresses)
are refused; options that change nothing for it are ignored and named in ``ignored``.
"""

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from fides_core.errors import UserError

__all__ = ["Input", "LinkArguments", "parse_arguments"]

#: Flags of GNU ld that mean nothing for an image, or that it always is.
_IGNORED = frozenset({
    "-static", "-Bstatic", "-non_shared", "-dn", "--as-needed", "--no-as-needed", "--copy-dt-needed-entries",
    "--no-copy-dt-needed-entries", "--eh-frame-hdr", "--no-eh-frame-hdr", "--gc-sections", "--no-gc-sections",
    "--print-gc-sections", "--no-undefined", "--fatal-warnings", "--no-fatal-warnings", "--no-dynamic-linker",
    "-no-pie", "--no-pie", "--relax", "--build-id", "-nostdlib", "-X", "--discard-locals", "-x",
    "--discard-all", "-d", "-dc", "-dp", "-g", "--no-warn-mismatch", "--sort-common", "--warn-common",
    "-export-dynamic", "--export-dynamic", "-E", "--no-export-dynamic", "-EL", "--enable-new-dtags",
    "--no-allow-shlib-undefined", "--warn-once", "--no-keep-memory", "--disable-new-dtags", "-n", "-q",
    "--no-warn-rwx-segments", "--no-demangle", "--demangle", "--stats", "--icf=none",
})  # fmt: skip
_IGNORED_PREFIXES = (
    "--build-id=", "--hash-style=", "-O", "--sort-section=", "--sort-common=", "--icf=", "-plugin",
    "--compress-debug-sections=", "--color-diagnostics", "--threads",
)  # fmt: skip
_IGNORED_WITH_VALUE = frozenset({"-z", "-m", "-rpath", "--rpath", "-rpath-link", "--rpath-link", "-soname",
    "-h", "-dynamic-linker", "--dynamic-linker", "-plugin", "--sort-section", "-A", "-a", "--hash-style",
})  # fmt: skip
#: Given on to GNU ld as they are.
_PASSED = frozenset({"--whole-archive", "--no-whole-archive", "--start-group", "--end-group", "-(", "-)",
    "--allow-multiple-definition", "--trace", "-t", "--cref", "--no-relax",
})  # fmt: skip
_PASSED_WITH_VALUE = frozenset({"--defsym", "--wrap", "-u", "--undefined", "-y", "--trace-symbol"})
_REFUSED = {
    "-shared": "an image has no shared libraries",
    "--shared": "an image has no shared libraries",
    "-Bshareable": "an image has no shared libraries",
    "-pie": "an image lies at fixed addresses",
    "--pie": "an image lies at fixed addresses",
    "-Ttext": "the policy decides where code lies",
    "-T": "the policy decides where code lies",
    "--script": "the policy decides where code lies",
    "-b": "only ELF objects and archives can be linked",
    "-R": "only ELF objects and archives can be linked",
    "--just-symbols": "only ELF objects and archives can be linked",
    "--emit-relocs": "an image has no relocations",
    "-N": "text is never writable",
    "--omagic": "text is never writable",
}


@dataclass(frozen=True)
class Input:
    """A file or an option whose place among the files counts. ``runtime``: an archive or object that may
    mint and revoke anywhere."""

    text: str
    file: bool = False
    runtime: bool = False


@dataclass
class LinkArguments:
    """``inputs`` in their order; ``search`` folders of -L; ``passed`` options for GNU ld. ``relocatable``:
    -r, which GNU ld does alone. ``memory_bytes``: of the system, None for the preset's. ``entry``: symbol."""

    output: Path = Path("a.out")
    inputs: list[Input] = field(default_factory=list)
    search: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    policy: Path | None = None
    preset: str = "fides"
    memory_bytes: int | None = None
    entry: str | None = None
    map: Path | None = None
    relocatable: bool = False
    strip: bool = False
    version: bool = False
    ignored: list[str] = field(default_factory=list)


_LONG = {  # options that take a value, as -name, --name or --name=value -> field
    "output": "output", "policy": "policy", "preset": "preset", "memory": "memory", "entry": "entry",
    "Map": "map", "library-path": "L", "library": "l", "runtime": "runtime",
}  # fmt: skip
_SHORT = {"-o": "output", "-e": "entry", "-L": "L", "-l": "l"}


def _expanded(words: list[str]) -> list[str]:
    """The words, with response files (@file) and -Wl, taken apart."""
    result = []
    for word in words:
        if word.startswith("@") and len(word) > 1:
            try:
                result += _expanded(shlex.split(Path(word[1:]).read_text()))
            except (OSError, ValueError) as error:
                raise UserError(f"{word}: {getattr(error, 'strerror', None) or error}") from None
        elif word.startswith("-Wl,"):
            result += word.split(",")[1:]
        else:
            result.append(word)
    return result


def _option(word: str) -> tuple[str, str | None] | None:
    """(field, value or None when it is the next word) of an option with a value; None for other words."""
    for short, name in _SHORT.items():
        if word.startswith(short) and word not in ("-entry", "-output"):
            return name, word[2:] or None
    if word.startswith("-"):
        text, equals, value = word.lstrip("-").partition("=")
        if text in _LONG and (word.startswith("--") or text in ("Map", "entry", "output")):
            return _LONG[text], value if equals else None
    return None


def parse_arguments(words: list[str]) -> LinkArguments:
    """Raises UserError, naming the option, for what is unknown, refused or has no value."""
    arguments = LinkArguments()
    waiting = iter(_expanded(words))

    def value_of(word: str) -> str:
        try:
            return next(waiting)
        except StopIteration:
            raise UserError(f"{word} needs a value") from None

    for word in waiting:
        bare = word.partition("=")[0]
        if word in ("-v", "--version", "-V"):
            arguments.version = True
        elif word in ("-r", "--relocatable", "-i"):
            arguments.relocatable = True
        elif word in ("-s", "-S", "--strip-all", "--strip-debug"):
            arguments.strip = True
        elif word == "--base":
            arguments.preset = "base"
        elif bare in _REFUSED or word.startswith(("-Ttext", "-Tdata", "-Tbss")):
            raise UserError(f"{word}: {_REFUSED.get(bare, _REFUSED['-T'])}")
        elif word in _IGNORED:
            arguments.ignored.append(word)
        elif word in _IGNORED_WITH_VALUE:
            arguments.ignored.append(f"{word} {value_of(word)}")
        elif word in _PASSED:
            arguments.inputs.append(Input(word))
        elif bare in _PASSED_WITH_VALUE:
            arguments.passed += [word] if "=" in word else [word, value_of(word)]
        elif word.startswith("-u") and len(word) > 2:
            arguments.passed.append(word)
        elif found := _option(word):
            name, value = found
            _store(arguments, name, value_of(word) if value is None else value)
        elif word.startswith(_IGNORED_PREFIXES) or word.startswith(("-z", "-m")):
            arguments.ignored.append(word)
        elif word.startswith("-"):
            raise UserError(f"unknown option {word}")
        else:
            arguments.inputs.append(Input(word, file=True))
    return arguments


def _store(arguments: LinkArguments, name: str, value: str) -> None:
    match name:
        case "L":
            arguments.search.append(value)
        case "l":
            arguments.inputs.append(Input(f"-l{value}"))
        case "runtime":
            arguments.inputs.append(Input(value, file=True, runtime=True))
        case "memory":
            try:
                arguments.memory_bytes = int(value, 0)
            except ValueError:
                raise UserError(f"--memory {value}: not a number of bytes") from None
        case "output" | "policy" | "map":
            setattr(arguments, name, Path(value))
        case _:
            setattr(arguments, name, value)
