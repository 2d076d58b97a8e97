"""The CSR file against a model of its registers, written from the privileged ISA 1.12, chapter 3: every value
read, every output in every cycle."""

import cocotb

from fides_core.config import CoreConfig, XfidesConfig
from fides_core.core.csr import CSRAccess, implemented_csrs
from fides_core.isa.csrs import CSR, XfidesCSR

from .common import DOUBLE, WORD, Coverage, Unit, by_lane, differs, seeded, setting

EXTENSION = {int(csr) for csr in XfidesCSR}
EDGES = (0, DOUBLE, DOUBLE - 5, (1 << 32) - 3, 0x1888, 0x8000_0001, 0x8000_0002, 4, 1 << 63 | 7)
TOR = 1
SOFTWARE, TIMER, EXTERNAL = 3, 7, 11
#: To be covered where a trap is known one cycle after the instruction has retired.
LATE = (
    ("record", 1, "trap", 0), ("record", 1, "trap", 1), ("record", 0, "trap", 1),
    ("unretire", "counted"), ("unretire", "not counted"),
    *(("minstret", access, "after one that trapped late") for access in ("read", "written")),
)  # fmt: skip


def bit(value: int, position: int) -> int:
    return value >> position & 1


class Model:
    """Registers by the numbers that read and write them. ``counters``: bits that mcounteren has."""

    def __init__(self, hpm_counters: int, pmp_entries: int, xfides: bool):
        self.events, self.pmp_entries, self.xfides = min(hpm_counters, 10), pmp_entries, xfides
        self.counters = 3 + self.events
        self.counts = [0] * self.counters
        self.keep()
        self.reset()

    def keep(self):
        """What a reset leaves alone."""
        self.scratch = self.epc = self.value = self.vector = 0
        self.address = [0] * self.pmp_entries
        self.settle()

    def settle(self):
        """What follows the addresses one cycle late: the bits that NAPOT ignores."""
        self.ignored = [(address ^ address + 1) & (1 << 30) - 1 for address in self.address]

    def reset(self):
        self.machine, self.mie_bit, self.mpie, self.mpp, self.mprv, self.tw = 1, 0, 0, 0, 0, 0
        self.enabled = self.cause = self.counteren = self.inhibit = 0
        self.settings = [0] * self.pmp_entries

    def read(self, number: int, time: int, pending: int) -> int:
        block, index = number >> 5 << 5, number & 31
        if number == CSR.TIME:
            return time
        if block in (CSR.CYCLE, CSR.MCYCLE):
            return self.counts[index] if index < self.counters else 0
        if CSR.MHPMEVENT3 <= number <= CSR.MHPMEVENT3 + 28:
            return index - 2 if index < self.counters else 0
        if CSR.PMPADDR0 <= number <= CSR.PMPADDR0 + 15:
            entry = number - CSR.PMPADDR0
            return self.address[entry] if entry < self.pmp_entries else 0
        if number in (CSR.PMPCFG0, CSR.PMPCFG2):
            first = (number - CSR.PMPCFG0) * 4
            return sum(byte << 8 * i for i, byte in enumerate(self.settings[first : first + 8]))
        mstatus = self.mie_bit << 3 | self.mpie << 7 | self.mpp * 3 << 11 | self.mprv << 17 | self.tw << 21
        letters = "ABCIMU" + "X" * self.xfides  # B: the configuration has bit manipulation
        return {
            CSR.MSTATUS: mstatus | 2 << 32,
            CSR.MISA: 2 << 62 | sum(1 << "ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(letter) for letter in letters),
            CSR.MIE: self.enabled,
            CSR.MIP: pending,
            CSR.MTVEC: self.vector,
            CSR.MCOUNTEREN: self.counteren,
            CSR.MCOUNTINHIBIT: self.inhibit,
            CSR.MSCRATCH: self.scratch,
            CSR.MEPC: self.epc,
            CSR.MCAUSE: self.cause,
            CSR.MTVAL: self.value,
            CSR.MHARTID: 5,
        }.get(number, 0)

    def frozen(self, entry: int) -> bool:
        above = self.settings[entry + 1] if entry + 1 < self.pmp_entries else 0
        return bool(self.settings[entry] & 0x80 or (above & 0x80 and above >> 3 & 3 == TOR))

    def write(self, number: int, value: int) -> None:
        index = number & 31
        mask = (1 << self.counters) - 1
        if number >> 5 << 5 == CSR.MCYCLE:
            if index < self.counters:
                self.counts[index] = value
        elif CSR.PMPADDR0 <= number <= CSR.PMPADDR0 + 15:
            entry = number - CSR.PMPADDR0
            if entry < self.pmp_entries and not self.frozen(entry):
                self.address[entry] = value & (1 << 30) - 1
        elif number in (CSR.PMPCFG0, CSR.PMPCFG2):
            first = (number - CSR.PMPCFG0) * 4
            for entry in range(first, min(first + 8, self.pmp_entries)):
                byte = value >> 8 * (entry - first) & 0x9F
                if not byte & 1:
                    byte &= ~2  # W without R is reserved
                if not self.settings[entry] & 0x80:
                    self.settings[entry] = byte
        elif number == CSR.MSTATUS:
            self.mie_bit, self.mpie, self.mprv = bit(value, 3), bit(value, 7), bit(value, 17)
            self.mpp, self.tw = int(value >> 11 & 3 == 3), bit(value, 21)
        elif number == CSR.MIE:
            self.enabled = value & 0x888
        elif number == CSR.MTVEC:
            self.vector = value & 0xFFFF_FFFD
        elif number == CSR.MCOUNTEREN:
            self.counteren = value & mask
        elif number == CSR.MCOUNTINHIBIT:
            self.inhibit = value & mask & ~2
        elif number == CSR.MSCRATCH:
            self.scratch = value
        elif number == CSR.MEPC:
            self.epc = value & ~1
        elif number == CSR.MCAUSE:
            self.cause = value & (1 << 63 | 63)
        elif number == CSR.MTVAL:
            self.value = value

    def trap(self) -> None:
        self.mpie, self.mie_bit, self.mpp, self.machine = self.mie_bit, 0, self.machine, 1

    def record(self, pc: int, cause: int, interrupt: int, value: int) -> None:
        self.epc, self.cause, self.value = pc, interrupt << 63 | cause, value

    def mret(self) -> None:
        if not self.mpp:
            self.mprv = 0
        self.mie_bit, self.mpie, self.machine, self.mpp = self.mpie, 1, self.mpp, 0

    def outputs(self, pending: int) -> dict[str, int]:
        ready = pending & self.enabled
        vectored = self.vector & 1 and self.cause >> 63
        pmp = 0
        for entry, (byte, address) in enumerate(zip(self.settings, self.address, strict=True)):
            word = byte & 7 | (byte >> 3 & 3) << 3 | byte >> 7 << 5
            word |= by_lane(address) << 6 | by_lane(self.ignored[entry]) << 36
            pmp |= word << 66 * entry
        values = {
            "handler": (self.vector & ~1) + (4 * (self.cause & 63) if vectored else 0) & WORD,
            "mepc": self.epc,
            "machine": self.machine,
            "data_user": 1 - (self.mpp if self.mprv else self.machine),
            "timeout_wait": self.tw,
            "counters": self.counteren,
            "interrupt": int(ready != 0 and (self.mie_bit or not self.machine)),
            "wake": int(ready != 0),
        }
        if self.pmp_entries:
            values["pmp"] = pmp
        if ready:
            order = (EXTERNAL, SOFTWARE, TIMER)
            values["interrupt_cause"] = next(cause for cause in order if bit(ready, cause))
        return values


class Bench:
    def __init__(self, dut):
        self.unit, self.random = Unit(dut), seeded()
        hpm, pmp, xfides = setting("HPM_COUNTERS", 10), setting("PMP_ENTRIES", 4), setting("XFIDES", 0)
        self.late = setting("LATE_VERDICT", 0)
        extension = XfidesConfig(fat_pointers=bool(self.late)) if xfides else None
        config = CoreConfig(hpm_counters=hpm, pmp_entries=pmp, hart_id=5, xfides=extension)
        self.model = Model(hpm, pmp, bool(xfides))
        self.xfides = xfides
        self.numbers = sorted(implemented_csrs(config))
        self.common = [
            n for n in self.numbers
            if n in (CSR.MSTATUS, CSR.MIE, CSR.MTVEC, CSR.MCOUNTINHIBIT, CSR.MINSTRET, CSR.MCYCLE)
            or n - CSR.MHPMCOUNTER3 in range(10) or CSR.PMPCFG0 <= n <= CSR.PMPADDR0 + 15
        ]  # fmt: skip
        self.accessed = False
        self.may_unretire = self.counted = self.unretired = self.retired = False  # of the cycle before
        self.coverage = Coverage(
            [
                *(("read", n) for n in self.numbers),
                *(("write", n) for n in self.numbers if n >> 10 != 3),
                *(("counts", i) for i in range(self.model.counters) if i != 1),
                *(("inhibited", i) for i in range(self.model.counters) if i != 1),
                *(("operation", access.name) for access in CSRAccess),
                *(("flush", "frozen address") if pmp else ()),
                "trap", "mret to M", "mret to U", "not committed", "vectored",
                "interrupt taken in U", "reset",
                *(("minstret", access, "after an instruction retired") for access in ("read", "written")),
                *(LATE if self.late else ()),
            ]
        )  # fmt: skip

    def inputs(self) -> dict[str, int]:
        """Of one cycle; whatever is not used is random."""
        rnd = self.random
        csr = int(not self.accessed and rnd.random() < 0.6)
        number = rnd.choice(rnd.choice((self.numbers, self.common)))
        frozen = [entry for entry in range(self.model.pmp_entries) if self.model.frozen(entry)]
        if frozen and rnd.random() < 0.05:
            number = CSR.PMPADDR0 + rnd.choice(frozen)
        operation = rnd.choice((0, 1, 1, 2, 3))
        if number >> 10 == 3:
            operation = 0  # decode passes no write to a read-only register on
        commit = int(rnd.random() < 0.8)
        trap = int(not commit and rnd.random() < 0.3)
        late = {}
        if self.late:
            # As in the core: what retired in the cycle before was a val, and what is here now is dropped.
            unretire = int(self.may_unretire and rnd.random() < 0.2)
            if unretire:
                commit, trap = 0, 1
            writes = csr and commit and operation
            record = int(not unretire and not writes and rnd.random() < (0.7 if trap else 0.2))
            late = dict(unretire=unretire, record=record)
        mret = int(commit and not csr and rnd.random() < 0.1)
        if number == CSR.PMPCFG0 or number == CSR.PMPCFG2:
            operand = rnd.getrandbits(64) & 0x7F7F7F7F7F7F7F7F | (0x80 << 8 * rnd.randrange(100)) & DOUBLE
        elif number == CSR.MCOUNTINHIBIT:
            operand = rnd.choice((0, rnd.getrandbits(64), rnd.getrandbits(64) & rnd.getrandbits(64)))
        else:
            operand = rnd.choice((*EDGES, *[rnd.getrandbits(64)] * 6))
        return dict(
            m_csr=csr, m_access=operation, m_number=number, m_operand=operand, m_commit=commit, retire=commit,
            extension_rdata=rnd.getrandbits(64) if number in EXTENSION or not self.xfides else 0,
            trap=trap, trap_pc=rnd.getrandbits(63) << 1, trap_cause=rnd.getrandbits(4),
            trap_interrupt=rnd.getrandbits(1), trap_value=rnd.getrandbits(64), mret=mret,
            time=rnd.getrandbits(64), **self.interrupts, **late,
            **({"events": rnd.getrandbits(self.model.events)} if self.model.events else {}),
        )  # fmt: skip

    async def cycle(self) -> None:
        rnd, unit, model, hit = self.random, self.unit, self.model, self.coverage.hit
        if unit.cycles % 13 == 0:
            names = "software_interrupt", "timer_interrupt", "external_interrupt"
            self.interrupts = {name: rnd.getrandbits(1) for name in names}
        x = self.inputs()
        unit.set(**x)
        await unit.settle()
        pending = (
            x["software_interrupt"] << SOFTWARE | x["timer_interrupt"] << TIMER
            | x["external_interrupt"] << EXTERNAL
        )  # fmt: skip
        for name, value in model.outputs(pending).items():
            differs(f"{name} in cycle {unit.cycles}", value, unit.get(name))
        if unit.get("interrupt") and not model.machine:
            hit("interrupt taken in U")
        if x.get("unretire"):
            if self.counted:
                model.counts[2] = model.counts[2] - 1 & DOUBLE
            hit("unretire", "counted" if self.counted else "not counted")
        number, operation = x["m_number"], x["m_access"]
        writes = x["m_csr"] and x["m_commit"] and operation
        differs("m_write", int(bool(writes)), unit.get("m_write"))
        flush = bool(writes and model.pmp_entries and CSR.PMPCFG0 <= number < CSR.PMPADDR0 + 16)
        differs("flush", int(flush), unit.get("flush"))
        result = None
        if x["m_csr"]:
            read = model.read(number, x["time"], pending)
            if self.xfides:
                read |= x["extension_rdata"]
            differs(f"{number:#x} in cycle {unit.cycles}", read, unit.get("m_rdata"))
            hit("read", number)
            hit("operation", CSRAccess(operation).name)
            operand = x["m_operand"]
            result = (None, operand, read | operand, read & ~operand)[operation]
        if writes:
            hit("write", number)
            entry = number - CSR.PMPADDR0
            if entry in range(model.pmp_entries) and model.frozen(entry) and result != read:
                hit("frozen address")
            if number in EXTENSION:
                differs("m_wdata", result, unit.get("m_wdata"))
            if flush:
                hit("flush")
        elif x["m_csr"] and operation:
            hit("not committed")
        if x["m_csr"] and number == CSR.MINSTRET:
            access = "written" if writes else "read"
            if self.retired and not x.get("unretire"):
                hit("minstret", access, "after an instruction retired")
            if self.unretired:
                hit("minstret", access, "after one that trapped late")

        increments = 1 | x["retire"] << 2 | x.get("events", 0) << 3
        inhibit = model.inhibit
        if writes and number == CSR.MCOUNTINHIBIT:
            inhibit = inhibit & ~4 | result & 4  # already holds for the instruction that writes it
        for i in range(model.counters):
            if bit(increments, i) and i != 1:
                hit("inhibited" if bit(inhibit, i) else "counts", i)
        increments &= ~inhibit
        model.settle()
        if x["m_csr"] and writes:
            model.write(number, result)
        for i in range(model.counters):
            if bit(increments, i) and not (writes and number == CSR.MCYCLE + i):
                model.counts[i] = model.counts[i] + 1 & DOUBLE
        if x.get("record", x["trap"]):
            model.record(x["trap_pc"], x["trap_cause"], x["trap_interrupt"], x["trap_value"])
        if self.late and (x["record"] or x["trap"]):
            hit("record", x["record"], "trap", x["trap"])
        if x["trap"]:
            model.trap()
            hit("trap")
            if x["trap_interrupt"] and model.vector & 1:
                hit("vectored")
        elif x["mret"]:
            hit("mret to M" if model.mpp else "mret to U")
            model.mret()
        self.accessed = bool(x["m_csr"])
        self.retired = bool(x["retire"])
        self.counted = bool(x["retire"] and not bit(inhibit, 2) and not (writes and number == CSR.MINSTRET))
        self.may_unretire = self.retired and not x["m_csr"] and not x["mret"]
        self.unretired = bool(x.get("unretire"))
        await unit.clock()


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def random_cycles(dut):
    """Registers, counters and outputs are the model's in every cycle; locks end with a reset."""
    bench = Bench(dut)
    bench.interrupts = dict(software_interrupt=0, timer_interrupt=0, external_interrupt=0)
    quiet = dict.fromkeys(bench.inputs(), 0)
    await bench.unit.reset(**quiet)
    # Nothing counts before the first cycle is looked at, the cycle in which reset ends.
    for _ in range(setting("ROUNDS", 100)):
        for _ in range(300):
            await bench.cycle()
        # A reset leaves the counters' words, but not what waits to be added: it must not lose anything here.
        await drain(bench, quiet)
        await bench.unit.reset(**quiet)
        bench.model.reset()
        bench.model.settle()
        bench.accessed = bench.retired = bench.may_unretire = bench.unretired = False
        bench.coverage.hit("reset")
    dut._log.info("%d cycles", bench.unit.cycles)
    bench.coverage.check(dut._log)


async def drain(bench, quiet):
    """Cycles in which nothing counts, until all increments are in the words."""
    unit = bench.unit
    unit.set(**quiet)
    unit.set(m_csr=1, m_access=1, m_number=CSR.MCOUNTINHIBIT, m_operand=DOUBLE, m_commit=1)
    await unit.settle()
    await unit.clock()
    if not bench.model.inhibit & 1:  # the cycle of the write itself counts
        bench.model.counts[0] = bench.model.counts[0] + 1 & DOUBLE
    unit.set(**quiet)
    for _ in range(20):
        await unit.settle()
        await unit.clock()
