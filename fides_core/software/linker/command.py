"""The command ``fides ld``."""

import sys
from pathlib import Path

from fides_core.errors import UserError
from fides_core.software.toolchain import run_tool

from .arguments import LinkArguments, parse_arguments
from .calls import denied_calls, unused_permissions
from .link import link
from .objects import ObjectFile

__all__ = ["run_command"]


def _relocatable(arguments: LinkArguments) -> None:
    """One object of several. What is built with landing pads and what is not must stay apart."""
    flags: dict[bool, str] = {}
    for item in arguments.inputs:
        path = Path(item.text)
        if item.file and path.suffix == ".o":
            instrumented = ObjectFile(path).flags is not None
            flags.setdefault(instrumented, item.text)
    if len(flags) == 2:
        raise UserError(f"{flags[True]} has landing pads, {flags[False]} has none: they cannot be one object")
    texts = [item.text for item in arguments.inputs]
    search = [f"-L{folder}" for folder in arguments.search]
    run_tool("ld", "-r", *arguments.passed, *search, *texts, "-o", arguments.output)


def run_command(words: list[str]) -> int:
    """Links as the command line ``words`` says; returns the exit code. Raises UserError.

    Warnings go to standard error, one a line.
    """
    arguments = parse_arguments(words)
    if arguments.version:
        # Build systems look for the linker's kind in the first line.
        print(f"{run_tool('ld', '--version').splitlines()[0]}, fides ld")
        return 0
    if not any(item.file or item.text.startswith("-l") for item in arguments.inputs):
        raise UserError("there are no input files")
    if arguments.relocatable:
        _relocatable(arguments)
        return 0
    linked = link(arguments)
    warnings = list(linked.placement.warnings)
    if arguments.policy is not None:
        warnings += unused_permissions(linked.policy, linked)
        if linked.config.core.xfides:
            warnings += denied_calls(linked)
    for warning in warnings:
        print(f"fides: warning: {warning}", file=sys.stderr)
    return 0
