"""Each rule of the protocol checkers: traffic that is legal, and the one thing that breaks the rule."""

import warnings

import pytest
from amaranth.sim import Simulator

from fides_core.axi.checker import Axi4Checker, AxiLiteChecker, Rule
from fides_core.axi.signatures import Burst, Response

TIMEOUT = 20
OUTSTANDING = 2

# Legal traffic: a write of four beats, a narrow one that begins unaligned, a wrapping one whose data comes
# with its address, and reads of two identifiers that are answered interleaved. One dictionary for each cycle
# holds the signals that are high or not zero.
AW = {"awvalid": 1, "awaddr": 0x1000, "awlen": 3, "awsize": 3, "awburst": Burst.INCR, "awid": 1}
AW_GO = AW | {"awready": 1}
NARROW = {"awvalid": 1, "awaddr": 0x1001, "awlen": 1, "awsize": 1, "awburst": Burst.INCR, "awready": 1}
WRAP = {"awvalid": 1, "awaddr": 0x1018, "awlen": 3, "awsize": 3, "awburst": Burst.WRAP, "awid": 1}
AR0 = {"arvalid": 1, "arready": 1, "araddr": 0x2000, "arlen": 1, "arsize": 3, "arburst": Burst.INCR}
AR1 = AR0 | {"arid": 1, "arlen": 0, "araddr": 0xFF8}
B1 = {"bvalid": 1, "bready": 1, "bid": 1}
B0 = B1 | {"bid": 0}


def w(strb=0xFF, last=0, **more):
    return {"wvalid": 1, "wready": 1, "wstrb": strb, "wlast": last} | more


def r(identifier=0, last=0, **more):
    return {"rvalid": 1, "rready": 1, "rid": identifier, "rlast": last} | more


WRITE = [AW, AW_GO, w(), w(wready=0), w(), w(), w(last=1), {}, B1]
LEGAL = [
    {},
    *WRITE,
    NARROW,
    w(strb=0b10),
    w(strb=0b1100, last=1),
    B0 | {"bready": 0},
    B0,
    WRAP | w(strb=0xF0),
    WRAP | {"awready": 1} | w(),
    w(),
    w(last=1),
    B1,
    AR0,
    AR1,
    r(0),
    r(1, last=1),
    r(0, last=1),
    # Two writes under way, answered in the other order.
    AW_GO | {"awlen": 0},
    AW_GO | {"awlen": 0, "awid": 0} | w(last=1),
    w(last=1),
    B0,
    B1,
    {},
    {},
]


def run(checker, cycles):
    """The Rule and the number of the cycle in which ``violation`` went up, or (NONE, None)."""
    found = [Rule.NONE, None]

    async def testbench(ctx):
        known = set(checker.port.signature.members)
        for number, cycle in enumerate([*cycles, {}]):
            assert set(cycle) <= known
            for name in known:
                ctx.set(getattr(checker.port, name), cycle.get(name, 0))
            await ctx.tick()
            if ctx.get(checker.violation) and found[1] is None:
                found[:] = Rule(ctx.get(checker.code)), number
        assert ctx.get(checker.violation) == (found[1] is not None), "not sticky"
        assert Rule(ctx.get(checker.code)) is found[0]

    simulator = Simulator(checker)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulator.run()
    return tuple(found)


def full(cycles):
    return run(Axi4Checker(1, outstanding=OUTSTANDING, timeout=TIMEOUT), cycles)


def lite(cycles):
    return run(AxiLiteChecker(outstanding=OUTSTANDING, timeout=TIMEOUT), cycles)


def test_legal_traffic():
    assert full(LEGAL * 3) == (Rule.NONE, None)


def read(**changes):
    return [{}, {"arvalid": 1, "arready": 1, "arsize": 3, "arburst": Burst.INCR} | changes]


