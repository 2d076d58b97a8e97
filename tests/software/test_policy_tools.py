"""``fides policy infer``, ``show`` and ``import``, and ``fides objdump``."""

import xml.etree.ElementTree as ElementTree

import pytest

from fides_core.cli import app
from fides_core.config import PRESETS
from fides_core.errors import UserError
from fides_core.software.image_file import ImageFile
from fides_core.software.linker.command import run_command
from fides_core.software.objdump import listing
from fides_core.software.policy import Policy

from .conftest import run_image
from .instrumented import START, archive, instrumented, prebuilt

SOURCES = {
    "main": "int one(int);\nint two(int);\nint main(void) { return one(1) + two(2); }\n",
    "one": "int two(int);\nint (*chosen)(int) = two;\nint one(int x) { return x + 4; }\n",
    "two": "int library(int);\nint two(int x) { return library(x); }\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tools")
    instrumented(folder, "start", START, suffix=".S")
    for name, source in SOURCES.items():
        instrumented(folder, name, source, "-g")
    prebuilt(folder, "library", "int library(int x) { return 3 * x; }\n")
    archive(folder, "libboth.a", folder / "one.o", folder / "two.o")
    return folder


def run(*words) -> int:
    return app([str(word) for word in words], standalone_mode=False)


@pytest.fixture
def inferred(folder):
    path = folder / "inferred.toml"
    names = [folder / f"{name}.o" for name in ("start", *SOURCES, "library")]
    run("policy", "infer", *names, "--name", "tools", "-o", path)
    return path


def matrix(policy):
    return {one.name: set(one.calls) for one in policy.compartments}


def test_inferred_from_calls_and_addresses(inferred):
    policy = Policy.load(inferred)
    # one takes the address of two; start is where main is.
    assert matrix(policy) == {"main": {"one", "two"}, "one": {"two"}, "two": set()}
    assert [one.cid for one in policy.compartments] == [1, 2, 3]
    assert [one.sources for one in policy.compartments] == [("start.o", "main.o"), ("one.o",), ("two.o",)]
    assert policy.complete_fluid == ("library.o",) and policy.entry_compartment == "main"
    assert policy.name == "tools"


def test_what_is_inferred_links_and_runs(folder, inferred, capsys):
    names = [str(folder / f"{name}.o") for name in ("start", *SOURCES, "library")]
    output = folder / "inferred.elf"
    assert run_command([*names, "--policy", str(inferred), "-o", str(output)]) == 0
    assert capsys.readouterr().err == ""
    assert run_image(output, PRESETS["fides"]).exit_code == 5 + 6


@pytest.mark.parametrize(
    ("options", "expected"),
    (
        ([], {"main": {"libboth"}, "libboth": set()}),
        (["--members"], {"main": {"one", "two"}, "one": {"two"}, "two": set()}),
    ),
)
def test_inferred_from_an_archive(folder, options, expected, capsys):
    names = [folder / name for name in ("start.o", "main.o", "libboth.a", "library.o")]
    run("policy", "infer", *names, *options)
    (folder / "archive.toml").write_text(capsys.readouterr().out)
    policy = Policy.load(folder / "archive.toml")
    assert matrix(policy) == expected
    words = [*map(str, names), "--policy", str(folder / "archive.toml"), "-o", str(folder / "archive.elf")]
    assert run_command(words) == 0
    assert run_image(folder / "archive.elf", PRESETS["fides"]).exit_code == 5 + 6


def test_nothing_to_infer_from(folder, tmp_path):
    with pytest.raises(UserError, match="no object has landing pads"):
        run("policy", "infer", folder / "library.o")
    with pytest.raises(UserError, match="absent.o: No such file"):
        run("policy", "infer", folder / "absent.o")
    both = archive(folder, "libmixed.a", folder / "one.o", folder / "library.o")
    with pytest.raises(UserError, match="libmixed.a: some of its members have landing pads"):
        run("policy", "infer", both)
    with pytest.raises(UserError, match="No such file"):
        run("policy", "infer", folder / "one.o", "-o", tmp_path / "absent" / "policy.toml")


def test_matrix_as_text(inferred, capsys):
    run("policy", "show", inferred)
    assert capsys.readouterr().out.splitlines() == [
        "            1    2    3",
        "  1 main    -    x    x",
        "  2 one     .    -    x",
        "  3 two     .    .    -",
        "complete fluid: library.o",
    ]


def test_matrix_as_drawing(inferred, folder):
    run("policy", "show", inferred, "--svg", folder / "matrix.svg")
    root = ElementTree.parse(folder / "matrix.svg").getroot()
    titles = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 1 + 9
    assert titles.count("main may call one") == 1 and titles.count("two may not call one") == 1
    labels = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert labels.count("2 one") == 2


