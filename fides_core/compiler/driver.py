"""``fides cc``: clang with the pass plugin, landing pads, and ``fides ld``."""

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fides_core.errors import UserError

from .arguments import CompilerArguments, Input, parse_arguments
from .contracts import OF_THE_LIBRARY, read_contracts
from .landing_pads import insert_pads
from .pad_bits import functions_with_stray_pads
from .plugin_build import clang, plugin

__all__ = ["HELP", "run_command"]

HELP = """\
usage: fides cc [OPTION | FILE]...

Compile C and assembly for compartments and fat pointers, and link them into an image: clang with a pass
plugin. Takes the options of clang and gcc that a makefile passes (-c, -S, -E, -o, -I, -D, -O2, -g, -MMD, -l,
-Wl, and so on).

  --preset NAME          the core (default: fides); --base is --preset base, without compartments and checks
  --policy FILE          the compartments of an image (default: one); given on to fides ld
  --memory BYTES         of the system, for fides ld
  --report FILE          add a line of JSON for each source: checks inserted, removed, and why
  --contracts FILE       what prebuilt functions do with their arguments; can be given again
  -fno-fides-checks      landing pads, but no checks of pointers
  -ffides-clear          clear temporaries and unused argument registers at compartments' entries and exits
  -###                   show the commands, run nothing
  --version, --help

The exit code is that of the compiler or the linker; 2 for bad input or a missing tool.
"""

PICOLIBC = Path("/usr/lib/picolibc/riscv64-unknown-elf/include")
#: What every compilation has. A section for each function lets `fides ld` put it into any compartment.
_TARGET = (
    "--target=riscv64-unknown-elf", "-mabi=lp64", "-mcmodel=medany", "-ffunction-sections", "-fdata-sections",
    "-fno-pic", "-msmall-data-limit=0", "-fno-common", "-ftls-model=local-exec", "-fno-addrsig",
    "-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-nostdlibinc",
    "-fdebug-default-version=4",  # GNU ld 2.40 does not know the relocations of DWARF 5's lists
)  # fmt: skip
_CODE = ("-mllvm", "-trap-unreachable", "-fno-crash-diagnostics")


@dataclass(frozen=True)
class _Core:
    """What the preset says: ``march`` for the compiler, whether the core has Xfides."""

    march: str
    xfides: bool


def _core(name: str) -> _Core:
    # The presets' table takes a third of a second to import, which a build pays for each source.
    known = {"fides": True, "base": False}
    if name in known:
        return _Core("rv64imac_zicsr_zifencei_zba_zbb_zbs", known[name])
    from fides_core.flow.verilog import configuration

    config = configuration(name)
    return _Core(config.core.march, config.core.xfides is not None)


class _Failed(Exception):
    """A tool has failed and said why; its exit code."""

    def __init__(self, code: int):
        super().__init__(code)
        self.code = code


