"""What instructions do, written from the unprivileged ISA manual (chapters 2, 4 and 28; versions of 2024)."""

from amaranth.hdl import Cat, Const, Mux, Signal

from .core import CoreTop

__all__ = [
    "ComputationTop",
    "ControlTransferTop",
    "LoadStoreTop",
    "RegistersTop",
    "ProgramCounterTop",
    "FetchedTop",
    "DataBusTop",
]


class _Fields:
    """The fields of a 32-bit instruction word (section 2.2 and 2.3)."""

    def __init__(self, word):
        self.opcode = word[:7]
        self.rd, self.rs1, self.rs2 = word[7:12], word[15:20], word[20:25]
        self.funct3, self.funct7 = word[12:15], word[25:32]
        self.i = word[20:32].as_signed()
        self.s = Cat(word[7:12], word[25:32]).as_signed()
        self.b = Cat(Const(0, 1), word[8:12], word[25:31], word[7], word[31]).as_signed()
        self.u = Cat(Const(0, 12), word[12:32]).as_signed()
        self.j = Cat(Const(0, 1), word[21:31], word[20], word[12:20], word[31]).as_signed()


def _extended(value):
    """32 bits, sign-extended to 64."""
    return Cat(value[:32], value[31].replicate(32))


class _InstructionsTop(CoreTop):
    """Compares what retires with ``self.covered``: the group has this instruction; ``self.writes`` and
    ``self.value``: it writes rd, what; ``self.reads``: which of rs1 and rs2; ``self.successor``;
    ``self.must_trap``: it has to; ``self.may_fail``: it does when the data bus reports an error. Instruction
    fetch meets no errors."""

    fetch_errors = False

    def claims(self):
        m = self.m
        rvfi = self.rvfi
        self.fields = _Fields(self.word)
        self.covered = Signal()
        self.writes = Signal()
        self.value = Signal(64)
        self.reads = Signal(2)
        self.successor = Signal(64)
        self.must_trap = Signal()
        self.may_fail = Signal()
        m.d.comb += self.successor.eq(rvfi.pc_rdata + self.length)
        self.specify()
        # Behind the last instruction of the address space the core goes on at 0.
        checked = Signal()
        in_space = Signal()
        behind = Signal(64)
        m.d.comb += [
            behind.eq(rvfi.pc_rdata + self.length),
            in_space.eq((rvfi.pc_rdata[32:] == 0) & (behind[32:] == 0)),
            checked.eq(self.retires & self.covered & self.legal & in_space),
        ]
        f = self.fields
        rd = Mux(self.writes, f.rd, 0)
        self.always(~checked | (rvfi.rd_addr == rd), "rd")
        self.always(~checked | (rvfi.rd_wdata == Mux(rd == 0, 0, self.value)), "rd_value")
        for i, name in enumerate(("rs1", "rs2")):
            number = getattr(rvfi, f"{name}_addr")
            self.always(~checked | ~self.reads[i] | (number == getattr(f, name)), name)
        self.always(~checked | (rvfi.pc_wdata == self.successor), "successor")
        self.always(~checked | ~self.must_trap, "traps")
        trapped = rvfi.valid & rvfi.trap & self.covered & self.legal & in_space
        self.always(~trapped | self.must_trap | (self.may_fail & self.failed), "nothing_else_traps")

    def specify(self):
        raise NotImplementedError


