"""Random programs of compartments for lockstep runs, as the contents of memory, from a seed.

Compartments, restricted and complete fluid code are made of functions that compute, access memory through
fat pointers, call each other and functions that they were handed, return, end in tail calls, install handlers
and unwind to them. Most calls are legal; some are not, and some code jumps anywhere, forges return addresses
and pointers, or misuses the instructions of the extension. Where fuel is used up, functions return. The
monitor is in ``episode_monitor``.
"""

import random
from dataclasses import dataclass, field

from fides_core.config import CoreConfig
from fides_core.isa.csrs import XfidesCSR
from fides_core.isa.xfides import RANGE_ALIGN, PadKind, checkcap, pack_pointer
from fides_core.soc.memory_map import MAIN_MEMORY_BASE

from .episode_monitor import (
    CHAIN,
    CODE,
    CODE_BYTES,
    DATA,
    DATA_BYTES,
    FUEL,
    GLOBAL,
    LEAST_MEMORY,
    MULTIPLIER,
    RANDOM,
    SYSTEM_CALL,
    SYSTEM_CALLS,
    Episode,
    Layout,
    monitor_segments,
)
from .label_code import LabelCode
from .random_words import compressed

__all__ = ["CompartmentProgram", "generate_compartments"]

_RA, _SP = 1, 2
_T0, _T1, _T2 = 5, 6, 7
_CALLBACK = 10
_VALUES = (11, 12, 13, 14, 15, 16, 17, 9)
_POINTERS = (20, 21, 22, 23, 24, 25)
_FRAME = 48
_FRAME_RA, _FRAME_MARK, _FRAME_CALLBACK, _FRAME_PAD, _FRAME_CHAIN = 0, 8, 16, 24, 32

_REGISTER_OPERATIONS = ("add", "sub", "xor", "or", "and", "sltu", "mul", "addw", "srl", "sll", "div", "remu")
_IMMEDIATE_OPERATIONS = ("addi", "xori", "andi", "ori", "sltiu", "addiw")
_LOADS, _STORES = {"ld": 8, "lw": 4, "lhu": 2, "lb": 1}, {"sd": 8, "sw": 4, "sh": 2, "sb": 1}
_ILLEGAL = 0x0000_000B | 3 << 30  # checkcap of a kind that does not exist

_EPISODES = 64  # different ones, that take turns


@dataclass(frozen=True)
class CompartmentProgram:
    """``segments``: (offset in bytes from the start of the main memory, contents); all else must be 0 at the
    start."""

    seed: int
    segments: tuple[tuple[int, bytes], ...]


@dataclass
class _Place:
    """A compartment, or fluid code (``cid`` None, ``restricted`` or not): what it is, and its functions."""

    name: str
    cid: int | None
    restricted: bool = False
    functions: list[str] = field(default_factory=list)
    padded: list[str] = field(default_factory=list)  # those that others may enter


