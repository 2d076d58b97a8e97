"""Policies against objects: which code a pattern names, and every contradiction with its file and line."""

import textwrap
from pathlib import Path

import pytest

from fides_core.errors import UserError
from fides_core.software.linker.command import run_command
from fides_core.software.linker.objects import ObjectFile, archive_member
from fides_core.software.linker.placement import LinkedObject, place
from fides_core.software.policy import Policy, policy_error
from fides_core.software.policy import PolicyError as Refused
from fides_core.software.toml_lines import value_lines

from .instrumented import START, archive, instrumented, prebuilt

#: name -> source; one.c is there twice, in two folders
SOURCES = {
    "a/one": "int one(void) { return 1; }\nint shared(void) { return 3; }\n",
    "b/one": "int another(void) { return 2; }\n",
    "two": "static int inner(void) { return 1; }\nint (*two(void))(void) { return inner; }\n",
    "main": "int one(void);\nint main(void) { return one(); }\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("placement")
    for name, source in SOURCES.items():
        instrumented((folder / name).parent, Path(name).name, source)
    instrumented(folder, "start", START, suffix=".S")
    prebuilt(folder, "library", "int library(void) { return 1; }\nint more(void) { return 2; }\n")
    prebuilt(folder, "extra", "int extra(void) { return 1; }\n")
    instrumented(folder, "together", "int left(void) { return 1; }\nint right(void) { return 2; }\n",
                 "-fno-function-sections")  # fmt: skip
    archive(folder, "libx.a", folder / "two.o", folder / "library.o")
    return folder


def objects(folder, *names):
    found = []
    for name in names:
        path, _, member = name.partition(":")
        contents = archive_member(folder / path, member) if member else None
        item = ObjectFile(folder / path, member or None, contents)
        found.append(LinkedObject(item, f"o{len(found):05}.o"))
    return found


ALL = ("start.o", "a/one.o", "b/one.o", "two.o", "main.o")


def owners(folder, policy, *names, xfides=True):
    """object -> its owners, by section where they differ"""
    path = folder / "policy.toml"
    path.write_text(textwrap.dedent(policy))
    items = objects(folder, *(names or ALL))
    placement = place(items, Policy.load(path), entry="_start", xfides=xfides)
    found = {}
    for (number, section), owner in placement.owners.items():
        name = str(items[number].file).removeprefix(f"{folder}/")
        found[name, items[number].file.sections[section].name] = owner
    return found, placement.warnings


def compartments(*tables, rest='rest = "main"'):
    lines = ['name = "p"', rest]
    for number, (name, *keys) in enumerate(tables, 1):
        lines += [f"[compartments.{name}]", f"id = {number}", *keys]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("tables", "expected"),
    (
        ([("main", 'sources = ["main.c"]'), ("x", 'sources = ["two.c"]')],
         {"two.o": "x", "main.o": "main", "start.o": "main", "a/one.o": "main"}),
        # A folder decides between sources of one name.
        ([("main", 'sources = ["main.c"]'), ("x", 'sources = ["a/one.c"]'), ("y", 'sources = ["b/one.c"]')],
         {"a/one.o": "x", "b/one.o": "y"}),
        ([("main", 'sources = ["main.c"]'), ("x", 'sources = ["../src/*/one.c"]')],
         {"a/one.o": "x", "b/one.o": "x"}),
        ([("main", 'sources = ["*.o"]'), ("x", 'functions = ["one"]')],
         {("a/one.o", ".text.one"): "x", ("a/one.o", ".text.shared"): "main"}),
        ([("main", 'sources = ["main.o"]'), ("x", 'functions = ["one.c:o*", "two.o:inner"]')],
         {("a/one.o", ".text.one"): "x", ("two.o", ".text.inner"): "x", ("two.o", ".text.two"): "main"}),
        ([("main", 'sources = ["main.o"]'), ("x", 'sources = ["start.S"]')], {"start.o": "x"}),
    ),
)  # fmt: skip
def test_patterns(folder, tables, expected):
    found, warnings = owners(folder, compartments(*tables))
    for what, owner in expected.items():
        matching = {found[key] for key in found if what in (key, key[0])}
        assert matching == {owner}, what
    assert not warnings


