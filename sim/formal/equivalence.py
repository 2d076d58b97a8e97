"""With checks off, the core with Xfides is the core without (contract, section 3)."""

from dataclasses import replace

from amaranth.hdl import Cat, Const, Fragment, Module, Mux, Signal
from amaranth.hdl._ast import Assign
from amaranth.hdl._xfrm import StatementTransformer, ValueTransformer
from amaranth.lib import data
from amaranth.lib.memory import Memory

from fides_core.config import XfidesConfig, preset
from fides_core.core import core as core_module
from fides_core.core import counters as counters_module
from fides_core.core import decode as decode_module
from fides_core.core.control import EFFECTS, ExecuteRequest, MemoryRequest, Result, SecurityOp
from fides_core.core.core import Core
from fides_core.core.csr import implemented_csrs
from fides_core.core.decode import DecodeStage
from fides_core.core.expander import Expander
from fides_core.core.memory import WritebackRequest
from fides_core.core.rvfi import OPERANDS, RVFI_FIELDS
from fides_core.isa.csrs import CSR, XfidesCSR

from .core import cut_arithmetic
from .harness import FormalTop

__all__ = ["ChecksOffTop"]

#: CSRs that one core does not have, or that say which core it is.
_DIFFERENT = (*(int(csr) for csr in XfidesCSR), int(CSR.MISA))


class _Next(StatementTransformer):
    """Statements that drive ``after[signal]`` where they drove ``signal``."""

    def __init__(self, after):
        class Target(ValueTransformer):
            def on_Signal(self, value):
                return after[value.name, id(value)]

        self._target = Target()

    def on_Assign(self, statement):
        return Assign(self._target.on_value(statement.lhs), statement.rhs)


def _name(path: str, signal: Signal, taken) -> str:
    name, number = path + signal.name, 2
    while name in taken:
        name, number = f"{path}{signal.name}${number}", number + 1
    return name


def _registers(fragment: Fragment) -> dict[str, Signal]:
    """The registers of a fragment and those inside it, by their paths."""
    found = {}

    def visit(fragment, path):
        if "sync" in fragment.statements:
            for signal in fragment.statements["sync"]._lhs_signals():
                found[_name(path, signal, found)] = signal
        for inner, name, _ in fragment.subfragments:
            visit(inner, f"{path}{name}.")

    visit(fragment, "")
    return found


def _forget_state(fragment: Fragment) -> dict[str, tuple[Signal, Signal]]:
    """Make the registers of a fragment combinational: each becomes a signal that somebody else drives, and
    another one that is what it would hold next. Returns them by path."""
    result = {}

    def visit(fragment, path):
        statements = fragment.statements.pop("sync", None)
        if statements:
            after = {}
            for signal in statements._lhs_signals():
                behind = Signal(signal.shape(), name=f"{signal.name}_next")
                after[signal.name, id(signal)] = behind
                result[_name(path, signal, result)] = (signal, behind)
                fragment.add_statements("comb", behind.eq(signal))
            fragment.add_statements("comb", *_Next(after).on_statements(statements))
        for inner, name, _ in fragment.subfragments:
            visit(inner, f"{path}{name}.")

    visit(fragment, "")
    return result


def _is_return(word):
    """``jalr x0, 0(x1)``, with any funct3, or ``c.jr x1``: what reads another operand, sp."""
    return (Cat(word[:12], word[15:]) == 0x00001067) | (word == 0x8082)


