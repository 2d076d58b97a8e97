"""Benchmarks: arithmetic of the tables, what is reported of CoreMark, and the errors.

CoreMark is not part of this repository: a stub with its interface to the port stands in.
"""

import csv
import hashlib
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, replace

import pytest
from rich.console import Console

from fides_core import cli
from fides_core.config import preset
from fides_core.errors import UserError
from fides_core.flow import bare_metal, bench, coremark, history, report, synthesis, tools
from fides_core.flow.elf import load_elf
from fides_core.flow.reference import Reference
from fides_core.isa.csrs import Event

EVENTS = dict(zip((event.name for event in Event), (30, 4, 5, 100, 50, 25, 75, 0, 0, 0), strict=True))


@dataclass(frozen=True)
class Outcome:
    exit_code: int | None
    uart: bytes
    message: str = "exit code ?"
    cycles: int = 3000


class Machine:
    """Answers every program with the same text."""

    def __init__(self, text, exit_code=0):
        self.outcome = Outcome(exit_code, text.encode(), f"exit code {exit_code}")

    def run(self, image, max_cycles):
        return self.outcome


class Spike:
    def __init__(self, config):
        self.config, self.reference = config, Reference(config)

    def run(self, image, max_cycles):
        segments = load_elf(image, self.config.soc.memory_bytes).segments
        outcome = self.reference.run(segments, min(max_cycles, 3_000_000))
        return Outcome(outcome.exit_code, outcome.uart, f"exit code {outcome.exit_code}")


@pytest.fixture(scope="module")
def spike():
    return Spike(preset("base"))


def printed(program="mix", verdict="correct", counters="counters 1000 800 30 4 5 100 50 25 75 0 0 0"):
    return f"benchmark {program} 0x00000000000000ff {verdict}\n{counters}\n"


def measure(text, exit_code=0, name="base"):
    return bench.measure("mix", None, preset(name), Machine(text, exit_code))


# The programs


def test_figures():
    one = measure(printed().replace("\n", "\r\n"))
    assert (one.preset, one.program, one.checksum) == ("base", "mix", "0x00000000000000ff")
    assert one.figures() == {
        "cycles": 1000, "instructions": 800, "ipc": 0.8, "BRANCH_MISPREDICTION": 30, "ICACHE_MISS": 4,
        "DCACHE_MISS": 5, "STALL_FETCH": 10.0, "STALL_LOAD": 5.0, "STALL_EXECUTE": 2.5, "STALL_MEMORY": 7.5,
    }  # fmt: skip
    assert list(one.figures()) == list(bench.COLUMNS)
    assert one.to_dict()["events"] == EVENTS


def test_events_without_a_counter_are_not_zero():
    assert preset("tiny").core.hpm_counters == 0
    one = measure(printed(), name="tiny")
    assert set(one.events.values()) == {None} and one.figures()["STALL_LOAD"] is None
    text = bench.table("tiny", [one])
    assert text.splitlines()[1].split() == ["mix", "1000", "800", "0.80", *["-"] * 7]
    some = replace(preset("base"), core=replace(preset("base").core, hpm_counters=2))
    assert list(bench.counted(EVENTS, some).values()) == [30, 4] + [None] * 8


def test_table_is_never_cut_off():
    wide = replace(measure(printed()), cycles=123_456_789_012, instructions=100_000_000_000)
    console = Console(record=True, width=40)
    console.print(bench.table("base", [wide, wide]), soft_wrap=True, markup=False, highlight=False)
    head, *rows = console.export_text().splitlines()
    assert head.split()[:2] == ["base", "cycles"] and rows[0] == rows[1]
    assert "123456789012" in rows[0] and "100000000000" in rows[0] and "0.81" in rows[0]


@pytest.mark.parametrize(
    ("text", "exit_code", "said"),
    [
        (printed(verdict="wrong"), 1, "mix on base: exit code 1, benchmark mix 0x"),
        (printed(verdict="wrong"), 0, "mix on base"),
        (printed(program="fasta"), 0, "mix on base"),
        (printed(counters=""), 0, "mix on base"),
        (printed(counters="counters 1 2 3"), 0, "mix on base"),
        ("", None, "mix on base: exit code None"),
        ("trap: mcause 5\n", 255, "exit code 255, trap: mcause 5"),
    ],
)
def test_failures(text, exit_code, said):
    with pytest.raises(bench.BenchFailed, match=said) as caught:
        measure(text, exit_code)
    assert "\n" not in str(caught.value)


