"""Bench of the fat-pointer validator: every instruction in an execute and a memory stage like the core's,
against the golden model, with a metadata table behind a bus that delays, refuses and fails."""

import cocotb

from fides_core.core.control import SecurityOp
from fides_core.isa.causes import ExceptionCause, MemoryFault
from fides_core.isa.csrs import XfidesCSR
from fides_core.isa.xfides import ZONE_ALIGN, pack_entry, pack_pointer, unpack_entry, unpack_pointer
from fides_core.model.pointers import MemoryTrap, PointerState
from fides_core.model.xfides_csrs import XfidesRegisters

from .common import ADDRESSES, DOUBLE, WORD, Coverage, Unit, configuration, differs, seeded, setting

Op = SecurityOp
VALS = tuple(op for op in Op if op.name.startswith("VAL"))
SIZES = range(5)
LONGEST_STAY = 100
PLACES = ("first byte", "before the first", "last that fits", "one too far", "behind the last byte")
LOCKABLE = (XfidesCSR.FIDESMETADATABASE, XfidesCSR.FSTACKBASE, XfidesCSR.FSTACKEND)

REQUIRED = [
    *(("val", n, place) for n in SIZES for place in PLACES),
    *(("val", n, "object smaller than the access") for n in SIZES if n),
    *(("val", n, "ends outside") for n in SIZES if n),
    "address wraps to the first byte", "largest object", "object at the end of memory",
    *(("val", fault.name) for fault in (MemoryFault.INVALID, MemoryFault.BOUNDS, MemoryFault.TEMPORAL)),
    *(("revoke", fault.name) for fault in (MemoryFault.INVALID, MemoryFault.TEMPORAL, MemoryFault.NOT_BASE)),
    *(("mint", fault.name) for fault in (MemoryFault.INVALID, MemoryFault.BOUNDS, MemoryFault.EXHAUSTED)),
    ("val", "passes"), ("revoke", "passes"), ("mint", "passes"), ("ptradd", "passes"),
    "mint explicit", "mint from fmark", "mint of size 0", "mint up to 2^32",
    "mint in the last entry of the zone",
    "mint in the last explicit entry", "mint at the start of the zone", "mint beyond the table",
    "index at fmark", "index below fmark", "index at the end of the table", "index 0",
    "stale after revoke", "stale after fmark", "fmark restored", "fmark restored during a val",
    *((name, what, access) for name in ("val", "mint", "revoke") for what in ("refused", "failed")
      for access in ("read", "write") if (name, access) != ("val", "write")),
    "late grant", "late response", "waits for the memory stage", "blocked", "inactive",
    ("read", "FMARK"),
    *(("write", csr.name) for csr in (*LOCKABLE, XfidesCSR.FMARK, XfidesCSR.COOKIESEED)),
    *(("locked", csr.name) for csr in LOCKABLE),
    *(("reason a cycle later", what) for what in ("none", "INVALID", "TEMPORAL", "BOUNDS")),
    "user lowers fmark", "user cannot raise fmark", "read of another register", "entry addresses wrap",
]  # fmt: skip


class AccessTrap(Exception):
    """The table access that the model makes fails."""


