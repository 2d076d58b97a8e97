"""The attack matrix: what succeeds on base is stopped on fides with the cause that the contract gives."""

import json

import pytest

from fides_core.config import preset
from fides_core.flow.attack_cases import LOCATIONS, TARGETS, TECHNIQUES, all_cases
from fides_core.flow.attack_matrix import (
    HARMLESS,
    LIMIT,
    SURVIVED,
    WENT_THROUGH,
    Model,
    build_attacks,
    markdown,
    run_case,
    run_matrix,
    write_results,
)
from fides_core.flow.simulation import Simulator

CASES, EXCLUDED = all_cases()
#: Of all locations, targets and techniques.
SOME = CASES[::4]
#: A case of each technique.
FEW = tuple({case.technique.name: case for case in CASES}.values())


def test_every_combination_is_a_case_or_has_a_reason():
    cases = [(case.technique.name, case.location, case.target) for case in CASES]
    others = [(one.technique, one.location, one.target) for one in EXCLUDED]
    every = {(t.name, location, target) for t in TECHNIQUES for location in LOCATIONS for target in TARGETS}
    assert len(cases) + len(others) == len(every)
    assert set(cases) | set(others) == every
    assert all(one.reason for one in EXCLUDED)
    assert [case.number for case in CASES] == list(range(len(CASES)))


def test_the_techniques_are_those_of_the_plan():
    wanted = {
        "direct overflow", "indirect pointer", "off by one", "underflow", "string function",
        "integer overflow of an index", "use after free", "double free", "return of a local's address",
        "uninitialised pointer",
    }  # fmt: skip
    names = {case.technique.name for case in CASES}
    assert all(any(name.startswith(one) for name in names) for one in wanted)
    assert {case.location for case in CASES} == set(LOCATIONS)
    assert {case.target for case in CASES} == set(TARGETS)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    directory = tmp_path_factory.mktemp("attacks")
    return {name: build_attacks(preset(name), directory=directory) for name in ("base", "fides")}


@pytest.fixture(scope="module")
def base():
    return Simulator.build(preset("base"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_matrix(images, base, tmp_path):
    result = run_matrix({"base": base, "fides": Model(preset("fides"))}, images)
    assert not result.failures, markdown(result)
    assert not result.not_counted, markdown(result)
    write_results(result, tmp_path)
    rows = json.loads((tmp_path / "attacks.json").read_text())["cases"]
    assert len(rows) == len(CASES) and all(row["counted"] and row["stopped"] for row in rows)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_on_the_core(images):
    machine = Simulator.build(preset("fides"))
    for case in FEW:
        result = run_case(case, WENT_THROUGH, images["fides"], machine)
        assert result.stopped, f"{case.name}: {result}"


def survivors(machine, attacks, cases):
    """The cases that end as they should when they are run without their errors."""
    codes = {
        case.name: machine.run(attacks.with_argument(HARMLESS | case.number), LIMIT).exit_code
        for case in cases
    }
    return {name: code for name, code in codes.items() if code == SURVIVED}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_without_the_error_nothing_is_stopped(images, base):
    assert set(survivors(base, images["base"], CASES)) == {case.name for case in CASES}
    assert set(survivors(Model(preset("fides")), images["fides"], SOME)) == {case.name for case in SOME}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_without_checks_it_fails(tmp_path, base, images):
    """Of what the pass inserts, nothing but checks stops these: without them they count as failures."""
    options = ("-O2", "-fno-fides-checks")
    unchecked = build_attacks(preset("fides"), options=options, directory=tmp_path)
    cases = [case for case in FEW if case.technique.form in ("carrier", "one", "anywhere", "uninitialised")]
    result = run_matrix(
        {"base": base, "fides": Model(preset("fides"))}, {"base": images["base"], "fides": unchecked}, cases
    )
    assert len(cases) == 5 and {one.case for one in result.failures} == set(cases)
    assert "Not stopped as they should:" in markdown(result)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("level", ("-O0", "-O1", "-O2", "-Os", "-O3"))
def test_the_matrix_on_the_core(base, tmp_path, level):
    """Frames differ by level, so that some do not succeed on base."""
    machine = Simulator.build(preset("fides"))
    images = {
        name: build_attacks(preset(name), options=(level,), directory=tmp_path) for name in ("base", "fides")
    }
    result = run_matrix({"base": base, "fides": machine}, images)
    assert not result.failures, markdown(result)
    assert len(result.not_counted) <= len(CASES) // 20, markdown(result)
    assert set(survivors(machine, images["fides"], CASES)) == {case.name for case in CASES}