class _Driver:
    def __init__(self, arguments: CompilerArguments, work: Path | None):
        self.arguments = arguments
        self.work = work
        self.core = _core(arguments.preset)
        self.commands: list[list[str]] = []
        self.made = 0

    def run(self, command: list[str], **environment: str) -> None:
        """Runs one tool, or shows it. Raises _Failed."""
        arguments = self.arguments
        if arguments.show_only or arguments.verbose:
            print(shlex.join(command), file=sys.stderr)
        if arguments.show_only:
            return
        try:
            code = subprocess.run(command, env={**os.environ, **environment}).returncode
        except OSError as error:
            raise UserError(f"{command[0]}: {error.strerror}") from None
        if code < 0:
            raise _Failed(128 - code)
        if code:
            raise _Failed(code)

    def flags(self, language: str) -> list[str]:
        flags = [clang(), *_TARGET, f"-march={self.core.march}"]
        own_march = [option for option in self.arguments.options if option.startswith(("-march=", "-mcpu="))]
        if own_march:
            flags.pop()
        flags += ["-isystem", str(PICOLIBC), f"-D__FIDES__={int(self.core.xfides)}"]
        if not any(option.startswith("-std=") for option in self.arguments.options) and language == "c":
            flags.append("-std=gnu17")
        return flags

    def temporary(self, suffix: str) -> Path:
        self.made += 1
        folder = self.work or Path(tempfile.gettempdir())
        return folder / f"{self.made}{suffix}"

    def preprocess(self) -> None:
        """-E, -M, -MM and -fsyntax-only: clang's own work."""
        arguments = self.arguments
        step = {"preprocess": "-E", "syntax": "-fsyntax-only"}[arguments.step]
        if {"-M", "-MM"} & set(arguments.options):
            step = ""
        output = ["-o", arguments.output] if arguments.output is not None else []
        for source in arguments.sources:
            command = [*self.flags(source.language), *arguments.options, *([step] if step else []), *output]
            self.run([*command, "-x", source.language, source.path])

    def dependencies(self, source: Input, output: str) -> list[str]:
        """Where -MD and -MMD write to, and for which target: clang would take the intermediate file."""
        arguments = self.arguments
        if not arguments.dependencies:
            return []
        options = []
        if arguments.dependency_file is None:
            base = arguments.output if arguments.output and arguments.step != "image" else None
            path = Path(base).with_suffix(".d") if base else Path(Path(source.path).stem + ".d")
            options += ["-MF", str(path)]
        if not arguments.dependency_target:
            options += ["-MT", output if arguments.step != "image" else f"{Path(source.path).stem}.o"]
        return options

    def compile(self, source: Input, output: str) -> None:
        """Makes the assembly or the object ``output`` of a source, as far as -S or -c say."""
        wants_assembly = self.arguments.step == "assembly"
        xfides = self.core.xfides
        flags = self.flags(source.language)
        options = [option for option in self.arguments.options if option not in ("-v",)]
        language = source.language
        if "-emit-llvm" in options:
            step = "-S" if wants_assembly else "-c"
            own = [*_CODE, *self.plugin(language)]
            command = [*flags, *own, *options, step, "-x", language, source.path, "-o", output]
            self.run(command, **self.environment())
            return
        if not xfides:
            step = "-S" if wants_assembly else "-c"
            own = [*_CODE] if language in ("c", "cpp-output") else []
            more = self.dependencies(source, output)
            self.run([*flags, *own, *options, *more, step, "-x", language, source.path, "-o", output])
            return
        assembly = self.temporary(".s")
        if language == "assembler":
            text = sys.stdin.read() if source.path == "-" else None
        else:
            text = None
            # The preprocessor's or the compiler's half.
            step = "-S" if language != "assembler-with-cpp" else "-E"
            own = [*_CODE, *self.plugin(language), "-fno-verbose-asm"] if step == "-S" else ["-P"]
            more = self.dependencies(source, output)
            command = [*flags, *own, *options, *more, step, "-x", language, source.path, "-o", str(assembly)]
            self.run(command, **self.environment())
            source = Input(str(assembly), "assembler")
        self.assemble(source, text, output, wants_assembly)

    def plugin(self, language: str) -> list[str]:
        if not self.core.xfides or language not in ("c", "cpp-output"):
            return []
        return [f"-fpass-plugin={plugin()}"]

    def environment(self) -> dict[str, str]:
        """What the plugin is told."""
        arguments = self.arguments
        result = {"FIDES_CC_CHECKS": str(int(arguments.checks)), "FIDES_CC_CLEAR": str(int(arguments.clear))}
        if arguments.checks:
            files = [OF_THE_LIBRARY, *map(Path, arguments.contracts)]
            result["FIDES_CC_CONTRACTS"] = "\n".join(line for file in files for line in read_contracts(file))
        if arguments.report is not None:
            result["FIDES_CC_REPORT"] = arguments.report
        return result

    def assemble(self, source: Input, text: str | None, output: str, wants_assembly: bool) -> None:
        """Inserts landing pads; then the assembler, unless -S wants to see them."""
        if self.arguments.show_only:
            if not wants_assembly:
                self.run(self.assembler(source.path, output))
            return
        if text is None:
            try:
                text = Path(source.path).read_text(errors="surrogateescape")
            except OSError as error:
                raise UserError(f"{source.path}: {error.strerror}") from None
        checks = self.arguments.checks
        padded = self.padded(text, source, checks, frozenset())
        if wants_assembly:
            _write(output, padded)
            return
        assembly = self.temporary(".s")
        partial = self.temporary(".o")
        for _ in range(4):
            _write(str(assembly), padded)
            self.run(self.assembler(str(assembly), str(partial)))
            stray = functions_with_stray_pads(partial)
            if not stray:
                break
            padded = self.padded(text, source, checks, stray)
        _move(partial, output)

    def padded(self, text: str, source: Input, checks: bool, norvc: frozenset[str]) -> str:
        try:
            return insert_pads(text, checks=checks, norvc=norvc)
        except ValueError as error:
            raise UserError(f"{source.path}: {error}") from None

    def assembler(self, source: str, output: str) -> list[str]:
        march = [option for option in self.arguments.options if option.startswith(("-march=", "-mcpu="))]
        march = march or [f"-march={self.core.march}"]
        debug = [
            option for option in self.arguments.options if option.startswith("-g") and source.endswith(".S")
        ]
        quiet = "-Wno-unused-command-line-argument"
        return [
            clang(), *_TARGET, *march, *debug, quiet, "-c", "-x", "assembler", source, "-o", output,
        ]  # fmt: skip

    def all(self) -> None:
        arguments = self.arguments
        if arguments.step in ("preprocess", "syntax"):
            self.preprocess()
            return
        if arguments.step == "image":
            self.link()
            return
        sources = arguments.sources
        if arguments.output is not None and len(sources) > 1:
            raise UserError("-o with more than one source: each has an output of its own")
        suffix = ".s" if arguments.step == "assembly" else ".o"
        if "-emit-llvm" in arguments.options:
            suffix = {".s": ".ll", ".o": ".bc"}[suffix]
        for source in sources:
            output = arguments.output or Path(source.path).name.rpartition(".")[0] + suffix
            if output == suffix:
                output = f"-{suffix}"
            self.compile(source, output)

    def link(self) -> None:
        arguments, words = self.arguments, []
        for item in arguments.inputs:
            if item.language is None:
                words.append(item.path)
                continue
            made = str(self.temporary(f"-{Path(item.path).stem}.o"))
            self.compile(item, made)
            words.append(made)
        command = self.linker(words)
        if arguments.show_only or arguments.verbose:
            print(shlex.join(command), file=sys.stderr)
        if not arguments.show_only:
            from fides_core.software.linker.command import run_command as run_linker

            if code := run_linker(command[2:]):
                raise _Failed(code)

    def linker(self, words: list[str]) -> list[str]:
        """The command line that links ``words`` with the libraries."""
        from .runtime import runtime_library

        arguments = self.arguments
        command = ["fides", "ld", "-o", arguments.output or "a.out"]
        for name in ("policy", "memory"):
            value = getattr(arguments, name)
            if value is not None:
                command += [f"--{name}", value]
        command += ["--preset", arguments.preset, *words]
        if "-r" not in words:
            library = (
                "libfides.a"
                if arguments.show_only
                else str(runtime_library(arguments.preset, self.core.march, xfides=self.core.xfides))
            )
            if arguments.libraries:
                command += ["--start-group", "--runtime", library, "-lc", "-lm", "-lgcc", "--end-group"]
            elif arguments.startup:
                command += ["--runtime", library]
        return command