BROKEN = {
    "valid during reset": (Rule.RESET, [AW_GO]),
    "response during reset": (Rule.RESET, [r(last=1)]),
    "AW dropped": (Rule.AW_DROPPED, [{}, AW, {}]),
    "W dropped": (Rule.W_DROPPED, [{}, AW_GO, w(wready=0), {}]),
    "B dropped": (Rule.B_DROPPED, [{}, *WRITE[:-1], B1 | {"bready": 0}, {}]),
    "AR dropped": (Rule.AR_DROPPED, [{}, AR0 | {"arready": 0}, {}]),
    "R dropped": (Rule.R_DROPPED, [{}, AR0, r(rready=0), {}]),
    "AW changed": (Rule.AW_CHANGED, [{}, AW, AW | {"awaddr": 0x1008}]),
    "AW cache changed": (Rule.AW_CHANGED, [{}, AW, AW | {"awcache": 2}]),
    "W changed": (Rule.W_CHANGED, [{}, AW_GO, w(wready=0), w(wdata=1)]),
    "W strobes changed": (Rule.W_CHANGED, [{}, AW_GO, w(wready=0), w(strb=1)]),
    "B changed": (Rule.B_CHANGED, [{}, *WRITE[:-1], B1 | {"bready": 0}, B1 | {"bresp": Response.SLVERR}]),
    "AR changed": (Rule.AR_CHANGED, [{}, AR0 | {"arready": 0}, AR0 | {"arprot": 1}]),
    "R changed": (Rule.R_CHANGED, [{}, AR0, r(rready=0), r(rdata=1)]),
    "reserved burst": (Rule.BURST, read(arburst=3)),
    "unaligned wrapping burst": (Rule.BURST, read(arburst=Burst.WRAP, arlen=3, araddr=4)),
    "wrapping burst of three": (Rule.LENGTH, read(arburst=Burst.WRAP, arlen=2)),
    "long fixed burst": (Rule.LENGTH, read(arburst=Burst.FIXED, arlen=16)),
    "wide beats": (Rule.SIZE, read(arsize=4)),
    "4 KiB crossed": (Rule.CROSSES_4K, read(araddr=0x1FF8, arlen=1)),
    "4 KiB crossed by a write": (Rule.CROSSES_4K, [{}, AW_GO | {"awaddr": 0x1FF0, "awlen": 3}]),
    "WLAST early": (Rule.WLAST, [{}, AW_GO, w(), w(last=1)]),
    "WLAST missing": (Rule.WLAST, [{}, AW_GO | {"awlen": 0}, w()]),
    "strobes below an unaligned beat": (Rule.STROBES, [{}, NARROW, w(strb=0b11)]),
    "strobes of the next beat": (Rule.STROBES, [{}, NARROW, w(strb=0b10), w(strb=0b10, last=1)]),
    "strobes behind the wrap": (
        Rule.STROBES,
        [{}, AW_GO | {"awsize": 1, "awlen": 1, "awaddr": 0x1002, "awburst": Burst.WRAP}, w(0xC), w(0xC, 1)],
    ),
    "data before its address": (Rule.W_AHEAD, [{}, w()]),
    "B before the last beat": (Rule.B_EARLY, [{}, AW_GO, w(), w(), w(), B1]),
    "B with the last beat": (Rule.B_EARLY, [{}, AW_GO, w(), w(), w(), w(last=1) | B1]),
    "B before AW": (Rule.B_EARLY, [{}, AW | {"awlen": 0} | w(last=1), AW | {"awlen": 0} | B1]),
    "B for nothing": (Rule.B_ID, [{}, B1]),
    "B twice": (Rule.B_ID, [{}, *WRITE, B1]),
    "B of another identifier": (Rule.B_ID, [{}, *WRITE[:-1], B0]),
    "R for nothing": (Rule.R_ID, [{}, r(last=1)]),
    "R with AR": (Rule.R_ID, [{}, AR1 | r(1, last=1)]),
    "R of another identifier": (Rule.R_ID, [{}, AR0, r(1)]),
    "R beyond the burst": (Rule.R_ID, [{}, AR1, r(1, last=1), r(1, last=1)]),
    "RLAST early": (Rule.RLAST, [{}, AR0, r(last=1)]),
    "RLAST missing": (Rule.RLAST, [{}, AR1, r(1)]),
    "RLAST of the other": (Rule.RLAST, [{}, AR1, AR0, r(0, last=1)]),
    "exclusive response": (Rule.RESPONSE, [{}, AR1, r(1, last=1, rresp=Response.EXOKAY)]),
    "exclusive response to a write": (Rule.RESPONSE, [{}, *WRITE[:-1], B1 | {"bresp": Response.EXOKAY}]),
    "too many reads": (Rule.OUTSTANDING, [{}, AR0, AR0, AR1, {}]),
    "too many writes": (Rule.OUTSTANDING, [{}, AW_GO, AW_GO, AW_GO, {}]),
    "AR waits": (Rule.READ_TIMEOUT, [{}, *[AR0 | {"arready": 0}] * (TIMEOUT + 2)]),
    "R does not come": (Rule.READ_TIMEOUT, [{}, AR0, *[{}] * (TIMEOUT + 2)]),
    "R is not taken": (Rule.READ_TIMEOUT, [{}, AR0, *[r(rready=0)] * (TIMEOUT + 2)]),
    "AW waits": (Rule.WRITE_TIMEOUT, [{}, *[AW] * (TIMEOUT + 2)]),
    "W does not come": (Rule.WRITE_TIMEOUT, [{}, AW_GO, *[{}] * (TIMEOUT + 2)]),
    "B does not come": (Rule.WRITE_TIMEOUT, [{}, *WRITE[:-1], *[{}] * (TIMEOUT + 2)]),
}