class ComputationTop(_InstructionsTop):
    """Integer computation, 64 and 32 bits (sections 2.4 and 4.2), one ``kind`` of it: "add" (with lui and
    auipc), "logic", "compare", "shift_left" or "shift_right"."""

    def __init__(self, kind: str):
        super().__init__()
        self._kind = kind

    def specify(self):
        m, f, rvfi = self.m, self.fields, self.rvfi
        a = rvfi.rs1_rdata
        register = Signal()
        word = Signal()
        b = Signal(64)
        m.d.comb += [
            register.eq(f.opcode[5]),
            word.eq(f.opcode[3]),
            b.eq(Mux(register, rvfi.rs2_rdata, f.i)),
            self.writes.eq(1),
        ]
        computes = f.opcode.matches("0-1-011")
        # funct7 is part of the immediate, but for shifts, where its lowest bit is one of the amount in the
        # 64-bit form.
        base = ~register | (f.funct7 == 0)
        with m.If(computes):
            m.d.comb += self.reads.eq(Cat(1, register))
            for funct3, legal, value in getattr(self, f"_{self._kind}")(a, b, word, register):
                with m.If((f.funct3 == funct3) & (base if legal is None else legal)):
                    m.d.comb += [self.covered.eq(1), self.value.eq(value)]
        if self._kind == "add":
            with m.If(f.opcode == 0b0110111):
                m.d.comb += [self.covered.eq(1), self.value.eq(f.u)]
            with m.If(f.opcode == 0b0010111):
                m.d.comb += [self.covered.eq(1), self.value.eq(rvfi.pc_rdata + f.u)]

    def _add(self, a, b, word, register):
        for funct7, value in ((0, a + b), (0b0100000, a - b)):
            legal = register & (self.fields.funct7 == funct7)
            result = Signal(64, name=f"sum{funct7}")
            self.m.d.comb += result.eq(Mux(word, _extended(value), value))
            yield 0, legal if funct7 else legal | ~register, result

    def _logic(self, a, b, word, register):
        for funct3, value in ((4, a ^ b), (6, a | b), (7, a & b)):
            yield funct3, ~word & (~register | (self.fields.funct7 == 0)), value

    def _compare(self, a, b, word, register):
        for funct3, value in ((2, a.as_signed() < b.as_signed()), (3, a < b)):
            yield funct3, ~word & (~register | (self.fields.funct7 == 0)), value

    def _shift_left(self, a, b, word, register):
        return self._shifts(a, b, word, register, 1)

    def _shift_right(self, a, b, word, register):
        return self._shifts(a, b, word, register, 5)

    def _shifts(self, a, b, word, register, wanted):
        m = self.m
        funct7 = self.fields.funct7
        amount = Signal(6)
        m.d.comb += amount.eq(Cat(b[:5], b[5] & ~word))
        upper = Mux(word | register, funct7, funct7 & 0b1111110)

        def shifted(value, left=False):
            # In three parts, whose sum is the amount: the solver finds the core's shifter again in them.
            for mask in (0b110000, 0b001100, 0b000011):
                value = (value << (amount & mask))[:64] if left else value >> (amount & mask)
            return value

        for funct3, kind, value, low in (
            (1, 0, shifted(a, True), shifted(a, True)),
            (5, 0, shifted(a), shifted(a[:32])),
            (5, 0b0100000, shifted(a.as_signed()), shifted(a[:32].as_signed())),
        ):
            if funct3 != wanted:
                continue
            narrow = Signal(32)
            m.d.comb += narrow.eq(low)
            yield funct3, upper == kind, Mux(word, _extended(narrow), value[:64])


class ControlTransferTop(_InstructionsTop):
    """Jumps and branches (section 2.5)."""

    def specify(self):
        m, f, rvfi = self.m, self.fields, self.rvfi
        a, b = rvfi.rs1_rdata, rvfi.rs2_rdata
        taken = Signal()
        m.d.comb += self.value.eq(rvfi.pc_rdata + self.length)
        with m.Switch(f.opcode):
            with m.Case(0b1101111):
                m.d.comb += [self.covered.eq(1), self.writes.eq(1), self.successor.eq(rvfi.pc_rdata + f.j)]
            with m.Case(0b1100111):
                with m.If(f.funct3 == 0):
                    m.d.comb += [
                        self.covered.eq(1),
                        self.writes.eq(1),
                        self.reads.eq(0b01),
                        self.successor.eq((a + f.i) & ~Const(1, 64)),
                    ]
            with m.Case(0b1100011):
                m.d.comb += [self.covered.eq((f.funct3 != 2) & (f.funct3 != 3)), self.reads.eq(0b11)]
                with m.Switch(f.funct3):
                    for funct3, condition in (
                        (0, a == b),
                        (1, a != b),
                        (4, a.as_signed() < b.as_signed()),
                        (5, a.as_signed() >= b.as_signed()),
                        (6, a < b),
                        (7, a >= b),
                    ):
                        with m.Case(funct3):
                            m.d.comb += taken.eq(condition)
                with m.If(taken):
                    m.d.comb += self.successor.eq(rvfi.pc_rdata + f.b)


