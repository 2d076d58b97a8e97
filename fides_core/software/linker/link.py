"""Linking: which objects take part, where their code goes, the image, and its last look.

GNU ld links twice: the first time to find the members of archives that are needed and how many objects need
metadata entries, the second time with every piece of code in its owner's range.
"""

import os
import re
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from fides_core.config import Config, preset
from fides_core.errors import UserError
from fides_core.isa.xfides import MAX_COMPARTMENTS, ZONE_ALIGN, checkcap
from fides_core.software.audit import Audit, Expected, Piece, refuse
from fides_core.software.image_file import ImageFile
from fides_core.software.layout import Layout, linker_script
from fides_core.software.policy import Compartment, Located, Policy, PolicyError, policy_error
from fides_core.software.policy_section import COMPARTMENT, HEADER, NAME_BYTES, SECTION, STATIC, PolicySection
from fides_core.software.toolchain import Compiler, library_folders, run_tool, toolchain_version

from .arguments import Input, LinkArguments
from .clearings import skip_clearings
from .finish import Memory, Pad, StaticObject, fill_policy, set_pads, static_objects, tag_pointers
from .objects import ObjectFile, archive_member
from .placement import COMPLETE, RESTRICTED, LinkedObject, Placement, place
from .references import Uses, find_uses
from .veneers import add_veneers

__all__ = ["Linked", "link"]

ENTRIES = ("_start", "program_start")
OBJECTS, STACK_OBJECTS = 4096, 1024  # metadata entries, where the policy says nothing
LD_OPTIONS = ("-static", "-z", "max-page-size=64", "--no-warn-rwx-segments", "--orphan-handling=error")
_PLACED = (
    ".text", ".rodata", ".srodata", ".data", ".sdata", ".bss", ".sbss", ".preinit_array", ".init_array",
    ".fini_array", ".tdata", ".tbss", ".eh_frame", ".gcc_except_table", ".fides", ".note", ".comment",
    ".riscv.attributes", ".debug", ".llvm_addrsig",
)  # fmt: skip


@dataclass(frozen=True)
class Linked:
    """A finished image and what was decided about it."""

    image: ImageFile
    policy: Policy
    objects: tuple[LinkedObject, ...]
    placement: Placement
    uses: Uses
    pads: tuple[Pad, ...]
    statics: tuple[StaticObject, ...]
    expected: Expected
    config: Config

    def audit(self) -> list[str]:
        """What is wrong with the image: nothing, or it may not run."""
        section = PolicySection.parse(self.image.section(SECTION))
        section.check(self.config.core.xfides.compartments if self.config.core.xfides else MAX_COMPARTMENTS)
        return Audit(self.image, section, self.config, self.expected).run()


def single_compartment(name: str) -> Policy:
    """The policy of a program without one: all of it is the compartment ``main``."""
    text = "".join(character if character.isalnum() and character.isascii() else "_" for character in name)
    main = Compartment("main", 1)
    return Policy(
        (text or "program")[: NAME_BYTES - 1], (main,), rest=Located("main"),
        objects=OBJECTS, stack_objects=STACK_OBJECTS,
    )  # fmt: skip


def _starts(path: Path, magic: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(magic)) == magic


