"""The command ``fides ld``."""

import sys

from fides_core.errors import UserError
from fides_core.software.toolchain import run_tool

from .arguments import parse_arguments
from .calls import denied_calls, unused_permissions
from .link import link

__all__ = ["run_command"]


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
        texts = [item.text for item in arguments.inputs]
        search = [f"-L{folder}" for folder in arguments.search]
        run_tool("ld", "-r", *arguments.passed, *search, *texts, "-o", arguments.output)
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
