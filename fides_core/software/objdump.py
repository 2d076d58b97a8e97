"""Listings of images: Xfides instructions by name, addresses by compartment."""

from collections.abc import Iterator
from pathlib import Path

from fides_core.errors import UserError
from fides_core.isa.disassembler import disassemble

from .code import Step, jumps, sweep
from .image_file import ImageFile
from .policy_section import PolicySection, check_image
from .source_lines import SourceLines

__all__ = ["listing"]

_EXECUTABLE = 4  # sh_flags


def _place(image: ImageFile, address: int) -> str:
    function = image.function_at(address)
    if function is None:
        return f"{address:#x}"
    offset = address - function.address
    return f"{address:#x} <{function.name}{f'+{offset:#x}' if offset else ''}>"


def _lines(image: ImageFile, start: int, end: int, lines: SourceLines | None) -> Iterator[str]:
    code = image.bytes(start, end - start)
    repeated = 0  # what ranges are filled up with is shown once
    before: Step | None = None
    shown = None
    # Twice over the code: one iterator knows the targets of the other's jumps.
    targets = jumps(sweep(code, start, image.functions))
    target = next(targets, None)
    for step in sweep(code, start, image.functions):
        while target is not None and target.address < step.address:
            target = next(targets, None)
        for symbol in image.functions.get(step.address, ()):
            yield f"\n{step.address:08x} <{symbol.name}>:"
        if before is not None and before.bits == step.bits and step.address not in image.functions:
            repeated += 1
            if repeated == 2:
                yield "    ..."
            if repeated >= 2:
                continue
        else:
            repeated = 0
        before = step
        if lines is not None and (where := lines.at(step.address)) not in (None, shown):
            shown = where
            yield f"{where}:"
        text = disassemble(step.bits)
        if step.word is None:
            text = "illegal" if step.bits == 0 else f"{step.bits:#06x} is no instruction"
        elif target is not None and target.address == step.address:
            text += f"  # {_place(image, target.target)}"
        bits = f"{step.bits:0{2 * step.length}x}"
        yield f"  {step.address:08x}:  {bits:8}  {text}"


def _ranges(image: ImageFile, policy: PolicySection) -> Iterator[tuple[str, str, int, int]]:
    """(short name, heading, start, end) of the monitor's text and of every range."""
    for section in image.elf.iter_sections():
        start, end = section["sh_addr"], section["sh_addr"] + section["sh_size"]
        if section["sh_flags"] & _EXECUTABLE and end <= policy.header["text_start"] and start < end:
            yield "monitor", "the monitor", start, end
    rows = {row["name"]: row for row in policy.compartments}
    names = {row["cid"]: row["name"] for row in policy.compartments}
    for name, start, end in policy.ranges():
        if start == end:
            continue
        if name not in rows:
            yield name.replace(" ", "_"), name, start, end
            continue
        row = rows[name]
        allowed = [names[cid] for cid in sorted(names) if row["allowed"][cid // 64] >> cid % 64 & 1]
        calls = f", may call {', '.join(allowed)}" if allowed else ", may call no other"
        yield name, f"compartment {row['cid']} {name}{calls}", start, end


def listing(path: Path, *, only: str | None = None, source: bool = False) -> Iterator[str]:
    """The lines of the listing of the image at ``path``, made as they are taken.

    ``only``: a compartment's name, complete_fluid, restricted_fluid or monitor; ``source``: with the source
    lines that DWARF has. Raises UserError, before the first line, when it is no image or has no such range.
    """
    policy = check_image(path)
    image = ImageFile.read(path)
    ranges = [one for one in _ranges(image, policy) if only in (None, one[0])]
    if not ranges:
        known = ", ".join(dict.fromkeys(name for name, *_ in _ranges(image, policy)))
        raise UserError(f"{path}: there is no code in {only}; there are {known}")

    def lines() -> Iterator[str]:
        sources = SourceLines(image) if source else None
        yield f"{path.name}: {policy.header['name']}, begins at {_place(image, policy.header['entry'])}"
        for _, heading, start, end in ranges:
            yield f"\n{start:08x}..{end:08x} {heading}"
            yield from _lines(image, start, end, sources)

    return lines()