class Bench:
    """The unit with its surroundings, and the model."""

    def __init__(self, dut):
        self.unit = Unit(dut)
        self.random = seeded()
        self.coverage = Coverage(REQUIRED)
        self.table: dict[int, int] = {}
        self.refused: set = set()
        self.failing: set = set()
        self.model_writes: list = []
        self.writes: list = []
        self.state = PointerState(self.read_entry, self.write_entry)
        self.registers = XfidesRegisters(configuration(), None, self.state)
        self.machine = True
        self.access = self.registers.registers(lambda: self.machine)
        self.cookies: list[int] = []
        self.slow = 0.3

    def read_entry(self, address):
        if (address, False) in self.refused | self.failing:
            raise AccessTrap(ExceptionCause.LOAD_ACCESS_FAULT)
        return self.table.get(address, 0)

    def write_entry(self, address, value):
        if (address, True) in self.refused | self.failing:
            raise AccessTrap(ExceptionCause.STORE_ACCESS_FAULT)
        self.model_writes.append((address, value))

    async def start(self):
        await self.unit.reset(
            x_op=0, x_active=0, x_rs1=0, x_rs2=0, x_total=0, x_block=0, x_fire=0, m_empty=1, x_granted=0,
            x_refused=0,
            m_check=0, m_pointer=0, m_size=0, response=0, response_error=0, response_data=0, restore=0,
            restore_mark=0,
            machine=1, locked=0, registers__number=0, registers__write=0, registers__wdata=0,
        )  # fmt: skip
        for csr, value in ((XfidesCSR.FIDESMETADATABASE, 0x9000_0000), (XfidesCSR.FSTACKBASE, 64),
                           (XfidesCSR.FSTACKEND, 128), (XfidesCSR.FMARK, 64)):  # fmt: skip
            await self.write(csr, value)

    async def write(self, csr, value, machine=True, locked=False):
        self.machine = machine
        self.registers.locked = locked
        self.unit.set(machine=machine, locked=locked)
        await self.unit.write(csr, value)
        self.access[csr][1](value)
        self.unit.set(machine=0, locked=0)
        self.coverage.hit("locked" if locked else "write", csr.name)

    async def check_registers(self):
        differs("FMARK", self.access[XfidesCSR.FMARK][0](), await self.unit.read(XfidesCSR.FMARK))
        self.coverage.hit("read", "FMARK")
        # The others are read elsewhere, and the unit must not disturb that.
        for csr in set(XfidesCSR) - {XfidesCSR.FMARK}:
            differs(f"rdata for {csr.name}", 0, await self.unit.read(csr))
        self.coverage.hit("read of another register")
        differs("x_table", self.state.base >> 3, self.unit.get("x_table"))
        differs("mark", self.state.mark.value, self.unit.get("mark"))

    # One instruction

    def expect(self, op, rs1, rs2, size):
        """("value", result), ("reason", fault) or ("cause", exception) from the model."""
        self.model_writes = []
        name = name_of(op)
        try:
            if op in VALS:
                value = self.state.check(rs1, rs2 & WORD, size)
            elif op == Op.MINT:
                value = self.state.mint(rs1, rs2)
            elif op == Op.REVOKE:
                value = self.state.revoke(rs1)
            else:
                value = self.state.add(rs1, rs2)
        except MemoryTrap as trap:
            self.coverage.hit(name, trap.reason.name)
            return "reason", trap.reason
        except AccessTrap as trap:
            return "cause", trap.args[0]
        self.coverage.hit(name, "passes")
        return "value", value

    def entry(self, op, rs1, rs2):
        """Index of the entry that an instruction is about."""
        if op == Op.MINT:
            return rs2 >> 32 & 0xFFFF or self.state.mark.value
        return unpack_pointer(rs1)[1]

    async def execute(self, op, rs1, rs2=0, size=0, block=False, active=True):
        """One instruction from execute to the end of the memory stage; what the model's is, too.

        ``rs2``: the second operand, an immediate sign-extended. Returns the value.
        """
        unit, rnd, hit, name = self.unit, self.random, self.coverage.hit, name_of(op)
        works = active and not block
        index = self.entry(op, rs1, rs2)
        expected = self.expect(op, rs1, rs2, size) if works else ("value", None)
        address = self.state.entry_address(index)
        self.writes = []
        if not works:
            self.model_writes = []
        total = (rs1 if op == Op.REVOKE else rs1 + rs2) & DOUBLE
        # vali has no second register: what is read for it is anything.
        port = rs2 if op not in VALS or rnd.random() < 0.5 else rnd.getrandbits(64)
        unit.set(x_op=op, x_active=active, x_block=block, x_rs1=rs1, x_rs2=port, x_total=total, x_fire=0)
        occupied = rnd.choice([0, 0, 1, 3])
        if occupied and works and op in (Op.MINT, Op.REVOKE):
            hit("waits for the memory stage")
        arriving = -1
        failing = False
        for stay in range(LONGEST_STAY):
            arriving -= 1
            unit.set(
                m_empty=stay >= occupied, x_granted=0, x_refused=0, response=arriving == 0,
                response_error=arriving == 0 and failing,
                response_data=self.table.get(address, 0) if arriving == 0 else rnd.getrandbits(64),
                m_pointer=rnd.getrandbits(64) if stay == 0 else rs1, m_size=rnd.randrange(5),
            )  # fmt: skip
            await unit.settle()
            write = bool(unit.get("x_we"))
            refused = (address, write) in self.refused
            request = unit.get("x_request")
            if request:
                assert works and op != Op.PTRADD, f"{name} requests"
                differs(
                    f"{name}: address", address, ((unit.get("x_table") + unit.get("x_index")) << 3) & WORD
                )
                assert unit.get("x_table_op")
                assert op in VALS or stay >= occupied, "request before the memory stage is empty"
                if refused:
                    hit(name, "refused", "write" if write else "read")
            granted = rnd.random() >= self.slow
            if request and not granted:
                hit("late grant")
            unit.set(x_refused=refused, x_granted=granted and not refused)
            await unit.settle()
            accepted = bool(request and granted and not refused)
            wait = unit.get("x_wait") or (op in VALS and not granted)
            if not works:
                assert not (unit.get("x_fault") or unit.get("x_minted")), f"{name} idle"
                # Whether another unit stops it is known too late for mint and revoke not to wait.
                slow = active and op in (Op.MINT, Op.REVOKE)
                assert slow or not unit.get("x_wait"), f"{name} waits for nothing"
            fault = bool(unit.get("x_fault"))
            cause, reason = unit.get("x_cause"), unit.get("x_reason")
            minted, tag = unit.get("x_minted"), unit.get("x_tag")
            unit.set(x_fire=not wait)
            await unit.settle()
            if accepted:
                failing = (address, write) in self.failing
                if failing:
                    hit(name, "failed", "write" if write else "read")
                elif write:
                    stored = pack_entry(rs1, rs2, tag) if unit.get("x_set") else 0
                    self.writes.append((address, stored))
                    self.table[address] = stored
                arriving = rnd.choice([1, 1, 2, 5])
                if arriving > 1:
                    hit("late response")
            await unit.clock()
            if not wait:
                break
        else:
            raise AssertionError(f"{name} stays in execute")
        unit.set(x_op=Op.NONE, x_active=0, x_block=0, x_fire=0, x_granted=0, x_refused=0, response=0)

        seen = "value", None
        if fault:
            seen = ("reason", reason) if cause == ExceptionCause.MEMORY else ("cause", cause)
        elif op in VALS and works:
            assert accepted, "val has gone without its access"
            seen = await self.val_in_memory(rs1, total, size, address, arriving, failing)
        elif op == Op.MINT and works:
            assert minted
            seen = "value", tag << 32 | rs1 & WORD
        elif op == Op.PTRADD:
            seen = "value", rs1 & ~WORD | total & WORD
            expected = ("value", None) if not works else expected
            seen = seen if works else ("value", None)
        differs_but_cookie(f"{name} {rs1:#x}, {rs2:#x}, size {size}", op, expected, seen)
        self.compare_writes(op, expected, seen)
        await unit.settle()
        differs("fmark", self.state.mark.value, unit.get("mark"))
        if block:
            hit("blocked")
        elif not active:
            hit("inactive")
        return seen[1] if seen[0] == "value" else None

    async def val_in_memory(self, rs1, total, size, address, delay, failing):
        """The memory stage of a val, with other things in execute."""
        unit, rnd = self.unit, self.random
        for remaining in range(delay, 0, -1):
            arrived = remaining == 1
            unit.set(
                m_check=1, m_pointer=rs1 & ~WORD | total & WORD, m_size=size, m_empty=0, response=arrived,
                response_error=arrived and failing,
                response_data=self.table.get(address, 0) if arrived else rnd.getrandbits(64),
                x_op=rnd.choice(list(Op)), x_rs1=rnd.getrandbits(64), x_rs2=rnd.getrandbits(64),
            )  # fmt: skip
            restoring = rnd.random() < 0.05
            if restoring:
                mark = rnd.randrange(64, 129)
                self.state.mark.value = mark
                unit.set(restore=1, restore_mark=mark)
                self.coverage.hit("fmark restored during a val")
            await unit.settle()
            fault, reason = unit.get("m_fault"), unit.get("m_reason")
            await unit.clock()
            unit.set(restore=0)
        unit.set(m_check=0, response=0, response_error=0)
        if not failing:
            await self.reason_stays(reason if fault else 0)
        unit.set(x_op=Op.NONE)
        if failing:
            return "cause", ExceptionCause.LOAD_ACCESS_FAULT
        if fault:
            return "reason", reason
        return "value", rs1 & ~WORD | total & WORD

    async def reason_stays(self, reason):
        """From the cycle after a val's response on, until there is another one, the reason is known."""
        unit, rnd = self.unit, self.random
        for cycle in range(rnd.choice([1, 1, 2, 4])):
            unit.set(
                m_pointer=rnd.getrandbits(64), m_size=rnd.randrange(5), response_data=rnd.getrandbits(64),
                x_op=rnd.choice(list(Op)), x_rs1=rnd.getrandbits(64), x_rs2=rnd.getrandbits(64),
            )  # fmt: skip
            await unit.settle()
            differs(f"reason {cycle + 1} cycles after the response", reason, unit.get("w_reason"))
            assert not unit.get("m_fault"), "a fault without a response"
            await unit.clock()
        self.coverage.hit("reason a cycle later", MemoryFault(reason).name if reason else "none")

    def compare_writes(self, op, expected, seen):
        if expected[0] != "value" or op not in (Op.MINT, Op.REVOKE) or expected[1] is None and op == Op.MINT:
            differs(f"writes of {op.name}", [], self.writes)
        elif op == Op.REVOKE:
            differs("write of revoke", self.model_writes, self.writes)
        else:
            cookie = unpack_pointer(seen[1])[2]
            assert cookie, "a cookie of 0"
            self.cookies.append(cookie)
            address, entry = self.model_writes[0]
            differs("write of mint", [(address, entry & ~0xFF | cookie)], self.writes)

    def put(self, index, base, size, cookie):
        self.table[self.state.entry_address(index)] = pack_entry(base, size, cookie)

    async def restore(self, mark):
        self.unit.set(restore=1, restore_mark=mark)
        await self.unit.settle()
        await self.unit.clock()
        self.unit.set(restore=0)
        self.state.mark.value = mark
        await self.unit.settle()
        differs("fmark after restore", mark, self.unit.get("mark"))
        self.coverage.hit("fmark restored")


