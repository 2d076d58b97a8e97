"""Branch prediction: target buffer, gshare, return-address stack.

Everything here is a guess: execute compares the successor of every instruction with the address that follows
it in decode, and corrects fetch. Wrong or stale contents cost cycles and nothing else.

An entry of the target buffer belongs to an 8-byte fetch group and says which halfword of it is the last one
of a taken branch or jump. Sources: S. McFarling, Combining Branch Predictors, DEC WRL TN-36 (gshare);
RISC-V unprivileged ISA, section 2.5.1 (return-address hints).
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..config import PredictorConfig

__all__ = ["Kind", "snapshot_layout", "GroupPrediction", "Resolution", "Predictor"]

_TAG_BITS = 10  # partial: an alias is one more wrong guess


class Kind(enum.IntEnum, shape=2):
    """What an entry of the target buffer predicts."""

    NONE = 0
    BRANCH = 1
    JUMP = 2
    RETURN = 3


def snapshot_layout(config: PredictorConfig | None) -> data.StructLayout:
    """What travels with an instruction to execute, to train and repair the predictor there. ``hit``: an entry
    of the target buffer names this instruction; ``counter``: its two-bit counter; ``history``: the global
    history before it. Empty without prediction."""
    if config is None:
        return data.StructLayout({})
    return data.StructLayout({"hit": 1, "counter": 2, "history": config.history})


class GroupPrediction(wiring.Signature):
    """About the group that is being fetched. ``hit``: a branch is expected to end at halfword ``position``;
    ``taken``: and fetch goes on at ``target`` (bits [31:1])."""

    def __init__(self, config: PredictorConfig | None):
        super().__init__(
            {"hit": Out(1), "taken": Out(1), "position": Out(2), "target": Out(31),
             "counter": Out(2), "history": Out(config.history if config else 0)}
        )  # fmt: skip


class Resolution(wiring.Signature):
    """What execute found. ``valid``: an instruction leaves execute and moves on; ``link``: address behind it
    (bits [31:1]); ``target``: where it goes if ``taken`` (bits [31:1]). ``branch``, ``jump``, ``call``,
    ``ret``: what it is (a call or return is a jump, too); ``wrong``: fetch did not follow it; ``snapshot``:
    what the prediction had attached to it. ``kept``: it is not dropped at the last moment. ``late``: a branch
    of which ``taken``, and mostly ``wrong``, are known one cycle later."""

    def __init__(self, config: PredictorConfig | None):
        super().__init__(
            {
                "valid": Out(1),
                "link": Out(31),
                "target": Out(31),
                "taken": Out(1),
                "branch": Out(1),
                "jump": Out(1),
                "call": Out(1),
                "ret": Out(1),
                "wrong": Out(1),
                "late": Out(1),
                "kept": Out(1),
                "snapshot": Out(snapshot_layout(config)),
            }
        )


class Predictor(wiring.Component):
    """``f_pc`` (bits [31:1]): where fetch asks next, taken over with ``f_enable``; ``group`` is about what
    was
    asked last, from the following cycle on. ``use``: that group has arrived and its prediction is followed,
    so that its outcome enters the history. ``x``: see ``Resolution``; ``m_taken`` and ``m_wrong`` complete it
    in the following cycle for late branches, one cycle before fetch goes on at their successor."""

    def __init__(self, config: PredictorConfig):
        self._config = config
        super().__init__(
            {
                "f_pc": In(31),
                "f_enable": In(1),
                "use": In(1),
                "drop": In(1),
                "group": Out(GroupPrediction(config)),
                "x": In(Resolution(config)),
                "m_taken": In(1),
                "m_wrong": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        group, x = self.group, self.x
        index_bits = (config.btb_entries - 1).bit_length()
        counter_bits = max(config.history, 9)

        # The first bit of the group's address in f_pc and link is bit 2: both are in halfwords.
        entry_layout = data.StructLayout({"kind": Kind, "position": 2, "tag": _TAG_BITS, "target": 31})
        m.submodules.targets = targets = Memory(
            shape=entry_layout, depth=config.btb_entries, init=[], attrs={"ram_style": "block"}
        )
        m.submodules.counters = counters = Memory(
            shape=2, depth=1 << counter_bits, init=[], attrs={"ram_style": "block"}
        )
        target_read, target_write = targets.read_port(), targets.write_port()
        counter_read, counter_write = counters.read_port(), counters.write_port()

        # History: of the branches that fetch has followed; execute puts it right.
        history = Signal(config.history)
        r_tag = Signal(_TAG_BITS, reset_less=True)
        r_first = Signal(2, reset_less=True)
        entry = target_read.data
        is_branch = Signal()
        next_history = Signal(config.history)
        m.d.comb += [
            group.hit.eq((entry.kind != Kind.NONE) & (entry.tag == r_tag) & (entry.position >= r_first)),
            is_branch.eq(entry.kind == Kind.BRANCH),
            group.taken.eq(group.hit & (~is_branch | counter_read.data[1])),
            group.position.eq(entry.position),
            group.target.eq(entry.target),
            group.counter.eq(counter_read.data),
            group.history.eq(history),
            next_history.eq(history),
            target_read.addr.eq(self.f_pc[2:]),
            target_read.en.eq(self.f_enable),
            counter_read.addr.eq(self.f_pc[2:] ^ Cat(Const(0, counter_bits - config.history), next_history)),
            counter_read.en.eq(self.f_enable),
        ]
        with m.If(self.f_enable):
            m.d.sync += [
                r_tag.eq(self.f_pc[2 + index_bits :]),
                r_first.eq(self.f_pc[:2]),
            ]
        late_repair = Signal()
        late_history = Signal(config.history, reset_less=True)
        if config.history:
            with m.If(self.use & group.hit & is_branch):
                m.d.comb += next_history.eq(Cat(counter_read.data[1], history))
            repaired = Signal(config.history)
            m.d.comb += repaired.eq(
                Mux(
                    x.branch & (x.taken | x.snapshot.hit),
                    Cat(x.taken, x.snapshot.history),
                    x.snapshot.history,
                )
            )
            with m.If(x.valid & x.wrong):
                m.d.comb += next_history.eq(repaired)
            with m.If(late_repair):
                m.d.comb += next_history.eq(late_history)
            with m.If(~self.drop | x.valid & x.wrong | late_repair):
                m.d.sync += history.eq(next_history)

        # Training, one cycle after execute: which group does the last halfword lie in?
        u_last = Signal(29)
        u = Signal(
            data.StructLayout(
                {"link": 31, "target": 31, "kind": Kind, "counter": 2, "history": config.history, "known": 1,
                 "late": 1, "taken": 1, "wrong": 1}
            ),
            reset_less=True,
        )  # fmt: skip
        u_valid = Signal()
        u_push = Signal()
        u_pop = Signal()
        m.d.sync += [
            u_valid.eq(x.kept),
            u_push.eq(x.kept & x.call),
            u_pop.eq(x.kept & x.ret),
            u.link.eq(x.link),
            u.target.eq(x.target),
            u.kind.eq(Mux(x.branch, Kind.BRANCH, Mux(x.ret, Kind.RETURN, Mux(x.jump, Kind.JUMP, Kind.NONE)))),
            u.counter.eq(x.snapshot.counter),
            u.history.eq(x.snapshot.history),
            u.known.eq(x.snapshot.hit),
            u.late.eq(x.late),
            u.taken.eq(x.taken),
            u.wrong.eq(x.wrong),
            late_repair.eq(u_valid & self.m_wrong),
            late_history.eq(Mux(self.m_taken | u.known, Cat(self.m_taken, u.history), u.history)),
        ]
        u_taken = Signal()
        u_wrong = Signal()
        u_counter = Signal(2)
        with m.If(~u.known):
            m.d.comb += u_counter.eq(2)
        with m.Elif(u_taken):
            m.d.comb += u_counter.eq(Mux(u.counter == 3, 3, u.counter + 1))
        with m.Else():
            m.d.comb += u_counter.eq(Mux(u.counter == 0, 0, u.counter - 1))
        m.d.comb += [u_taken.eq(u.taken | (u.late & self.m_taken)), u_wrong.eq(u.wrong | self.m_wrong)]
        last = Signal(31)
        m.d.comb += [
            last.eq(u.link - 1),
            u_last.eq(last[2:]),
            target_write.addr.eq(u_last),
            target_write.en.eq(u_valid & ((u_wrong & u_taken) | (u.known & (u.kind == Kind.NONE)))),
            target_write.data.kind.eq(u.kind),
            target_write.data.position.eq(last[:2]),
            target_write.data.tag.eq(u_last[index_bits:]),
            target_write.data.target.eq(u.target),
            counter_write.addr.eq(u_last ^ Cat(Const(0, counter_bits - config.history), u.history)),
            counter_write.en.eq(u_valid & (u.kind == Kind.BRANCH) & (u.known | u_taken)),
            counter_write.data.eq(u_counter),
        ]

        if config.return_stack:
            m.submodules.returns = returns = Memory(
                shape=31, depth=config.return_stack, init=[], attrs={"ram_style": "distributed"}
            )
            top = Signal(range(config.return_stack))
            push, read = returns.write_port(), returns.read_port(domain="comb")
            m.d.comb += [
                push.addr.eq(top + 1),
                push.data.eq(u.link),
                push.en.eq(u_push),
                read.addr.eq(top),
            ]
            m.d.sync += top.eq(top + u_push - u_pop)
            with m.If(entry.kind == Kind.RETURN):
                m.d.comb += group.target.eq(read.data)
        return m