def test_archives(folder):
    policy = compartments(("main", 'sources = ["main.c"]'), ("x", 'sources = ["libx.a:two.o"]'))
    policy += '\n[fluid]\ncomplete = ["libx.a", "absent.a"]\nrestricted = ["extra.o"]\n'
    names = ("start.o", "main.o", "libx.a:two.o", "libx.a:library.o", "extra.o")
    found, warnings = owners(folder, policy, *names)
    assert {found[key] for key in found if key[0] == "libx.a:two.o"} == {"x"}
    assert found["libx.a:library.o", ".text.library"] == "complete_fluid"
    assert found["extra.o", ".text.extra"] == "restricted_fluid"
    line = policy.split("\n").index('complete = ["libx.a", "absent.a"]') + 1
    assert warnings == [f"{folder}/policy.toml:{line}: nothing that is linked is absent.a"]


def test_functions_of_fluid_code(folder):
    policy = compartments(("main", 'sources = ["*.o"]')) + '\n[fluid]\ncomplete_functions = ["shared"]\n'
    found, _ = owners(folder, policy)
    assert found["a/one.o", ".text.shared"] == "complete_fluid"
    assert found["a/one.o", ".text.one"] == "main"


def test_what_is_built_without_pads_can_be_in_a_compartment_of_the_base_core(folder):
    policy = compartments(("main", 'sources = ["main.c", "library.c"]'))
    found, _ = owners(folder, policy, "start.o", "main.o", "library.o", xfides=False)
    assert set(found.values()) == {"main"}


M = ("main", 'sources = ["main.c"]')


@pytest.mark.parametrize(
    ("policy", "line", "said"),
    (
        (compartments(M, ("x", 'functions = ["two",', ' "tow"]')), 9, "x: unknown function tow"),
        (compartments(M, ("x", 'functions = ["t?w*"]')), 8, "x: no function matches t[?]w[*]"),
        (compartments(M, ("x", 'sources = ["one.c", "tow.c"]')), 8, "x: nothing that is linked is tow.c"),
        (compartments(M, ("x", 'functions = ["on*"]'), ("y", 'functions = ["one"]')), 11,
         "the function one of .*a/one.o is in x and in y"),
        (compartments(M, ("x", 'sources = ["two.c"]'), ("y", 'sources = ["two.c"]')), 11,
         "two.o is in x and in y"),
        (compartments(M, ("x", 'sources = ["two.c"]')) + '\n[fluid]\ncomplete = ["two.c"]', 8,
         "two.o is in complete_fluid and in x"),
        (compartments(M, ("x", "sources = []")), 6, "the compartment x is empty"),
        (compartments(M, ("x", 'sources = ["two.c"]'), ("y", 'functions = ["inner", "two"]')), 6,
         "the compartment x is empty"),
        (compartments(M, rest=""), 0, "one.o is in no compartment: name it in sources or fluid"),
        (compartments(M) + '\n[fluid]\ncomplete = ["two.c"]\nrestricted = ["main.o",\n "two.c"]', 9,
         "two.c is in complete and in restricted fluid"),
        (compartments(M, ("x", 'sources = ["two.c"]', 'calls = ["y"]')), 9, "x may call y: there is no such"),
        (compartments(M, ("x", 'sources = ["two.c"]')).replace("id = 2", "id = 256"), 6,
         "x: the id 256 is not in 0..255"),
        (compartments(M, ("x", 'sources = ["two.c"]')).replace("id = 2", "id = 1"), 6,
         "two compartments with the id 1"),
        (compartments(M, ("x", 'sources = ["two.c"]', 'devices = ["uart"]')), 9,
         "no preset's hardware can limit a device to a compartment"),
        (compartments(M, ("x", "calls = []")), 6, "x has neither sources nor functions"),
        (compartments(M, ("x", 'source = ["two.c"]')), 8, "unknown key source in compartments.x"),
        (compartments(M, ("x", "sources = [1]")), 8, "sources is not a list of texts"),
        (compartments(("main", 'sources = "main.c"')), 5, "sources is not a list of texts"),
        (compartments(M).replace("id = 1", 'id = "1"'), 4, "id is not a whole number"),
        (compartments(M, rest='rest = "none"'), 2, "the rest is for none: there is no such compartment"),
        (compartments(M, ("monitor", 'sources = ["two.c"]')), 6, "monitor is not a name for a compartment"),
        ('name = "p"\ncompartments = 3', 2, "compartments is not a table"),
        ('name = "p"', 0, "there are no compartments"),
    ),
)  # fmt: skip
def test_contradictions(folder, policy, line, said):
    with pytest.raises((UserError, Refused), match=said) as refused:
        owners(folder, policy)
    error = refused.value
    if isinstance(error, Refused):
        error = policy_error(folder / "policy.toml", error)
    where = f"{folder}/policy.toml:{line}: " if line else f"{folder}/policy.toml: "
    assert str(error).startswith(where) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("names", "policy", "said"),
    (
        (("main.o", "library.o"), compartments(("main", 'sources = ["main.c", "library.c"]')),
         "library.o has no landing pads, so it can only be fluid code, not in main"),
        (("main.o", "library.o"), compartments(M), "library.o is in no compartment and has no landing pads"),
        (("main.o", "together.o"), compartments(M, ("x", 'functions = ["left"]')),
         "left of .*together.o is to be in x, but right, which is not, lies in the same section"),
        (("start.o", "two.o", "b/one.o"),
         compartments(("x", 'sources = ["two.c"]'), ("y", 'sources = ["one.c"]'), rest=""),
         "does not say which compartment the program begins in"),
    ),
)  # fmt: skip
def test_code_that_cannot_be_placed(folder, names, policy, said):
    with pytest.raises(Refused, match=said):
        owners(folder, policy, *names)


