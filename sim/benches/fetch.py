"""Bench of the fetch stage: what it delivers must be what memory holds along the path that execute decides.

Memory is random halfwords that look like 16- and 32-bit instructions. Execute is modelled here: which
instructions are branches, and where they go, is a function of their address and of how often they were met.
Nothing of the predictor is modelled: its guesses may only cost cycles.
"""

import cocotb

from fides_core.core.pmp import AddressMatch

from .common import Coverage, Unit, by_lane, differs, seeded, setting

BASE = 0x8000_0000
BYTES = 1 << 12
FORBIDDEN = BASE + BYTES - 64  # from here on, the PMP entry forbids execution
LIMIT = 400  # cycles without an instruction

REQUIRED = [
    "16 bits", "32 bits", "32 bits across two groups", "branch taken", "branch not taken", "redirect",
    "followed a taken branch", "fault", "fault in the second half", "bus error", "far target", "stall",
    "redirect while a response is due",
]  # fmt: skip


class Program:
    """``halfwords``: memory; ``branch``: what execute makes of an instruction."""

    def __init__(self, random):
        self.random = random
        self.halfwords = []
        while len(self.halfwords) < BYTES // 2:
            if random.random() < 0.5:
                self.halfwords.append(random.getrandbits(14) << 2 | random.randrange(3))
            else:
                self.halfwords += [random.getrandbits(14) << 2 | 3, random.getrandbits(16)]
        self.halfwords[(FORBIDDEN - 2 - BASE) // 2] |= 3  # straddles the border
        self.branches = {}
        self.visits = {}

    def word(self, address: int) -> int:
        """The 8 bytes at a multiple of 8."""
        at = (address - BASE) // 2 % (BYTES // 2)
        return sum(self.halfwords[(at + i) % (BYTES // 2)] << 16 * i for i in range(4))

    def halfword(self, address: int) -> int:
        return self.halfwords[(address - BASE) // 2 % (BYTES // 2)]

    def length(self, address: int) -> int:
        return 4 if self.halfword(address) & 3 == 3 else 2

    def branch(self, pc: int):
        """None, or (kind, target, period): taken but for every period-th time."""
        if pc not in self.branches:
            random = self.random
            kind = random.choice([None, None, None, "branch", "branch", "jump", "call", "ret"])
            target = BASE + 2 * random.randrange((FORBIDDEN - BASE) // 2)
            if random.random() < 0.5:
                target = max(BASE, min(pc + 2 * random.randrange(-16, 16), FORBIDDEN - 2))
            if random.random() < 0.05:
                target = random.choice([FORBIDDEN, FORBIDDEN - 2, FORBIDDEN + 6, BASE - 8, 0x1000])
            if random.random() < 0.01:
                target |= 1 << random.randrange(32, 64)
            self.branches[pc] = kind and (kind, target, random.choice([1, 2, 3, 8, 50]))
        return self.branches[pc]


@cocotb.test()
async def delivers_what_memory_holds(dut):
    unit, random = Unit(dut), seeded()
    predicting = bool(setting("PREDICTING", 1))
    coverage = Coverage([what for what in REQUIRED if predicting or what != "followed a taken branch"])
    program = Program(random)
    # Entry 0 lets everything below FORBIDDEN execute, the others are off: nothing else matches U-mode.
    entry = by_lane(FORBIDDEN >> 2) << 6 | AddressMatch.TOR << 3 | 0b111
    await unit.reset(
        bus__gnt=0, bus__rvalid=0, bus__rdata=0, bus__err=0, redirect=0, redirect_target=0, machine=0,
        d_ready=0, pmp=entry,
        **{f"resolution__{name}": 0 for name in RESOLUTION if predicting or name != "snapshot"},
    )  # fmt: skip

    expected = 0x1000  # where execution stands; the reset vector is outside memory: the bus answers err
    due = None  # (cycle, address) of the response under way
    executing = None  # the instruction that execute holds
    trapping = 0
    idle = instructions = mistakes = 0
    slow, lazy = 0.0, 0.0
    for cycle in range(setting("CYCLES", 10_000)):
        if cycle % 1000 == 0:
            slow, lazy = random.choice([0, 0, 0.3, 0.8]), random.choice([0, 0, 0.3, 0.7])
            if random.random() < 0.3:  # code changes: what the predictor knows is wrong
                for pc in random.sample(sorted(program.branches), len(program.branches) // 2):
                    del program.branches[pc]

        # Bus: a response that is due, and whether a request is accepted.
        respond = due is not None and cycle >= due[0]
        gnt = random.random() >= slow
        values = {"bus__rvalid": 0, "bus__err": random.getrandbits(1), "bus__rdata": random.getrandbits(64)}
        if respond:
            address = due[1]
            error = not BASE <= address < BASE + BYTES
            values = {"bus__rvalid": 1, "bus__err": error, "bus__rdata": program.word(address)}
        unit.set(bus__gnt=gnt, **values)

        # Execute: where does the instruction there go, and does fetch know?
        redirect, target = 0, 0
        resolution = {name: 0 for name in RESOLUTION}
        if trapping:
            trapping -= 1
            if not trapping:
                redirect, target = 1, BASE + 2 * random.randrange((FORBIDDEN - BASE) // 2)
                expected = target
        elif random.random() < 0.004:  # an interrupt
            trapping = 2
        elif executing:
            pc, snapshot = executing
            link = pc + program.length(pc)
            branch = program.branch(pc)
            taken = False
            target = 0
            if branch:
                kind, target, period = branch
                program.visits[pc] = visits = program.visits.get(pc, 0) + 1
                taken = kind != "branch" or visits % period != 0
                coverage.hit("branch taken" if taken else "branch not taken")
                for name in ("call", "ret"):
                    resolution[name] = kind == name
                resolution["branch"] = kind == "branch"
                resolution["jump"] = kind != "branch"
            expected = target if taken else link
            wrong = expected != unit.get("d_pc")
            if taken and not wrong:
                coverage.hit("followed a taken branch")
            if expected >> 32:
                coverage.hit("far target")
            resolution |= {
                "valid": 1, "kept": 1, "pc": pc % (1 << 32) >> 1,
                "link": link % (1 << 32) >> 1, "target": target % (1 << 32) >> 1, "taken": taken,
                "wrong": wrong, "snapshot": snapshot,
            }  # fmt: skip
            if wrong:
                redirect, target = 1, expected
                mistakes += 1
        if redirect:
            coverage.hit("redirect")
            if due is not None and not respond:
                coverage.hit("redirect while a response is due")
        d_ready = not trapping and random.random() >= lazy
        unit.set(redirect=redirect, redirect_target=target, d_ready=d_ready)
        for name, value in resolution.items():
            if predicting or name != "snapshot":
                unit.set(**{f"resolution__{name}": value})
        await unit.settle()

        # What decode takes.
        executing = None
        idle += 1
        if not d_ready:
            coverage.hit("stall")
        if d_ready and unit.get("d_valid") and not redirect:
            pc, insn, link = unit.get("d_pc"), unit.get("d_insn"), unit.get("d_link")
            high = unit.get("d_pc_high")
            differs("address", expected, high << 32 | pc)
            idle = 0
            instructions += 1
            inside = lambda address: BASE <= address & ~7 < BASE + BYTES and address < FORBIDDEN  # noqa: E731
            if high:
                trapping = 3
            elif not inside(pc):
                differs("fault", 1, unit.get("d_fault"))
                differs("second half", 0, unit.get("d_fault_second"))
                coverage.hit("fault" if pc >= BASE else "bus error")
                trapping = 3
            elif program.length(pc) == 4 and not inside(pc + 2):
                differs("fault", 1, unit.get("d_fault"))
                differs("second half", 1, unit.get("d_fault_second"))
                differs("address of the fault", pc + 2, link)
                coverage.hit("fault in the second half")
                trapping = 3
            else:
                differs("fault", 0, unit.get("d_fault"))
                length = program.length(pc)
                differs("link", pc + length, link)
                differs("low half", program.halfword(pc), insn & 0xFFFF)
                coverage.hit(f"{8 * length} bits")
                if length == 4:
                    differs("high half", program.halfword(pc + 2), insn >> 16)
                    if pc % 8 == 6:
                        coverage.hit("32 bits across two groups")
                executing = (pc, unit.get("d_snapshot") if predicting else 0)
        assert idle < LIMIT, f"nothing for {LIMIT} cycles, at {expected:#x}"

        if unit.get("bus__req") and gnt:
            address = unit.get("bus__addr")
            differs("alignment", 0, address % 8)
            assert due is None or respond, "a second request under way"
            latency = 1 if random.random() >= slow else random.randrange(1, 8)
            due = (cycle + latency, address)
        elif respond:
            due = None
        await unit.clock()

    dut._log.info(f"{instructions} instructions, {mistakes} wrong predictions")
    assert instructions > setting("CYCLES", 10_000) // 6
    coverage.check(dut._log)


RESOLUTION = (
    "valid", "kept", "pc", "link", "target", "taken", "branch", "jump", "call", "ret", "wrong", "snapshot",
)  # fmt: skip