def name_of(op) -> str:
    """The instruction; the unit sees no difference between val and vali."""
    return "val" if op in VALS else op.name.lower()


def differs_but_cookie(what, op, expected, seen):
    """Compare; the value of a cookie is not part of the contract."""
    if op == Op.MINT and expected[0] == seen[0] == "value" and expected[1] is not None:
        expected, seen = ((kind, value & ~(0xFF << 32)) for kind, value in (expected, seen))
    if expected[1] is None:
        differs(what, expected, ("value", None) if seen[0] == "value" else seen)
    else:
        assert seen[1] is not None, f"{what}: expected {expected}, seen no fault"
        differs(what, (expected[0], int(expected[1])), (seen[0], int(seen[1])))


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def everything(dut):
    """Boundaries one by one, then random instructions."""
    bench = Bench(dut)
    await bench.start()
    await boundaries(bench)
    await mints(bench)
    for _ in range(setting("ROUNDS", 100)):
        await random_round(bench)
    assert len(set(bench.cookies)) > min(len(bench.cookies), 255) // 3, "cookies repeat"
    dut._log.info("%d cycles, %d cookies", bench.unit.cycles, len(set(bench.cookies)))
    bench.coverage.check(dut._log)


async def boundaries(bench):
    """val at the ends of objects of every size around that of the access."""
    rnd, hit = bench.random, bench.coverage.hit
    bench.slow = 0.1
    for n in SIZES:
        width = 1 << n
        for size in sorted({1, width - 1, width, width + 1, 2 * width + 3, 4096, (1 << 24) - 1} - {0}):
            for base in (0x8000_0000 + rnd.getrandbits(16), 0, ADDRESSES - size, ADDRESSES - width):
                index, cookie = rnd.randrange(1, 64), rnd.randrange(1, 256)
                bench.put(index, base, size, cookie)
                for place, offset in zip(PLACES, (0, -1, size - width, size - width + 1, size), strict=True):
                    # The address is the sum of the pointer's and the second operand, in any parts.
                    step = rnd.choice([0, rnd.randrange(-2048, 2048), rnd.getrandbits(64)])
                    pointer = pack_pointer(base + offset - step, index, cookie) | rnd.getrandbits(8) << 56
                    await bench.execute(rnd.choice(VALS), pointer, step & DOUBLE, n)
                    hit("val", n, place)
                    if size < width:
                        hit("val", n, "object smaller than the access")
                    elif place == "one too far":
                        hit("val", n, "ends outside")
                    if base + offset >= ADDRESSES or base + offset < 0:
                        hit("address wraps to the first byte")
                    if size == (1 << 24) - 1:
                        hit("largest object")
                    if base + size == ADDRESSES:
                        hit("object at the end of memory")


