"""Headers for C and assembly, made from the tables of this package: nothing under sw/ restates an encoding.

``xfides.h``: CSR numbers and fields, causes, comsel selectors, pointer fields, and each Xfides instruction as
an assembler macro and as a string macro for inline assembly in C. Assembly is for a core with the extension
when ``XFIDES`` is 1; when it is 0, pads and checks are nothing and an allocation keeps its address.
``platform.h``: the memory map and the registers of the devices.
"""

import os
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path

from fides_core.soc.memory_map import MAIN_MEMORY_BASE, REGIONS, UartRegister

from .causes import ControlFlowFault, CrossingTrap, ExceptionCause, InterruptCause, MemoryFault
from .csrs import Comctl, Comsel, FidesContext, MonitorCSR, XfidesCSR
from .instructions import BY_NAME
from .xfides import (
    COOKIE_BITS,
    INDEX_BITS,
    MAX_COMPARTMENTS,
    RANGE_ALIGN,
    SIZE_BITS,
    PadKind,
    checkcap,
    pack_entry,
    pack_pointer,
)

__all__ = [
    "ACCESS_SIZES", "arm", "disarm", "landing_pad", "platform_header", "statement_templates", "write_headers",
    "xfides_header",
]  # fmt: skip

#: Access sizes in bytes that val and vali can check in one instruction.
ACCESS_SIZES = (1, 2, 4, 8, 16)

_NOTICE = "/* Generated from the instruction tables in fides_core/isa: do not edit. */"


def _insn_r(name: str, rd: str, rs1: str, rs2: str) -> str:
    match = BY_NAME[name].match
    return f".insn r {match & 0x7F:#x}, {match >> 12 & 7}, {match >> 25:#x}, {rd}, {rs1}, {rs2}"


def _insn_i(name: str, rd: str, rs1: str, immediate: str) -> str:
    match = BY_NAME[name].match
    return f".insn i {match & 0x7F:#x}, {match >> 12 & 7}, {rd}, {rs1}, {immediate}"


def _immediate12(word: int) -> int:
    """The sign-extended I-immediate of ``word``, the form that the assembler's .insn takes."""
    value = word >> 20 & 0xFFF
    return value - 0x1000 if value & 0x800 else value


def landing_pad(cid: int, kind: PadKind = PadKind.ENTRY) -> str:
    """The assembler statement of a landing pad. Raises ValueError when ``cid`` is not in 0..255."""
    return _insn_i("checkcap", "x0", "x0", str(_immediate12(checkcap(cid, kind))))


def arm(register: str) -> str:
    """The assembler statement that arms the handler pad whose address is in ``register``."""
    return _insn_i("arm", "x0", register, "0")


def disarm() -> str:
    """The assembler statement that takes the youngest handler away."""
    return _insn_i("disarm", "x0", "x0", "0")


def _instructions() -> Iterable[tuple[str, tuple[str, ...], str, str]]:
    """(name, operands, statement with ``{operand}`` places, statement without the extension)."""
    handler = _immediate12(checkcap(0, PadKind.HANDLER))
    yield "checkcap", ("cid",), _insn_i("checkcap", "x0", "x0", "{cid}"), ""
    yield "handler_pad", ("cid",), _insn_i("checkcap", "x0", "x0", f"{handler} + {{cid}}"), ""
    yield "arm", ("rs1",), arm("{rs1}"), ""
    yield "disarm", (), disarm(), ""
    add = "add {rd}, {rs1}, {rs2}"
    for size in ACCESS_SIZES:
        yield f"val{size}", ("rd", "rs1", "rs2"), _insn_r(f"val.{size}", "{rd}", "{rs1}", "{rs2}"), add
    for size in ACCESS_SIZES:
        size_field = f"x{BY_NAME[f'vali.{size}'].match >> 7 & 31}"
        statement = _insn_i(f"vali.{size}", size_field, "{rs1}", "{immediate}")
        yield f"vali{size}", ("rs1", "immediate"), statement, ""
    yield "ptradd", ("rd", "rs1", "rs2"), _insn_r("ptradd", "{rd}", "{rs1}", "{rs2}"), add
    yield "mint", ("rd", "rs1", "rs2"), _insn_r("mint", "{rd}", "{rs1}", "{rs2}"), "mv {rd}, {rs1}"
    yield "revoke", ("rs1",), _insn_i("revoke", "x0", "{rs1}", "0"), ""


def statement_templates() -> dict[str, str]:
    """Each Xfides instruction by name (``val8`` checks 8 bytes) as an assembler statement, its operands as
    places in braces: ``{rd}``, ``{rs1}``, ``{rs2}``, ``{immediate}``, ``{cid}``."""
    return {name: statement for name, _, statement, _ in _instructions()}


def _assembler_macros() -> Iterable[str]:
    for name, operands, statement, plain in _instructions():
        places = {operand: f"\\{operand}" for operand in operands}
        yield f".macro {name} {', '.join(operands)}".rstrip()
        yield from ("#if XFIDES", f"  {statement.format(**places)}")
        if plain:
            yield from ("#else", f"  {plain.format(**places)}")
        yield from ("#endif", ".endm")