class _Program:
    def __init__(self, seed: int, core: CoreConfig, instructions: int):
        self.draw = random.Random(seed)
        self.seed = seed
        self.core = core
        self.instructions = instructions
        self.code = LabelCode(CODE)
        self._labels = 0
        #: Labels of tables of functions, which stand behind the code that uses them.
        self.tables: list[tuple[str, list[str]]] = []

    # Layout

    def make(self) -> CompartmentProgram:
        draw, numbers = self.draw, self.core.xfides.compartments
        self.wild = draw.choice((0.0, 0.003, 0.01, 0.03))  # of what goes wrong, in each block of code
        count = min(draw.choice((2, 3, 4, 6, 9)), numbers)
        cids = draw.sample(range(numbers), count)
        self.compartments = [_Place(f"c{cid}", cid) for cid in cids]
        self.restricted = _Place("restricted", None, restricted=True)
        self.fluid = _Place("fluid", None)
        dense = draw.choice((0.5, 0.8, 1.0))
        self.allowed = {
            cid: frozenset(other for other in cids if other != cid and draw.random() < dense) for cid in cids
        }
        places = [*self.compartments, self.restricted, self.fluid]
        for place in places:
            fluid = place.cid is None
            for i in range(draw.randrange(0 if fluid and draw.random() < 0.1 else 2, 4 if fluid else 6)):
                name = f"{place.name}.{i}"
                place.functions.append(name)
                if draw.random() < 0.9:
                    place.padded.append(name)
        # Restricted fluid ends where complete fluid begins; compartments lie before and behind, in any order.
        draw.shuffle(self.compartments)
        split = draw.randrange(count + 1)
        order = [*self.compartments[:split], self.restricted, self.fluid, *self.compartments[split:]]
        ranges, bounds = {}, {}
        for place in order:
            self.code.align(RANGE_ALIGN)
            start = self.code.at
            for name in place.functions:
                self.function(place, name)
            if place.cid is not None or place.functions:
                self.stub(place)
            code = self.code
            code.align(8)
            for table, targets in self.tables:
                code.label(table)
                for target in targets:
                    code.pointer(target)
            self.tables.clear()
            self.code.align(RANGE_ALIGN)
            bounds[place.name] = start, self.code.at
            if place.cid is not None:
                ranges[place.cid] = start, self.code.at
        contents = self.code.contents()
        if len(contents) > CODE_BYTES:
            raise ValueError(f"{len(contents)} bytes of code are more than {CODE_BYTES}")
        capacity = self.core.xfides.shadow_stack_entries
        layout = Layout(
            restricted_fluid=bounds["restricted"][0],
            fluid=bounds["fluid"][0],
            fluid_end=bounds["fluid"][1],
            ranges=ranges,
            allowed=self.allowed,
            spill=draw.choice((1, capacity // 4, capacity // 2, capacity)),
            refill=draw.choice((1, 3, capacity // 4, capacity // 2, capacity)),
            seed=draw.getrandbits(32),
            locked=draw.random() < 0.5,
        )
        data = b"".join(self.datum().to_bytes(8, "little") for _ in range(DATA_BYTES // 8))
        segments = [
            *monitor_segments(self.core, layout, self.episodes(), self.instructions),
            (CODE - MAIN_MEMORY_BASE, contents),
            (DATA - MAIN_MEMORY_BASE, data),
        ]
        return CompartmentProgram(self.seed, tuple(segments))

    def episodes(self) -> list[Episode]:
        draw, labels = self.draw, self.code.labels
        episodes = []
        for _ in range(_EPISODES):
            place = draw.choice(self.compartments)
            fuel = draw.choice((20, 100, 300, 700, 1200, 2000))
            inside = draw.choice(place.functions)
            episodes.append(Episode(labels[inside], place.cid, labels[f"{place.name}.stub"], fuel))
        return episodes

    def datum(self) -> int:
        draw = self.draw
        if draw.random() < 0.5:
            return draw.getrandbits(64)
        address = DATA + 8 * draw.randrange(DATA_BYTES // 8)
        return pack_pointer(address, draw.randrange(0x400), draw.randrange(256))

    # Code

    def fresh(self) -> str:
        """A new label."""
        self._labels += 1
        return f".{self._labels}"

    def stub(self, place: _Place) -> None:
        """Where episodes return to."""
        self.code.label(f"{place.name}.stub")
        self.code.op("addi", rd=SYSTEM_CALL)
        self.code.op("ecall")

    def pad(self, place: _Place, name: str, kind: PadKind) -> None:
        draw = self.draw
        self.code.align(4)
        self.code.label(name)
        cid = place.cid or 0
        if kind is PadKind.HANDLER:
            cid = draw.choice((cid, 0))
        elif name not in place.padded:
            return
        elif draw.random() < 4 * self.wild:  # a wrong one
            cid = draw.choice([draw.randrange(256), *(other.cid for other in self.compartments)])
        elif draw.random() < 0.03:
            kind = PadKind.LOCAL
        self.code.word(checkcap(cid, kind))

    def function(self, place: _Place, name: str) -> None:
        """A function: pad, frame, some blocks, and one of the ways out."""
        draw, code = self.draw, self.code
        self.pad(place, name, PadKind.ENTRY)
        leave = self.fresh()
        if draw.random() < 0.15:
            self.blocks(place, leave, draw.randrange(3), calls=False)
            self.leave(place)
            code.label(leave)
            return
        self.add_sp(-_FRAME)
        code.op("sd", rs1=_SP, rs2=_RA, imm=_FRAME_RA)
        code.op("sd", rs1=_SP, rs2=_CALLBACK, imm=_FRAME_CALLBACK)
        marks = draw.random() < 0.5
        if marks:
            code.op("csrrs", rd=_T0, csr=XfidesCSR.FMARK)
            code.op("sd", rs1=_SP, rs2=_T0, imm=_FRAME_MARK)
        if draw.random() < 0.3:
            self.guarded(place, leave)
        else:
            self.blocks(place, leave, draw.randrange(2, 7))
        code.label(leave)
        if marks:
            code.op("ld", rd=_T0, rs1=_SP, imm=_FRAME_MARK)
            code.op("csrrw", rs1=_T0, csr=XfidesCSR.FMARK)
        code.op("ld", rd=_RA, rs1=_SP, imm=_FRAME_RA)
        self.add_sp(_FRAME)
        self.leave(place)

    def add_sp(self, amount: int) -> None:
        if self.draw.random() < 0.5:
            self.code.word(compressed("addi16sp", imm=amount))
        else:
            self.code.op("addi", rd=_SP, rs1=_SP, imm=amount)

    def leave(self, place: _Place) -> None:
        """Return, or go on in another function in the place of this one."""
        draw, code = self.draw, self.code
        if draw.random() < 0.2 and (target := self.target(place)):
            over = self.fresh()
            code.op("addi", rd=FUEL, rs1=FUEL, imm=-1)
            code.jump("bge", over, rs2=FUEL)
            if draw.random() < 0.3:
                code.jump("jal", target)
            else:
                self.choose(place, target)
                code.op("jalr", rs1=_T1)
            code.label(over)
        if draw.random() < self.wild:
            rd, rs1 = (draw.choice((_RA, _SP)) for _ in range(2))
            code.op("addi", rd=rd, rs1=rs1, imm=draw.choice((-16, -4, 2, 4)))
        if draw.random() < 0.5:
            code.word(compressed("jr", rs1=_RA))
        else:
            code.op("jalr", rs1=_RA)

    def guarded(self, place: _Place, leave: str) -> None:
        """Blocks under a handler of their own."""
        draw, code = self.draw, self.code
        handler = self.fresh()
        out = self.fresh()
        code.address(_T0, handler)
        code.op("arm", rs1=_T0)
        code.op("sd", rs1=_SP, rs2=_T0, imm=_FRAME_PAD)
        code.op("sd", rs1=_SP, rs2=CHAIN, imm=_FRAME_CHAIN)
        code.op("addi", rd=CHAIN, rs1=_SP)
        self.blocks(place, out, draw.randrange(1, 6))
        code.label(out)
        code.op("ld", rd=CHAIN, rs1=_SP, imm=_FRAME_CHAIN)
        code.op("disarm")
        code.jump("jal", leave)
        self.pad(place, handler, PadKind.HANDLER)
        code.op("ld", rd=CHAIN, rs1=_SP, imm=_FRAME_CHAIN)
        self.blocks(place, leave, draw.randrange(2))

    def target(self, place: _Place) -> str | None:
        """A function that code of ``place`` calls; most often it may."""
        draw = self.draw
        anywhere = [*self.compartments, self.restricted, self.fluid]
        if draw.random() < self.wild:
            return self.pick([name for other in anywhere for name in other.functions])
        legal = place.functions[:2]
        if place.cid is not None:
            for other in anywhere:
                if other.cid is None or other.cid in self.allowed[place.cid]:
                    legal += 4 * other.padded
        elif not place.restricted:
            legal += self.restricted.padded
        else:
            legal += self.fluid.padded
        return self.pick(legal)

    def pick(self, names: list[str]) -> str | None:
        return self.draw.choice(names) if names else None

    def blocks(self, place: _Place, leave: str, count: int, calls: bool = True) -> None:
        draw = self.draw
        for _ in range(count):
            kinds = [self.compute, self.access, self.point, self.system_call]
            weights = [3, 2, 4, 0.7]
            if calls:
                kinds += [self.call, self.call_back, self.throw]
                weights += [6, 2, 0.4] if place.cid is not None else [2, 5, 0.4]
            over = self.sometimes() if draw.random() < 0.75 else None
            if draw.random() < self.wild:
                self.misuse(place, leave)
            else:
                draw.choices(kinds, weights)[0](place, leave)
            if over:
                self.code.label(over)

    def sometimes(self) -> str:
        """A jump over what follows to the label that is returned, or not, by chance."""
        code, over = self.code, self.fresh()
        code.op("srli", rd=_T0, rs1=RANDOM, imm=self.draw.randrange(40, 60))
        code.op("andi", rd=_T0, rs1=_T0, imm=self.draw.choice((1, 1, 2, 3)))
        code.jump(self.draw.choice(("beq", "bne")), over, rs1=_T0)
        return over

    def burn(self, leave: str) -> None:
        """Use up fuel; ``leave`` when there is none. And a new random number."""
        self.code.op("addi", rd=FUEL, rs1=FUEL, imm=-1)
        self.code.op("mul", rd=RANDOM, rs1=RANDOM, rs2=MULTIPLIER)
        self.code.op("addi", rd=RANDOM, rs1=RANDOM, imm=1013)
        self.code.jump("bge", leave, rs2=FUEL)

    def compute(self, place: _Place, leave: str) -> None:
        draw, code = self.draw, self.code
        for _ in range(draw.randrange(1, 4)):
            rd, rs1, rs2 = (draw.choice(_VALUES) for _ in range(3))
            if draw.random() < 0.5:
                code.op(draw.choice(_REGISTER_OPERATIONS), rd=rd, rs1=rs1, rs2=rs2)
            elif draw.random() < 0.5:
                code.op(draw.choice(_IMMEDIATE_OPERATIONS), rd=rd, rs1=rs1, imm=draw.randrange(-2048, 2048))
            else:
                code.word(compressed("addi", rd=rd, imm=draw.choice((-3, 1, 7))))

    def system_call(self, place: _Place, leave: str) -> None:
        """One that returns."""
        self.code.op("addi", rd=SYSTEM_CALL, imm=self.draw.choice(SYSTEM_CALLS))
        self.code.op("ecall")

    def access(self, place: _Place, leave: str) -> None:
        draw, code = self.draw, self.code
        pointer = draw.random() < 0.05
        base = draw.choice(_POINTERS) if pointer else GLOBAL
        if draw.random() < 0.5:
            name, size = draw.choice(list(_LOADS.items()))
            code.op(name, rd=draw.choice(_VALUES), rs1=base, imm=size * draw.randrange(256 // size))
        else:
            name, size = draw.choice(list(_STORES.items()))
            # Not where pointers that were loaded point to: that may be code's frames.
            at = size * draw.randrange(1024 // size)
            code.op(name, rs1=GLOBAL, rs2=draw.choice(_VALUES + _POINTERS), imm=at)

    def point(self, place: _Place, leave: str) -> None:
        """Something with fat pointers: mostly an object that is used, and dies."""
        draw, code = self.draw, self.code
        if draw.random() < 0.6:
            self.use_object()
            return
        rd, rs1 = draw.choice(_POINTERS), draw.choice(_POINTERS)
        value = draw.choice(_VALUES)
        kind = draw.randrange(8)
        if kind == 0:  # on the stack zone
            code.op("addi", rd=_T1, rs1=GLOBAL, imm=8 * draw.randrange(128))
            code.op("addi", rd=_T2, imm=draw.choice((0, 1, 8, 24, 64, 500)))
            code.op("mint", rd=rd, rs1=_T1, rs2=_T2)
        elif kind == 1:  # on the heap
            code.op("addi", rd=_T1, rs1=GLOBAL, imm=8 * draw.randrange(128))
            code.op("addi", rd=_T2, imm=draw.randrange(1, 24))  # an index
            code.op("slli", rd=_T2, rs1=_T2, imm=32)
            code.op("addi", rd=_T2, rs1=_T2, imm=draw.choice((1, 8, 24, 64)))
            code.op("mint", rd=rd, rs1=_T1, rs2=_T2)
        elif kind == 2:
            code.op("revoke", rs1=rs1)
        elif kind == 3:
            code.op("addi", rd=_T2, imm=draw.choice((0, 0, 1, 4, 8, 20, 60, -8, 300)))
            self.val(rd, rs1, _T2)
        elif kind == 4:
            offset = draw.choice((0, 0, 0, 1, 4, 16, 63, -1, 200))
            code.op(f"vali.{1 << draw.randrange(5)}", rs1=rs1, imm=offset)
        elif kind == 5:
            code.op("addi", rd=_T2, imm=draw.choice((8, -8, 1, 16)))
            code.op("ptradd", rd=rd, rs1=rs1, rs2=_T2)
        elif kind == 6:  # through memory
            at = 8 * draw.randrange(32)
            code.op("sd", rs1=GLOBAL, rs2=rs1, imm=at)
            code.op("ld", rd=rd, rs1=GLOBAL, imm=at)
        elif draw.random() < 0.5:  # stale, forged or no pointers at all
            code.op("ld", rd=rd, rs1=GLOBAL, imm=8 * draw.randrange(128))
        else:
            code.op("addi", rd=_T2, imm=draw.choice((1, 4)))
            code.op("slli", rd=_T2, rs1=_T2, imm=draw.choice((32, 36, 40, 44)))
            code.op("add", rd=rd, rs1=rs1, rs2=_T2)
        if draw.random() < 0.3:
            self.val(value, draw.choice(_POINTERS), 0)
            code.op("lbu", rd=draw.choice(_VALUES), rs1=value)

    def use_object(self) -> None:
        draw, code = self.draw, self.code
        pointer, size = draw.choice(_POINTERS), 8 * draw.randrange(1, 9)
        heap = draw.random() < 0.4
        code.op("addi", rd=_T1, rs1=GLOBAL, imm=8 * draw.randrange(128))
        code.op("addi", rd=_T2, imm=size)
        if heap:
            code.op("addi", rd=_T0, imm=draw.randrange(1, 24))
            code.op("slli", rd=_T0, rs1=_T0, imm=32)
            code.op("or", rd=_T2, rs1=_T2, rs2=_T0)
        code.op("mint", rd=pointer, rs1=_T1, rs2=_T2)
        for _ in range(draw.randrange(3)):
            length = draw.choice((1, 2, 4, 8))
            at = length * draw.randrange(size // length)
            if draw.random() < 0.5:
                code.op(f"vali.{length}", rs1=pointer, imm=at)
                load = {1: "lb", 2: "lh", 4: "lw", 8: "ld"}[length]
                code.op(load, rd=draw.choice(_VALUES), rs1=pointer, imm=at)
            else:
                code.op("addi", rd=_T2, imm=at)
                code.op(f"val.{length}", rd=_T1, rs1=pointer, rs2=_T2)
                store = {1: "sb", 2: "sh", 4: "sw", 8: "sd"}[length]
                code.op(store, rs1=_T1, rs2=draw.choice(_VALUES))
        if heap and draw.random() < 0.8:
            code.op("revoke", rs1=pointer)

    def val(self, rd: int, rs1: int, rs2: int) -> None:
        self.code.op(f"val.{self.draw.choice((1, 1, 2, 4, 8, 16))}", rd=rd, rs1=rs1, rs2=rs2)

    def call(self, place: _Place, leave: str) -> None:
        draw, code = self.draw, self.code
        target = self.target(place)
        if target is None:
            return
        self.burn(leave)
        if place.cid is not None and draw.random() < 0.7:
            code.address(_CALLBACK, self.draw.choice(place.padded or place.functions))
        if draw.random() < 0.3:
            code.jump("jal", target, rd=_RA)
        else:
            self.choose(place, target)
            for _ in range(draw.randrange(2)):
                self.compute(place, leave)
            if draw.random() < 0.5:
                code.word(compressed("jalr", rs1=_T1))
            else:
                code.op("jalr", rd=_RA, rs1=_T1)

    def choose(self, place: _Place, target: str) -> None:
        """Put the address of ``target``, or of another function that takes its turn, into a register."""
        draw, code = self.draw, self.code
        if draw.random() < 0.3:
            code.address(_T1, target)
            return
        table = self.fresh()
        self.tables.append((table, [target, *(self.target(place) for _ in range(3))]))
        code.address(_T1, table)
        code.op("srli", rd=_T0, rs1=RANDOM, imm=self.draw.randrange(40, 59))
        code.op("andi", rd=_T0, rs1=_T0, imm=24)
        code.op("add", rd=_T1, rs1=_T1, rs2=_T0)
        code.op("ld", rd=_T1, rs1=_T1)

    def call_back(self, place: _Place, leave: str) -> None:
        """Call the function that this one was handed."""
        self.burn(leave)
        self.code.op("ld", rd=_CALLBACK, rs1=_SP, imm=_FRAME_CALLBACK)
        self.code.op("jalr", rd=_RA, rs1=_CALLBACK)

    def throw(self, place: _Place, leave: str) -> None:
        """Unwind to the youngest handler, if there is one."""
        code, over = self.code, self.fresh()
        code.jump("beq", over, rs1=CHAIN)
        self.burn(leave)
        code.op("addi", rd=_SP, rs1=CHAIN)
        register = self.draw.choice((_T0, _RA))  # longjmp returns to the handler
        code.op("ld", rd=register, rs1=_SP, imm=_FRAME_PAD)
        code.op("jalr", rs1=register)
        code.label(over)

    def misuse(self, place: _Place, leave: str) -> None:
        """What no compiler would emit."""
        draw, code = self.draw, self.code
        kind = draw.randrange(8)
        if kind < 3:  # jump anywhere
            self.burn(leave)
            code.address(_T1, draw.choice(list(code.labels)))
            code.op("addi", rd=_T1, rs1=_T1, imm=2 * draw.randrange(-4, 24))
            code.op("jalr", rd=draw.choice((0, _RA)), rs1=_T1)
        elif kind == 3:
            code.op("disarm")
        elif kind == 4:
            code.op("arm", rs1=draw.choice((_T0, _RA, *_POINTERS)))
        elif kind == 5:
            code.word(_ILLEGAL)
        elif kind == 6:
            code.op("csrrw", rd=_T0, rs1=draw.choice(_VALUES), csr=XfidesCSR.FMARK)
        else:
            code.op("csrrs", rd=_T0, csr=XfidesCSR.SSDEPTH)  # not for U-mode


def generate_compartments(
    seed: int, core: CoreConfig, memory_bytes: int = 1 << 20, instructions: int = 100_000
) -> CompartmentProgram:
    """A program for ``core``, which has compartments and fat pointers, that executes about ``instructions``
    instructions; the same one for the same arguments. It survives external interrupts at any time.

    Raises ValueError when the memory is smaller than 512 KiB, or when ``core`` lacks a unit.
    """
    if memory_bytes < LEAST_MEMORY:
        raise ValueError(f"compartment programs need {LEAST_MEMORY} bytes of main memory, not {memory_bytes}")
    if not (core.xfides and core.xfides.compartments and core.xfides.fat_pointers):
        raise ValueError("compartment programs need compartments and fat pointers")
    return _Program(seed, core, instructions).make()
