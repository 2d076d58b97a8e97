"""Execute: arithmetic, branches, addresses and data requests; the place where the security units judge."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import CoreConfig
from ..isa.causes import ExceptionCause
from .alu import ALU
from .atomics import Atomics, AtomicStep, Reservation
from .bus import DataBus
from .control import ExecuteRequest, MemoryRequest, Result, SecurityOp
from .decode import Forward
from .divider import Divider
from .load_store import StoreLanes
from .pmp import PMPChecker, PMPEntry
from .predictor import Resolution, snapshot_layout

__all__ = ["ExecuteStage", "SecurityView"]


class SecurityView(wiring.Signature):
    """What execute and the security extension tell each other; see ``security/extension.py``. The outputs
    here are the extension's inputs."""

    def __init__(self):
        super().__init__(
            {
                "judge": Out(1),
                "total": Out(64),
                "target": Out(64),
                "advance": Out(1),
                "fire": Out(1),
                "commit": Out(1),
                "granted": Out(1),
                "refused": Out(1),
                "wait": In(1),
                "interruptible": In(1),
                "fault": In(1),
                "cause": In(5),
                "tag": In(32),
                "minted": In(1),
                "mask_addresses": In(1),
                "table_op": In(1),
                "table": In(29),
                "index": In(16),
                "request": In(1),
                "we": In(1),
                "set": In(1),
            }
        )