def test_every_rule_is_broken():
    assert {rule for rule, _ in BROKEN.values()} == set(Rule) - {Rule.NONE}


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name):
    rule, cycles = BROKEN[name]
    # Legal traffic goes before, but for what can only be wrong right after reset; the last cycle breaks it.
    before = [] if rule is Rule.RESET else LEGAL
    found, number = full(before + cycles)
    assert found is rule
    last = len(before + cycles) - 1
    slack = 2 if rule in (Rule.OUTSTANDING, Rule.READ_TIMEOUT, Rule.WRITE_TIMEOUT) else 0
    assert last - slack <= number <= last


def test_slow_but_in_time():
    slow = [{}] * (TIMEOUT - 2)
    beats = [*slow, w(), *slow, w(), *slow, w(), *slow, w(last=1)]
    cycles = [{}, *[AW] * (TIMEOUT - 2), AW_GO, *beats, *slow, B1]
    assert full([*cycles, AR0, *slow, r(), *slow, r(last=1)]) == (Rule.NONE, None)


LITE_AW = {"awvalid": 1, "awaddr": 0x1004}
LITE_W = {"wvalid": 1, "wstrb": 0x0F}
GO = {"awready": 1, "wready": 1}
LITE_B = {"bvalid": 1, "bready": 1}
LITE_AR = {"arvalid": 1, "arready": 1, "araddr": 0x2003}
LITE_R = {"rvalid": 1, "rready": 1}
LITE_LEGAL = [{}, LITE_AW | LITE_W, LITE_AW | LITE_W | GO, LITE_B, LITE_AR, {}, LITE_R, {}]
LITE_BROKEN = {
    "low address bits changed": (Rule.AW_CHANGED, [LITE_AW, LITE_AW | {"awaddr": 0x1000}]),
    "R for nothing": (Rule.R_ID, [LITE_R]),
    "B early": (Rule.B_EARLY, [LITE_AW | {"awready": 1}, LITE_B]),
    "R dropped": (Rule.R_DROPPED, [LITE_AR, {"rvalid": 1}, {}]),
    "exclusive": (Rule.RESPONSE, [LITE_AR, LITE_R | {"rresp": Response.EXOKAY}]),
    "no answer": (Rule.READ_TIMEOUT, [LITE_AR, *[{}] * (TIMEOUT + 1)]),
}


def test_lite():
    assert lite(LITE_LEGAL * 2) == (Rule.NONE, None)


@pytest.mark.parametrize("name", LITE_BROKEN)
def test_lite_broken(name):
    rule, cycles = LITE_BROKEN[name]
    assert lite(LITE_LEGAL + cycles)[0] is rule