class ChecksOffTop(FormalTop):
    """``tiny_fides`` with comctl as it is after reset does in every cycle what ``tiny`` does: the same
    requests on both buses, the same retirement reports, the same writes to the register file and the
    counters, for any code and data, waits, errors and interrupts. Left out: what decode must not meet, which
    is instructions of Xfides, reserved compressed encodings that look like them or like a return, its CSRs
    and misa; that a return waits for sp, which it reads for the shadow stack, so that ``tiny`` is made to
    wait then; and what the reports say of that operand.

    ``tiny`` has no state of its own here: its registers are those of the other core, and what it would put
    into them next must be what that does. The memories of both are cut: reads give the same, any values, and
    writes are compared.
    """

    def properties(self):
        m = self.m
        tiny_config = replace(preset("tiny").with_rvfi().core, pmp_entries=0)
        xfides = XfidesConfig(compartments=4, shadow_stack_entries=16)
        pause = Signal()
        cut_arithmetic(self)
        read = [self.free(64, f"read{i}") for i in range(8)]
        memories = []
        decodes = []

        class SharedMemory(Memory):
            def elaborate(self, platform):
                m = Module()
                memories.append(self)
                for port in self.read_ports:
                    index = len(ports[-1])
                    ports[-1].append(port)
                    m.d.comb += port.data.eq(Mux(is_zero(port), 0, read[index]))
                return m

        ports = []

        def is_zero(port):
            """Register 0 of the register file."""
            return (port.addr == 0) if len(port.addr) == 5 else Const(0)

        class SpyDecode(DecodeStage):
            def elaborate(self, platform):
                decodes.append(self)
                m = super().elaborate(platform)
                if len(decodes) == 2:
                    with m.If(pause):
                        m.d.comb += self.x_valid.eq(0)
                return m

        decode_module.Memory = counters_module.Memory = SharedMemory
        core_module.DecodeStage = SpyDecode
        cores, fragments, memory_sets = [], [], []
        for config in (replace(tiny_config, xfides=xfides), tiny_config):
            ports.append([])
            memories.clear()
            core = Core(config)
            fragments.append(Fragment.get(core, None))
            cores.append(core)
            memory_sets.append(list(memories))
        fides, tiny = cores
        held = _registers(fragments[0])
        image = _forget_state(fragments[1])
        m.submodules.core, m.submodules.tiny = fragments
        decode = decodes[0]
        m.d.comb += pause.eq(decode.waiting & _is_return(self._word(decode.d_insn)))

        # The environment.
        inputs = ("time", "software_interrupt", "timer_interrupt", "external_interrupt", "fence_i_done",
                  "icache_miss", "dcache_miss")  # fmt: skip
        for name in inputs:
            value = self.free(len(getattr(fides, name)), name)
            m.d.comb += [getattr(core, name).eq(value) for core in cores]
        for name in ("ibus", "dbus"):
            bus = getattr(fides, name)
            due = Signal(name=f"{name}_due")
            for port in ("gnt", "rvalid", "rdata", "err"):
                value = self.free(len(getattr(bus, port)), f"{name}_{port}")
                m.d.comb += [getattr(getattr(core, name), port).eq(value) for core in cores]
            m.d.sync += due.eq((bus.req & bus.gnt) | (due & ~bus.rvalid))
            self.assume(due | ~bus.rvalid)
        m.submodules.expander = expander = Expander()
        m.d.comb += expander.insn.eq(decode.d_insn)
        insn = expander.word
        self.assume(~insn[2:7].matches(0x0B >> 2, 0x2B >> 2))
        # A reserved compressed encoding passes the expander as it is.
        self.assume(expander.legal | (Cat(insn[2:12], insn[15:]) != 0x1067 >> 2))
        names_csr = (insn[:7] == 0x73) & (insn[12:14] != 0)
        self.assume(~names_csr | ~insn[20:32].matches(*_DIFFERENT))

        # The state of `tiny`.
        began = Signal()
        m.d.sync += began.eq(self.running)
        x_return, m_return, w_return = (_is_return(held[name]) for name in ("x_insn", "m_insn", "rvfi_insn"))
        for path, (signal, behind) in image.items():
            other = held[path]
            assert signal.init == other.init and signal.reset_less == other.reset_less, path
            value = Signal(len(other), name="image_" + path.replace(".", "_"))
            m.d.comb += value.eq(self._as_tiny(path, other, x_return, m_return, w_return))
            past = Signal(len(other), name=f"past_{path.replace('.', '_')}")
            m.d.comb += signal.eq(value)
            m.d.sync += past.eq(behind)
            self.always(~began | (past == value), path.replace(".", "_").replace("$", "_"))

        # What both do.
        self.always(fides.ibus.req == tiny.ibus.req, "ibus_req")
        self.always(~tiny.ibus.req | (fides.ibus.addr == tiny.ibus.addr), "ibus_addr")
        self.always(fides.dbus.req == tiny.dbus.req, "dbus_req")
        for name in ("addr", "we", "be", "wdata"):
            equal = getattr(fides.dbus, name) == getattr(tiny.dbus, name)
            self.always(~tiny.dbus.req | equal, f"dbus_{name}")
        self.always(fides.fence_i == tiny.fence_i, "fence_i_pin")
        for name in RVFI_FIELDS:
            equal = getattr(fides.rvfi, name) == getattr(tiny.rvfi, name)
            operand = w_return if name in ("rs2_addr", "rs2_rdata") else 0
            self.always(~tiny.rvfi.valid | equal | operand, f"report_{name}")
        for i, pair in enumerate(zip(*memory_sets, strict=True)):
            for k, (one, other) in enumerate(zip(*(memory.write_ports for memory in pair), strict=True)):
                same = (one.addr == other.addr) & (one.data == other.data)
                self.always((one.en == other.en) & (~other.en.any() | same), f"write{i}_{k}")

        self._invariants(held, x_return, began, implemented_csrs(tiny_config) - set(_DIFFERENT))

    def _word(self, insn):
        return Cat(insn[:16], Mux(insn[:2] == 3, insn[16:], 0))

    def _as_tiny(self, path, signal, x_return, m_return, w_return):
        """What a register of `tiny` holds when that of the other core holds ``signal``."""

        def without(fields, condition):
            """``signal`` with some of its bits, (offset, width), 0 on a condition."""
            mask = 0
            for offset, width in fields:
                mask |= ((1 << width) - 1) << offset
            return signal & ~Mux(condition, Const(mask, len(signal)), 0)

        def place(layout, *names):
            """Offset and width of a field of a field."""
            offset = 0
            for name in names:
                layout = layout if isinstance(layout, data.StructLayout) else layout.as_shape()
                offset += layout[name].offset
                width, layout = layout[name].width, layout[name].shape
            return offset, width

        second = ("late_control", "second")  # an operand that the late ALU would wait for
        operands = [place(OPERANDS, name) for name in ("rs2_addr", "rs2_rdata")]
        if path == "execute.x":
            fields = [place(ExecuteRequest, "rs2"), place(ExecuteRequest, *second)]
            fields.append(place(ExecuteRequest, "control", "security"))
            return without(fields, x_return)  # others have no security operation: claimed below
        if path == "memory.current":
            return without([place(MemoryRequest, *second)], m_return)
        if path == "x_operands":
            return without(operands, x_return)
        if path == "m_operands":
            return without(operands, m_return)
        if path in ("rvfi_rs2_addr", "rvfi_rs2_rdata"):
            return Mux(w_return, 0, signal)
        return signal

    def _invariants(self, held, x_return, began, common):
        """Checks stay off, and nothing of the extension moves."""
        x = ExecuteRequest(held["execute.x"])
        memory = MemoryRequest(held["memory.current"])
        operation = x.control.security
        idle = (operation == SecurityOp.NONE) | ((operation == SecurityOp.RETURN) & x_return)
        others = Cat(x.control[name] for name in (*EFFECTS, "keep_upper") if name not in ("jump", "ret"))
        idle &= ~x_return | (~others.any() & (x.control.result == Result.OTHER))
        idle &= ~x.late & ~memory.late
        # Nothing writes register 0.
        w = WritebackRequest(held["w"])
        idle &= ~x.control.write | (x.rd != 0)
        idle &= ~memory.write | (memory.rd != 0)
        idle &= ~w.write | (w.rd != 0)
        for csr, number in ((x.control.csr, x.immediate[5:17]), (memory.csr, memory.csr_number)):
            idle &= ~csr | number.matches(*sorted(common))
        self.assume(began | idle)
        self.helper(idle, "idle")
        for name in ("compartments_on", "pointers_on", "recorded", "m_check", "found", "fat_pointer.phase",
                     "capability_check.judging"):  # fmt: skip
            self.helper(held[f"security.{name}"] == 0, name.replace(".", "_"))
        begun = (held["execute.atomics.step"] != 0) | held["execute.atomics.loaded"]
        alone = held["execute.valid"] & x.control.atomic & ~held["memory.valid"]
        self.helper(~begun | alone, "atomics")