@dataclass
class _Link:
    arguments: LinkArguments
    config: Config
    policy: Policy
    work: Path

    @property
    def xfides(self) -> bool:
        return self.config.core.xfides is not None

    @cached_property
    def compiler(self) -> Compiler:
        return Compiler(self.config, self.work, toolchain_version())

    @cached_property
    def libraries(self) -> tuple[Path, ...]:
        """Folders of the C library and the compiler's."""
        return library_folders()

    def search(self) -> list[str]:
        folders = [*self.arguments.search, *map(str, self.libraries)]
        return [f"-L{folder}" for folder in folders]

    @property
    def entry_name(self) -> str | None:
        return self.arguments.entry or self.policy.entry

    def inputs(self) -> list[str]:
        for item in self.arguments.inputs:
            if item.file and not Path(item.text).is_file():
                raise UserError(f"there is no file {item.text}")
        return [item.text for item in self.arguments.inputs if item not in (Input("--trace"), Input("-t"))]

    def probe(self) -> tuple[list[LinkedObject], int]:
        """The objects that take part, and how many objects need metadata entries."""
        script = self.work / "probe.ld"
        owners: dict[str, list[str]] = {owner: [] for owner in self.policy.owners()}
        owners[COMPLETE] = ["*(.text .text.*)"]
        own = self.own_objects(0)
        layout = replace(self.layout(owners, 0, []), folder=f"{self.work}/", generated=own[1:])
        script.write_text(linker_script(layout, self.config))
        undefined = [f"-u{self.entry_name}"] if self.entry_name else [f"-u{ENTRIES[0]}"]
        own = [str(self.work / name) for name in own]
        output = self.work / "probe.elf"
        options = [option for option in LD_OPTIONS if not option.startswith("--orphan")]
        said = run_tool(
            "ld", *options, "-S", "-t", "-t", "-T", script, *undefined, *self.arguments.passed,
            *self.search(), *own, *self.inputs(), "-o", output,
        )  # fmt: skip
        objects = self.traced(said, {Path(name) for name in own})
        if not objects:
            raise UserError("there is nothing to link")
        return objects, len(static_objects(ImageFile.read(output)))

    def traced(self, said: str, own: set[Path]) -> list[LinkedObject]:
        """The objects among the files that GNU ld says it has read: ``file`` or ``(archive)member``."""
        runtime = {Path(item.text).resolve() for item in self.arguments.inputs if item.runtime}
        members: dict[tuple[str, str], int] = {}
        objects = []
        for line in said.splitlines():
            archive, bracket, member = line[1:].rpartition(")") if line.startswith("(") else ("", "", "")
            path = Path(archive if bracket else line)
            if path in own or not path.is_file():
                continue
            if bracket:
                number = members.get((archive, member), 0)
                members[archive, member] = number + 1
                item = ObjectFile(path, member, archive_member(path, member, number))
            elif _starts(path, b"\x7fELF"):
                item = ObjectFile(path)
            else:
                continue  # an archive, or a linker script that names one
            resolved = path.resolve()
            toolchain = any(resolved.is_relative_to(folder.resolve()) for folder in self.libraries)
            name = f"o{len(objects):05}.o"
            objects.append(LinkedObject(item, name, resolved in runtime, toolchain))
        return objects

    def memory(self, statics: int) -> Memory:
        needed = -(-(statics + 1 + ZONE_ALIGN) // ZONE_ALIGN) * ZONE_ALIGN
        if self.arguments.policy and self.policy.objects < needed:
            raise PolicyError(
                f"objects = {self.policy.objects} is too small for {statics} statics and a heap: "
                f"{needed} or more are needed"
            )
        return Memory(max(self.policy.objects, needed), self.policy.stack_objects)

    def own_objects(self, statics: int) -> list[str]:
        """The monitor, the space of the policy section, and what the runtime is told."""
        memory = self.memory(statics)
        size = HEADER.bytes + COMPARTMENT.bytes * len(self.policy.compartments) + STATIC.bytes * statics
        source = ['.section .fides.policy, "a"', ".balign 8", ".globl policy_section"]
        (self.work / "policy.s").write_text("\n".join([*source, f"policy_section: .zero {size}", ""]))
        names = [
            self.compiler.monitor(),
            self.compiler.assemble("policy"),
            self.compiler.parameters(statics + 1, memory.objects),
        ]
        if self.policy.statics:
            (self.work / "pointers.s").write_text(self.pointers_source())
            names.append(self.compiler.assemble("pointers"))
        return names

    def pointers_source(self) -> str:
        """Cells for the statics that the policy lists: ``static_pointer_<symbol>``."""
        lines = ['.section .data.rel.ro.fides, "a"', ".balign 8"]
        for symbol in self.policy.statics:
            lines += [f".globl static_pointer_{symbol}", f"static_pointer_{symbol}: .dword {symbol}"]
        if self.xfides:
            lines += ['.section .fides.pointers, ""']
            lines += [f".dword static_pointer_{symbol}, {symbol}" for symbol in self.policy.statics]
        return "\n".join([*lines, ""])

    def layout(self, owners: dict[str, list[str]], statics: int, objects: list[LinkedObject]) -> Layout:
        memory = self.memory(statics)
        constants, data, discarded = {}, {}, set()
        for item in objects:
            for section in item.file.sections:
                if section.name.startswith(_PLACED) or section.code or section.kind not in (
                    "SHT_PROGBITS", "SHT_NOBITS", "SHT_NOTE",
                ):  # fmt: skip
                    continue
                if not section.allocated:
                    discarded.add(f"*({section.name})")
                else:
                    where = data if section.writable else constants
                    where[section.name] = f"KEEP(*({section.name}))"
        return Layout(
            owners, self.policy.heap_bytes, self.policy.stack_bytes, memory.objects + memory.stack_objects,
            constants, data, sorted(discarded),
        )  # fmt: skip

    def entry(self, objects: list[LinkedObject]) -> str:
        defined = {name for item in objects for name in item.file.defined}
        if self.entry_name:
            if self.entry_name not in defined:
                raise PolicyError(f"the entry {self.entry_name}: unknown function")
            return self.entry_name
        for name in ENTRIES:
            if name in defined:
                return name
        raise UserError(f"there is no {ENTRIES[0]}: link the runtime library, or say the entry")

    def run(self) -> Linked:
        objects, statics = self.probe()
        if not self.xfides:
            for item in objects:
                if item.file.flags:
                    raise UserError(f"{item.file} is compiled with Xfides, which {self.config.name} has not")
        entry = self.entry(objects)
        placement = place(objects, self.policy, entry=entry, xfides=self.xfides)
        uses = find_uses(objects, placement)
        path, veneers = self.link(objects, placement, uses, statics)
        image = ImageFile(path.read_bytes())
        found = static_objects(image)
        compartment = next(
            owner
            for (number, section), owner in placement.owners.items()
            if entry in objects[number].file.defined and objects[number].file.defined[entry][0] == section
        )
        wanted = self.policy.entry_compartment
        if wanted is not None and wanted != compartment:
            raise PolicyError(f"the entry {entry} is in {compartment}, not in {wanted}", wanted.line)
        if compartment in (COMPLETE, RESTRICTED):
            raise PolicyError(f"the program begins at {entry}, which is fluid code")
        pads = set_pads(image, objects, placement, uses, self.policy) if self.xfides else []
        skip_clearings(image, pads)
        tag_pointers(image, found)
        fill_policy(image, self.policy, entry, compartment, found, self.memory(len(found)))
        mints = struct.iter_unpack("<QII", image.section(".fides.mints"))
        expected = Expected(
            {pad.address: pad.word for pad in pads}
            | {image.addresses[name]: checkcap(0) for name in veneers},
            tuple(self.pieces(objects, placement)),
            frozenset(address for address, _, _ in mints),
        )
        finished = ImageFile(bytes(image.contents), self.arguments.output.name)
        return Linked(
            finished, self.policy, tuple(objects), placement, uses, tuple(pads), tuple(found), expected,
            self.config,
        )  # fmt: skip

    def pieces(self, objects: list[LinkedObject], placement: Placement) -> Iterator[Piece]:
        """All code of the image, from GNU ld's map: section, address, size and object are on a line, or the
        section's name on one of its own before."""
        line = re.compile(r"^ (\S+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) o(\d{5})\.o$", re.M)
        for match in line.finditer((self.work / "image.map").read_text()):
            section, address, size, number = match.groups()
            item = objects[int(number)]
            owner = next(
                (
                    placement.owners[int(number), one.number]
                    for one in item.file.sections
                    if one.name == section and one.code and one.bytes
                ),
                None,
            )
            if owner is not None and int(size, 16):
                plain = not item.file.flags
                yield Piece(int(address, 16), int(size, 16), owner, str(item.file), plain, item.runtime)

    def without_debug_information(self, objects: list[LinkedObject], placement: Placement) -> bool:
        """Whether the image has none: because of -s or -S, or since GNU ld would die of an object's."""
        if self.arguments.strip:
            return True
        for item in objects:
            if item.file.too_new_to_relocate():
                placement.warnings.append(
                    f"{item.file} has DWARF 5, which GNU ld 2.40 cannot relocate: the image has no debug "
                    "information; compile with -gdwarf-4"
                )
                return True
        return False

    def link(
        self, objects: list[LinkedObject], placement: Placement, uses: Uses, statics: int
    ) -> tuple[Path, list[str]]:
        """The second time: every section with code where it belongs. Returns the image and the functions that
        have veneers."""
        names = self.own_objects(statics)
        generated = names[1:]
        owners: dict[str, list[str]] = {owner: [] for owner in self.policy.owners()}
        for number, item in enumerate(objects):
            data = item.file.contents
            target = self.work / item.link_name
            if data is None:
                target.symlink_to(item.file.path.resolve())
            else:
                target.write_bytes(data)
            by_owner: dict[str, list[str]] = {}
            for section in item.file.sections:
                owner = placement.owners.get((number, section.number))
                if owner is not None and section.name not in by_owner.setdefault(owner, []):
                    by_owner[owner].append(section.name)
            for owner, sections in by_owner.items():
                owners[owner].append(f"{item.link_name}({' '.join(sections)})")
            names.append(item.link_name)
        veneer_object, veneers = (None, [])
        if self.xfides:
            veneer_object, veneers = add_veneers(objects, placement, uses, self.compiler)
        if veneer_object:
            owners[RESTRICTED].append(f"{veneer_object}(.text.veneer.*)")
            names.append(veneer_object)
            generated.append(veneer_object)
        layout = self.layout(owners, statics, objects)
        empty = (f"{item.link_name}(.text)" for item in objects)
        # Input files are not taken in the order of the command line where the script names them.
        recorded = [*generated, *(item.link_name for item in objects)]
        layout = replace(
            layout, generated=generated, discarded=(*layout.discarded, *empty), recorded=recorded
        )
        script = linker_script(layout, self.config)
        (self.work / "image.ld").write_text(script)
        (self.work / "names").write_text("\n".join(names))
        strip = ["-S"] if self.without_debug_information(objects, placement) else []
        try:
            run_tool(
                # The files before the script, which names them in another order.
                "ld", *LD_OPTIONS, *strip, *self.arguments.passed, "@names", "-T", "image.ld",
                "-Map", "image.map", "-o", "image.elf", work=self.work,
            )  # fmt: skip
        except UserError as error:
            text = str(error)
            for item in objects:
                text = text.replace(item.link_name, str(item.file))
            raise UserError(text) from None
        return self.work / "image.elf", veneers


def link(arguments: LinkArguments) -> Linked:
    """Links what ``arguments`` say and writes the image, or nothing. Raises UserError."""
    try:
        config = preset(arguments.preset)
        if arguments.memory_bytes is not None:
            config = replace(config, soc=replace(config.soc, memory_bytes=arguments.memory_bytes))
    except ValueError as error:
        raise UserError(str(error)) from None
    output = arguments.output
    policy = Policy.load(arguments.policy) if arguments.policy else single_compartment(output.stem)
    if not output.parent.is_dir():
        raise UserError(f"{output}: there is no folder {output.parent}")
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".linking-") as work:
        job = _Link(arguments, config, policy, Path(work))
        try:
            linked = job.run()
        except PolicyError as error:
            if arguments.policy is None:
                raise UserError(str(error)) from None
            raise policy_error(policy.path, error) from None
        try:
            refuse(output.name, linked.audit())
        except ValueError as error:
            raise UserError(f"{output.name}: {error}") from None
        partial = Path(work) / "finished.elf"
        partial.write_bytes(linked.image.contents)
        partial.chmod(0o755 & ~_umask())
        if arguments.map is not None:
            arguments.map.write_bytes((Path(work) / "image.map").read_bytes())
        os.replace(partial, output)
    return linked


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
