"""What checks and compartments cost: a program whose accesses, checks and crossings are known, on the golden
model."""

import json
from collections import Counter
from dataclasses import dataclass

import pytest
from rich.console import Console

from fides_core import cli
from fides_core.errors import UserError
from fides_core.flow import check_builds, check_costs, report
from fides_core.flow.bench import PROGRAMS, BenchFailed
from fides_core.flow.check_builds import CALLED
from fides_core.flow.check_costs import load_check_costs, measure_checks, sections, summary
from fides_core.isa.encode import encode
from fides_core.model.compartments import Crossing
from fides_core.model.platform import Platform

NODES, WALKS = 40, 3
#: A list of NODES nodes, walked WALKS times. A node is two loads, which one check covers; the stores to the
#: array are inside it whatever the program does.
PROGRAM = f"""
#include "harness.h"
const struct benchmark benchmark = {{"little", {WALKS * NODES * (NODES - 1) // 2}}};
struct node {{ struct node *next; uint64_t value; }};
static struct node nodes[{NODES}];
struct node *volatile first;
static uint64_t walk(const struct node *at)
{{
  uint64_t sum = 0;
  for (; at; at = at->next)
    sum += at->value;
  return sum;
}}
uint64_t benchmark_run(void)
{{
  for (int i = 0; i < {NODES}; i++) {{
    nodes[i].value = (uint64_t)i;
    nodes[i].next = i + 1 < {NODES} ? &nodes[i + 1] : 0;
  }}
  first = nodes;
  uint64_t sum = 0;
  for (int i = 0; i < {WALKS}; i++)
    sum += walk(first);
  return sum;
}}
"""


@dataclass
class Model:
    """The golden model, which counts what it executes; a cycle is an instruction."""

    config: object

    def run(self, image, max_cycles, *, executed=None):
        platform = Platform(self.config)
        platform.load_elf(image)
        hart, counts = platform.hart, Counter()
        while platform.exit_code is None:  # the test has a time limit
            counts[hart.pc] += 1
            hart.step()
        if executed is not None:
            executed.update(counts)
        return Ended(platform.exit_code, bytes(platform.uart_output))


@dataclass
class Ended:
    exit_code: int
    uart: bytes
    message: str = "ended"


@pytest.fixture
def little(tmp_path, monkeypatch):
    """Measures the program, in the folder ``tmp_path``."""
    monkeypatch.setattr(check_builds, "PROGRAMS", tmp_path)
    monkeypatch.setitem(CALLED, "little", ("walk",))

    def measure(*variants, text=PROGRAM, flags="-O1"):
        (tmp_path / "little.c").write_text(text)
        return measure_checks(
            ["little"], flags=flags, variants=variants, machine=Model, output=tmp_path / "checks.json",
            directory=tmp_path / "build", console=Console(quiet=True),
        )  # fmt: skip

    return measure


@pytest.mark.timeout(300)
def test_checks_of_a_known_program(little, tmp_path):
    """One check a node, two accesses; and the bytes of code are those of the instructions."""
    results = little("base", "pads", "checks")
    one = results["programs"]["little"]
    assert one["executed"]["checks"] == WALKS * NODES
    # Of the walks, of the two stores for each node, of `first`.
    assert one["executed"]["accesses"] == 2 * WALKS * NODES + 2 * NODES + 1 + WALKS
    assert one["code"] == {"checks": 1, "bytes_of_checks": 4}
    runs = one["runs"]
    assert [runs[name]["checkcaps"] for name in ("base", "pads", "checks")] == [0, 1, 1]
    assert 4 <= runs["pads"]["code_bytes"] - runs["base"]["code_bytes"] <= 6  # a pad, and its alignment
    assert runs["checks"]["instructions"] - runs["pads"]["instructions"] >= WALKS * NODES
    ratio = runs["checks"]["cycles"] / runs["pads"]["cycles"]
    assert one["ratios"]["checks"] == pytest.approx(ratio, abs=1e-4) and 1 < ratio < 1.5
    assert load_check_costs(tmp_path / "checks.json") == results


@pytest.mark.timeout(300)
def test_compartments_are_crossed(little, crossings):
    """Each walk, and the whole, is a call into another compartment; the same objects in one have none, and
    execute the same."""
    one = little("one", flags="-O2")
    assert crossings[Crossing.CALL] == 0
    split = little("split", flags="-O2")
    assert crossings[Crossing.CALL] == crossings[Crossing.RETURN] == WALKS + 1
    results = [both["programs"]["little"]["runs"] for both in (one, split)]
    assert results[0]["one"]["instructions"] == results[1]["split"]["instructions"]


