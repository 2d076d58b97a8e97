"""The command line of ``fides cc``: that of clang, taken apart as far as the driver has to know it."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from fides_core.errors import UserError

__all__ = ["CompilerArguments", "Input", "parse_arguments"]

#: Options whose value is the next word.
_WITH_VALUE = frozenset({
    "-D", "-U", "-I", "-include", "-imacros", "-isystem", "-idirafter", "-iquote", "-iprefix", "-iwithprefix",
    "-iwithprefixbefore", "-isysroot", "-MF", "-MT", "-MQ", "-Xclang", "-Xpreprocessor", "-Xassembler",
    "-mllvm", "--param", "-target", "-arch", "-aux-info", "-dumpbase", "-dumpdir", "-working-directory", "-G",
})  # fmt: skip
#: The linker's: (option, also attached).
_LINKER_WITH_VALUE = frozenset({"-L", "-l", "-u", "-z", "-T", "-e", "-Xlinker", "-rpath", "-soname"})
_LINKER_ATTACHED = ("-l", "-L", "-Wl,", "-u", "-z")
_LINKER = frozenset({"-static", "-s", "-shared", "-pie", "-static-pie", "-r"})
#: Where clang would look for things that are always the same here, or what the target has no use for.
_DROPPED = frozenset({
    "-pthread", "-rdynamic", "-no-pie", "-nopie", "-pipe", "-fPIC", "-fpic", "-fPIE", "-fpie", "-fno-PIC",
    "-fno-pie", "-fno-PIE", "-fuse-ld=bfd", "-fuse-ld=lld", "-fuse-ld=gold", "-static-libgcc", "-mno-relax",
    "-mrelax", "-fno-lto", "-fno-plt", "-fintegrated-as",
})  # fmt: skip
_REFUSED = {
    "-m32": "the target is RV64",
    "-fno-integrated-as": "landing pads are for the integrated assembler",
    "-shared": "an image has no shared libraries",
    "-pie": "an image lies at fixed addresses",
    "-static-pie": "an image lies at fixed addresses",
    "-T": "the policy decides where code lies",
    "-gsplit-dwarf": "debug information stays in the object",
    "-fsplit-stack": "there is one stack",
}
_REFUSED_PREFIXES = {
    "-flto": "code must not move between compartments",
    "-fsanitize": "the runtime libraries of sanitizers are not for this target",
    "-fxray": "its runtime library is not for this target",
    "-fprofile-": "its runtime library is not for this target",
    "-fcoverage-": "its runtime library is not for this target",
    "--target": "the target is the preset's",
    "-target": "the target is the preset's",
}
_SOURCES = {
    ".c": "c", ".i": "cpp-output", ".s": "assembler", ".S": "assembler-with-cpp", ".sx": "assembler-with-cpp",
}  # fmt: skip
_LANGUAGES = frozenset({"c", "cpp-output", "assembler", "assembler-with-cpp", "c-header"})
_OTHER_LANGUAGES = frozenset({".cc", ".cpp", ".cxx", ".C", ".c++", ".m", ".mm", ".f", ".f90", ".ii", ".cu"})
#: The step after which clang stops.
_STEPS = {"-E": "preprocess", "-M": "preprocess", "-MM": "preprocess", "-S": "assembly", "-c": "object",
          "-fsyntax-only": "syntax"}  # fmt: skip
_ORDER = ("preprocess", "syntax", "assembly", "object", "image")


@dataclass(frozen=True)
class Input:
    """A source, or with ``language`` None a word for the linker. ``path`` "-" is standard input."""

    path: str
    language: str | None = None


@dataclass
class CompilerArguments:
    """``options``: clang's, in order. ``inputs``: sources and the linker's words, in order. ``step``: what is
    made last: preprocess, syntax, assembly, object or image. ``asked``: an option such as -dumpmachine that
    is a question alone."""

    options: list[str] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    step: str = "image"
    output: str | None = None
    preset: str = "fides"
    policy: str | None = None
    report: str | None = None
    memory: str | None = None
    contracts: list[str] = field(default_factory=list)
    checks: bool = True
    clear: bool = False
    libraries: bool = True
    startup: bool = True
    show_only: bool = False
    version: bool = False
    help: bool = False
    asked: bool = False
    verbose: bool = False
    dependencies: bool = False
    dependency_file: str | None = None
    dependency_target: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def sources(self) -> list[Input]:
        """The inputs that are compiled or assembled."""
        return [item for item in self.inputs if item.language is not None]


def _response_words(text: str) -> list[str]:
    """The words of a response file: quotes and backslashes as GNU's tools have them."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    lexer.escapedquotes = "\"'"
    return list(lexer)


def _expanded(words: list[str], depth: int = 0) -> list[str]:
    result = []
    for word in words:
        if word.startswith("@") and len(word) > 1 and Path(word[1:]).is_file():
            if depth > 20:
                raise UserError(f"{word}: response files name each other without end")
            try:
                result += _expanded(_response_words(Path(word[1:]).read_text()), depth + 1)
            except (OSError, ValueError) as error:
                raise UserError(f"{word}: {getattr(error, 'strerror', None) or error}") from None
        else:
            result.append(word)
    return result