def test_results_are_kept_by_preset_and_program(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "build_program", lambda program, config: program)

    class Any:
        def run(self, image, max_cycles):
            return Outcome(0, printed(image).encode())

    output, console = tmp_path / "bench.json", Console(record=True, width=200)
    arguments = {"machine": lambda config: Any(), "output": output, "console": console}
    bench.run_bench(["base"], ["nbody"], **arguments)
    done = bench.run_bench(["tiny", "base"], ["mix"], **arguments)
    kept = bench.load_bench(output)
    assert {name: list(programs) for name, programs in done.items()} == {"tiny": ["mix"], "base": ["mix"]}
    assert {name: list(programs) for name, programs in kept.items()} == {
        "base": ["mix", "nbody"], "tiny": ["mix"]
    }  # fmt: skip
    assert kept["base"]["mix"]["ipc"] == 0.8 and kept["base"]["mix"]["events"]["DCACHE_MISS"] == 5
    said = console.export_text()
    assert "nbody  " in said
    speed = r"^(\d+) cycles simulated in \d+\.\d s of processor time: \d+\.\d\d MHz$"
    assert re.findall(speed, said, re.MULTILINE) == ["3000"] * 3
    title, heads, rows, note = bench.sections(kept)[0]
    assert title == "Benchmarks on base" and heads == ["program", *bench.COLUMNS.values()] and note
    assert rows[0] == ["mix", "1000", "800", "0.80", "30", "4", "5", "10.0", "5.0", "2.5", "7.5"]


@pytest.mark.parametrize("text", ["{", "[]", '{"base": 3}', '{"base": {"mix": {"cycles": 1}}}'])
def test_malformed_results(tmp_path, text):
    (tmp_path / "bench.json").write_text(text)
    with pytest.raises(UserError, match="is not what `fides bench` writes"):
        bench.load_bench(tmp_path / "bench.json")
    with pytest.raises(UserError, match="run `fides bench`"):
        bench.load_bench(tmp_path / "absent.json")


# Building


def test_compiler_errors(tmp_path):
    source = tmp_path / "program.c"
    for text, said in (
        ("int main(void) { return x; }", "'x' undeclared"),
        ("int other;", "undefined reference to `main'"),
        ("char big[1 << 21]; int main(void) { return big[0]; }", "too large"),
    ):
        source.write_text(text)
        with pytest.raises(UserError, match=said) as caught:
            bare_metal.build([source], tmp_path / "out" / "program.elf", preset("base"))
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="unknown program 'nonesuch'; there are mix, "):
        bench.build_program("nonesuch", preset("base"), tmp_path)


def test_missing_compiler(tmp_path, monkeypatch):
    monkeypatch.setattr(tools, "environment", lambda: {"PATH": str(tmp_path)})
    with pytest.raises(tools.ToolMissing, match="apt-get install gcc-riscv64-unknown-elf"):
        bench.build_program("mix", preset("base"), tmp_path)


# CoreMark

MAIN = """\
#include "coremark.h"
#include <stdio.h>
%(top)s
int main(void) {
  core_portable port;
  int argc = 0;
  portable_init(&port, &argc, 0);
  start_time();
  for (ee_s32 i = 0; i < seed4_volatile; i++)
    for (volatile int work = 0; work < 25000; work++) { }
  stop_time();
  printf("2K %%s run parameters for coremark.\\n", seed1_volatile ? "validation" : "performance");
  printf("Total ticks      : %%lu\\n", (unsigned long)get_time());
  printf("Total time (secs): %%f\\n", time_in_secs(get_time()));
  printf("Compiler flags   : %%s\\nMemory location  : %%s\\n", COMPILER_FLAGS, MEM_LOCATION);
  if (seed3_volatile == 0x66 && !seed5_volatile && time_in_secs(get_time()) >= 10 && %(correct)s)
    printf("Correct operation validated.\\n");
  portable_fini(&port);
  return 0;
}
"""
HEADER = """\
#define SEED_VOLATILE 2
#define MEM_STATIC 0
#include "core_portme.h"
typedef double secs_ret;
void start_time(void), stop_time(void);
CORE_TICKS get_time(void);
secs_ret time_in_secs(CORE_TICKS);
extern volatile ee_s32 seed1_volatile, seed2_volatile, seed3_volatile, seed4_volatile, seed5_volatile;
#include <stdio.h>
"""


