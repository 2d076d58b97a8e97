"""The access matrix of a policy, drawn as text and as SVG."""

from xml.sax.saxutils import escape

from .policy import Compartment, Policy

__all__ = ["matrix_svg", "matrix_text"]

_CELL, _CHARACTER, _FONT = 24, 7.5, 12  # pixels; the width of a character of the font is about that


def _mark(caller: Compartment, callee: Compartment) -> str:
    if caller.name == callee.name:
        return "-"
    return "x" if callee.name in caller.calls else "."


def matrix_text(policy: Policy) -> str:
    """Callers are rows, callees columns: x may call, . may not, - is the compartment itself."""
    compartments = policy.compartments
    width = max(len(one.name) for one in compartments)
    ids = max(3, *(len(str(one.cid)) for one in compartments))
    lines = [" " * (ids + 1 + width) + "  " + "  ".join(f"{one.cid:>{ids}}" for one in compartments)]
    for caller in compartments:
        marks = "  ".join(f"{_mark(caller, callee):>{ids}}" for callee in compartments)
        lines.append(f"{caller.cid:>{ids}} {caller.name:<{width}}  {marks}")
    for what, names in (
        ("complete fluid", (*policy.complete_fluid, *policy.complete_functions)),
        ("restricted fluid", (*policy.restricted_fluid, *policy.restricted_functions)),
    ):
        if names:
            lines.append(f"{what}: {', '.join(names)}")
    return "\n".join(lines)


def matrix_svg(policy: Policy) -> str:
    """The same as a drawing, with the names above the columns, too."""
    compartments = policy.compartments
    margin = round(max(len(f"{one.cid} {one.name}") for one in compartments) * _CHARACTER) + 12
    side = margin + _CELL * len(compartments) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{side}" height="{side}" viewBox="0 0 {side} {side}" '
        f'font-family="sans-serif" font-size="{_FONT}">',
        f"<title>{escape(policy.name)}: rows may call columns</title>",
        f'<rect width="{side}" height="{side}" fill="#ffffff"/>',
    ]
    for number, one in enumerate(compartments):
        label, middle = escape(f"{one.cid} {one.name}"), margin + _CELL * number + _CELL / 2
        parts.append(f'<text x="{margin - 6}" y="{middle + 4}" text-anchor="end">{label}</text>')
        parts.append(f'<text transform="translate({middle + 4} {margin - 6}) rotate(-90)">{label}</text>')
    colours = {"x": "#1b7837", ".": "#f2f2f2", "-": "#bdbdbd"}
    for row, caller in enumerate(compartments):
        for column, callee in enumerate(compartments):
            mark = _mark(caller, callee)
            x, y = margin + _CELL * column, margin + _CELL * row
            verb = {"x": "may call", ".": "may not call", "-": "is"}[mark]
            parts.append(
                f'<rect x="{x}" y="{y}" width="{_CELL}" height="{_CELL}" fill="{colours[mark]}" '
                f'stroke="#ffffff"><title>{escape(f"{caller.name} {verb} {callee.name}")}</title></rect>'
            )
    return "\n".join([*parts, "</svg>", ""])