def _write(path: str, text: str) -> None:
    if path == "-":
        sys.stdout.write(text)
        return
    try:
        Path(path).write_text(text, errors="surrogateescape")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def _move(partial: Path, output: str) -> None:
    """The finished object to its place, in one piece."""
    if output == "-":
        sys.stdout.buffer.write(partial.read_bytes())
        return
    target = Path(output)
    try:
        if target.exists() and not target.is_file():  # such as /dev/null, which configure scripts write to
            target.write_bytes(partial.read_bytes())
            return
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        beside.write_bytes(partial.read_bytes())
        os.replace(beside, target)
    except OSError as error:
        raise UserError(f"{output}: {error.strerror}") from None


@contextlib.contextmanager
def _work(arguments: CompilerArguments) -> Iterator[Path | None]:
    if arguments.show_only:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="fides-cc-") as work:
        yield Path(work)


def _version() -> int:
    said = subprocess.run([clang(), "--version"], capture_output=True, text=True).stdout.splitlines()
    print(f"fides cc, {said[0] if said else 'clang'}")
    print("Target: riscv64-unknown-elf")
    return 0


def run_command(words: list[str]) -> int:
    """Compiles and links as the command line ``words`` says; returns the exit code.

    Raises UserError for options that the target cannot have, missing files and missing tools.
    """
    arguments = parse_arguments(words)
    if arguments.help:
        print(HELP, end="")
        return 0
    if arguments.version:
        return _version()
    if arguments.asked or (arguments.verbose and not arguments.inputs):
        return subprocess.run([clang(), "--target=riscv64-unknown-elf", *arguments.options]).returncode
    for warning in arguments.warnings:
        print(f"fides cc: warning: {warning}", file=sys.stderr)
    if not arguments.inputs or not any(
        item.language or not item.path.startswith("-") for item in arguments.inputs
    ):
        raise UserError("there are no input files")
    for item in arguments.sources:
        if item.path != "-" and not Path(item.path).exists():
            raise UserError(f"{item.path}: no such file")
    with _work(arguments) as work:
        try:
            _Driver(arguments, work).all()
        except _Failed as failed:
            return failed.code
    return 0