@pytest.mark.timeout(300)
def test_wrong_result_is_no_measurement(little, tmp_path, monkeypatch, capsys):
    wrong = PROGRAM.replace("sum = 0;\n  for (int i", "sum = 1;\n  for (int i")
    assert wrong != PROGRAM
    with pytest.raises(BenchFailed, match="little, pads, on fides: .*, benchmark little 0x.* wrong$"):
        little("pads", text=wrong)
    assert not (tmp_path / "checks.json").exists()

    spoiled = Ended(0, b"benchmark little 0x0000000000000000 wrong\ntook 1 1\n")
    monkeypatch.setattr(Model, "run", lambda *arguments, **options: spoiled)
    with pytest.raises(BenchFailed, match="0x0000000000000000 wrong$"):
        little("pads")

    def fail(*arguments, **options):
        raise BenchFailed("little is wrong")

    monkeypatch.setattr(check_costs, "measure_checks", fail)
    with pytest.raises(SystemExit) as ended:
        cli.app(["bench", "checks"])
    assert ended.value.code == 1 and "little is wrong" in capsys.readouterr().err


def test_kinds_of_instructions():
    stack, other = 2, 10
    kinds = {
        encode("ld", rd=1, rs1=stack, imm=8): None, encode("sd", rs2=1, rs1=stack, imm=8): None,
        encode("lbu", rd=1, rs1=other): "access", encode("sw", rs2=stack, rs1=other): "access",
        encode("amoadd.w", rd=1, rs1=other, rs2=3): "access", encode("addi", rd=1, rs1=other): None,
        encode("val.8", rd=1, rs1=other, rs2=3): "check", encode("vali.16", rs1=other, imm=4): "check",
        encode("ptradd", rd=1, rs1=other, rs2=3): None,
    }  # fmt: skip
    assert {word: check_builds._kind(word) for word in kinds} == kinds


def test_functions_of_all_programs_are_found(tmp_path):
    """What `CALLED` names is there, is called, and nothing in `benchmark_run`'s file is forgotten."""
    assert tuple(CALLED) == PROGRAMS
    for program, functions in CALLED.items():
        source = check_builds.HARNESS / f"{program}.c"
        text = source.read_text()
        copy = check_builds._divided(source, functions, tmp_path / source.name).read_text()
        found = copy.count("__attribute__((noinline)) ")
        assert found - text.count("__attribute__((noinline)) ") == len(functions)
        body = text[text.index("benchmark_run(void)\n{") :]
        assert all(f"{name}(" in body for name in functions), program
    with pytest.raises(UserError, match="0 static functions nothing"):
        check_builds._divided(source, ["nothing"], tmp_path / "copy.c")


def figures(cycles, code=(100, 104, 130), checks=4):
    names = ("base", "pads", "checks", "one", "split", "clear")
    runs = {
        name: {"cycles": count, "instructions": 1, "code_bytes": size, "checkcaps": 1}
        for name, count, size in zip(names, cycles, (*code, *code), strict=True)
    }
    return {
        "runs": runs,
        "code": {"checks": checks, "bytes_of_checks": 4 * checks},
        "report": {"accesses.to_check": 9, "accesses.proven_local": 3, "checks.removed_by_loop_range": 2},
        "executed": {"accesses": 50, "checks": 20, "checks_of_library": 7},
        "ratios": check_costs.ratios_of(runs),
    }


PROGRAMS_MEASURED = {"a": figures((100, 100, 100, 50, 50, 55)), "b": figures((100, 100, 144, 50, 52, 52))}
RESULTS = {
    "flags": "-O2", "published": {"checks": 1.36, "compartments": 1.019}, "programs": PROGRAMS_MEASURED,
    **summary(PROGRAMS_MEASURED),
}  # fmt: skip


def test_means():
    """Of 1 and 1.44: 1.22, and 1.2; of code: 200 bytes, 8 in pads, 32 in checks, 20 more with them."""
    assert RESULTS["mean"]["checks"] == 1.22 and RESULTS["geometric_mean"]["checks"] == 1.2
    assert RESULTS["mean"]["compartments"] == 1.02
    assert RESULTS["code_percent"] == {"pads": 4.0, "checks": 16.0, "rest": 10.0}


def test_tables_and_report(tmp_path):
    cycles, code = sections(RESULTS)
    assert cycles[2][1] == [
        "b", "100", "100", "144", "50", "52", "52", "1.000", "1.440", "1.440", "1.040", "1.000",
    ]  # fmt: skip
    assert cycles[2][2] == ["mean", *6 * [""], "1.000", "1.220", "1.220", "1.020", "1.050"]
    heads = dict(zip(code[1], code[2][0], strict=True))
    assert (heads["accesses"], heads["proven"], heads["loop"], heads["for each"]) == ("12", "3", "2", "0.40")
    assert all(len(row) == len(heads) for _, heads, rows, _ in (cycles, code) for row in rows)
    (tmp_path / "bench-checks.json").write_text(json.dumps(RESULTS))
    assert report.load_measured(tmp_path)["check_costs"] == RESULTS
    (tmp_path / "bench-checks.json").write_text("{}")
    with pytest.raises(UserError, match="run it again"):
        report.load_measured(tmp_path)
    with pytest.raises(UserError, match="is missing: run `fides bench checks`"):
        load_check_costs(tmp_path / "nothing.json")
