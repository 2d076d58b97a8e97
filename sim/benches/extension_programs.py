"""Random programs for the bench of the security extension: what user code and the monitor execute.

The stream of instructions does not follow the addresses: as far as the extension is concerned, an attacker
may execute anything anywhere.
"""

from fides_core.config import XfidesConfig
from fides_core.core.control import SecurityOp
from fides_core.isa.causes import ControlFlowFault, ExceptionCause
from fides_core.isa.csrs import Comctl, Comsel, FidesContext, XfidesCSR
from fides_core.isa.xfides import ZONE_ALIGN, pack_entry, pack_pointer, unpack_entry

from .common import DOUBLE, WORD, seeded
from .extension_judge import CODE, TABLE_OPS, VALS, Instruction, Judge, Op

__all__ = ["TABLE", "Programs"]

#: How often user code has each operation.
WEIGHTS = {
    Op.NONE: 25, Op.ENTRY_PAD: 28, Op.LOCAL_PAD: 10, Op.HANDLER_PAD: 6, Op.RETURN: 18, Op.ARM: 9,
    Op.DISARM: 4, Op.MINT: 6, Op.REVOKE: 4, Op.PTRADD: 2,
} | {op: 6 / len(VALS) for op in VALS}  # fmt: skip
PAGE = 64
TABLE = 0x9000_0000
READABLE = sorted(set(XfidesCSR))


