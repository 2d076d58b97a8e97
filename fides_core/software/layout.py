"""The GNU ld script of an image: where monitor, code ranges, constants and data lie."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fides_core.config import Config
from fides_core.isa.compressed import COMPRESSED_BY_NAME
from fides_core.isa.xfides import RANGE_ALIGN
from fides_core.soc.memory_map import MAIN_MEMORY_BASE

from .policy_section import SECTION

__all__ = ["GUARD", "RECORD_SECTIONS", "Layout", "linker_script"]

MONITOR_STACK_BYTES = 8192
PAGE = 4096
#: What ranges are filled up with and end in: a trap at every even address.
GUARD = COMPRESSED_BY_NAME["c.ebreak"].match
#: What the compiler tells the linker in objects; not part of the memory image.
RECORD_SECTIONS = (".fides.pads", ".fides.pointers", ".fides.mints", ".fides.clears", ".fides.note")


@dataclass(frozen=True)
class Layout:
    """What goes where. ``owners``: each owner of code, in the order of memory -> its input sections as the
    script names them; fluid code comes first, restricted before complete. ``constants`` and ``data``: further
    output sections of their own, by name -> input sections; ``discarded``: input sections that no image
    needs. ``heap_bytes`` None: what memory is left; ``stack_bytes``: of U-mode; ``table_entries``: of the
    metadata table, 8 bytes each. ``generated``: the objects beside monitor.o that the linker makes itself;
    ``folder``: of these, with a slash. ``recorded``: objects whose records are kept, in this order."""

    owners: Mapping[str, Iterable[str]]
    heap_bytes: int | None
    stack_bytes: int
    table_entries: int
    constants: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    discarded: Iterable[str] = ()
    generated: Iterable[str] = ()
    folder: str = ""
    recorded: Iterable[str] = ("*",)


def linker_script(layout: Layout, config: Config) -> str:
    """The script. The monitor's object is called monitor.o; the section of the policy may be in any."""
    monitor = f'"{layout.folder}monitor.o"'
    fill = f"=0x{GUARD.to_bytes(2, 'little').hex() * 2}"
    memory_end = MAIN_MEMORY_BASE + config.soc.memory_bytes
    guard = f"SHORT({GUARD:#x}) SHORT({GUARD:#x}) . = ALIGN({RANGE_ALIGN});"
    lines = [
        "OUTPUT_ARCH(riscv)",
        "ENTRY(monitor_reset)",
        "PHDRS {",
        *(f"  {name} PT_LOAD FLAGS({flags});" for name, flags in (
            ("monitor", 5), ("monitor_data", 6), ("text", 5), ("constants", 4), ("stack", 6), ("data", 6)
        )),
        "}",
        "SECTIONS {",
        f"  . = {MAIN_MEMORY_BASE:#x};",
        f"  .monitor.text : {{ {monitor}(.text.reset) {monitor}(.text .text.*) }} :monitor",
        f"  .monitor.rodata : {{ {monitor}(.rodata .rodata.* .srodata .srodata.*) }} :monitor",
        f"  {SECTION} : {{ KEEP(*({SECTION})) }} :monitor",
        f"  .monitor.data : ALIGN(16) {{ {monitor}(.data .data.* .sdata .sdata.*) }} :monitor_data",
        "  .monitor.bss (NOLOAD) : ALIGN(16) {",
        f"    __monitor_bss_start = .; {monitor}(.bss .bss.* .sbss .sbss.* COMMON) . = ALIGN(16);",
        f"    __monitor_bss_end = .; . += {MONITOR_STACK_BYTES}; __monitor_stack_top = .;",
        f"    __metadata_table = .; . += {8 * layout.table_entries};",
        "  } :monitor_data",
        f"  . = ALIGN({PAGE});",
        "  __user_text_start = .;",
    ]  # fmt: skip
    if config.core.xfides and config.core.xfides.crossings == "monitor":
        # Where callees of other compartments return to, which traps: it is in no range.
        lines += [
            f"  .text.gate : ALIGN({RANGE_ALIGN}) {{",
            f"    __crossing_gate = .; {guard}",
            f"  }} :text {fill}",
        ]
    for owner, sections in layout.owners.items():
        lines.append(f"  __{owner}_start = .;")
        sections = list(sections)
        if sections:
            lines += [f"  .text.{owner} : ALIGN({RANGE_ALIGN}) {{", *(f"    {one}" for one in sections)]
            lines += [f"    {guard}", f"  }} :text {fill}"]
        lines.append(f"  __{owner}_end = .;")
    lines += [*_constants(layout), *_data(layout, memory_end)]
    lines += [
        "  .riscv.attributes 0 : { *(.riscv.attributes) } :NONE",
        "  .comment 0 : { *(.comment) } :NONE",
        "  .rela.dyn : { *(.rela .rela.*) } :NONE",  # empty: nothing is relocated at run time
        *(
            f"  {name} 0 (INFO) : {{ {' '.join(f'KEEP({one}({name}))' for one in layout.recorded)} }} :NONE"
            for name in RECORD_SECTIONS
        ),
        *(f"  .debug_{name} 0 : {{ *(.debug_{name}) }} :NONE" for name in (
            "abbrev", "addr", "aranges", "frame", "info", "line", "line_str", "loc", "loclists", "macro",
            "names", "pubnames", "pubtypes", "ranges", "rnglists", "str", "str_offsets", "types",
        )),
        "  /DISCARD/ : {",
        "    *(.note.* .llvm_addrsig .eh_frame .eh_frame.* .gcc_except_table .gcc_except_table.*)",
        *(f"    {sections}" for sections in layout.discarded),
        *(f'    "{layout.folder}{name}"(.text)' for name in layout.generated),
        "  }",
        f'  ASSERT(__user_data_end <= {memory_end:#x}, "error: the image is too large")',
        "}",
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def _array(name: str) -> str:
    """Functions that the runtime calls at the start or the end; their order is their priorities'."""
    sections = f"KEEP(*(SORT_BY_INIT_PRIORITY(.{name}.*) .{name}))"
    return f"    PROVIDE_HIDDEN(__{name}_start = .); {sections} PROVIDE_HIDDEN(__{name}_end = .);"


def _constants(layout: Layout) -> list[str]:
    return [
        f"  . = ALIGN({PAGE});",
        "  __user_constants_start = .;",
        "  .rodata : {",
        "    *(.rodata .rodata.* .srodata .srodata.* .data.rel.ro .data.rel.ro.* .got .got.*)",
        "    . = ALIGN(8);",
        *(_array(name) for name in ("preinit_array", "init_array", "fini_array")),
        "  } :constants",
        *(f"  {name} : {{ {sections} }} :constants" for name, sections in layout.constants.items()),
        # What thread-local variables begin as: the runtime copies it.
        "  .tdata : { PROVIDE(__tdata_source = .); *(.tdata .tdata.*) PROVIDE(__tdata_source_end = .); } "
        ":constants",
        "  .tbss (NOLOAD) : { *(.tbss .tbss.* .tcommon) } :constants",
        "  PROVIDE(__tdata_size = SIZEOF(.tdata));",
        "  PROVIDE(__tls_align = MAX(ALIGNOF(.tdata), ALIGNOF(.tbss)));",
        "  PROVIDE(__tbss_offset = ALIGN(__tdata_size, ALIGNOF(.tbss)));",
        "  PROVIDE(__tbss_size = SIZEOF(.tbss));",
        "  PROVIDE(__tls_size = __tbss_offset + __tbss_size);",
    ]


def _data(layout: Layout, memory_end: int) -> list[str]:
    stack = layout.stack_bytes
    if layout.heap_bytes is None:
        heap = f"    . += MAX(ABSOLUTE(.), {memory_end:#x}) - ABSOLUTE(.);"
    else:
        heap = f"    . += {layout.heap_bytes};"
    return [
        f"  . = ALIGN({PAGE});",
        "  __user_data_start = .;",
        # Below it is what U-mode cannot write: a stack that grows too far is a fault.
        f"  .stack (NOLOAD) : {{ . += {stack}; __user_stack_top = .; PROVIDE(__stack = .); }} :stack",
        "  .data : { PROVIDE(__data_start = .); *(.data .data.* .sdata .sdata.*) . = ALIGN(16); } :data",
        *(f"  {name} : {{ {sections} . = ALIGN(16); }} :data" for name, sections in layout.data.items()),
        "  .bss (NOLOAD) : ALIGN(16) {",
        "    __user_bss_start = .; PROVIDE(__bss_start = .);",
        "    *(.bss .bss.* .sbss .sbss.* COMMON) . = ALIGN(16);",
        # One thread's variables, as the runtime makes them.
        "    PROVIDE(__tls_base = .); . += __tls_size; . = ALIGN(16);",
        "    __user_bss_end = .; PROVIDE(__bss_end = .);",
        "    __user_heap_start = .; PROVIDE(__heap_start = .);",
        heap,
        "    __user_heap_end = .; PROVIDE(__heap_end = .);",
        "  } :data",
        "  __user_data_end = .;",
    ]
