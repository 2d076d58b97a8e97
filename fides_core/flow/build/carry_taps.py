"""Carries that are used outside their chain, for nextpnr-xilinx.

Yosys uses the carry outputs of CARRY4 as other signals where that saves logic: of x ^ (x + 1) it makes the
carries. The part can do so, but nextpnr-xilinx ends a chain at each such carry and goes on through general
wires, 1.5 ns a bit. Sum and carry into a bit tell each other, O = S ^ CI, so here a LUT makes that carry of O
and S, and the chain stays whole.
"""

from collections import defaultdict
from typing import Any

__all__ = ["tap_carries"]

_CARRY_IN = ("CI", "CYINIT")


def tap_carries(module: dict[str, Any]) -> int:
    """Have users of carries inside a chain, other than the chain, take them from LUTs; returns how many LUTs.

    ``module``: a flat module of a netlist as Yosys writes it in JSON, with the cells of 7-series parts. It is
    changed. A carry at the end of a chain stays: nextpnr-xilinx leads it out by a bit more of the chain.
    """
    cells = module["cells"]
    users: dict[int, list[tuple[str, str, int]]] = defaultdict(list)
    highest = max((b for p in module["ports"].values() for b in p["bits"] if isinstance(b, int)), default=1)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            for index, bit in enumerate(bits):
                if not isinstance(bit, int):
                    continue
                highest = max(highest, bit)
                if cell["port_directions"][port] != "output":
                    users[bit].append((name, port, index))

    def in_chain(user: tuple[str, str, int]) -> bool:
        return cells[user[0]]["type"] == "CARRY4" and user[1] in _CARRY_IN

    def new_bit(name: str) -> int:
        nonlocal highest
        highest += 1
        module["netnames"][name] = {"hide_name": 1, "bits": [highest], "attributes": {}}
        return highest

    luts = 0
    for name, cell in list(cells.items()):
        if cell["type"] != "CARRY4":
            continue
        for index, carry in enumerate(cell["connections"].get("CO", [])):
            taken = [user for user in users[carry] if not in_chain(user)] if isinstance(carry, int) else []
            if not taken:
                continue
            if index < 3:
                following, bit = cell, index + 1
                above = [b for port in ("O", "CO") for b in cell["connections"].get(port, [])[bit:]]
                if not any(users[b] for b in above if isinstance(b, int)):
                    continue
            else:
                bit = 0
                following = next((cells[user[0]] for user in users[carry] if user[1] == "CI"), None)
                if following is None or following["type"] != "CARRY4":
                    continue
            connections = following["connections"]
            sums = connections.setdefault("O", ["x"] * 4)
            following["port_directions"]["O"] = "output"
            if not isinstance(sums[bit], int):
                sums[bit] = new_bit(f"{name}$sum{index}")
            tap = new_bit(f"{name}$carry{index}")
            cells[f"{name}$tap{index}"] = {
                "hide_name": 1,
                "type": "LUT2",
                "parameters": {"INIT": "0110"},
                "attributes": {},
                "port_directions": {"I0": "input", "I1": "input", "O": "output"},
                "connections": {"I0": [sums[bit]], "I1": [connections["S"][bit]], "O": [tap]},
            }
            luts += 1
            for user, port, place in taken:
                cells[user]["connections"][port][place] = tap
            users[carry] = [user for user in users[carry] if in_chain(user)]
            users[tap] = taken
            users[sums[bit]].append((f"{name}$tap{index}", "I0", 0))
    return luts
