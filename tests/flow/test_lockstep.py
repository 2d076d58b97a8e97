"""The lockstep checker itself, with Spike in the core's place too: what it accepts and what it notices."""

import dataclasses
import subprocess
from pathlib import Path

import pytest

from fides_core.config import preset
from fides_core.errors import UserError
from fides_core.flow import lockstep, tools
from fides_core.flow.lockstep import (
    FAULTS,
    VARIANTS,
    Lockstep,
    LockstepOutcome,
    lockstep_config,
    variants_of,
)  # fmt: skip
from fides_core.flow.reference import SPIKE_CFLAGS, reference_isa

INSTRUCTIONS = 30_000


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    try:
        spike = tools.spike_directory()
    except tools.ToolMissing as error:
        pytest.skip(str(error))
    result = tmp_path_factory.mktemp("mock") / "mock.so"
    flow = Path(lockstep.__file__).parent
    mock = Path(__file__).with_name("mock_soc.h")
    command = [
        tools.find("g++"), "-O1", "-fPIC", "-shared", *SPIKE_CFLAGS, f'-DSOC_MODEL="{mock}"', "-DMOCK_AXI",
        f"-I{flow}", f"-I{spike}/include", f"-L{spike}/lib", f"-Wl,-rpath,{spike}/lib", "-Wall", "-Wextra",
        "-Wno-unused-parameter", "-o", result, flow / "lockstep.cpp", "-lriscv",
    ]  # fmt: skip
    subprocess.run([str(part) for part in command], check=True)
    return result


@pytest.fixture
def checker(library, monkeypatch):
    """``checker(config, broken="")``: the checker with a mock that is broken in some way."""

    def make(config, broken=""):
        monkeypatch.setenv("MOCK_ISA", reference_isa(config))
        monkeypatch.setenv("MOCK_MEMORY", str(config.soc.memory_bytes))
        monkeypatch.setenv("MOCK_PMP", str(config.core.pmp_entries))
        monkeypatch.setenv("MOCK_BROKEN", broken)
        return Lockstep(config, library)

    return make


@pytest.mark.parametrize(
    "name, variant", [("tiny", "plain"), ("base", "plain"), ("base", "pmp16"), ("base", "pmp0")]
)
def test_equals_agree(checker, name, variant):
    run = checker(lockstep_config(name, variant))
    total = LockstepOutcome()
    for seed in range(3):
        total.add(run.run(seed, INSTRUCTIONS))
    assert total.mismatch is None, total.mismatch
    assert total.programs == total.exits == 3 and total.instructions > INSTRUCTIONS
    assert total.interrupts[11] and total.causes[2] and total.store_conditional[True]


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "none"])
def test_every_field_is_compared(checker, fault):
    run = checker(lockstep_config("base"))
    report = run.run(3, INSTRUCTIONS, fault=fault, fault_at=700).mismatch
    assert report and ("differs" in report or "traps" in report or "rvfi_order" in report), report
    assert "the core's last instructions" in report and "the reference's" in report


@pytest.mark.parametrize(
    "broken, reason",
    [
        ("DEAF", "pending and is not taken"),
        ("ALWAYS_FAILS", "sc fails right behind its lr"),
        ("STOPS", "has stopped retiring"),
        ("BUS", "axi_violation is 0x4"),
    ],
)
def test_what_is_no_difference_is_noticed_too(checker, broken, reason):
    report = checker(lockstep_config("base"), broken).run(5, INSTRUCTIONS).mismatch
    assert report and reason in report


@pytest.mark.parametrize(
    "broken",
    ["STALE_CODE", "SC_VALUE", "STRADDLE_VALUE", "ILLEGAL_VALUE", "LINK", "FETCHES_DEVICES", "PAST_THE_END"],
)
def test_programs_find_faults_of_the_core(checker, broken):
    run = checker(lockstep_config("base"), broken)
    # Within about 4 million instructions, a fifth of what a whole run has.
    assert any(run.run(seed, 100_000).mismatch for seed in range(40))


def test_a_reservation_may_be_lost_in_a_trap(checker):
    totals = []
    for broken in ("", "FORGETFUL"):
        run = checker(lockstep_config("base"), broken)
        totals.append(LockstepOutcome())
        for seed in range(5):
            totals[-1].add(run.run(seed, INSTRUCTIONS))
        assert totals[-1].mismatch is None, totals[-1].mismatch
    assert totals[1].store_conditional[False] > totals[0].store_conditional[False] > 0


def test_variants():
    assert set(variants_of("base")) == set(VARIANTS) - {"few"}
    assert variants_of("tiny") == ("plain", "stalls")
    assert variants_of("tiny_fides") == ("plain", "stalls", "few")
    assert variants_of("fides") == ("plain", "stalls", "small", "few")
    names = {lockstep_config("base", variant).name for variant in variants_of("base")}
    assert len(names) == len(variants_of("base"))
    base = preset("base")
    for variant in variants_of("base"):
        config = lockstep_config("base", variant)
        assert config.core.rvfi and config.soc.axi_checker
        changed = dataclasses.replace(config.core, rvfi=False) != base.core
        assert changed == (variant not in ("plain", "stalls")), variant
    assert lockstep_config("base", "stalls").soc.random_stalls is not None
    with pytest.raises(UserError, match="has no variant small; there are plain, stalls"):
        lockstep_config("tiny", "small")


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--preset", "nothing"], "unknown preset"),
        (["--preset", "fides_monitor"], "crosses in software"),
        (["--preset", "base", "--variant", "few"], "no variant few; there are plain, stalls, small"),
        (["--variant", "nothing"], "no variant nothing"),
        (["--programs", "0"], "1 at least"),
    ],
)
def test_what_cannot_be_verified(arguments, reason, capsys):
    assert lockstep.main(arguments) == 2
    assert reason in capsys.readouterr().err


def test_programs_are_shared_out_and_a_difference_names_its_command(checker, monkeypatch, capsys):
    run = checker(lockstep_config("base"))
    monkeypatch.setattr(Lockstep, "build", lambda *_, **__: run)
    arguments = ["--variant", "plain", "--seed", "41", "--programs", "5", "--instructions", "3000"]
    arguments += ["--jobs", "2"]
    assert lockstep.main(arguments) == 0
    assert capsys.readouterr().out.startswith("base plain: 5 programs from seed 41, ")

    original = Lockstep.run

    def spoilt(self, seed, instructions):
        return original(self, seed, instructions, fault="rd_value" if seed == 43 else "none", fault_at=100)

    monkeypatch.setattr(Lockstep, "run", spoilt)
    assert lockstep.main(arguments) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("base plain, seed 43: register value differs")
    assert printed.rstrip().endswith(
        "again: python -m fides_core.flow.lockstep --preset base --variant plain --seed 43 --programs 1 "
        "--instructions 3000 --jobs 1"
    )


def test_an_error_in_a_process_is_reported(checker, monkeypatch, capsys):
    def fails(self, seed, instructions):
        raise RuntimeError("no more memory")

    monkeypatch.setattr(Lockstep, "build", lambda *_, **__: checker(lockstep_config("base")))
    monkeypatch.setattr(Lockstep, "run", fails)
    assert lockstep.main(["--variant", "plain", "--jobs", "2"]) == 2
    assert "no more memory" in capsys.readouterr().err
