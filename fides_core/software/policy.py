"""Policies: which compartments a program has, who may call whom, and the section that tells the monitor.

A policy is written in TOML beside the program's sources. ``image.py`` turns it into the section
``.fides.policy``, whose addresses the linker fills in; the monitor reads that section at boot, and
``check_image`` reads it on the host. The layout is described once, here: ``format_header`` makes the
monitor's C structures of it.

Section, little-endian, 8-byte aligned: one HEADER, then ``compartments`` records COMPARTMENT, then
``statics`` records STATIC, together ``bytes`` long.
"""

import struct
import tomllib
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from fides_core.errors import UserError
from fides_core.isa.xfides import (
    COOKIE_BITS,
    INDEX_BITS,
    MAX_COMPARTMENTS,
    RANGE_ALIGN,
    SIZE_BITS,
    ZONE_ALIGN,
    pack_pointer,
)

__all__ = [
    "SECTION", "MAGIC", "VERSION", "NAME_BYTES", "Compartment", "Policy", "Record", "PolicySection", "HEADER",
    "COMPARTMENT", "STATIC", "check_image", "format_header", "static_cookie", "read_section",
]  # fmt: skip

SECTION = ".fides.policy"
MAGIC = int.from_bytes(b"FIDESPOL", "little")
VERSION = 1
NAME_BYTES = 24  # with the terminating zero

_STRUCT_CODES = {"uint64_t": "Q", "uint32_t": "I"}


@dataclass(frozen=True)
class Record:
    """A packed structure: ``fields`` are (C type, name, number of elements; for char the size in bytes)."""

    name: str
    fields: tuple[tuple[str, str, int], ...]

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return struct.calcsize(self._codes())

    def _codes(self) -> str:
        return "<" + "".join(
            f"{count}s" if kind == "char" else _STRUCT_CODES[kind] * count for kind, _, count in self.fields
        )

    def unpack(self, data: bytes, offset: int = 0) -> dict:
        """The fields by name, arrays as tuples, text decoded. ValueError when ``data`` is too short."""
        if offset + self.bytes > len(data):
            raise ValueError(f"ends inside a {self.name} record")
        values = iter(struct.unpack_from(self._codes(), data, offset))
        fields = {}
        for kind, name, count in self.fields:
            if kind == "char":
                fields[name] = next(values).split(b"\0")[0].decode("ascii", "replace")
            else:
                elements = tuple(next(values) for _ in range(count))
                fields[name] = elements if count > 1 else elements[0]
        return fields

    def c_structure(self) -> str:
        """The same as a C structure, with a check of its size."""
        lines = [f"struct {self.name} {{"]
        for kind, name, count in self.fields:
            array = f"[{count}]" if count > 1 else ""
            lines.append(f"  {kind} {name}{array};")
        lines += ["};", f'_Static_assert(sizeof(struct {self.name}) == {self.bytes}, "padding");']
        return "\n".join(lines)


HEADER = Record(
    "policy_header",
    (
        ("uint64_t", "magic", 1),
        ("uint32_t", "version", 1),
        ("uint32_t", "bytes", 1),  # of the whole section
        ("uint32_t", "compartments", 1),
        ("uint32_t", "statics", 1),
        ("uint32_t", "entry_compartment", 1),
        ("uint32_t", "reserved", 1),
        ("uint64_t", "entry", 1),  # first instruction in U-mode
        ("uint64_t", "stack_top", 1),
        ("uint64_t", "text_start", 1),  # U-mode may read and execute up to constants_start,
        ("uint64_t", "constants_start", 1),  # read up to data_start,
        ("uint64_t", "data_start", 1),  # read and write up to data_end
        ("uint64_t", "data_end", 1),
        ("uint64_t", "bss_start", 1),  # cleared by the monitor
        ("uint64_t", "bss_end", 1),
        ("uint64_t", "restricted_start", 1),  # restricted fluid ends where complete fluid starts
        ("uint64_t", "complete_start", 1),
        ("uint64_t", "complete_end", 1),
        ("uint64_t", "table_base", 1),  # metadata table, in entries of 8 bytes
        ("uint32_t", "stack_zone_start", 1),
        ("uint32_t", "table_entries", 1),
        ("uint64_t", "cookie_constant", 1),  # mixed with the cycle counter into the cookie seed
        ("char", "name", NAME_BYTES),
    ),
)