class LoadStoreTop(_InstructionsTop):
    """Loads and stores (sections 2.6 and 4.3): address, lanes, data; misaligned ones and those outside of the
    32-bit address space trap."""

    def specify(self):
        m, f, rvfi = self.m, self.fields, self.rvfi
        load, store = f.opcode == 0b0000011, f.opcode == 0b0100011
        address = Signal(64)
        lanes = Signal(8)
        size = f.funct3[:2]
        m.d.comb += [
            self.covered.eq((load & (f.funct3 != 7)) | (store & ~f.funct3[2])),
            self.writes.eq(load),
            self.reads.eq(Cat(1, store)),
            self.may_fail.eq(1),
            address.eq(rvfi.rs1_rdata + Mux(store, f.s, f.i)),
            lanes.eq(Cat(1, size >= 1, (size >= 2).replicate(2), (size == 3).replicate(4)) << address[:3]),
            self.must_trap.eq(
                (address[32:] != 0)
                | ((size >= 1) & address[0])
                | ((size >= 2) & address[1])
                | ((size == 3) & address[2])
            ),
        ]
        datum = Signal(64)
        m.d.comb += datum.eq(rvfi.mem_rdata >> (address[:3] << 3))
        with m.Switch(f.funct3):
            for size_log in range(4):
                width = 8 << size_log
                with m.Case(size_log):
                    m.d.comb += self.value.eq(datum[:width].as_signed())
                with m.Case(size_log + 4):
                    m.d.comb += self.value.eq(datum[:width])
        checked = self.retires & self.covered & self.legal
        self.always(~checked | (rvfi.mem_addr == Cat(Const(0, 3), address[3:])), "address")
        self.always(~checked | (rvfi.mem_rmask == Mux(load, lanes, 0)), "read_lanes")
        self.always(~checked | (rvfi.mem_wmask == Mux(store, lanes, 0)), "written_lanes")
        stored = Signal(64)
        m.d.comb += stored.eq(rvfi.rs2_rdata << (address[:3] << 3))
        for lane in range(8):
            byte = slice(8 * lane, 8 * lane + 8)
            meant = checked & rvfi.mem_wmask[lane]
            self.always(~meant | (rvfi.mem_wdata[byte] == stored[byte]), f"byte{lane}")
        # Nothing that traps has written.
        self.always(~rvfi.valid | ~rvfi.trap | (rvfi.mem_wmask == 0), "trap_writes_nothing")


class RegistersTop(CoreTop):
    """A register, any: what an instruction reads is what the last one before it has written. Register 0 is
    0."""

    def claims(self):
        m, rvfi = self.m, self.rvfi
        watched = self.rigid(5, "watched")
        known = Signal()
        value = Signal(64)
        with m.If(rvfi.valid & (rvfi.rd_addr == watched) & (watched != 0)):
            m.d.sync += [known.eq(1), value.eq(rvfi.rd_wdata)]
        for name in ("rs1", "rs2"):
            here = rvfi.valid & (getattr(rvfi, f"{name}_addr") == watched)
            read = getattr(rvfi, f"{name}_rdata")
            self.always(~here | ~known | (read == value), name)
            self.always(~here | (watched != 0) | (read == 0), f"{name}_zero")
        self.always(~rvfi.valid | ~rvfi.trap | (rvfi.rd_addr == 0), "trap_writes_nothing")