def _string_macros() -> Iterable[str]:
    yield '/* Statements for inline assembly: the operands are strings, "%0" or a register\'s name. */'
    for name, operands, statement, _ in _instructions():
        text = statement.format(**{operand: f'" {operand} "' for operand in operands})
        yield f'#define INSN_{name.upper()}({", ".join(operands)}) "{text}"'.replace(' ""', "")


def _enum(prefix: str, members: Iterable[IntEnum]) -> Iterable[str]:
    for member in members:
        yield f"#define {prefix}{member.name} {int(member)}"


def _table(name: str, members: Iterable[IntEnum]) -> Iterable[str]:
    """An X macro: ``name(X)`` expands to X(number, NAME) for each member."""
    yield f"#define {name}(X) \\"
    yield " \\\n".join(f"  X({int(member)}, {member.name})" for member in members)


def _bit(one: int) -> int:
    return one.bit_length() - 1


def _constants() -> Iterable[str]:
    yield "/* CSRs of the extension (contract, section 4). */"
    for csr in XfidesCSR:
        yield f"#define CSR_{csr.name} {int(csr):#x}"
    yield "/* Of a core whose crossings the monitor judges. */"
    yield from _enum("CSR_", MonitorCSR)
    yield from _enum("TRAP_", CrossingTrap)
    yield "/* Bit positions. */"
    yield from _enum("COMCTL_BIT_", Comctl)
    yield from _enum("CONTEXT_BIT_", FidesContext)
    yield "/* comsel[19:16]; comsel[15:0] is the number. */"
    yield "#define COMSEL_SELECTOR_SHIFT 16"
    yield from _enum("COMSEL_", Comsel)
    yield "/* mcause and comcause (section 8). */"
    yield from _enum("CAUSE_", ExceptionCause)
    yield from _enum("INTERRUPT_", InterruptCause)
    yield from _enum("FAULT_", ControlFlowFault)
    yield from _enum("FAULT_", MemoryFault)
    yield from _table("EXCEPTION_CAUSES", ExceptionCause)
    yield from _table("CONTROL_FLOW_FAULTS", ControlFlowFault)
    yield from _table("MEMORY_FAULTS", MemoryFault)
    yield "/* Fat pointers and metadata entries (section 9). */"
    yield f"#define POINTER_COOKIE_SHIFT {_bit(pack_pointer(0, cookie=1))}"
    yield f"#define POINTER_INDEX_SHIFT {_bit(pack_pointer(0, index=1))}"
    yield f"#define ENTRY_BASE_SHIFT {_bit(pack_entry(1, 0, 0))}"
    yield f"#define ENTRY_SIZE_SHIFT {_bit(pack_entry(0, 1, 0))}"
    yield f"#define INDEX_BITS {INDEX_BITS}"
    yield f"#define COOKIE_BITS {COOKIE_BITS}"
    yield f"#define SIZE_BITS {SIZE_BITS}"
    yield f"#define MAX_COMPARTMENTS {MAX_COMPARTMENTS}"
    yield f"#define RANGE_ALIGN {RANGE_ALIGN}"


def xfides_header() -> str:
    """The text of ``xfides.h``."""
    lines = [
        _NOTICE, "#ifndef XFIDES_H", "#define XFIDES_H", "",
        "#ifndef XFIDES", '#error "define XFIDES as 0 or 1"', "#endif", "",
        *_constants(), "",
        "#ifdef __ASSEMBLER__", *_assembler_macros(), "#else", *_string_macros(), "#endif", "",
        "#endif", "",
    ]  # fmt: skip
    return "\n".join(lines)


def platform_header() -> str:
    """The text of ``platform.h``: addresses and sizes in bytes."""
    registers = {name: value for name, value in vars(UartRegister).items() if not name.startswith("_")}
    lines = [_NOTICE, "#ifndef PLATFORM_H", "#define PLATFORM_H", ""]
    for region in REGIONS:
        lines.append(f"#define {region.name.upper()}_BASE {region.base:#x}")
        lines.append(f"#define {region.name.upper()}_SIZE {region.size:#x}")
    lines.append(f"#define MAIN_MEMORY_BASE {MAIN_MEMORY_BASE:#x}")
    lines += [f"#define UART_{name} {value:#x}" for name, value in registers.items()]
    lines += ["", "#endif", ""]
    return "\n".join(lines)


def write_headers(directory: Path) -> tuple[Path, ...]:
    """Writes the headers into ``directory`` and returns their paths; one that is up to date is left alone."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in (("xfides.h", xfides_header()), ("platform.h", platform_header())):
        path = directory / name
        if not path.exists() or path.read_text() != text:
            partial = path.with_name(f"{name}.{os.getpid()}")
            partial.write_text(text)
            partial.replace(path)  # another process may be reading it
        written.append(path)
    return tuple(written)
