"""Code without checks: what it does with its arguments is checked before it is called."""

import shutil
import subprocess

import pytest

from fides_core.compiler.contracts import OF_THE_LIBRARY, read_contracts
from fides_core.config import preset
from fides_core.errors import UserError
from fides_core.model import Platform

pytestmark = pytest.mark.timeout(300)

INCLUDES = """\
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>
volatile int zero;
void *sink;
__attribute__((noinline)) void use(void *p) { sink = p; __asm__ volatile("" : : "r"(p) : "memory"); }
"""

GOOD = r"""
int main(void) {
  char small[4], *text = strdup("one two"), *rest = text;
  use(small); use(text);
  if (strlcpy(small, "abcdef", sizeof small) != 6 || strcmp(small, "abc")) return 1;
  if (strcmp(strsep(&rest, " "), "one") || strcmp(rest, "two")) return 2;
  int exponent, number;
  if (frexp(8.0 + zero, &exponent) != 0.5 || exponent != 4) return 3;
  char word[8];
  use(word);
  if (sscanf("12 ab", "%d %7s", &number, word) != 2 || number != 12 || strcmp(word, "ab")) return 4;
  struct tm tm;
  time_t when = 86400 + zero;
  if (!gmtime_r(&when, &tm) || tm.tm_mday != 2) return 5;
  char date[11];
  use(date);
  if (strftime(date, sizeof date, "%Y-%m-%d", &tm) != 10 || strcmp(date, "1970-01-02")) return 6;
  wchar_t wide[4];
  use(wide);
  if (mbstowcs(wide, "abc", 4) != 3 || wide[3]) return 7;
  if (wcscpy(wide, L"abc") != wide || wcslen(wide) != 3 || wcscmp(wide, L"abc")) return 8;
  if (time(0) < 0) return 9;
  char *end;
  if (strtold("1.5x", &end) != 1.5L || *end != 'x') return 10;
  return 0;
}
"""

BAD = {
    "room": ('char *p = malloc(4); use(&p); strlcpy(p, "abcdef", 5 + zero);', "BOUNDS"),
    "string": ('char b[4] = {1, 2, 3, 4}; use(b); zero = strlwr(b) == sink;', "BOUNDS"),
    "freed": ('char *p = malloc(8); use(&p); free(p); zero = strcasestr("x", p) != 0;', "INVALID"),
    "number": ("short *s = malloc(2); use(&s); zero = frexp(2.0 + zero, (int *)s);", "BOUNDS"),
    "structure": ("struct tm *t = malloc(35); use(&t); time_t w = 0; gmtime_r(&w, t);", "BOUNDS"),
    "variable arguments": ('int *p = malloc(4); use(&p); free(p); sscanf("1", "%d", p);', "INVALID"),
    "null": ("zero = mktime((struct tm *)(long)zero);", "INVALID"),
    "name": ('char b[4] = {1, 2, 3, 4}; use(b); zero = getenv(b) != 0;', "BOUNDS"),
    "negative size": ('char *p = malloc(4); use(&p); strlcpy(p, "a", zero - 1);', "BOUNDS"),
    "wide room": ('wchar_t *p = malloc(12); use(&p); wcscpy(p, L"abc" + zero);', "BOUNDS"),
    "product that overflows": (
        "int *p = malloc(16); use(&p); wmemset((wchar_t *)p, 1, (1L << 62) + 1 + zero);",
        "BOUNDS",
    ),
}  # fmt: skip


def run(image):
    platform = Platform(preset("fides"))
    platform.load_elf(image)
    outcome = platform.run(max_instructions=500_000)
    return outcome.exit_code, outcome.uart.decode()


def test_the_librarys_functions_do_what_they_should(cc, tmp_path):
    (tmp_path / "good.c").write_text(INCLUDES + GOOD)
    assert cc("-O1", "-w", "-fno-builtin", "good.c", "-o", "image").code == 0
    assert run(tmp_path / "image") == (0, "")