CAP = {"boot.cap": "boot_printf:255\ntrap_handler:254\n", "vote.cap": "cast:5\ncount:5\n\nkey:31\n"}


def imported(tmp_path, capsys, *more, cap=CAP):
    paths = []
    for name, text in {**cap, **dict(more)}.items():
        (tmp_path / name).write_text(text)
        paths.append(tmp_path / name)
    run("policy", "import", *paths, "--name", "votes")
    (tmp_path / "policy.toml").write_text(capsys.readouterr().out)
    return Policy.load(tmp_path / "policy.toml")


def test_fides_files(tmp_path, capsys):
    policy = imported(tmp_path, capsys, ("cap_table.txt", "5:31\n5:5\n"))
    assert [(one.name, one.cid, one.functions) for one in policy.compartments] == [
        ("c5", 5, ("cast", "count")), ("c31", 31, ("key",)),
    ]  # fmt: skip
    assert matrix(policy) == {"c5": {"c31"}, "c31": set()}
    assert policy.complete_functions == ("boot_printf",)
    assert policy.restricted_functions == ("trap_handler",)


def test_lists_of_names(tmp_path, capsys):
    policy = imported(tmp_path, capsys, ("calls", "main: 5\n5:main # back\nmain:ui\n"), cap={})
    assert {one.name: one.cid for one in policy.compartments} == {"main": 1, "ui": 2, "c5": 5}
    assert matrix(policy) == {"main": {"c5", "ui"}, "c5": {"main"}, "ui": set()}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    (
        ("x.cap", "cast:5\ncast\n", "x.cap:2: 'cast' is not two words with a colon between them"),
        ("x.cap", "cast:256\n", "x.cap:1: 256 is not a compartment's number"),
        ("x.cap", "cast:five\n", "x.cap:1: five is not a compartment's number"),
        ("x.cap", "cast:5\n\ncast:6\n", "x.cap:3: cast is in 6, but .*x.cap:1 says 5"),
        ("x", "5:300\n", "x:1: 300 is not a compartment's number"),
        ("x", "a:b c\n", "'b c' must be 1 to 23 letters"),
        ("x", "", "the files name no compartment"),
    ),
)
def test_files_that_cannot_be_imported(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=said):
        run("policy", "import", tmp_path / name)


def test_calls_of_fluid_code_cannot_be_imported(tmp_path):
    (tmp_path / "x.cap").write_text("print:255\nmain:1\n")
    (tmp_path / "table").write_text("1:255\n")
    with pytest.raises(UserError, match="255 is fluid code"):
        run("policy", "import", tmp_path / "x.cap", tmp_path / "table")


@pytest.fixture
def image(folder, inferred):
    names = [str(folder / f"{name}.o") for name in ("start", *SOURCES, "library")]
    assert run_command([*names, "--policy", str(inferred), "-o", str(folder / "image.elf")]) == 0
    return folder / "image.elf"


def test_listing(image):
    lines = list(listing(image))
    at = ImageFile.read(image).addresses
    headings = [line for line in lines if ".." in line and line.strip() != "..."]
    assert [line.split(" ", 1)[1] for line in headings] == [
        "the monitor", "complete fluid", "compartment 1 main, may call one, two",
        "compartment 2 one, may call two", "compartment 3 two, may call no other",
    ]  # fmt: skip
    assert headings[3].startswith(f"\n{at['__one_start']:08x}..{at['__one_end']:08x} ")
    one = lines.index(f"\n{at['one']:08x} <one>:")
    assert lines[one + 1] == f"  {at['one']:08x}:  0020000b  checkcap 2, entry"
    two = lines.index(f"\n{at['two']:08x} <two>:")
    assert lines[two + 2].endswith(f"# {at['library']:#x} <library>")  # a tail call
    call = next(line for line in lines if line.endswith(f"# {at['one']:#x} <one>"))
    assert "jal x1" in call
    assert lines[0] == f"image.elf: tools, begins at {at['_start']:#x} <_start>"


def test_listing_of_one_range_with_lines(image, capsys):
    run("objdump", image, "--range", "one", "--lines")
    text = capsys.readouterr().out
    assert "<one>:" in text and "<two>:" not in text and "monitor" not in text
    assert "one.c:3:" in text.splitlines()


def test_what_cannot_be_listed(folder, image):
    with pytest.raises(UserError, match="no code in three; there are monitor, complete_fluid, main, one"):
        listing(image, only="three")
    with pytest.raises(UserError, match="no policy section"):
        listing(folder / "one.o")
    with pytest.raises(UserError, match="not an ELF file"):
        listing(folder / "one.c")
    with pytest.raises(UserError, match="No such file"):
        run("objdump", folder / "absent.elf")