async def mints(bench):
    """mint and revoke at the limits of address space, zone and table."""
    state, hit = bench.state, bench.coverage.hit
    for base, size in ((ADDRESSES - 8, 8), (ADDRESSES - 8, 9), (ADDRESSES - 8, 7), (0, (1 << 24) - 1), (0,
                       1 << 24),
                       (ADDRESSES - 1, 1), (ADDRESSES - 1, 0), (0x8000_0000, 0), (0, 1 << 31)):  # fmt: skip
        state.mark.value = 64
        await bench.restore(64)
        await bench.execute(Op.MINT, base | 0xABCD << 40, size | 0xFFFF << 48)
        if base + size == ADDRESSES:
            hit("mint up to 2^32")
        if not size:
            hit("mint of size 0")
    for index in (1, 62, 63, 64, 65, 127, 128, 129, 0xFFFF):
        bench.put(index, 0, 0, 0)
        await bench.execute(Op.MINT, 0x8000_0000, 16 | index << 32)
        await bench.execute(Op.MINT, 0x8000_0000, 16 | index << 32)
        for name, place in (
            ("mint in the last explicit entry", state.stack_base - 1),
            ("mint at the start of the zone", state.stack_base),
            ("mint beyond the table", state.stack_end),
        ):
            if index == place:
                hit(name)
    for mark in (62, 63, 64, 126, 127, 128, 129, 0, 0xFFFF):
        await bench.restore(mark)
        for _ in range(3):
            await bench.execute(Op.MINT, 0x8000_0010, 24)
        if mark == state.stack_end - 1:
            hit("mint in the last entry of the zone")
    for mark in (64, 65, 100, 127, 128):
        await bench.restore(mark)
        for name, index in (
            ("index at fmark", mark),
            ("index below fmark", mark - 1),
            ("index at the end of the table", 128),
            ("index 0", 0),
        ):
            bench.put(index, 0x8000_0000, 16, 7)
            pointer = pack_pointer(0x8000_0000, index, 7)
            await bench.execute(Op.VAL, pointer, 0, 3)
            await bench.execute(Op.REVOKE, pointer)
            hit(name)
    # Whatever pointer is kept, the object's end makes it fail.
    pointer = await bench.execute(Op.MINT, 0x8000_0000, 16 | 5 << 32)
    if pointer is None:
        await bench.execute(Op.REVOKE, pack_pointer(*unpack_live(bench, 5)))
        pointer = await bench.execute(Op.MINT, 0x8000_0000, 16 | 5 << 32)
    await bench.execute(Op.VAL, pointer, 8, 3)
    await bench.execute(Op.REVOKE, pointer)
    assert await bench.execute(Op.VAL, pointer, 8, 3) is None
    hit("stale after revoke")
    await bench.restore(70)
    pointer = await bench.execute(Op.MINT, 0x8000_0000, 16)
    assert await bench.execute(Op.VAL, pointer, 8, 3) is not None
    await bench.restore(70)
    assert await bench.execute(Op.VAL, pointer, 8, 3) is None
    hit("stale after fmark")


