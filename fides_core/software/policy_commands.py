"""The commands ``fides policy infer``, ``show`` and ``import``."""

import os
from pathlib import Path
from typing import Annotated

import typer

# What reads objects is imported by the commands that use it: it takes a while, and --help should not.

__all__ = ["policy_app"]

policy_app = typer.Typer(help="Write, draw and import policies.", rich_markup_mode=None)

NameOption = Annotated[str, typer.Option(help="Name of the program in the policy.")]
OutOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write there (default: standard output)."),
]


def _write(text: str, output: Path | None) -> None:
    from fides_core.errors import UserError

    if output is None:
        print(text, end="" if text.endswith("\n") else "\n")
        return
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        partial.write_text(text)
        partial.replace(output)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"{output}: {error.strerror or error}") from None


@policy_app.command()
def infer(
    objects: Annotated[list[Path], typer.Argument(metavar="OBJECT...", help="Objects and archives.")],
    name: NameOption = "program",
    members: Annotated[
        bool, typer.Option("--members", help="Each member of an archive is a compartment of its own.")
    ] = False,
    output: OutOption = None,
) -> None:
    """Write a starting policy from the program's call graph.

    Each object and each archive becomes a compartment that may call those whose functions it refers to; what
    has no landing pads becomes complete fluid. Tighten it by hand.
    """
    from .linker.infer import infer_policy
    from .policy_writer import policy_text

    policy = infer_policy(objects, name, members=members)
    _write(policy_text(policy, "Made by fides policy infer: what the objects refer to is allowed."), output)


@policy_app.command()
def show(
    policy: Annotated[Path, typer.Argument(metavar="POLICY", help="The policy's TOML file.")],
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the drawing there instead of the text.")
    ] = None,
) -> None:
    """Draw the access matrix: callers are rows, callees columns."""
    from .policy import Policy
    from .policy_matrix import matrix_svg, matrix_text

    loaded = Policy.load(policy)
    if svg is None:
        print(matrix_text(loaded))
    else:
        _write(matrix_svg(loaded), svg)


@policy_app.command("import")
def import_(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help=".cap files, and lists of caller:callee.")
    ],
    name: NameOption = "program",
    output: OutOption = None,
) -> None:
    """Make a policy of FIDES's files.

    In a .cap file a line is function:number, the function's compartment, 254 restricted and 255 complete
    fluid; in any other file caller:callee, a call that is allowed.
    """
    from .policy_import import import_policy
    from .policy_writer import policy_text

    _write(policy_text(import_policy(files, name), "Made by fides policy import."), output)
