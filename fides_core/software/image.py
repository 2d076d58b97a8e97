"""Images: the monitor, a program cut into compartments, and its policy, linked into one ELF file.

Each source is compiled on its own, so that no code moves between compartments; gets its landing pads (on a
core with Xfides); and is linked into its owner's range by a generated linker script:

    0x8000_0000  monitor: text, constants, policy section | data, stack, metadata table
    U-mode text  restricted fluid, complete fluid, one range for each compartment, traps between them
    U-mode data  constants | data, bss, heap, stack

An image is built again only when something it is made of has changed, and of it only those objects.
"""

import hashlib
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from elftools.elf.elffile import ELFFile

from fides_core.config import Config
from fides_core.errors import UserError
from fides_core.flow import tools

from .audit import audit_image
from .checkcap import insert_landing_pads
from .layout import Layout, linker_script
from .policy import HEAP_BYTES, Policy
from .scenarios import load_attacks, scenarios_header
from .toolchain import ARCHITECTURE, BUILD, SW, Compiler, run_tool, toolchain_version

__all__ = ["ARCHITECTURE", "BUILD", "SW", "build_image", "with_argument"]


def build_image(program: str | Path, config: Config, directory: Path = BUILD) -> Path:
    """Builds the program in the folder ``sw/<program>`` for ``config``; returns the ELF file's path, which is
    in ``directory``.

    Raises UserError when the compiler is missing, the policy is wrong, a source does not compile, the linked
    image breaks a rule of the contract, or the configuration has only one half of Xfides.
    """
    xfides = config.core.xfides
    if xfides and not (xfides.compartments and xfides.fat_pointers):
        raise UserError(f"{config.name}: the monitor needs compartments and fat pointers, or neither")
    folder = SW / program
    policy = Policy.load(folder / "policy.toml", files=True)
    output = directory / folder.name / f"{config.name}.elf"
    stamp = output.with_suffix(".sha256")
    toolchain = toolchain_version()
    digest = _digest(folder, policy, config, toolchain)
    if output.exists() and stamp.exists() and stamp.read_text() == digest:
        return output
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".building-") as work:
        build = _Build(policy, config, Path(work), toolchain)
        image = build.run()
        audit_image(image, config)
        shutil.copy(build.work / "image.map", output.with_suffix(".map"))
        os.replace(image, output)
        (build.work / "stamp").write_text(digest)
        os.replace(build.work / "stamp", stamp)
    return output


def with_argument(image: Path, argument: int) -> Path:
    """A copy of ``image``, beside it, whose ``program_argument`` is ``argument`` (0..2^64-1).

    Raises UserError when the image has none.
    """
    with image.open("rb") as stream:
        elf = ELFFile(stream)
        table = elf.get_section_by_name(".symtab")
        found = table.get_symbol_by_name("program_argument") if table else None
        if not found:
            raise UserError(f"{image}: takes no argument")
        section = elf.get_section(found[0]["st_shndx"])
        offset = section["sh_offset"] + found[0]["st_value"] - section["sh_addr"]
    data = bytearray(image.read_bytes())
    data[offset : offset + 8] = argument.to_bytes(8, "little")
    output = image.with_name(f"{image.stem}-{argument}.elf")
    if not output.exists() or output.read_bytes() != data:
        partial = output.with_name(f".{output.name}.{os.getpid()}")
        partial.write_bytes(data)
        partial.replace(output)
    return output