class ProgramCounterTop(CoreTop):
    """Each instruction is where the one before it said, unless an interrupt came between; the first of a
    handler is marked; instructions are numbered; what no jump, branch or trap says otherwise about goes on
    behind itself."""

    def claims(self):
        m, rvfi = self.m, self.rvfi
        known = Signal()
        expected = Signal(64)
        order = Signal(64)
        trapped = Signal()
        with m.If(rvfi.valid):
            m.d.sync += [
                known.eq(1),
                expected.eq(rvfi.pc_wdata),
                order.eq(order + 1),
                trapped.eq(rvfi.trap),
            ]
        # A trap disables interrupts, so nothing comes between it and its handler.
        follows = rvfi.valid & known & (~rvfi.intr | trapped)
        self.always(~follows | (rvfi.pc_rdata == expected), "follows")
        self.always(~rvfi.valid | known | rvfi.intr | (rvfi.pc_rdata == 0x1000), "reset_vector")
        self.always(~rvfi.valid | ~trapped | rvfi.intr, "handler_is_marked")
        self.always(~rvfi.valid | (rvfi.order == order), "order")
        f = _Fields(self.word)
        jumps = f.opcode.matches("11-----")  # branches, jumps and SYSTEM, which has mret
        behind = Signal(64)
        m.d.comb += behind.eq(rvfi.pc_rdata + self.length)
        # Behind the last instruction of the address space the core goes on at 0.
        self.always(~self.retires | self.legal, "reserved_traps")
        self.always(~self.retires | jumps | (behind[32:] != 0) | (rvfi.pc_wdata == behind), "goes_on")
        self.always(~self.retires | (rvfi.pc_rdata[32:] == 0), "nothing_beyond_32_bits")
        self.always(~rvfi.valid | ~rvfi.trap | (rvfi.pc_wdata[:2] == 0), "handler_is_aligned")


class FetchedTop(CoreTop):
    """What retires from an address, any, of fixed contents has these bits."""

    pmp = 4

    def claims(self):
        m, rvfi, bus = self.m, self.rvfi, self.core.ibus
        watched = self.rigid(31, "watched")
        halves = [self.rigid(16, f"half{i}") for i in range(2)]
        asked = Signal(29)
        with m.If(bus.req & bus.gnt):
            m.d.sync += asked.eq(bus.addr[3:])
        for i, half in enumerate(halves):
            where = Signal(31, name=f"where{i}")
            m.d.comb += where.eq(watched + i)
            held = bus.rdata.word_select(where[:2], 16) == half
            self.assume(~bus.rvalid | (asked != where[2:]) | held)
        here = self.retires & (rvfi.pc_rdata[1:] == watched)
        full = halves[0][:2] == 3
        self.always(~here | (rvfi.insn == Cat(halves[0], Mux(full, halves[1], 0))), "instruction")


class DataBusTop(CoreTop):
    """Each access on the data bus belongs to one instruction, in order, which reports it as it was made:
    nothing that traps or is dropped stores, but for an access that the bus itself refuses; nothing is
    reported that was not made. Without AMOs, which make two accesses."""

    pmp = 4

    def claims(self):
        m, rvfi, bus = self.m, self.rvfi, self.core.dbus
        valid = self.probe(1, "core.execute.valid")
        self.assume(~valid | ~self.probe(1, "core.execute.x.control.atomic"))
        # A pipeline of two: while one response arrives, the next request may be accepted.
        waiting, answered = Signal(), Signal()
        fields = ("addr", "we", "be", "wdata")
        first = {name: Signal.like(getattr(bus, name), name=f"first_{name}") for name in fields}
        last = {name: Signal.like(getattr(bus, name), name=f"last_{name}") for name in fields}
        granted = bus.req & bus.gnt
        m.d.sync += [waiting.eq(granted | (waiting & ~bus.rvalid)), answered.eq(bus.rvalid)]
        with m.If(granted):
            m.d.sync += [signal.eq(getattr(bus, name)) for name, signal in first.items()]
        with m.If(bus.rvalid):
            m.d.sync += [last[name].eq(first[name]) for name in fields]
        read, written = rvfi.mem_rmask, rvfi.mem_wmask
        reported = rvfi.valid & ((read != 0) | (written != 0))
        self.always(~reported | answered, "made")
        self.always(~answered | (rvfi.valid & (rvfi.trap | reported)), "reported")
        self.always(~answered | (rvfi.trap == self.failed), "errors_trap")
        same = (rvfi.mem_addr[3:] == last["addr"][3:]) & ((read | written) == last["be"])
        self.always(~reported | rvfi.trap | same, "address_and_lanes")
        self.always(~reported | rvfi.trap | ((written != 0) == last["we"]), "kind")
        for lane in range(8):
            byte = slice(8 * lane, 8 * lane + 8)
            meant = rvfi.valid & written[lane]
            self.always(~meant | (rvfi.mem_wdata[byte] == last["wdata"][byte]), f"byte{lane}")
