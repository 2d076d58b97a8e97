"""Branch prediction: target buffer, gshare, return-address stack.

Everything here is a guess: execute compares the successor of every instruction with the address that follows
it in decode, and corrects fetch. Wrong or stale contents cost cycles and nothing else.

An 8-byte fetch group has two entries in the target buffer, one in each of two banks: an entry says which of
the two halfwords of its half of the group is the last one of a branch or jump. So the banks need no
replacement, their order is the order of the program, and the address of an instruction says which entry is
its own. Each bank has its two-bit counters, so that two branches of a group do not share one.

The history has one bit for every fetched group in which the target buffer knows a branch: whether one was
taken. Fetch guesses it, and execute keeps the true one, which fetch takes over with every redirect; so it
does not travel with the instructions. Sources: S. McFarling, Combining Branch Predictors, DEC WRL TN-36
(gshare); RISC-V unprivileged ISA, section 2.5.1 (return-address hints).
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, enum, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..config import PredictorConfig

__all__ = ["Kind", "snapshot_layout", "GroupPrediction", "Resolution", "Predictor"]

_TAG_BITS = 9  # partial: an alias is one more wrong guess


class Kind(enum.IntEnum, shape=2):
    """What an entry of the target buffer predicts. Bit 1: a jump."""

    NONE = 0
    BRANCH = 1
    JUMP = 2
    RETURN = 3


def snapshot_layout(config: PredictorConfig | None) -> data.StructLayout:
    """What travels with an instruction to execute, to train the predictor there. ``hit``: an entry of the
    target buffer names its last halfword; ``counter``: the two-bit counter that belongs to this entry;
    ``stale``: an entry names its first halfword, though the instruction has another one; ``second``: it ends
    in the upper half of a group, and an entry of the lower half was there when the group was fetched. Empty
    without prediction."""
    if config is None:
        return data.StructLayout({})
    return data.StructLayout({"hit": 1, "counter": 2, "stale": 1, "second": 1})


class GroupPrediction(wiring.Signature):
    """About the group that is being fetched; one bit is for its lower, one for its upper half. ``hit``: a
    branch or jump is expected to end in this half; ``odd``: in its second halfword; ``taken``: it is taken
    if it is reached; then fetch goes on at ``target`` (bits [31:1]), the first one's; ``counter``: two bits
    for each half."""

    def __init__(self):
        super().__init__(
            {"hit": Out(2), "odd": Out(2), "taken": Out(2), "target": Out(31), "counter": Out(4)}
        )


class Resolution(wiring.Signature):
    """What execute found. ``valid``: an instruction leaves execute and moves on; ``pc``, ``link``: its
    address and the one behind it (bits [31:1]); ``target``: where it goes if ``taken`` (bits [31:1]).
    ``branch``, ``jump``, ``call``, ``ret``: what it is (a call or return is a jump, too); ``wrong``: fetch
    did not follow it; ``snapshot``: what the prediction had attached to it. ``kept``: it is not dropped at
    the last moment. ``late``: a branch of which ``taken``, and mostly ``wrong``, are known one cycle
    later."""

    def __init__(self, config: PredictorConfig | None):
        super().__init__(
            {
                "valid": Out(1),
                "pc": Out(31),
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


def _folded(history, width: int):
    """``history``, of up to twice ``width`` bits, as ``width`` bits: moved to the upper end, where it meets
    the address bits that differ least, or its two parts, xored."""
    if len(history) <= width:
        return Cat(Const(0, width - len(history)), history)
    return history[:width] ^ _folded(Cat(history[width:], Const(0, 2 * width - len(history))), width)


class Predictor(wiring.Component):
    """``f_pc`` (bits [31:1]): where fetch asks next, taken over with ``f_enable``; ``group`` is about what
    was asked last, from the following cycle on. ``use``: that group has arrived and its prediction is
    followed, so that its outcome enters the history. ``redirect``: fetch starts anew behind what execute and
    memory have. ``drop``: that group will be asked for again. ``x``: see ``Resolution``; ``m_taken`` and
    ``m_wrong`` complete it in the following cycle for late branches."""

    def __init__(self, config: PredictorConfig):
        self._config = config
        super().__init__(
            {
                "f_pc": In(31),
                "f_enable": In(1),
                "use": In(1),
                "group": Out(GroupPrediction()),
                "drop": In(1),
                "redirect": In(1),
                "x": In(Resolution(config)),
                "m_taken": In(1),
                "m_wrong": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        group, x = self.group, self.x
        index_bits = (config.btb_entries // 2 - 1).bit_length()
        counter_bits = (config.counters // 2 - 1).bit_length()

        def counter_index(group_address, history):
            return group_address ^ _folded(history, counter_bits)

        # The first bit of the group's address in f_pc and link is bit 2: both are in halfwords.
        f_history = Signal(config.history)  # the history that the next group is predicted with
        r_tag = Signal(_TAG_BITS, reset_less=True)
        r_first = Signal(2, reset_less=True)
        entry_layout = data.StructLayout({"kind": Kind, "odd": 1, "tag": _TAG_BITS, "target": 31})
        entries = []
        hits, jumps, taken = group.hit, Signal(2), group.taken
        target_writes, counter_writes = [], []
        for half in range(2):
            targets = Memory(
                shape=entry_layout, depth=config.btb_entries // 2, init=[], attrs={"ram_style": "block"}
            )
            counters = Memory(shape=2, depth=1 << counter_bits, init=[], attrs={"ram_style": "block"})
            m.submodules[f"targets{half}"] = targets
            m.submodules[f"counters{half}"] = counters
            target_read, counter_read = targets.read_port(), counters.read_port()
            target_writes.append(targets.write_port())
            counter_writes.append(counters.write_port())
            entry = target_read.data
            entries.append(entry)
            m.d.comb += [
                target_read.addr.eq(self.f_pc[2:]),
                target_read.en.eq(self.f_enable),
                counter_read.addr.eq(counter_index(self.f_pc[2:], f_history)),
                counter_read.en.eq(self.f_enable),
                hits[half].eq(
                    (entry.kind != Kind.NONE) & (entry.tag == r_tag) & (Cat(entry.odd, half) >= r_first)
                ),
                jumps[half].eq(Value.cast(entry.kind)[1]),
                taken[half].eq(hits[half] & (jumps[half] | counter_read.data[1])),
                group.odd[half].eq(entry.odd),
                group.counter.word_select(half, 2).eq(counter_read.data),
            ]
        m.d.comb += group.target.eq(Mux(taken[0], entries[0].target, entries[1].target))
        with m.If(self.f_enable):
            m.d.sync += [
                r_tag.eq(self.f_pc[2 + index_bits :]),
                r_first.eq(self.f_pc[:2]),
            ]

        # Training, one cycle after execute: which half of which group does the last halfword lie in?
        u = Signal(
            data.StructLayout(
                {"pc": 31, "wide": 1, "link": 31, "target": 31, "kind": Kind, "taken": 1, "late": 1,
                 "snapshot": snapshot_layout(config)}
            ),
            reset_less=True,
        )  # fmt: skip
        u_valid = Signal()
        u_entry = Signal()
        u_branch = Signal()
        u_push = Signal()
        u_pop = Signal()
        known = x.snapshot.hit & ~x.snapshot.stale
        x_branch = x.branch & ~x.snapshot.stale
        m.d.sync += [
            u_valid.eq(x.kept),
            u_entry.eq(x.kept & ((x.wrong & x.taken) | x.snapshot.stale | (known & ~x.branch & ~x.jump))),
            u_branch.eq(x.kept & x_branch),
            u_push.eq(x.kept & x.call),
            u_pop.eq(x.kept & x.ret),
            u.pc.eq(x.pc),
            u.wide.eq(x.pc[0] == x.link[0]),  # it has two halfwords
            u.link.eq(x.link),
            u.target.eq(x.target),
            u.kind.eq(Mux(x.branch, Kind.BRANCH, Mux(x.ret, Kind.RETURN, Mux(x.jump, Kind.JUMP, Kind.NONE)))),
            u.taken.eq(x.taken),
            u.late.eq(x.late),
            u.snapshot.eq(x.snapshot),
        ]
        with m.If(x.snapshot.stale):
            m.d.sync += u.kind.eq(Kind.NONE)
        u_taken = Signal()
        u_counts = Signal()  # a branch that the target buffer knows, or will know
        last = Signal(31)
        old = u.snapshot.counter
        m.d.comb += [
            u_taken.eq(u.taken | (u.late & self.m_taken)),
            u_counts.eq(u_branch & (u.snapshot.hit | u_taken)),
            # A stale entry is where the instruction, of two halfwords, begins.
            last.eq(u.pc + (u.wide & ~u.snapshot.stale)),
        ]

        # The history of what has left execute; behind its first bit, that which a branch in training was
        # predicted with: the second branch of a group was predicted without the first one's bit, and takes
        # its place, as only one bit is for the group.
        history = Signal(config.history + 1)
        for half in range(2):
            target_write, counter_write = target_writes[half], counter_writes[half]
            m.d.comb += [
                target_write.addr.eq(last[2:]),
                target_write.en.eq((u_entry | (u_valid & self.m_wrong & self.m_taken)) & (last[1] == half)),
                target_write.data.kind.eq(u.kind),
                target_write.data.odd.eq(last[0]),
                target_write.data.tag.eq(last[2 + index_bits :]),
                target_write.data.target.eq(u.target),
                counter_write.addr.eq(counter_index(last[2:], history[1:])),
                counter_write.en.eq(u_counts & (last[1] == half)),
            ]
            with m.If(~u.snapshot.hit):
                m.d.comb += counter_write.data.eq(2)
            with m.Elif(u_taken):
                m.d.comb += counter_write.data.eq(Mux(old == 3, 3, old + 1))
            with m.Else():
                m.d.comb += counter_write.data.eq(Mux(old == 0, 0, old - 1))
        if config.history:
            guessed = Signal(config.history)
            x_counts = Signal()
            x_grows = Signal()
            x_bit = Signal()
            f_grows = Signal()
            m.d.comb += [
                x_counts.eq(x_branch & (x.snapshot.hit | x.taken)),
                x_grows.eq(x_counts & ~x.snapshot.second),
                # For a late branch that the target buffer knows, what it has predicted.
                x_bit.eq(x.taken | (x.late & x.snapshot.counter[1])),
            ]
            with m.If(self.m_wrong):
                # Older than what is in execute, which is dropped.
                with m.If(u.snapshot.hit | self.m_taken):
                    m.d.sync += history[0].eq(self.m_taken)
                with m.If(~u.snapshot.hit & ~u.snapshot.second):
                    m.d.sync += history[1:].eq(history)
            with m.Elif(x.kept):
                with m.If(x_counts):
                    m.d.sync += history[0].eq(x_bit)
                with m.If(x_grows):
                    m.d.sync += history[1:].eq(history)
            # On the way to the address of the counters: each bit is one of four.
            with m.If(self.redirect):
                m.d.comb += [
                    f_grows.eq(x.valid & x_grows),
                    f_history.eq(Mux(f_grows, history << 1, history)),
                ]
                with m.If(x.valid & x_counts):
                    m.d.comb += f_history[0].eq(x_bit)
            with m.Else():
                # No branch of the upper half is reached behind a jump of the lower one.
                m.d.comb += [
                    f_grows.eq(self.use & Mux(hits[0], ~jumps[0], hits[1] & ~jumps[1])),
                    f_history.eq(Mux(f_grows, guessed << 1, guessed)),
                ]
                with m.If(f_grows):
                    m.d.comb += f_history[0].eq(taken[0] | (taken[1] & ~jumps[1]))
            with m.If(~self.drop | self.redirect):
                m.d.sync += guessed.eq(f_history)

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
            with m.If(Mux(taken[0], entries[0].kind == Kind.RETURN, entries[1].kind == Kind.RETURN)):
                m.d.comb += group.target.eq(read.data)
        return m
