"""Who calls whom: the scenarios by which the authors of FIDES test their crossings, and some more.

A scenario is a chain of functions, each of which calls the next. Places are compartments 1, 2, 3, restricted
fluid code and complete fluid code.
"""

from ..isa.causes import ControlFlowFault as Fault

__all__ = ["CALL_SCENARIOS", "FLUID", "RESTRICTED", "TO_2"]

#: Places of fluid code, as the authors of FIDES number them.
RESTRICTED, FLUID = 254, 255
#: What most scenarios allow: pairs of caller and callee.
TO_2 = {(1, 2)}
#: Name, places in the order of the calls, what the matrix allows, and the fault that stops the last call or
#: None.
CALL_SCENARIOS = [
    ("to itself", [1, 1], (), None),
    ("to an allowed one", [1, 2], TO_2, None),
    ("to a denied one", [1, 2], (), Fault.DENIED),
    ("the other way round", [1, 2], {(2, 1)}, Fault.DENIED),
    ("through complete fluid to itself", [1, 255, 1], (), None),
    ("through complete fluid to an allowed one", [1, 255, 2], TO_2, None),
    ("through complete fluid to a denied one", [1, 255, 2], (), Fault.DENIED),
    ("through complete fluid twice", [1, 255, 255, 2], TO_2, None),
    ("through restricted fluid to itself", [1, 254, 1], (), None),
    ("through restricted fluid to an allowed one", [1, 254, 2], TO_2, Fault.RESTRICTED),
    ("through restricted fluid to a denied one", [1, 254, 2], (), Fault.RESTRICTED),
    ("through restricted fluid twice", [1, 254, 254, 1], (), None),
    ("255-254 to itself", [1, 255, 254, 1], (), None),
    ("255-254 to an allowed one", [1, 255, 254, 2], TO_2, Fault.RESTRICTED),
    ("254-255 to itself", [1, 254, 255, 1], (), None),
    ("laundering: 254-255 to an allowed one", [1, 254, 255, 2], TO_2, Fault.RESTRICTED),
    ("254-1-255 to itself", [1, 254, 1, 255, 1], (), None),
    ("254-1-255 to an allowed one", [1, 254, 1, 255, 2], TO_2, None),
    ("254-1-255 to a denied one", [1, 254, 1, 255, 2], (), Fault.DENIED),
    ("254-1 to an allowed one", [1, 254, 1, 2], TO_2, None),
    ("two steps", [1, 2, 3], {(1, 2), (2, 3)}, None),
    ("two steps, for which the first has the permission", [1, 2, 3], {(1, 2), (1, 3)}, Fault.DENIED),
    ("back into the first", [1, 2, 1], {(1, 2), (2, 1)}, None),
    ("through the callee's fluid code", [1, 2, 255, 3], {(1, 2), (2, 3)}, None),
    ("through the callee's fluid code, with the caller's permission", [1, 2, 255, 3], {(1, 2), (1, 3)},
     Fault.DENIED),
]  # fmt: skip