@pytest.mark.parametrize("error", BAD)
def test_errors_in_the_librarys_functions(cc, tmp_path, error):
    body, reason = BAD[error]
    (tmp_path / "bad.c").write_text(f"{INCLUDES}int main(void) {{ {body} return 0; }}\n")
    assert cc("-O1", "-w", "-fno-builtin", "bad.c", "-o", "image").code == 0
    code, text = run(tmp_path / "image")
    assert f"monitor: fault {reason} (MEMORY" in text and code != 0


LIBRARY = "void fill(char *to, int size) { for (int i = 0; i < size; i++) to[i] = 1; }\n"
PROGRAM = (
    INCLUDES
    + "void fill(char *to, int size);\nint main(void) { char *p = malloc(SIZE); fill(p, 9); return 5; }\n"
)


@pytest.mark.parametrize("size, contract, code", ((9, True, 5), (8, True, None), (8, False, 5)))
def test_a_prebuilt_library_of_ones_own(cc, tmp_path, size, contract, code):
    (tmp_path / "library.c").write_text(LIBRARY)
    compiler = shutil.which("riscv64-unknown-elf-gcc")
    options = ["-O2", "-march=rv64imac", "-mabi=lp64", "-mcmodel=medany", "-c"]
    subprocess.run([compiler, *options, tmp_path / "library.c", "-o", tmp_path / "library.o"], check=True)
    (tmp_path / "main.c").write_text(PROGRAM)
    (tmp_path / "contracts").write_text("# the library\n\nfill  $2 -\n")
    (tmp_path / "policy.toml").write_text(
        'name = "prebuilt"\nrest = "main"\n[compartments.main]\nid = 1\nsources = ["main.c"]\n'
        '[fluid]\ncomplete = ["library.o"]\n'
    )
    words = [f"-DSIZE={size}", "main.c", "library.o", "--policy", "policy.toml", "-o", "image"]
    assert cc(*words, *(["--contracts", "contracts"] if contract else [])).code == 0
    found, text = run(tmp_path / "image")
    if code is not None:
        assert (found, text) == (code, "")
    else:
        assert "monitor: fault BOUNDS (MEMORY" in text


@pytest.mark.parametrize(
    "line, message",
    (
        ("f -\nf -", "contracts:2: f is there twice"),
        ("f bytes", "contracts:1: f: 'bytes' says nothing about an argument"),
        ("f $2", "contracts:1: f: there is no argument 2"),
        ("f $0", "'$0' says nothing"),
        ("f pointer... -", "f: only the last argument can have more after it"),
        ("f 16777216", "f: no object has 16777216 bytes"),
        ("3f -", "'3f' is no name of a function"),
    ),
)
def test_contracts_that_are_wrong(cc, tmp_path, line, message):
    (tmp_path / "contracts").write_text(line + "\n")
    (tmp_path / "a.c").write_text("int x;\n")
    with pytest.raises(UserError) as error:
        cc("-c", "--contracts", "contracts", "a.c")
    assert message in str(error.value) and not (tmp_path / "a.o").exists()
    with pytest.raises(UserError, match=r"nowhere: No such file"):
        cc("-c", "--contracts=nowhere", "a.c")


def test_functions_of_the_library_are_there():
    """All that have a contract are in picolibc, and none in the list of those that check by themselves."""
    archive = "/usr/lib/picolibc/riscv64-unknown-elf/lib/rv64imac/lp64/libc.a"
    done = subprocess.run(["riscv64-unknown-elf-nm", archive], check=True, capture_output=True, text=True)
    defined = {line.split()[-1] for line in done.stdout.splitlines() if line[17:19] in ("T ", "W ")}
    names = {line.split()[0] for line in read_contracts(OF_THE_LIBRARY)}
    checking = (OF_THE_LIBRARY.parent / "plugin" / "library.def").read_text()
    assert len(names) > 100
    assert not names - defined
    assert not {name for name in names if f"({name})" in checking}
