"""Real bitstreams for the ULX3S by the tools that pip installs, and the netlist that is placed, simulated:
some 30 minutes of processor time, most of it in place and route."""

import concurrent.futures
import json
import re
import shutil
from dataclasses import replace

import pytest

from fides_core.config import preset
from fides_core.flow import tools
from fides_core.flow.build import run
from fides_core.flow.build.boards import load_board
from fides_core.flow.build.design import plan
from fides_core.flow.build.gate_level import Netlist
from fides_core.flow.build.toolchain import Options
from fides_core.soc.boot_loader import AWAKE
from fides_core.software.image import SW, build_image

pytestmark = pytest.mark.slow

PRESETS_BUILT = ("base", "fides")

#: What has the election in its memory and is simulated.
SIMULATED = "base"

#: Of the main memory: half of what the board has room for, which is placed and routed in half the time.
MEMORY_BYTES = 128 << 10

#: Of the election, as much as is left beside its code.
SIZES = {"heap_bytes": 16384, "stack_bytes": 32768}

FIRST_LINES = ["main: an election of 4 candidates, 12 ballots", "main: 11 of 12 seals are whole"]
"""Of the election, as the README has them."""


def _election(directory, name: str):
    """The election with a smaller heap and stack, so that it fits."""
    folder = directory / "sw"
    if not folder.exists():
        shutil.copytree(SW, folder)
        policy = folder / "demo" / "policy.toml"
        text, changed = re.subn(
            rf"({'|'.join(SIZES)}) = \d+", lambda found: f"{found[1]} = {SIZES[found[1]]}", policy.read_text()
        )
        assert changed == len(SIZES)
        policy.write_text(text)
    config = preset(name)
    config = replace(config, soc=replace(config.soc, memory_bytes=MEMORY_BYTES))
    return build_image(folder / "demo", config, directory / "images")


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    """The design, what was built, and the folder, by preset. Kept in build/: nothing is done again that has
    not changed."""
    board = load_board("ulx3s")
    temporary = tmp_path_factory.mktemp("ulx3s")
    designs = {}
    for name in PRESETS_BUILT:
        image = _election(temporary, name) if name == SIMULATED else None
        design = plan(board, name, memory_bytes=MEMORY_BYTES, image=image)
        assert design.sources  # one after the other: Amaranth's back end is not for threads
        designs[name] = design
    parent = tools.ROOT / "build" / "boards"
    folders = {name: parent / f"test-{design.name}" for name, design in designs.items()}
    with concurrent.futures.ThreadPoolExecutor(len(designs)) as pool:
        entries = dict(
            pool.map(
                lambda item: (item[0], run.build_design(item[1], None, folders[item[0]], Options())),
                designs.items(),
            )
        )
    return {name: (designs[name], entries[name], folders[name]) for name in designs}


@pytest.mark.timeout(4800)
@pytest.mark.parametrize("name", PRESETS_BUILT)
def test_bitstream(builds, name, record_property):
    design, entry, folder = builds[name]
    for figure in ("mhz", "used", "synthesised", "tools"):
        record_property(figure, json.dumps(entry[figure]))
    print(f"{name}: {entry['mhz']} MHz, {entry['used']}")
    assert entry["timing_met"], run.missed(entry)
    assert 0 < entry["used"]["TRELLIS_COMB"] < entry["available"]["TRELLIS_COMB"]
    assert entry["used"]["DP16KD"] == entry["synthesised"]["DP16KD"]
    # The memory in pieces of 2 KiB, and what the core has.
    assert entry["used"]["DP16KD"] > MEMORY_BYTES >> 11
    bitstream = folder / "ecp5" / entry["bitstream"]
    assert bitstream.stat().st_size == entry["checks"]["bytes"] > 1_000_000
    # Found by the unpacker: the part, every block RAM, and more lookup tables than the small cores have.
    assert entry["checks"]["device"] == "LFE5U-85F"
    assert entry["checks"]["memories"] == entry["used"]["DP16KD"]
    assert entry["checks"]["tables"] > 5000
    assert json.loads((folder / "report.json").read_text())["builds"]["ecp5"] == entry


@pytest.mark.timeout(2400)
def test_netlist_prints_the_first_lines_of_the_election(builds, tmp_path):
    """The netlist that is placed, of the same run of Yosys, with the program in its block RAM; only the PLL
    is replaced, by the clock of the bench. The boot loader waits for a host first."""
    design, _, folder = builds[SIMULATED]
    netlist = Netlist(folder / "ecp5" / "netlist.v", tmp_path, design.config.soc.uart_divisor)
    first, *others = netlist.run(len(FIRST_LINES), 1_000_000)
    assert [first.removeprefix(chr(AWAKE)), *others] == FIRST_LINES
