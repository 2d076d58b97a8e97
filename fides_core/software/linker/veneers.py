"""Landing pads for restricted fluid code that was built without them: a pad and a jump for each function that
others use. The function itself is renamed, so that their references find the veneer."""

from collections.abc import Sequence
from pathlib import Path

from fides_core.isa.assembler import landing_pad
from fides_core.software.toolchain import Compiler, run_tool

from .objects import NOTE_PADS
from .placement import RESTRICTED, LinkedObject, Placement
from .references import Uses

__all__ = ["BODY", "add_veneers", "needs_veneers"]

BODY = "__fides_body_"
OBJECT = "veneers"


def needs_veneers(item: LinkedObject) -> bool:
    """Whether the object's code has no pads of its own."""
    return not (item.file.flags or 0) & NOTE_PADS


def add_veneers(
    objects: Sequence[LinkedObject], placement: Placement, uses: Uses, compiler: Compiler
) -> tuple[str | None, list[str]]:
    """Renames, in the copies of objects that lie in the compiler's folder, what needs veneers, and assembles
    these. Returns the name of their object, None when there are none, and the functions that have one."""
    names: list[str] = []
    for number, item in enumerate(objects):
        if RESTRICTED not in placement.of_object(number) or not needs_veneers(item):
            continue
        mine = [
            function.name
            for function in item.file.functions
            if function.visible
            and placement.owners.get((number, function.section)) == RESTRICTED
            and uses.entry((number, function.section, function.offset))
        ]
        if mine:
            renames = [f"--redefine-sym={name}={BODY}{name}" for name in mine]
            copy = compiler.work / item.link_name
            contents = copy.read_bytes()
            copy.unlink()  # it may be a link to the user's file
            Path(copy).write_bytes(contents)
            run_tool("objcopy", *renames, item.link_name, work=compiler.work)
            names += mine
    if not names:
        return None, []
    lines = []
    for name in names:
        lines += [
            f'  .section .text.veneer.{name}, "ax"', "  .balign 4", f"  .globl {name}",
            f"  .type {name}, @function", f"{name}:", f"  {landing_pad(0)}", f"  tail {BODY}{name}",
            f"  .size {name}, . - {name}",
        ]  # fmt: skip
    (compiler.work / f"{OBJECT}.s").write_text("\n".join([*lines, ""]))
    return compiler.assemble(OBJECT), names
