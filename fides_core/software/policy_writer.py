"""A policy as the text of a TOML file."""

import json
from collections.abc import Iterable

from .policy import Compartment, Policy

__all__ = ["policy_text"]


def _list(key: str, texts: Iterable[str]) -> list[str]:
    """One line, or one for each text when there are many. JSON's strings are TOML's, too."""
    quoted = [json.dumps(str(text), ensure_ascii=False) for text in texts]
    line = f"{key} = [{', '.join(quoted)}]"
    if len(line) <= 100:
        return [line]
    return [f"{key} = [", *(f"    {text}," for text in quoted), "]"]


def _compartment(compartment: Compartment) -> list[str]:
    lines = ["", f"[compartments.{compartment.name}]", f"id = {compartment.cid}"]
    if compartment.sources or not compartment.functions:
        lines += _list("sources", compartment.sources)
    if compartment.functions:
        lines += _list("functions", compartment.functions)
    if compartment.entries is not None:
        lines += _list("entries", compartment.entries)
    if compartment.calls:
        lines += _list("calls", compartment.calls)
    return lines


def policy_text(policy: Policy, comment: str) -> str:
    """The file that ``Policy.load`` reads as ``policy``, sizes of memory left out. ``comment``: its first
    line."""
    lines = [f"# {comment}", f"name = {json.dumps(policy.name)}"]
    if policy.rest is not None:
        lines.append(f"rest = {json.dumps(str(policy.rest))}")
    entry = {"function": policy.entry, "compartment": policy.entry_compartment}
    if any(entry.values()):
        lines += ["", "[entry]"]
        lines += [f"{key} = {json.dumps(str(value))}" for key, value in entry.items() if value is not None]
    for compartment in policy.compartments:
        lines += _compartment(compartment)
    fluid = {
        "complete": policy.complete_fluid,
        "restricted": policy.restricted_fluid,
        "complete_functions": policy.complete_functions,
        "restricted_functions": policy.restricted_functions,
    }
    if any(fluid.values()):
        lines += ["", "[fluid]"]
        for key, texts in fluid.items():
            if texts:
                lines += _list(key, texts)
    return "\n".join([*lines, ""])