def unpack_live(bench, index):
    base, _, cookie = unpack_entry(bench.table[bench.state.entry_address(index)])
    return base, index, cookie


async def random_round(bench):
    """Registers, then instructions on a few entries."""
    rnd, state, hit = bench.random, bench.state, bench.coverage.hit
    bench.slow = rnd.choice([0, 0.3, 0.7])
    if rnd.random() < 0.3:
        base = rnd.choice([0x9000_0000, 0xFFFF_FFC0, rnd.getrandbits(32)])
        await bench.write(XfidesCSR.FIDESMETADATABASE, base | rnd.getrandbits(32) << 32)
        start = 64 * rnd.randrange(4)
        end = rnd.choice([start, start + 64, start + 128, 0xFFC0])
        for csr, bound in ((XfidesCSR.FSTACKBASE, start), (XfidesCSR.FSTACKEND, end)):
            # The bits below the granularity and above the register are not kept.
            await bench.write(csr, bound | rnd.randrange(ZONE_ALIGN) | rnd.getrandbits(48) << 16)
        if state.entry_address(40) < state.base:
            hit("entry addresses wrap")
    for csr in LOCKABLE:
        if rnd.random() < 0.2:
            await bench.write(csr, rnd.getrandbits(64), locked=True)
    await bench.write(XfidesCSR.COOKIESEED, rnd.getrandbits(64))
    mark = rnd.choice(
        [state.stack_base, state.stack_base + 2, max(state.stack_end - 1, 0), rnd.getrandbits(16)]
    )
    await bench.write(XfidesCSR.FMARK, mark | rnd.getrandbits(48) << 16)
    if rnd.random() < 0.5:
        value = rnd.choice([mark - 1, mark, mark + 1, mark - 1 | 1 << 20, mark + 1 | 1 << 63]) & DOUBLE
        await bench.write(XfidesCSR.FMARK, value, machine=False)
        hit("user lowers fmark" if state.mark.value != mark else "user cannot raise fmark")
    await bench.check_registers()

    indices = sorted(
        {1, 2, 40, max(state.stack_base - 1, 0), *(state.mark.value + i & 0xFFFF for i in (-1, 0, 1))}
    )
    pages = [(state.entry_address(index), write) for index in indices for write in (False, True)]
    bench.refused = set(rnd.sample(pages, 1)) if rnd.random() < 0.4 else set()
    bench.failing = set(rnd.sample(pages, 1)) if rnd.random() < 0.4 else set()
    for _ in range(30):
        op = rnd.choice([*VALS, Op.MINT, Op.REVOKE, Op.REVOKE, Op.PTRADD])
        index = rnd.choice(indices)
        n = rnd.randrange(5)
        base, size, cookie = unpack_entry(bench.table.get(state.entry_address(index), 0))
        quiet = rnd.random()
        options = {"block": quiet < 0.05, "active": not 0.05 <= quiet < 0.1}
        if rnd.random() < 0.1:
            cookie ^= 1 << rnd.randrange(8)
        if op == Op.MINT:
            size = rnd.choice([0, 1, 16, 16, 16, (1 << 24) - 1, 1 << rnd.randrange(32)])
            address = rnd.choice([0x8000_0000 + rnd.getrandbits(8), ADDRESSES - size & WORD])
            explicit = rnd.choice([0, index])
            pointer = await bench.execute(
                op,
                address | rnd.getrandbits(32) << 32,
                size | explicit << 32 | rnd.getrandbits(16) << 48,
                **options,
            )
            if pointer is not None:
                hit("mint explicit" if explicit else "mint from fmark")
            continue
        offset = rnd.choice([0, 0, size - (1 << n), size - (1 << n) + 1, rnd.randrange(-4, size + 4)])
        pointer = pack_pointer(base + offset * (op != Op.REVOKE or rnd.random() < 0.2), index, cookie)
        step = rnd.choice([0, rnd.randrange(-2048, 2048), rnd.getrandbits(64)]) & DOUBLE
        if op in VALS:
            pointer = pack_pointer(pointer - step, index, cookie)
        await bench.execute(
            op, pointer | rnd.getrandbits(8) << 56, step if op != Op.REVOKE else 0, n, **options
        )
        if rnd.random() < 0.05:
            await bench.restore(rnd.choice([state.stack_base, state.mark.value, rnd.getrandbits(16)]))