def test_the_linker_says_where(folder, capsys):
    (folder / "wrong.toml").write_text(compartments(M, ("x", 'functions = ["tow"]')))
    words = [str(folder / name) for name in ("start.o", "a/one.o", "main.o")]
    with pytest.raises(UserError, match="wrong.toml:8: x: unknown function tow"):
        run_command([*words, "--policy", str(folder / "wrong.toml"), "-o", str(folder / "image.elf")])
    (folder / "wrong.toml").write_text(compartments(M, rest='rest = "main"\n[entry]\ncompartment = "x"'))
    with pytest.raises(UserError, match="wrong.toml:4: the entry is in x: there is no such compartment"):
        run_command([*words, "--policy", str(folder / "wrong.toml"), "-o", str(folder / "image.elf")])
    assert not (folder / "image.elf").exists()


def test_files_that_are_no_objects(folder):
    (folder / "text.o").write_text("not an object")
    with pytest.raises(UserError, match="text.o: not an ELF object"):
        ObjectFile(folder / "text.o").sections  # noqa: B018
    with pytest.raises(UserError, match="not an archive"):
        archive_member(folder / "text.o", "two.o")
    with pytest.raises(UserError, match="libx.a: has no member three.o"):
        archive_member(folder / "libx.a", "three.o")


@pytest.mark.parametrize(
    ("text", "path", "line"),
    (
        ("a = 1\n\nb = 2", ("b",), 3),
        ("# [x]\n[x]\ny = 1", ("x", "y"), 3),
        ('s = """\n[x]\n"""\n[x]', ("x",), 4),
        ("s = '''\n[x]\n'''\n[x]", ("x",), 4),
        ('[x]\ny = [\n  "# ]", # "\n  "b",\n]\nz = 1', ("x", "y", 1), 4),
        ('[x]\ny = [\n  "# ]", # "\n  "b",\n]\nz = 1', ("x", "z"), 6),
        ("t = {a = [1,\n 2], b = 3}", ("t", "a", 1), 2),
        ("t = {a = [1,\n 2], b = 3}", ("t", "b"), 2),
        ('"a.b".c = 1', ("a.b", "c"), 1),
        ("[a.b]\n[[a.b.c]]\nd = 1\n[[a.b.c]]\nd = 2\n[a.b.c.e]\nf = 1", ("a", "b", "c", 1, "d"), 5),
        ("[a.b]\n[[a.b.c]]\nd = 1\n[[a.b.c]]\nd = 2\n[a.b.c.e]\nf = 1", ("a", "b", "c", 1, "e", "f"), 7),
        ('s = "\\"]"\nu = 1', ("u",), 2),
    ),
)
def test_lines_of_values(text, path, line):
    assert value_lines(text)[path] == line