@pytest.fixture
def stub(tmp_path):
    """A folder with the files that CoreMark has; ``stub(...)`` changes the program."""
    folder = tmp_path / "coremark"
    folder.mkdir()

    def write(*, top="", correct="1"):
        for name in coremark.SOURCES:
            (folder / name).write_text(f"int {name[:-2]}_is_here;\n")
        (folder / "core_main.c").write_text(MAIN % {"top": top, "correct": correct})
        (folder / "coremark.h").write_text(HEADER)
        return folder

    write()
    return write


@pytest.fixture
def run(tmp_path, stub, spike):
    """Builds the stub and runs it on Spike, where a cycle is an instruction."""

    def run_stub(**options):
        return coremark.run_coremark(
            stub(), preset("base"), machine=lambda config: spike, output=tmp_path / "out", **options
        )

    return run_stub


def test_coremark(tmp_path, run, stub):
    result = run(iterations=3)
    assert (result.iterations, result.flags, result.official) == (3, "-O3", None)
    assert result.march == preset("base").core.march
    assert result.cycles_per_iteration == result.cycles / 3
    assert 100_000 < result.cycles_per_iteration < 250_000
    assert result.coremark_per_mhz == pytest.approx(3e6 / result.cycles)
    assert result.ten_seconds_hz * 10 == result.cycles
    text = " ".join(result.lines())
    for part in (
        f"CoreMark/MHz 1.0 : {result.coremark_per_mhz:.3f} / GCC", "-O3 -march=rv64imac_", "16 KiB data",
        "3 iterations simulated", f"each {result.cycles_per_iteration:.0f} cycles", "clock of 30000 Hz",
        f"10 s at a clock of {result.cycles / 10 / 1e6:.3f} MHz",
        f"at 100 MHz 10 s take {1e9 / result.cycles_per_iteration:.0f} iterations",
    ):  # fmt: skip
        assert part in text, part
    log = (tmp_path / "out" / "coremark-base.log").read_text()
    assert "2K performance run" in log and "2K validation run" in log
    assert f"Total ticks      : {result.cycles}\n" in log and "Compiler flags   : -O3 -march=" in log
    # Another set of flags stands beside it.
    run(flags="-O1 -g", iterations=1, march="rv64imac")
    results = coremark.load_results(tmp_path / "out" / "coremark-base.json")
    assert list(results) == [f"-O3 -march={preset('base').core.march}", "-O1 -g -march=rv64imac"]
    (section,) = coremark.sections({"base": results})
    assert [row[:4] for row in section[2]] == [
        ["base", list(results)[0], f"{result.coremark_per_mhz:.3f}", "3"],
        ["base", list(results)[1], f"{results[list(results)[1]]['coremark_mhz']:.3f}", "1"],
    ]


def test_coremark_whole_program(run):
    assert run(flags="tuned", iterations=1).cycles > 100_000
    # The harness reads CSRs, whatever the -march of CoreMark.
    assert run(flags="tuned", iterations=1, march="rv64imac").cycles > 100_000


def test_changed_sources_are_no_valid_result(run, stub):
    folder = stub()
    names = (*coremark.SOURCES, "coremark.h")
    sums = [f"{hashlib.md5((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "coremark.md5").write_text("".join(sums))
    assert coremark.check_source(folder) is True
    stub(top="int changed;")
    assert coremark.check_source(folder) is False
    stub()
    (folder / "coremark.md5").write_text("".join(sums[1:]))
    result = run(iterations=1)
    assert result.official is False and "not a valid result" in result.lines()[-1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"top": "int x = ;"}, "expected expression"),
        ({"top": "int missing(void);", "correct": "missing()"}, "undefined reference to `missing'"),
        ({"correct": "0"}, "performance run not validated"),
        ({"correct": "!seed1_volatile"}, "validation run not validated"),
        ({"correct": "(*(volatile int *)16, 1)"}, "exit code 255"),
    ],
)
def test_coremark_that_fails(tmp_path, stub, spike, changes, said):
    folder = stub(**changes)
    with pytest.raises(UserError, match=said) as caught:
        coremark.run_coremark(
            folder, preset("base"), machine=lambda c: spike, output=tmp_path / "out", iterations=1
        )
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "coremark-base.json").exists()