class _Parser:
    def __init__(self, words: list[str]):
        self.words = _expanded(words)
        self.at = 0
        self.result = CompilerArguments()
        self.language: str | None = None  # of -x
        self.only_files = False

    def parse(self) -> CompilerArguments:
        while self.at < len(self.words):
            word = self.words[self.at]
            self.at += 1
            if self.only_files or word == "-" or not word.startswith("-"):
                self.file(word)
            else:
                self.option(word)
        return self.result

    def value(self, option: str) -> str:
        if self.at >= len(self.words):
            raise UserError(f"{option} needs a value")
        self.at += 1
        return self.words[self.at - 1]

    def file(self, path: str) -> None:
        suffix = Path(path).suffix
        language = self.language or _SOURCES.get(suffix)
        if path == "-" and language is None:
            if self.result.step not in ("preprocess", "syntax"):
                raise UserError("standard input needs a language: -x c")
            language = "c"
        if language is None and suffix in _OTHER_LANGUAGES:
            raise UserError(f"{path}: only C and assembly can be compiled")
        if language is None and suffix == ".h":
            raise UserError(f"{path}: headers are not compiled on their own")
        self.result.inputs.append(Input(path, language))

    def own(self, word: str) -> bool:
        """Options that clang does not have."""
        name, equals, value = word.partition("=")
        result = self.result
        if name in ("--policy", "--preset", "--report", "--memory"):
            setattr(result, name[2:], value if equals else self.value(word))
        elif name == "--contracts":
            result.contracts.append(value if equals else self.value(word))
        elif word == "--base":
            result.preset = "base"
        elif word in ("--help", "-help"):
            result.help = True
        elif word == "--version":
            result.version = True
        elif word == "-###":
            result.show_only = True
        elif word in ("-ffides-checks", "-fno-fides-checks"):
            result.checks = word == "-ffides-checks"
        elif word in ("-ffides-clear", "-fno-fides-clear"):
            result.clear = word == "-ffides-clear"
        else:
            return False
        return True

    def option(self, word: str) -> None:
        result = self.result
        if self.own(word):
            return
        for prefix, reason in _REFUSED_PREFIXES.items():
            if word.startswith(prefix) and not (prefix == "-flto" and word == "-fno-lto"):
                if prefix == "-flto":
                    result.warnings.append(f"{word} is ignored: {reason}")
                    return
                raise UserError(f"{word}: {reason}")
        if word in _REFUSED:
            raise UserError(f"{word}: {_REFUSED[word]}")
        if word in _STEPS:
            self.step(word)
        elif word in _DROPPED:
            pass
        elif word in ("-nostdlib", "-nodefaultlibs"):
            result.libraries = False
            result.startup = result.startup and word != "-nostdlib"
        elif word == "-nostartfiles":
            result.startup = False
        elif word == "-x" or word.startswith("-x"):
            self.set_language(word[2:] or self.value(word))
        elif word == "-o" or word.startswith("-o") and not word.startswith("-objc"):
            result.output = word[2:] or self.value(word)
        elif word == "--":
            self.only_files = True
        elif self.linker(word):
            pass
        elif word.startswith(("-dumpm", "-dumpv", "-print-", "--print-", "-v")):
            result.verbose |= word == "-v"
            result.asked |= word != "-v"
            result.options.append(word)
        else:
            self.clang(word)

    def step(self, word: str) -> None:
        result = self.result
        step = _STEPS[word]
        if _ORDER.index(step) < _ORDER.index(result.step):
            result.step = step
        if word in ("-M", "-MM"):
            result.options.append(word)

    def set_language(self, language: str) -> None:
        if language != "none" and language not in _LANGUAGES:
            raise UserError(f"-x {language}: only C and assembly can be compiled")
        self.language = None if language == "none" else language

    def linker(self, word: str) -> bool:
        result = self.result
        if word == "-Xlinker":
            result.inputs.append(Input(self.value(word)))
        elif word.startswith("-Wl,"):
            result.inputs += [Input(part) for part in word.split(",")[1:]]
        elif word in _LINKER_WITH_VALUE:
            value = self.value(word)
            result.inputs += [Input(word + value)] if word in ("-L", "-l") else [Input(word), Input(value)]
        elif word in _LINKER or word.startswith(_LINKER_ATTACHED):
            result.inputs.append(Input(word))
        else:
            return False
        return True

    def clang(self, word: str) -> None:
        result = self.result
        result.options.append(word)
        if word in ("-MD", "-MMD"):
            result.dependencies = True
        if word.startswith(("-MT", "-MQ")):
            result.dependency_target = True
        if word in _WITH_VALUE:
            value = self.value(word)
            result.options.append(value)
            if word == "-MF":
                result.dependency_file = value
        elif word.startswith("-MF"):
            result.dependency_file = word[3:]


def parse_arguments(words: list[str]) -> CompilerArguments:
    """Takes the command line apart. Raises UserError, naming the option, for what the target cannot have."""
    return _Parser(words).parse()