class Programs(Judge):
    """The next instruction of a program, each judged when it is made. ``lock``: how likely the monitor sets
    LOCK when it writes comctl."""

    def __init__(self, config: XfidesConfig, late: bool):
        super().__init__(config, late)
        self.random = seeded()
        self.interrupt_line = False
        self.comcause_before = 0  # before the instruction that was judged last
        self.lock = 0.0
        self.routine: list = []  # the rest of what the monitor does
        self.weights = WEIGHTS | {op: 15 / len(VALS) for op in VALS if late}
        self.monitor_memory: dict[int, object] = {}
        self.stacks = [0x8010_0000 + 16 * i for i in range(6)]
        self.links = [CODE + 4 * i for i in range(1, 7)]
        self.cids: list[int] = []

    @property
    def ahead(self) -> Instruction | None:
        """The instruction in the memory stage."""
        raise NotImplementedError

    def page_in(self, start: int, end: int) -> int:
        """A 4-byte aligned address in a range, often its first or last, now and then just outside."""
        rnd = self.random
        if start >= end:
            return start
        choice = rnd.random()
        if choice < 0.2:
            return start
        if choice < 0.3:
            return end - 4
        if choice < 0.32:
            return end & WORD
        if choice < 0.34:
            return start - 4 & WORD
        return rnd.randrange(start, end, 4)

    def somewhere(self) -> int:
        state, rnd = self.state, self.random
        choice = rnd.randrange(10)
        if choice < 4:
            return self.page_in(state.current_start, state.current_end)
        if choice < 5:
            return self.page_in(state.fluid_start, state.fluid_end)
        if choice < 6:
            return self.page_in(state.restricted_fluid_start, state.fluid_start)
        if choice < 9:
            cid = rnd.choice(self.cids)
            return self.page_in(state.range_start[cid], state.range_end[cid])
        return rnd.choice([CODE + rnd.randrange(0, PAGE * 40, 4), rnd.getrandbits(30) << 2])

    def entry_elsewhere(self) -> int:
        """An address that the access matrix allows to call, if one is found."""
        state, rnd = self.state, self.random
        for _ in range(4):
            cid = rnd.choice(self.cids)
            if not state.restricted and state.allowed[state.currcom] >> cid & 1:
                break
        return self.page_in(state.range_start[cid], state.range_end[cid])

    def at_home(self) -> int:
        """An address where execution goes on, if one is found."""
        state, rnd = self.state, self.random
        for _ in range(12):
            pc = self.somewhere()
            if state.restricted and rnd.random() < 0.5:
                pc = self.page_in(state.restricted_fluid_start, state.fluid_start)
            if state.home(pc) or rnd.random() < 0.01:
                break
        return pc

    def owner(self, pc: int) -> int:
        state, rnd = self.state, self.random
        owners = [cid for cid in self.cids if state.range_start[cid] <= pc < state.range_end[cid]]
        if owners and rnd.random() < 0.93:
            return rnd.choice(owners)
        return rnd.choice([rnd.choice(self.cids), rnd.randrange(256)])

    def wider(self, value: int, probability=0.03) -> int:
        return value | 1 << self.random.randrange(32, 64) if self.random.random() < probability else value

    def entry_like(self):
        """(ra, sp), often those of the top."""
        state, rnd = self.state, self.random
        ra, sp = rnd.choice(self.links), rnd.choice(self.stacks)
        if state.ssdepth != state.ssbase:
            top = state.entry(state.ssdepth - 1)
            choice = rnd.random()
            if choice < 0.55:
                ra, sp = top.ra, top.sp
            elif choice < 0.65:
                ra = top.ra
            elif choice < 0.75:
                sp = top.sp
        return ra, sp

    def operation(self, op: SecurityOp | None = None) -> Instruction:
        """Some instruction, or one of an operation, in whatever mode the hart is."""
        rnd, state = self.random, self.state
        given = op is not None
        if not given:
            op = rnd.choices(list(WEIGHTS), None if self.model_machine else self.weights.values())[0]
        if not given and rnd.random() < 0.8:
            # What would only fault.
            armed = any(state.entry(n).kind for n in range(state.ssbase, state.ssdepth))
            top_armed = state.ssdepth != state.ssbase and state.entry(state.ssdepth - 1).kind
            if (op == Op.HANDLER_PAD and not armed) or (op == Op.DISARM and not top_armed):
                op = Op.NONE
        i = Instruction(op, cid=rnd.randrange(256), rs1=rnd.getrandbits(64), rs2=rnd.getrandbits(64))
        i.total, i.target = i.rs1 + i.rs2 & DOUBLE, rnd.getrandbits(64)
        i.size = rnd.randrange(5)
        i.pc = self.at_home()
        if op in (Op.ENTRY_PAD, Op.LOCAL_PAD):
            i.pc = self.somewhere() if rnd.random() < 0.5 else self.entry_elsewhere()
            i.cid = self.owner(i.pc)
            i.rs1, i.rs2 = self.entry_like() if rnd.random() < 0.3 else (
                rnd.choice(self.links), rnd.choice(self.stacks)
            )  # fmt: skip
            i.rs1 = self.wider(i.rs1)
            i.rs2 = self.wider(i.rs2)
            i.target = i.rs1
        elif op == Op.RETURN:
            i.rs1, i.rs2 = (self.wider(value) for value in self.entry_like())
            i.rs1 ^= rnd.choices([0, 1, 2], [50, 5, 1])[0]
            i.target = i.rs1 & ~1
            i.misaligned = bool(i.target & 2)
        elif op == Op.ARM:
            i.rs1, i.rs2 = self.wider(self.at_home()), self.wider(rnd.choice(self.stacks))
            i.target = i.rs1
        elif op == Op.DISARM:
            i.rs1 = i.target = 0
        elif op == Op.HANDLER_PAD:
            armed = [n for n in range(state.ssbase, state.ssdepth) if state.entry(n).kind]
            i.rs2 = self.wider(rnd.choice(self.stacks))
            if armed and rnd.random() < 0.85:
                # Mostly a recent one, or nothing is left soon.
                number = armed[-min(len(armed), rnd.choice([1, 1, 2, 3, 16]))]
                i.pc, i.rs2 = state.entry(number).ra, self.wider(state.entry(number).sp)
            i.target = i.pc
        elif op in TABLE_OPS or op == Op.PTRADD:
            self.operands(i)
        elif rnd.random() < 0.05:
            i.illegal = True
            i.pc = self.somewhere() if rnd.random() < 0.5 else i.pc
        elif rnd.random() < 0.2:
            i.access = True
            i.access_error = not self.model_machine and rnd.random() < 0.1
        elif rnd.random() < 0.1:
            i.long = rnd.randrange(1, 6)
        if op in {Op.NONE, Op.MINT} | VALS and rnd.random() < 0.03:
            i.pc = self.somewhere()
        i.pc &= WORD & ~3
        if not self.model_machine and rnd.random() < 0.01:
            i.op, i.illegal, i.misaligned, i.access, i.long = Op.NONE, False, False, False, 0
            i.fetch_fault = True
        return i

    def operands(self, i: Instruction) -> None:
        """Operands of the fat-pointer instructions."""
        rnd, pointers = self.random, self.pointers
        live = [n for n in range(1, 192) if self.table.get(pointers.entry_address(n), 0) >> 8 & 0xFFFFFF]
        mark = pointers.mark.value
        limits = [pointers.stack_base, mark - 1, mark, pointers.stack_end - 1, pointers.stack_end]
        index = rnd.choice([*(live if i.op != Op.MINT else ()), *range(16), *limits]) & 0xFFFF
        if rnd.random() < 0.08:
            index = rnd.randrange(3, 7)
        base, size, cookie = unpack_entry(self.table.get(pointers.entry_address(index), 0))
        if i.op == Op.MINT:
            size = rnd.choice([1, 8, 40, 40, 1 << 24]) if rnd.random() < 0.9 else 0
            base = 0x8020_0000 + rnd.randrange(256)
            i.rs1 = base | rnd.getrandbits(32) << 32
            i.rs2 = size | rnd.choice([0, index]) << 32 | rnd.getrandbits(16) << 48
            i.total = i.rs1 + i.rs2 & DOUBLE
            return
        if rnd.random() < 0.08:
            cookie ^= 1 << rnd.randrange(8)
        offset = rnd.choice([0, 0, 0, size - (1 << i.size)])
        if rnd.random() < (0.3 if self.late else 0.05):
            offset = rnd.choice([size - (1 << i.size) + 1, -1])
        shift = rnd.randrange(-8, 8)
        i.rs1 = pack_pointer(
            base + (0 if i.op == Op.REVOKE and offset == 0 else offset - shift), index, cookie
        )
        i.total = i.rs1 + (0 if i.op == Op.REVOKE else shift) & DOUBLE

    def next_instruction(self, follows: int | None) -> Instruction:
        """The instruction that enters execute now; the model has judged it. The one right behind a landing
        pad stands at ``follows``, any other anywhere."""
        rnd = self.random
        if self.traps_ahead:
            i = self.place(self.behind_a_trap(), follows)
            i.interrupt = self.interrupt_line
            i.wrong_path = True
            if i.interrupt:
                i.csr = None
                i.op, i.illegal, i.misaligned, i.access, i.long = Op.NONE, False, False, False, 0
            return i
        if self.model_machine:
            i = self.routine.pop(0)
        elif self.interrupt_line:
            i = Instruction(interrupt=True, pc=self.somewhere())
        elif rnd.random() < 0.04:
            mark = self.state.mark.value
            value = rnd.choice([None, mark - 1, mark, mark + 1, rnd.getrandbits(64), 64, mark - 1 | 1 << 40])
            i = Instruction(csr=XfidesCSR.FMARK, csr_value=None if value is None else value & DOUBLE)
            i.pc = self.at_home() & ~3
        else:
            i = self.operation()
        i = self.place(i, follows)
        self.comcause_before = self.csrs.comcause
        i.expected = self.judge(i)
        if not i.early and i.expected.cause is None:
            state = self.state
            self.in_fluid = state.fluid_start <= i.pc < state.fluid_end
        if i.mret:
            self.model_machine = False
        return i

    def behind_a_trap(self) -> Instruction:
        """Any instruction; behind a val every kind often, and a write of fmark."""
        rnd, ahead = self.random, self.ahead
        if not (self.late and ahead is not None and ahead.op in VALS and rnd.random() < 0.9):
            return self.operation()
        choice = rnd.random()
        if choice < 0.08:
            mark = max(self.state.mark.value - 1, 0)
            return Instruction(csr=XfidesCSR.FMARK, csr_value=mark, pc=self.at_home() & ~3)
        if choice < 0.16:
            return Instruction(access=True, pc=self.at_home() & ~3)
        if choice < 0.24:
            return Instruction(illegal=True, pc=self.at_home() & ~3)
        if choice < 0.32:
            self.interrupt_line = True
        return self.operation(rnd.choice([*Op, *VALS, *VALS]))

    def place(self, i: Instruction, address: int | None) -> Instruction:
        """The instruction at another address."""
        if address is not None:
            i.pc = address
            if i.op in (Op.ENTRY_PAD, Op.LOCAL_PAD):
                i.cid = self.owner(i.pc)
            elif i.op == Op.HANDLER_PAD:
                i.target = i.pc
        return i

    # Monitor

    def register(self, csr: XfidesCSR, value: int | None = None) -> Instruction:
        return Instruction(csr=csr, csr_value=value, pc=0x1000)

    def window(self, number: int, item: int, value: int | None = None) -> list[Instruction]:
        return [self.register(XfidesCSR.COMSEL, number | item << 16), self.register(XfidesCSR.COMDATA, value)]

    def look(self, numbers) -> list[Instruction]:
        result = []
        for number in numbers:
            for item in (Comsel.ENTRY_RA, Comsel.ENTRY_SP, Comsel.ENTRY_CONTEXT):
                result += self.window(number, item)
        return result

    def monitor(self) -> list[Instruction]:
        """What machine mode does about a trap, and mret."""
        rnd, state = self.random, self.state
        result = []
        held = state.ssdepth - state.ssbase
        reason = self.csrs.comcause if self.trapped == ExceptionCause.CONTROL_FLOW else 0
        if reason == ControlFlowFault.SHADOW_OVERFLOW and held:
            count = rnd.randint(1, held)
            numbers = range(state.ssbase, state.ssbase + count)
            for number in numbers:
                self.monitor_memory[number] = state.entry(number)
            result += self.look(self.random.sample(numbers, 1))
            result.append(self.register(XfidesCSR.SSBASE, state.ssbase + count))
            self.coverage.hit("spill")
        elif reason == ControlFlowFault.SHADOW_UNDERFLOW:
            count = rnd.randint(1, min(state.ssbase, rnd.choice([1, 3, 3, state.capacity])))
            result.append(self.register(XfidesCSR.SSBASE, state.ssbase - count))
            for number in range(state.ssbase - count, state.ssbase):
                entry = self.monitor_memory.get(number)
                ra, sp, kind = rnd.choice(self.links), rnd.choice(self.stacks), rnd.getrandbits(1)
                word = rnd.choice(self.cids) | kind << FidesContext.KIND | 70 << FidesContext.FMARK
                if entry:
                    ra, sp = entry.ra, entry.sp
                    word = (
                        entry.cid
                        | entry.restricted << FidesContext.RESTRICTED
                        | entry.kind << FidesContext.KIND
                        | entry.fmark << FidesContext.FMARK
                    )
                # The bits between kind and fmark are not kept, nor those of a cid that is too high.
                word |= rnd.getrandbits(6) << 10 | rnd.getrandbits(8) & -state.compartments & 0xFF
                result += self.window(number, Comsel.ENTRY_RA, ra | rnd.getrandbits(32) << 32)
                result += self.window(number, Comsel.ENTRY_SP, sp)
                result += self.window(number, Comsel.ENTRY_CONTEXT, word)
            self.coverage.hit("refill")
        choice = rnd.random()
        if choice < 0.06:
            # The stack anew, or all of it spilled.
            depth = rnd.choice([0, 0, held, 3, state.ssdepth])
            if rnd.random() < 0.1:
                depth = 0xFFFF - rnd.randrange(3)
            result.append(self.register(XfidesCSR.SSBASE, depth))
            result.append(self.register(XfidesCSR.SSDEPTH, depth))
        elif choice < 0.15:
            result += [self.register(csr) for csr in rnd.sample(READABLE, 4)]
        elif choice < 0.25:
            result += [self.operation() for _ in range(rnd.randrange(1, 4))]
        if rnd.random() < 0.3:
            context = rnd.choice(self.cids) | (rnd.random() < 0.2) << 8
            result.append(self.register(XfidesCSR.CURRCOM, context | rnd.getrandbits(20) << 9))
        if rnd.random() < 0.04:
            result += self.reconfigure()
        if rnd.random() < 0.2:
            mark = rnd.choice([64, 66, 68, self.pointers.stack_end, self.pointers.stack_end - 1, 60])
            result.append(self.register(XfidesCSR.FMARK, mark))
        # Enables, seldom LOCK.
        if rnd.random() < (0.3 if self.csrs.compartments_enabled and self.csrs.pointers_enabled else 0.7):
            enables = rnd.choices([3, 1, 2, 0], [20, 1, 1, 1])[0]
            lock = rnd.random() < self.lock
            value = enables | lock << Comctl.LOCK | rnd.getrandbits(20) << 8
            result.append(self.register(XfidesCSR.COMCTL, value))
        if rnd.random() < 0.1:
            result.append(self.register(XfidesCSR.COMCAUSE, rnd.getrandbits(64)))
        if rnd.random() < 0.1:
            result.append(self.register(XfidesCSR.COOKIESEED, rnd.getrandbits(64)))
        for _ in range(rnd.randrange(2)):
            index = rnd.choice([*range(1, 16), *range(64, 72)])
            entry = pack_entry(0x8020_0000, rnd.choice([0, 1, 8, 24]), rnd.randrange(1, 256))
            self.table[self.pointers.entry_address(index)] = entry
        result.append(Instruction(mret=True, pc=0x1000))
        for instruction in result:
            instruction.access_error = False
        return result

    def reconfigure(self) -> list[Instruction]:
        """New ranges, policy, fluid code and zones; the context is written afterwards (contract notes)."""
        rnd, state, result = self.random, self.state, []
        page = 1
        order = rnd.sample(self.cids, len(self.cids))
        for cid in order:
            start = CODE + PAGE * page + rnd.choice([0, 0, 0, -PAGE])
            page += rnd.choice([0, 1, 2, 3])
            if rnd.random() < 0.3:
                low, high = rnd.getrandbits(6) | rnd.getrandbits(32) << 32, rnd.getrandbits(6)
                result += self.window(cid, Comsel.RANGE_START, start | low)
                result += self.window(cid, Comsel.RANGE_END, CODE + PAGE * page | high)
            if rnd.random() < 0.2:
                for word in range((state.compartments + 63) // 64):
                    result += self.window(
                        cid, Comsel.MATRIX_WORD0 + word, rnd.getrandbits(64) | rnd.getrandbits(64)
                    )
        if rnd.random() < 0.3:
            number = rnd.randrange(1 << 16)
            result += self.window(number, rnd.choice([6, 7, 11, 15]), rnd.getrandbits(64))
        if rnd.random() < 0.6:
            for csr in (XfidesCSR.PARCOMPCSTART, XfidesCSR.ANYCOMPCSTART, XfidesCSR.ANYCOMPCEND):
                page += rnd.randrange(4)
                result.append(self.register(csr, CODE + PAGE * page | rnd.getrandbits(6)))
        if rnd.random() < 0.6:
            # The bits below the granularity and above the register are not kept.
            end = rnd.choice([128, 128, 192, 64, 0xFFC0])
            for csr, bound in ((XfidesCSR.FSTACKBASE, 64), (XfidesCSR.FSTACKEND, end)):
                upper = rnd.getrandbits(48) << 16
                result.append(self.register(csr, bound | rnd.randrange(ZONE_ALIGN) | upper))
            result.append(self.register(XfidesCSR.FIDESMETADATABASE, TABLE | rnd.getrandbits(3)))
        context = rnd.choice(self.cids) | rnd.getrandbits(1) << 8
        result.append(self.register(XfidesCSR.CURRCOM, context))
        return result