def test_flags():
    assert coremark.flags_for("plain") == ["-O3"]
    assert coremark.flags_for("-O2 -DX='a b'") == ["-O2", "-DX=a b"]
    for wrong in ("fast", "", "-O2 fast", "-O2 'x"):
        with pytest.raises(UserError, match="flags"):
            coremark.flags_for(wrong)


def test_history_figure_is_of_the_same_hardware(tmp_path):
    base, verilog = preset("base"), tmp_path / "base.v"
    verilog.write_text("module core; endmodule\n")
    result = coremark.CoreMark(
        "base", base.core.march, "-O3", "GCC12", "RAM", 2, 800_000, 700_000, dict(EVENTS), 20_000, True,
        hashlib.sha256(verilog.read_bytes()).hexdigest(),
    )  # fmt: skip

    def keep(one):
        kept = {f"{one.flags} -march={one.march}": one.to_dict()}
        (tmp_path / "coremark-base.json").write_text(json.dumps(kept))

    assert coremark.history_figure(base, verilog, tmp_path) is None
    keep(result)
    assert coremark.history_figure(base, verilog, tmp_path) == 2.5
    keep(replace(result, iterations=10, cycles=3_195_440))  # 3.12946: rounded once
    assert coremark.history_figure(base, verilog, tmp_path) == 3.129
    for other in ({"flags": "-O2"}, {"march": "rv64imac"}, {"verilog": "0" * 64}, {"verilog": None}):
        keep(replace(result, **other))
        assert coremark.history_figure(base, verilog, tmp_path) is None, other
    (tmp_path / "coremark-base.json").write_text('{"-O3": {}}')
    with pytest.raises(UserError, match="run it again"):
        coremark.load_results(tmp_path / "coremark-base.json")


# History

AREA = synthesis.Area(lut=4000, lutram=4, ff=2000, bram36=1, bram18=2, dsp=3, carry4=5, path_ns=6.5)


@pytest.fixture
def recorded(tmp_path):
    path = tmp_path / "history.csv"
    result = synthesis.Result(AREA, {})
    synthesis.record({"base": result, "fides": result}, "first", path, coremark={"base": 2.5, "fides": None})
    bigger = synthesis.Result(replace(AREA, lut=8000), {})
    synthesis.record({"base": bigger}, "a < b & c", path, coremark={"base": 3.0})
    return path


def test_coremark_is_recorded(recorded):
    rows = list(csv.DictReader(recorded.read_text().splitlines()))
    assert [row["coremark_mhz"] for row in rows] == ["2.5", "", "3.0"]
    assert [row["note"] for row in rows] == ["first", "first", "a < b & c"]
    recorded.write_text("date,commit\n")
    with pytest.raises(UserError, match="does not begin with the columns"):
        synthesis.record({}, "why", recorded)


def test_drawing(tmp_path, recorded):
    rows = history.load_history(recorded)
    dates, points = history.series(rows)
    assert len(dates) == 2
    assert points["lut"] == {"base": [(0, 4000), (1, 8000)], "fides": [(0, 4000)]}
    assert points["coremark_mhz"] == {"base": [(0, 2.5), (1, 3.0)]}
    drawing = ElementTree.parse(history.write_history(tmp_path / "history.svg", recorded)).getroot()
    name = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in drawing.iter(f"{name}text")]
    assert set(history.FIGURES.values()) <= set(texts)
    assert {"base 8000", "fides 4000", "base 3"} <= set(texts) and "not recorded yet" not in texts
    lines = [line.get("points").split() for line in drawing.iter(f"{name}polyline")]
    assert [len(line) for line in lines] == [1, 2, 2, 1, 2, 1, 2]  # by panel, the lowest last value first
    # Twice the area is twice as high: the panel of LUT ends at y = 170, its 8000 at the top, y = 30.
    (_, four), (_, eight) = (point.split(",") for point in lines[1])
    assert (float(four), float(eight)) == (100.0, 30.0)
    first = [*rows[:2]]
    assert history.svg([{**row, "coremark_mhz": ""} for row in first]).count("not recorded yet") == 1
    assert history.svg([]).count("not recorded yet") == 4


def test_ticks():
    assert history._ticks(0) == [0, 0.25]
    assert history._ticks(4) == [0, 1, 2, 3, 4]
    assert history._ticks(5272) == [0, 2000, 4000, 6000]