COMPARTMENT = Record(
    "policy_compartment",
    (
        ("uint64_t", "start", 1),
        ("uint64_t", "end", 1),
        ("uint64_t", "allowed", MAX_COMPARTMENTS // 64),  # bit c of the row: may call compartment c
        ("uint32_t", "cid", 1),
        ("uint32_t", "reserved", 1),
        ("char", "name", NAME_BYTES),
    ),
)

STATIC = Record(
    "policy_static",
    (
        ("uint64_t", "base", 1),
        ("uint32_t", "size", 1),  # bytes
        ("uint32_t", "index", 1),
        ("uint32_t", "cookie", 1),
        ("uint32_t", "reserved", 1),
    ),
)


def format_header() -> str:
    """The text of ``policy_format.h``, which the monitor is compiled with."""
    lines = [
        "/* Generated from fides_core/software/policy.py: do not edit. */",
        "#ifndef POLICY_FORMAT_H", "#define POLICY_FORMAT_H", "", "#include <stdint.h>", "",
        f"#define POLICY_MAGIC {MAGIC:#x}", f"#define POLICY_VERSION {VERSION}", "",
        *(record.c_structure() for record in (HEADER, COMPARTMENT, STATIC)), "", "#endif", "",
    ]  # fmt: skip
    return "\n".join(lines)


@dataclass(frozen=True)
class Compartment:
    """``sources``: its C and assembly files. ``calls``: names of the compartments that it may call."""

    name: str
    cid: int
    sources: tuple[Path, ...]
    calls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """A program's policy. Sizes in bytes; ``objects`` and ``stack_objects`` are numbers of metadata entries.

    ``load`` raises UserError, naming the file, when the description contradicts itself.
    """

    name: str
    entry: str  # symbol of the first function, in the compartment entry_compartment
    entry_compartment: str
    compartments: tuple[Compartment, ...]
    complete_fluid: tuple[Path, ...] = ()
    restricted_fluid: tuple[Path, ...] = ()
    statics: tuple[str, ...] = ()  # symbols whose address escapes
    include: tuple[Path, ...] = ()
    heap_bytes: int = 64 << 10
    stack_bytes: int = 64 << 10
    objects: int = 1024
    stack_objects: int = 512
    scenarios: Path | None = None  # list of attacks, see scenarios.py

    @classmethod
    def load(cls, path: Path) -> "Policy":
        """Reads ``path``; file names in it are relative to its folder. Raises UserError."""
        try:
            text = path.read_text()
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}") from None
        try:
            policy = cls._from_tables(tomllib.loads(text), path)
            policy.check()
        except (tomllib.TOMLDecodeError, ValueError, TypeError, KeyError) as error:
            detail = f"{error.args[0]} is missing" if isinstance(error, KeyError) else error
            raise UserError(f"{path}: {detail}") from None
        return policy

    @classmethod
    def _from_tables(cls, tables: dict, path: Path) -> "Policy":
        folder = path.parent

        def files(names) -> tuple[Path, ...]:
            found = tuple((folder / name).resolve() for name in names)
            for name, file in zip(names, found, strict=True):
                if not file.exists():
                    raise ValueError(f"there is no {name}")
            return found

        compartments = tuple(
            Compartment(name, table["id"], files(table["sources"]), tuple(table.get("calls", ())))
            for name, table in tables["compartments"].items()
        )
        fluid = tables.get("fluid", {})
        memory = tables.get("memory", {})
        return cls(
            name=tables["name"],
            entry=tables["entry"]["function"],
            entry_compartment=tables["entry"]["compartment"],
            compartments=compartments,
            complete_fluid=files(fluid.get("complete", ())),
            restricted_fluid=files(fluid.get("restricted", ())),
            statics=tuple(tables.get("statics", ())),
            include=files(tables.get("include", ())),
            scenarios=files([tables["scenarios"]])[0] if "scenarios" in tables else None,
            **memory,
        )

    def check(self) -> None:
        """Raises ValueError when the description contradicts itself."""
        names = [compartment.name for compartment in self.compartments]
        cids = [compartment.cid for compartment in self.compartments]
        for what, values in (("name", names), ("id", cids)):
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"two compartments with the {what} {value}")
        for text in (self.name, *names):
            if not 1 <= len(text) < NAME_BYTES or not text.isascii() or not text.replace("_", "").isalnum():
                raise ValueError(f"{text!r} must be 1 to {NAME_BYTES - 1} letters, digits and underscores")
        for reserved in ("monitor", "complete_fluid", "restricted_fluid"):
            if reserved in names:
                raise ValueError(f"{reserved} is not a name for a compartment")
        for compartment in self.compartments:
            if not 0 <= compartment.cid < MAX_COMPARTMENTS:
                raise ValueError(
                    f"{compartment.name}: the id {compartment.cid} is not in 0..{MAX_COMPARTMENTS - 1}"
                )
            for callee in compartment.calls:
                if callee not in names:
                    raise ValueError(f"{compartment.name} may call {callee}: there is no such compartment")
        if self.entry_compartment not in names:
            raise ValueError(f"the entry is in {self.entry_compartment}: there is no such compartment")
        if len(set(self.statics)) < len(self.statics):
            raise ValueError("a static stands twice in the list")
        entries = self.objects + self.stack_objects
        if not len(self.statics) < self.objects <= entries < 1 << INDEX_BITS:
            raise ValueError(
                f"{self.objects} objects and {self.stack_objects} stack objects must hold index 0 and "
                f"{len(self.statics)} statics, and be fewer than {1 << INDEX_BITS}"
            )
        for what in ("objects", "stack_objects"):
            if getattr(self, what) % ZONE_ALIGN:
                raise ValueError(f"{what} must be a multiple of {ZONE_ALIGN}, not {getattr(self, what)}")
        for what in ("heap_bytes", "stack_bytes"):
            if getattr(self, what) <= 0 or getattr(self, what) % 4096:
                raise ValueError(f"{what} must be a positive multiple of 4096, not {getattr(self, what)}")

    def row(self, compartment: Compartment) -> tuple[int, ...]:
        """The compartment's row of the access matrix, as 64-bit words. Calls inside it need no bit."""
        by_name = {other.name: other.cid for other in self.compartments}
        bits = sum(1 << cid for cid in {by_name[name] for name in compartment.calls})
        return tuple(bits >> 64 * word & (1 << 64) - 1 for word in range(MAX_COMPARTMENTS // 64))

    def owners(self) -> dict[str, tuple[int, tuple[Path, ...]]]:
        """Owner of code -> (cid in its landing pads, its sources); fluid code first, as it lies in memory."""
        return {
            "restricted_fluid": (0, self.restricted_fluid),
            "complete_fluid": (0, self.complete_fluid),
            **{compartment.name: (compartment.cid, compartment.sources) for compartment in self.compartments},
        }

    def section_source(self, sizes: dict[str, int], cookie_constant: int) -> str:
        """Assembly source of the policy section; the linker script defines the symbols that it names.

        ``sizes``: bytes of each symbol in ``statics``.
        """
        lines = [f'.section {SECTION}, "a"', ".balign 8", ".globl policy_section", "policy_section:"]
        by_name = {compartment.name: compartment for compartment in self.compartments}
        lines += _assembly(
            HEADER,
            magic=MAGIC,
            version=VERSION,
            bytes="policy_section_end - policy_section",
            compartments=len(self.compartments),
            statics=len(self.statics),
            entry_compartment=by_name[self.entry_compartment].cid,
            reserved=0,
            entry=self.entry,
            stack_top="__user_stack_top",
            text_start="__user_text_start",
            constants_start="__user_constants_start",
            data_start="__user_data_start",
            data_end="__user_data_end",
            bss_start="__user_bss_start",
            bss_end="__user_bss_end",
            restricted_start="__restricted_fluid_start",
            complete_start="__complete_fluid_start",
            complete_end="__complete_fluid_end",
            table_base="__metadata_table",
            stack_zone_start=self.objects,
            table_entries=self.objects + self.stack_objects,
            cookie_constant=cookie_constant,
            name=self.name,
        )
        for compartment in self.compartments:
            lines += _assembly(
                COMPARTMENT,
                start=f"__{compartment.name}_start",
                end=f"__{compartment.name}_end",
                allowed=self.row(compartment),
                cid=compartment.cid,
                reserved=0,
                name=compartment.name,
            )
        for index, symbol in enumerate(self.statics, 1):
            lines += _assembly(
                STATIC, base=symbol, size=sizes[symbol], index=index, cookie=static_cookie(symbol), reserved=0
            )
        lines += ["policy_section_end:", ""]
        return "\n".join(lines)

    def pointers_source(self, *, xfides: bool) -> str:
        """Assembly source of the constants ``static_pointer_<symbol>``: the fat pointers to the statics."""
        lines = ['.section .rodata.static_pointers, "a"', ".balign 8"]
        for index, symbol in enumerate(self.statics, 1):
            tag = pack_pointer(0, index, static_cookie(symbol)) if xfides else 0
            lines.append(f".globl static_pointer_{symbol}")
            lines.append(f"static_pointer_{symbol}: .dword {symbol} + {tag:#x}")
        return "\n".join([*lines, ""])


def static_cookie(symbol: str) -> int:
    """The cookie of a static: 1..255, the same in every build, so that the linker can write the pointer."""
    value = 0
    for byte in symbol.encode():
        value = (value * 31 + byte) % ((1 << COOKIE_BITS) - 1)
    return value + 1


def _assembly(record: Record, **values) -> list[str]:
    lines = []
    directives = {"uint64_t": ".dword", "uint32_t": ".word"}
    for kind, name, count in record.fields:
        value = values.pop(name)
        if kind == "char":
            lines.append(f'  .ascii "{value}"; .zero {count - len(value)}  # {name}')
        else:
            elements = value if isinstance(value, tuple) else (value,)
            lines.append(f"  {directives[kind]} {', '.join(map(str, elements))}  # {name}")
    if values:
        raise ValueError(f"{record.name} has no {', '.join(values)}")
    return lines


@dataclass(frozen=True)
class PolicySection:
    """A policy section as read from an image: the fields of its records by name."""

    header: dict
    compartments: tuple[dict, ...]
    statics: tuple[dict, ...]

    @classmethod
    def parse(cls, data: bytes) -> "PolicySection":
        """Raises ValueError when ``data`` is no policy section of this version or its counts are wrong."""
        header = HEADER.unpack(data)
        if header["magic"] != MAGIC:
            raise ValueError("wrong magic number")
        if header["version"] != VERSION:
            raise ValueError(f"version {header['version']}, but only {VERSION} is known")
        compartments, statics = header["compartments"], header["statics"]
        expected = HEADER.bytes + compartments * COMPARTMENT.bytes + statics * STATIC.bytes
        if header["bytes"] != expected or len(data) < expected:
            raise ValueError(
                f"{compartments} compartments and {statics} statics need {expected} bytes, "
                f"the header says {header['bytes']}, the section has {len(data)}"
            )
        at = HEADER.bytes
        rows = []
        for record, count in ((COMPARTMENT, compartments), (STATIC, statics)):
            rows.append(tuple(record.unpack(data, at + number * record.bytes) for number in range(count)))
            at += count * record.bytes
        return cls(header, *rows)

    def ranges(self) -> list[tuple[str, int, int]]:
        """(name, start, end) of every code range."""
        header = self.header
        return [
            ("restricted fluid", header["restricted_start"], header["complete_start"]),
            ("complete fluid", header["complete_start"], header["complete_end"]),
            *((row["name"], row["start"], row["end"]) for row in self.compartments),
        ]

    def check(self, max_compartments: int = MAX_COMPARTMENTS) -> None:
        """Raises ValueError, naming what is wrong, when the policy is inconsistent.

        The monitor checks the same at boot, against the compartments that its core has.
        """
        header = self.header
        order = (
            "text_start", "constants_start", "data_start", "bss_start", "bss_end", "stack_top", "data_end",
        )  # fmt: skip
        for low, high in zip(order, order[1:], strict=False):
            if header[low] > header[high]:
                raise ValueError(f"{low} {header[low]:#x} is above {high} {header[high]:#x}")
        if header["data_end"] > 1 << 32:
            raise ValueError("data_end is above 2^32")
        if header["stack_top"] % 16 or header["table_base"] % 8:
            raise ValueError("the stack is not 16-byte or the metadata table not 8-byte aligned")
        if not 0 < header["stack_zone_start"] <= header["table_entries"] < 1 << INDEX_BITS:
            raise ValueError("the stack zone of the metadata table is not inside it")
        if header["stack_zone_start"] % ZONE_ALIGN or header["table_entries"] % ZONE_ALIGN:
            raise ValueError(f"the stack zone's bounds are no multiples of {ZONE_ALIGN}")
        table_end = header["table_base"] + 8 * header["table_entries"]
        if header["table_base"] < header["data_end"] and header["text_start"] < table_end:
            raise ValueError("the metadata table lies in memory that U-mode may use")
        self._check_ranges(max_compartments)
        self._check_statics()

    def _check_ranges(self, max_compartments: int) -> None:
        header = self.header
        for name, start, end in self.ranges():
            if start % RANGE_ALIGN or end % RANGE_ALIGN:
                raise ValueError(f"{name}: {start:#x}..{end:#x} is not aligned to {RANGE_ALIGN} bytes")
            in_text = header["text_start"] <= start < end <= header["constants_start"]
            if start != end and not in_text:
                raise ValueError(f"{name}: {start:#x}..{end:#x} is not in the text of U-mode")
        ordered = sorted((start, end, name) for name, start, end in self.ranges() if start != end)
        for (_, end, name), (start, _, other) in zip(ordered, ordered[1:], strict=False):
            if start < end:
                raise ValueError(f"the ranges of {name} and {other} overlap")
        self._check_compartments(max_compartments)

    def _check_compartments(self, max_compartments: int) -> None:
        header = self.header
        cids = [row["cid"] for row in self.compartments]
        for row in self.compartments:
            if row["cid"] >= max_compartments:
                raise ValueError(f"{row['name']}: the id {row['cid']} is not below {max_compartments}")
            if cids.count(row["cid"]) > 1:
                raise ValueError(f"two compartments with the id {row['cid']}")
        for row in self.compartments:
            missing = [
                bit
                for bit in range(MAX_COMPARTMENTS)
                if row["allowed"][bit // 64] >> bit % 64 & 1 and bit not in cids
            ]
            if missing:
                raise ValueError(f"{row['name']} may call {missing[0]}: there is no such compartment")
        home = [row for row in self.compartments if row["cid"] == header["entry_compartment"]]
        if not home or not home[0]["start"] <= header["entry"] < home[0]["end"]:
            raise ValueError(f"the entry {header['entry']:#x} is not in its compartment")

    def _check_statics(self) -> None:
        header = self.header
        used = set()
        for row in self.statics:
            what = f"the static at {row['base']:#x}"
            if not 0 < row["index"] < header["stack_zone_start"] or row["index"] in used:
                raise ValueError(f"{what}: the index {row['index']} is taken or not one of the objects'")
            used.add(row["index"])
            if not 0 < row["size"] < 1 << SIZE_BITS or not 0 < row["cookie"] < 1 << COOKIE_BITS:
                raise ValueError(f"{what}: size {row['size']} or cookie {row['cookie']} out of range")
            end = row["base"] + row["size"]
            if not header["constants_start"] <= row["base"] < end <= header["data_end"]:
                raise ValueError(f"{what} is not in the data of U-mode")


def read_section(path: Path) -> PolicySection:
    """The policy section of the image at ``path``. Raises UserError when there is none that can be read."""
    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            if elf.elfclass != 64 or elf["e_machine"] != "EM_RISCV":
                raise UserError(f"{path}: not an RV64 image but {elf.get_machine_arch()}, {elf.elfclass} bit")
            section = elf.get_section_by_name(SECTION)
            data = None if section is None else section.data()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except ELFError as error:
        raise UserError(f"{path}: not an ELF file ({error})") from None
    if data is None:
        raise UserError(f"{path}: no policy section {SECTION}")
    try:
        return PolicySection.parse(data)
    except ValueError as error:
        raise UserError(f"{path}: policy section {SECTION}: {error}") from None


def check_image(path: Path, max_compartments: int = MAX_COMPARTMENTS) -> PolicySection:
    """The policy section of the image at ``path``, found consistent. Raises UserError when it is not."""
    section = read_section(path)
    try:
        section.check(max_compartments)
    except ValueError as error:
        raise UserError(f"{path}: policy section {SECTION}: {error}") from None
    return section