class ExecuteStage(wiring.Component):
    """Execute stage.

    ``d_valid``/``d_request``: the instruction that decode sends; it is here from the next cycle on.
    ``ready``: decode may send one. ``valid``/``current``: what is here. ``m_valid``/``m_request``: the
    instruction moves to the memory stage, whose payload is loaded whenever ``m_ready`` is high. ``kill``: the
    instruction before it has trapped, it must not move nor have any effect. ``flush``: fetch starts anew
    elsewhere; what decode sends is not taken.

    ``next_pc``: address of the instruction that decode holds, or waits for. ``redirect`` and
    ``redirect_target`` (64 bits): another one has to follow, or fence.i starts fetch anew. ``resolution``:
    the same for the predictor; ``target``: where a branch here goes if it is taken; ``mispredicted`` for the
    counters.

    ``load``, ``compute``: steps of an atomic instruction, see ``atomics.py``; ``d_request`` then holds the
    operand that is replaced. ``reserve`` with ``reserve_address`` (bits [31:2]): an LR completes in
    the memory stage. ``fence_i`` is high until ``fence_i_done``, with nothing on its way in the memory stage.
    """

    def __init__(self, config: CoreConfig):
        self._config = config
        ports = {
            "bus": Out(DataBus),
            "d_valid": In(1),
            "d_request": In(ExecuteRequest),
            "ready": Out(1),
            "valid": Out(1),
            "current": Out(ExecuteRequest),
            "forward": Out(Forward),
            "m_valid": Out(1),
            "m_request": Out(MemoryRequest),
            "m_ready": In(1),
            "m_empty": In(1),
            "kill": In(1),
            "flush": In(1),
            "d_snapshot": In(snapshot_layout(config.predictor)),
            "next_pc": In(32),
            "pc_high": In(32),
            "redirect": Out(1),
            "redirect_target": Out(64),
            "target": Out(64),
            "resolution": Out(Resolution(config.predictor)),
            "mispredicted": Out(1),
            "load": Out(1),
            "compute": Out(1),
            "response": In(1),
            "response_error": In(1),
            "reserve": In(1),
            "reserve_address": In(30),
            "fence_i": Out(1),
            "fence_i_done": In(1),
            "wake": In(1),
            "interrupt": In(1),
            "interrupt_cause": In(5),
            "data_user": In(1),
            "pmp": In(data.ArrayLayout(PMPEntry, config.pmp_entries)),
        }
        if config.xfides:
            ports["security"] = Out(SecurityView())
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        xfides = self._config.xfides is not None
        # Payloads need no reset; without one, synthesis can use the flip-flops' reset inputs for logic.
        x = Signal(ExecuteRequest, reset_less=True)
        m.d.comb += self.current.eq(x)
        bus = self.bus
        control = x.control
        valid = self.valid
        security = self.security if xfides else None

        m.submodules.alu = alu = ALU(self._config)
        m.submodules.divider = divider = Divider()
        m.submodules.store_lanes = lanes = StoreLanes(tables=xfides)
        m.submodules.pmp = pmp = PMPChecker(self._config.pmp_entries)
        m.submodules.atomics = atomics = Atomics()
        m.submodules.reservation = reservation = Reservation()

        immediate = Cat(x.immediate, x.immediate[31].replicate(32))
        # AMOs on words compare them sign-extended.
        narrow = control.atomic & ~control.funct3[0]
        rs2 = Cat(x.rs2[:32], Mux(narrow, x.rs2[31].replicate(32), x.rs2[32:]))
        m.d.comb += [
            alu.a.eq(x.rs1),
            alu.b.eq(Mux(control.b_immediate, immediate, rs2)),
            alu.control.eq(control.alu),
        ]
        # An access to the metadata table borrows the address adder. An AMO has lost its address from rs1 once
        # it has read.
        table_op = security.table_op if xfides else Const(0)
        held_address = Signal(32, reset_less=True)
        start = Mux(control.base_pc, Cat(x.pc, Const(0, 32)), x.rs1)
        start = Mux(atomics.loaded, held_address, start)
        step = immediate
        if xfides:
            # The index is the shorter one, and more is chosen from on its side.
            start = Mux(table_op, Cat(Const(0, 3), security.index, Const(0, 45)), start)
            step = Mux(table_op, Cat(Const(0, 3), security.table, Const(0, 32)), step)
        address = Signal(64)
        m.d.comb += address.eq(start + step)
        with m.If(~atomics.loaded):
            m.d.sync += held_address.eq(address)

        # Jumps and branches.
        taken = Signal()
        wrong = Signal()
        late_branch = control.branch & x.late
        condition = Mux(control.funct3[2], alu.less, alu.equal) ^ control.funct3[0]
        to_target = address[1:] == self.next_pc[1:]
        to_link = x.link[1:] == self.next_pc[1:]
        m.d.comb += [
            taken.eq(control.jump | (control.branch & ~x.late & condition)),
            # Of a late branch only that fetch has gone one of its two ways; else it goes on behind it.
            wrong.eq(Mux(taken, ~to_target, ~to_link & ~(late_branch & to_target))),
            self.target.eq(Cat(Const(0, 1), address[1:])),
            self.redirect_target.eq(Mux(taken, self.target, x.link)),
        ]

        # Data requests.
        data_access = control.load | control.store | control.atomic
        masked = security.mask_addresses if xfides else Const(0)
        m.d.comb += [
            lanes.size.eq(control.funct3[:2]),
            lanes.offset.eq(address[:3]),
            lanes.data.eq(x.rs2),
        ]
        misaligned = data_access & lanes.misaligned
        table_request = security.request if xfides else Const(0)
        wanted = Signal()
        refused = Signal()
        stores = control.store | control.atomic
        m.d.comb += [
            bus.addr.eq(address[:32]),
            bus.we.eq(control.store | atomics.we),
            bus.be.eq(lanes.be),
            bus.wdata.eq(lanes.word),
            pmp.entries.eq(self.pmp),
            pmp.address.eq(bus.addr),
            pmp.doubleword.eq((control.funct3[:2] == 3) | table_op),
            pmp.read.eq(~bus.we),
            pmp.write.eq(bus.we | control.atomic),
            pmp.user.eq(self.data_user & ~table_op),
            refused.eq(pmp.fault | (data_access & ~masked & (address[32:] != 0))),
        ]
        if xfides:
            with m.If(table_op):
                m.d.comb += bus.we.eq(security.we)
            m.d.comb += [
                lanes.table.eq(table_op),
                lanes.table_set.eq(security.set),
                # The cookie, and base and size where mint's operands have them.
                lanes.table_word.eq(Cat(security.tag[:8], x.rs2[:24], x.rs1[:32])),
            ]

        # Exceptions, in the order of their priority.
        exception = Signal()
        cause = Signal(5)
        interrupt = Signal()
        early = x.interrupt | (x.exception & (x.cause == ExceptionCause.INSTRUCTION_ACCESS_FAULT))
        security_fault = security.fault & ~early if xfides else Const(0)
        m.d.comb += [cause.eq(x.cause), interrupt.eq(x.interrupt)]
        with m.If(x.interrupt):
            pass
        with m.Elif(security_fault):
            m.d.comb += exception.eq(1)
            if xfides:
                m.d.comb += cause.eq(security.cause)
        with m.Elif(x.exception):
            m.d.comb += exception.eq(1)
        with m.Elif(misaligned):
            m.d.comb += [
                exception.eq(1),
                cause.eq(Mux(stores, ExceptionCause.STORE_MISALIGNED, ExceptionCause.LOAD_MISALIGNED)),
            ]
        with m.Elif((data_access & refused) | (atomics.step == AtomicStep.FAULT)):
            m.d.comb += [
                exception.eq(1),
                cause.eq(Mux(stores, ExceptionCause.STORE_ACCESS_FAULT, ExceptionCause.LOAD_ACCESS_FAULT)),
            ]

        # Flow. Whether the instruction must wait never depends on the verdicts above.
        wait = Signal()
        late_interrupt = Signal()
        advance = Signal()
        fire = Signal()
        m.d.comb += [
            divider.x_request.eq(valid & control.divide),
            divider.x_a.eq(x.rs1),
            divider.x_b.eq(x.rs2),
            divider.x_funct3.eq(control.funct3),
            divider.x_word.eq(control.word),
            self.fence_i.eq(valid & control.fence_i & self.m_empty),
            # Behind an empty memory stage: AMOs, because nothing may stop them once they have begun, and SC,
            # because it needs to know of an LR there.
            wait.eq(
                (control.divide & ~divider.x_done)
                | (control.wfi & ~self.wake)
                | (control.fence_i & ~(self.m_empty & self.fence_i_done))
                | ((control.load | control.store) & ~bus.gnt)
                | (control.conditional & ~self.m_empty)
                | (control.atomic & ~atomics.done)
            ),
            atomics.active.eq(valid & control.atomic & self.m_empty),
            atomics.refused.eq(misaligned | refused | security_fault),
            atomics.granted.eq(bus.gnt),
            atomics.response.eq(self.response),
            atomics.error.eq(self.response_error),
            atomics.take.eq(advance),
            self.load.eq(atomics.load),
            self.compute.eq(atomics.compute),
            reservation.set.eq(self.reserve),
            reservation.set_address.eq(self.reserve_address),
            reservation.address.eq(address[2:32]),
            reservation.clear.eq(fire & control.conditional & ~exception),
        ]
        if xfides:
            with m.If(security.wait):
                m.d.comb += wait.eq(1)
            # Decided by the operation alone: a val that needs no access waits for the bus all the same.
            with m.If((control.security == SecurityOp.VAL) & ~bus.gnt):
                m.d.comb += wait.eq(1)
            with m.If(security.interruptible & self.interrupt):
                m.d.comb += [
                    wait.eq(0),
                    late_interrupt.eq(1),
                    interrupt.eq(1),
                    cause.eq(self.interrupt_cause),
                    exception.eq(0),
                ]
        plain_access = control.load | (control.store & (~control.conditional | reservation.held))
        m.d.comb += [
            advance.eq(valid & ~wait & self.m_ready),
            fire.eq(advance & ~self.kill),
            divider.x_take.eq(advance),
            self.m_valid.eq(fire),
            self.ready.eq(~valid | advance),
            wanted.eq((plain_access & ~exception & advance) | atomics.request),
            bus.req.eq((wanted | (table_request & ~refused & valid & self.m_ready)) & ~self.kill),
            # What traps has no successor, and fetch must not forget the upper half of its address.
            self.mispredicted.eq(advance & wrong & ~x.exception & ~x.interrupt),
            self.redirect.eq(self.mispredicted | (advance & control.fence_i)),
        ]
        with m.If(self.ready | self.kill | self.flush):
            m.d.sync += valid.eq(self.d_valid & ~self.redirect & ~self.kill & ~self.flush)
        request = self.d_request
        others = [name for name in ExecuteRequest.as_shape().members if name not in ("rs1", "rs2")]
        with m.If(self.ready):
            m.d.sync += [x[name].eq(request[name]) for name in others]
        with m.If(self.ready | atomics.load):
            m.d.sync += x.rs1.eq(request.rs1)
        with m.If(self.ready | atomics.compute):
            m.d.sync += x.rs2.eq(request.rs2)

        # What the predictor learns.
        resolution = self.resolution
        m.d.comb += [
            resolution.valid.eq(advance),
            resolution.pc.eq(x.pc[1:]),
            resolution.link.eq(x.link[1:]),
            resolution.target.eq(address[1:32]),
            resolution.taken.eq(taken),
            resolution.branch.eq(control.branch),
            resolution.jump.eq(control.jump),
            resolution.call.eq(control.call),
            resolution.ret.eq(control.ret),
            resolution.wrong.eq(wrong & ~x.exception & ~x.interrupt),
            resolution.late.eq(late_branch),
            resolution.kept.eq(fire),
        ]
        if self._config.predictor:
            snapshot = Signal(snapshot_layout(self._config.predictor), reset_less=True)
            with m.If(self.ready):
                m.d.sync += snapshot.eq(self.d_snapshot)
            m.d.comb += resolution.snapshot.eq(snapshot)

        # The result. What an exception has for mtval is chosen by control signals, not by the verdicts above:
        # the address for loads and stores, the target for jumps, the fields here for what decode found.
        other = Signal(64)
        m.d.comb += other.eq(x.link)
        with m.If(x.exception & ~x.second):
            with m.Switch(x.cause):
                with m.Case(ExceptionCause.ILLEGAL_INSTRUCTION):
                    m.d.comb += other.eq(x.immediate)
                with m.Case(ExceptionCause.INSTRUCTION_ACCESS_FAULT, ExceptionCause.BREAKPOINT):
                    m.d.comb += other.eq(Cat(x.pc, self.pc_high & x.far.replicate(32)))
                with m.Default():
                    m.d.comb += other.eq(0)
        passed = Signal(64)
        m.d.comb += passed.eq(divider.x_result)
        with m.If(control.csr & control.funct3[2]):
            m.d.comb += passed[:5].eq(x.immediate[:5])
        select = Signal(Result)
        select_upper = Signal(Result)
        m.d.comb += [select.eq(control.result), select_upper.eq(select)]
        # An AMO: the new value while it is computed, in the end the old one, else the address.
        with m.If(control.atomic):
            with m.Switch(atomics.step):
                with m.Case(AtomicStep.COMPUTE):
                    m.d.comb += select.eq(Result.ALU)
                with m.Case(AtomicStep.DONE):
                    m.d.comb += select.eq(Result.DIVIDER)
                with m.Default():
                    m.d.comb += select.eq(Result.ADDRESS)
        with m.If(control.keep_upper):
            m.d.comb += select_upper.eq(Result.DIVIDER)
        with m.If(masked & data_access & (select == Result.ADDRESS)):
            m.d.comb += select_upper.eq(Result.OTHER)  # zero: the link has 32 bits
        if xfides:
            with m.If(security.minted):
                # mint raises no exception any more, so the upper half of this input is free.
                m.d.comb += [select_upper.eq(Result.OTHER), other[32:].eq(security.tag)]
        # Bit 0 of a jump's target is always 0.
        target = Cat(address[0] & ~control.jump, address[1:])
        result = Signal(64)
        for half, selector in ((slice(0, 32), select), (slice(32, 64), select_upper)):
            with m.Switch(selector):
                for source, value in (
                    (Result.ALU, alu.result),
                    (Result.ADDRESS, target),
                    (Result.OTHER, other),
                    (Result.DIVIDER, passed),
                ):
                    with m.Case(source):
                        m.d.comb += result[half].eq(value[half])
        request = self.m_request
        m.d.comb += [
            request.pc.eq(x.pc),
            request.far.eq(x.far),
            request.result.eq(result),
            request.rd.eq(x.rd),
            request.write.eq(control.write),
            request.load.eq(control.load | (control.atomic & (select == Result.ADDRESS))),
            request.reserve.eq(control.reserve),
            request.conditional.eq(control.conditional),
            request.store.eq(bus.we),
            request.access.eq(bus.req),
            request.funct3.eq(control.funct3),
            request.size.eq(control.size),
            request.multiply.eq(control.multiply),
            request.csr.eq(control.csr),
            request.csr_number.eq(x.immediate[5:17]),
            request.mret.eq(control.mret),
            request.exception.eq(exception),
            request.interrupt.eq(interrupt),
            request.cause.eq(cause),
            request.late.eq(x.late),
            request.late_control.eq(x.late_control),
            request.late_branch.eq(late_branch),
            request.followed.eq(to_target),
            request.alternative.eq(Mux(to_target, x.link, self.target[:34])),
            self.forward.write.eq(valid & control.write),
            self.forward.rd.eq(x.rd),
            self.forward.ready.eq(
                ~(control.load | control.conditional | control.multiply | control.csr | x.late)
            ),
            self.forward.soon.eq(~(control.multiply & (control.funct3 != 0))),
            self.forward.value.eq(result),
        ]
        if xfides:
            m.d.comb += [
                security.judge.eq(valid & ~early),
                security.total.eq(alu.total),
                security.target.eq(target),
                security.advance.eq(advance),
                security.fire.eq(fire),
                security.commit.eq(fire & ~exception & ~interrupt),
                security.granted.eq(bus.gnt & self.m_ready & ~self.kill & ~refused),
                security.refused.eq(refused),
            ]
        return m
