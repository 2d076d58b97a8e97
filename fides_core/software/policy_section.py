"""The section ``.fides.policy`` of an image, which tells the monitor the policy.

The monitor reads it at boot, ``check_image`` reads it on the host. The layout is described once, here:
``format_header`` makes the monitor's C structures of it.

Section, little-endian, 8-byte aligned: one HEADER, then ``compartments`` records COMPARTMENT, then
``statics`` records STATIC, together ``bytes`` long.
"""

import struct
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
)

__all__ = [
    "SECTION", "MAGIC", "VERSION", "NAME_BYTES", "Record", "PolicySection", "HEADER", "COMPARTMENT", "STATIC",
    "assembly", "check_image", "format_header", "read_section",
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

    def pack(self, **values) -> bytes:
        """The record with these fields, as :meth:`unpack` gives them. KeyError when one is missing."""
        elements = []
        for kind, name, _ in self.fields:
            value = values.pop(name)
            if kind == "char":
                elements.append(value.encode("ascii"))
            else:
                elements += value if isinstance(value, tuple) else (value,)
        if values:
            raise ValueError(f"{self.name} has no {', '.join(values)}")
        return struct.pack(self._codes(), *elements)

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


def assembly(record: Record, **values) -> list[str]:
    """Assembly source of a record; numbers may be symbols. Raises ValueError for a field it has not."""
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
            "text_start", "constants_start", "data_start", "stack_top", "bss_start", "bss_end", "data_end",
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
