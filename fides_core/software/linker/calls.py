"""What a program calls against what its policy allows: direct calls that would be denied, permissions that
nothing uses."""

from collections.abc import Iterator
from dataclasses import dataclass

from fides_core.isa.xfides import PadKind, pad_fields
from fides_core.software.code import jumps, sweep
from fides_core.software.policy import Policy
from fides_core.software.source_lines import SourceLines

from .link import Linked
from .placement import COMPLETE, RESTRICTED

__all__ = ["CallSite", "call_sites", "denied_calls", "unused_permissions"]


@dataclass(frozen=True)
class CallSite:
    """A direct call, or jump, from one range to another: from ``caller`` at ``address``, in ``function``, to
    ``target`` in ``callee``; ``line``: of the source, if known."""

    address: int
    caller: str
    function: str
    callee: str
    target: str
    target_address: int
    line: str | None

    def __str__(self) -> str:
        where = f"{self.line}, " if self.line else ""
        return (
            f"{where}{self.address:#x} in {self.function}: {self.caller} calls {self.target} of {self.callee}"
        )


def _ranges(linked: Linked) -> list[tuple[str, int, int]]:
    at = linked.image.addresses
    return [(owner, at[f"__{owner}_start"], at[f"__{owner}_end"]) for owner in linked.policy.owners()]


def call_sites(linked: Linked) -> Iterator[CallSite]:
    """All direct jumps between ranges, by address within each range."""
    image = linked.image
    ranges = _ranges(linked)
    lines = SourceLines(image)
    for caller, start, end in ranges:
        if start == end:
            continue
        for jump in jumps(sweep(image.bytes(start, end - start), start, image.functions)):
            if start <= jump.target < end:
                continue
            callee = next((owner for owner, low, high in ranges if low <= jump.target < high), None)
            if callee is None:
                continue  # an absent weak function
            function, target = image.function_at(jump.address), image.function_at(jump.target)
            yield CallSite(
                jump.address,
                caller,
                function.name if function else "?",
                callee,
                target.name if target else f"{jump.target:#x}",
                jump.target,
                lines.at(jump.address),
            )


def denied_calls(linked: Linked) -> Iterator[str]:
    """A line for each direct call that faults whenever it is executed."""
    allowed = {one.name: set(one.calls) for one in linked.policy.compartments}
    for site in call_sites(linked):
        if site.caller == COMPLETE or site.callee == COMPLETE:
            continue  # judged by who calls the fluid code
        pad = pad_fields(linked.image.word(site.target_address))
        if site.caller in allowed and site.callee in allowed and site.callee not in allowed[site.caller]:
            yield f"{site}, which the policy denies"
        elif pad is None or pad[1] != PadKind.ENTRY:
            yield f"{site}, which is no entry point"
        elif site.caller == RESTRICTED:
            yield f"{site}, which only code called by {site.callee} may do"


def unused_permissions(policy: Policy, linked: Linked) -> Iterator[str]:
    """A line for each call that the policy allows and of which the program has no sign."""
    for compartment in policy.compartments:
        for callee in compartment.calls:
            if callee != compartment.name and (compartment.name, callee) not in linked.uses.between:
                yield (
                    f"{policy.path}:{callee.line}: {compartment.name} may call {callee}, but nothing in it "
                    f"refers to a function of {callee}"
                )