def _digest(folder: Path, policy: Policy, config: Config, toolchain: str) -> str:
    """A hash over everything that the image is made of."""
    files = {path for part in ("monitor", "runtime") for path in (SW / part).rglob("*")}
    files |= {path for part in (folder, *policy.include) for path in part.rglob("*")}
    files |= {policy.file(name) for _, sources in policy.owners().values() for name in sources}
    package = tools.ROOT / "fides_core"
    own = ("audit", "checkcap", "image", "layout", "policy", "policy_section", "scenarios", "toolchain")
    files |= {package / "software" / f"{name}.py" for name in own}
    files |= {*(package / "isa").glob("*.py"), package / "soc" / "memory_map.py"}
    hashed = hashlib.sha256(toolchain.encode())
    hashed.update(repr((config.core.xfides, config.soc.memory_bytes)).encode())
    for path in sorted(files):
        if path.is_file():
            hashed.update(f"{path}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return hashed.hexdigest()


@dataclass
class _Build:
    """One image. ``work``: folder for all intermediate files; ``toolchain``: the compiler's version."""

    policy: Policy
    config: Config
    work: Path
    toolchain: str

    @cached_property
    def compiler(self) -> Compiler:
        return Compiler(self.config, self.work, self.toolchain, self.policy.include)

    def run(self) -> Path:
        """Builds the image in the work folder and returns its path."""
        compiler = self.compiler
        if self.policy.scenarios:
            (self.work / "scenarios.h").write_text(scenarios_header(load_attacks(self.policy.scenarios)))
        jobs = [
            (owner, number, self.policy.file(source), cid)
            for owner, (cid, sources) in self.policy.owners().items()
            for number, source in enumerate(sources)
        ]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            monitor = pool.submit(compiler.monitor)
            objects = list(pool.map(lambda job: self._compile(*job), jobs))
            objects += [monitor.result()]
        generated = self._generated(objects)
        objects += generated
        script = linker_script(_layout(self.policy, generated), self.config)
        (self.work / "image.ld").write_text(script)
        options = ["-static", "-z", "max-page-size=64", "--orphan-handling=error", "--fatal-warnings"]
        options += ["-T", "image.ld", "-Map", "image.map", "-o", "image.elf"]
        run_tool("ld", *options, *objects, work=self.work)
        return self.work / "image.elf"

    def _compile(self, owner: str, number: int, source: Path, cid: int) -> str:
        """Compiles one source of the program; returns its object's name, which the linker script matches."""
        name = f"{owner}.{number}.{source.stem}"

        def make() -> None:
            assembly = self.work / f"{name}.s"
            step = "-S" if source.suffix == ".c" else "-E"
            run_tool("gcc", *self.compiler.flags(), step, source, "-o", assembly)
            if self.compiler.xfides:
                try:
                    assembly.write_text(insert_landing_pads(assembly.read_text(), cid).text)
                except ValueError as error:
                    raise UserError(f"{source}: {error}") from None
            self.compiler.assemble(name)

        return self.compiler.object(name, (source.name.encode(), source.read_bytes(), bytes([cid])), make)

    def _generated(self, objects: list[str]) -> list[str]:
        """The policy section, the pointers to statics, and what the runtime is told."""
        sizes = self._sizes(objects)
        for symbol in self.policy.statics:
            if not sizes.get(symbol):
                raise UserError(f"policy of {self.policy.name}: no source defines the static {symbol}")
        constant = int.from_bytes(hashlib.sha256(self.policy.name.encode()).digest()[:8], "little")
        sources = {
            "policy": self.policy.section_source(sizes, constant),
            "pointers": self.policy.pointers_source(xfides=self.compiler.xfides),
        }
        for name, text in sources.items():
            (self.work / f"{name}.s").write_text(text)
            self.compiler.assemble(name)
        parameters = self.compiler.parameters(len(self.policy.statics) + 1, self.policy.objects)
        return [*(f"{name}.o" for name in sources), parameters]

    def _sizes(self, objects: list[str]) -> dict[str, int]:
        sizes = {}
        for line in run_tool("nm", "-S", "--defined-only", *objects, work=self.work).splitlines():
            fields = line.split()
            if len(fields) == 4:
                sizes[fields[3]] = int(fields[1], 16)
        return sizes


def _layout(policy: Policy, generated: list[str]) -> Layout:
    """Object files are called ``<owner>.<number>.<stem>.o``."""
    owners = {
        owner: [f"{owner}.*.o(.text .text.*)"] if sources else []
        for owner, (_, sources) in policy.owners().items()
    }
    entries = policy.objects + policy.stack_objects
    return Layout(owners, policy.heap_bytes or HEAP_BYTES, policy.stack_bytes, entries, generated=generated)