def test_history_that_cannot_be_read(tmp_path, recorded):
    with pytest.raises(UserError, match="cannot read"):
        history.load_history(tmp_path / "absent.csv")
    text = recorded.read_text()
    recorded.write_text(text.replace(",3.0,", ",fast,"))
    with pytest.raises(UserError, match="line 4: coremark_mhz is 'fast', not a number"):
        history.load_history(recorded)
    recorded.write_text(text.replace("coremark_mhz", "coremark"))
    with pytest.raises(UserError, match="line 2: no coremark_mhz"):
        history.load_history(recorded)


def test_committed_history_can_be_drawn():
    ElementTree.fromstring(history.svg(history.load_history()))


# Report


def test_report_has_what_was_measured(tmp_path, run):
    assert report.load_measured(tmp_path) == {}
    result = run(iterations=1)
    (tmp_path / "out").rename(tmp_path / "bench")
    (tmp_path / "history.svg").write_text("<svg/>")
    (tmp_path / "bench.json").write_text(json.dumps({"base": {"mix": measure(printed()).to_dict()}}))
    results = {name: synthesis.Result(AREA, {}) for name in ("base", "fides")}
    demo = {"legal": {}, "attacks": [], "crossing": {}}
    json_path, text_path = report.write_report(results, demo, tmp_path)
    built, text = json.loads(json_path.read_text()), text_path.read_text()
    assert built["benchmarks"]["base"]["mix"]["cycles"] == 1000
    assert list(built["coremark"]["base"]) == [f"-O3 -march={result.march}"]
    assert "## Benchmarks on base" in text and "| mix | 1000 | 800 | 0.80 | 30 | 4 | 5 | 10.0 |" in text
    assert f"| base | -O3 -march={result.march} | {result.coremark_per_mhz:.3f} | 1 |" in text
    assert "](history.svg)" in text


# The command


def command(monkeypatch, *arguments):
    """The command's exit code."""
    monkeypatch.setattr("sys.argv", ["fides", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bench", "nonesuch"), "unknown preset 'nonesuch'"),
        (("bench", "base", "coremark"), "unknown preset 'coremark'"),
        (("bench", "--program", "nonesuch"), "unknown program 'nonesuch'; there are mix"),
        (("bench", "coremark"), "--source"),
        (("bench", "coremark", "--source", "gone"), "gone is no CoreMark checkout: it has no core_list_join"),
        (("bench", "coremark", "--source", "x", "--preset", "nonesuch"), "unknown preset 'nonesuch'"),
        (("bench", "coremark", "--source", "x", "--program", "mix"), "--program is not for CoreMark"),
        (("bench", "coremark", "--source", "x", "--iterations", "0"), "--iterations"),
        (("bench", "base", "--source", "x"), "--source is only for `fides bench coremark`"),
        (("bench", "--flags", "-O2"), "--flags is only for `fides bench coremark`"),
        (("history", "extra"), "extra"),
    ],
)
def test_bad_input(monkeypatch, capsys, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("fides: ") and err.count("\n") == 1 and message in err


def test_flags_that_are_none(monkeypatch, capsys, stub):
    assert command(monkeypatch, "bench", "coremark", "--source", stub(), "--flags", "fast") == 2
    assert "'fast' is no list of flags, and no named set: there are plain, tuned" in capsys.readouterr().err


def test_command(monkeypatch, capsys, tmp_path):
    """With the simulator replaced: JSON on standard output, nothing else; 1 for a wrong checksum."""
    monkeypatch.setattr(bench, "simulator", lambda config, report=None: Machine(printed()))
    monkeypatch.setattr(bench, "build_program", lambda program, config: program)
    monkeypatch.setattr(bench, "replace_file", lambda path, text: None)
    assert command(monkeypatch, "bench", "tiny", "--program", "mix", "--json") == 0
    assert json.loads(capsys.readouterr().out)["tiny"]["mix"]["cycles"] == 1000
    assert command(monkeypatch, "bench", "--program", "mix") == 0
    assert capsys.readouterr().out.splitlines()[0].split()[:2] == ["base", "cycles"]
    assert command(monkeypatch, "bench", "base", "--program", "fasta") == 1
    assert capsys.readouterr().err.startswith("fides: the benchmark failed: fasta on base")
