"""The formal proofs: the quick ones hold, and each property fails on a spoilt design. The others are run by
``python -m fides_core.flow.formal --nightly``."""

import pytest

from fides_core.flow import formal, tools

PROPERTIES = formal.properties()
MUTANTS = [
    pytest.param(
        item,
        mutant,
        id=f"{item.name}-{mutant}",
        marks=[] if item.quick and not item.nightly_mutants and not spoilt.nightly else [pytest.mark.nightly],
    )
    for item in PROPERTIES.values()
    for mutant, spoilt in item.mutants.items()
]


@pytest.fixture(autouse=True)
def solver():
    try:
        tools.find("yices-smt2")
    except tools.ToolMissing as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("item", [p for p in PROPERTIES.values() if p.quick], ids=lambda item: item.name)
def test_quick_properties_hold(item):
    outcome = formal.prove(item)
    assert outcome.proved, (outcome.claim, outcome.trace)


def test_every_property_has_a_mutant():
    assert not [name for name, item in PROPERTIES.items() if not item.mutants]


@pytest.mark.parametrize("item, mutant", MUTANTS)
def test_mutants_fail(item, mutant):
    outcome = formal.prove(item, mutant=mutant)
    assert not outcome.proved
    assert outcome.claim and outcome.trace.exists()


def test_command(capsys):
    assert formal.main(["reservation"]) == 0
    assert "reservation: holds" in capsys.readouterr().out
    assert formal.main(["reservation", "--mutants"]) == 0
    assert formal.main(["--list"]) == 0
    assert all(name in capsys.readouterr().out for name in ["reservation"])


def test_a_failure_names_claim_and_trace(monkeypatch, capsys):
    prove = formal.prove
    mutant = next(iter(PROPERTIES["reservation"].mutants))
    monkeypatch.setattr(formal, "prove", lambda item, **_: prove(item, mutant=mutant))
    assert formal.main(["reservation"]) == 1
    output = capsys.readouterr().out
    assert "FAILS (held)" in output and "bmc.vcd" in output


def test_unknown_name(capsys):
    assert formal.main(["no_such_property"]) == 2
    assert "reservation" in capsys.readouterr().err


def test_release_takes_the_reset_from_registers_that_exist():
    from amaranth.hdl import Fragment, Module, Signal

    harness = formal._formal("harness")
    inner, outer, register = Module(), Module(), Signal(name="register")
    inner.d.sync += register.eq(~register)
    outer.submodules.unit = inner
    fragment = Fragment.get(outer, None)
    with pytest.raises(ValueError, match="0 registers are called unit.other"):
        harness.release(fragment, ["unit.other"])
    assert not register.reset_less
    harness.release(fragment, ["unit.register"])
    assert register.reset_less


def test_a_mutant_that_does_not_apply_is_an_error():
    harness = formal._formal("harness")
    mutant = harness.Mutant("fides_core.core.atomics", "no such text", "")
    with pytest.raises(ValueError, match="occurs 0 times"), harness.mutated(mutant):
        pass
