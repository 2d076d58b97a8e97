"""Legal C programs do the same on the host, without checks and with them; those with errors are stopped."""

import shutil
import subprocess

import pytest

from fides_core.compiler.driver import run_command
from fides_core.config import preset
from fides_core.flow.simulation import Simulator
from fides_core.software.image import with_argument

from .conftest import PROGRAMS

pytestmark = pytest.mark.timeout(600)

NAMES = sorted(path.stem for path in PROGRAMS.glob("*.c"))


def write_sources(directory):
    """One program of all programs, each with its name before what it prints."""
    for name in NAMES:
        (directory / f"{name}.c").write_text(f'#define main test_{name}\n#include "{PROGRAMS / name}.c"\n')
    calls = "".join(f'  puts("== {name}");\n  test_{name}();\n' for name in NAMES)
    declarations = "".join(f"int test_{name}(void);\n" for name in NAMES)
    (directory / "all.c").write_text(
        f"#include <stdio.h>\n{declarations}int main(void)\n{{\n{calls}  return 0;\n}}\n"
    )
    return [str(directory / f"{name}.c") for name in (*NAMES, "all")]


def parts(text):
    """What each program has printed."""
    return {head: body for head, _, body in (part.partition("\n") for part in text.split("== ")[1:])}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    directory = tmp_path_factory.mktemp("host")
    compiler = shutil.which("gcc")
    subprocess.run(
        [compiler, "-w", "-O1", *write_sources(directory), "-lm", "-o", directory / "all"], check=True
    )
    done = subprocess.run([directory / "all"], check=True, capture_output=True, text=True, timeout=60)
    return parts(done.stdout)


def test_there_are_enough(expected):
    assert len(NAMES) >= 60 and set(expected) == set(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name, level", (("fides", "-O2"), ("base", "-O2")))
def test_legal_programs(expected, tmp_path, name, level):
    image = tmp_path / "all.elf"
    assert run_command(["--preset", name, "-w", level, *write_sources(tmp_path), "-o", str(image)]) == 0
    outcome = Simulator.build(preset(name)).run(image, 100_000_000)
    found = parts(outcome.uart.decode())
    for program, text in expected.items():
        assert found.get(program) == text, f"{program}: {outcome.message}"
    assert outcome.exit_code == 0


ERRORS = {
    "heap, one behind": ("char *p = malloc(8); use(&p); p[zero + 8] = 1;", "BOUNDS"),
    "heap, one before": ("char *p = malloc(8); use(&p); p[zero - 1] = 1;", "BOUNDS"),
    "heap, across the end": ("long *p = malloc(12); use(&p); p[1] = 1;", "BOUNDS"),
    "heap, far away": ("char *p = malloc(8); use(&p); p[0x100000000L + 9 + zero] = 1;", "BOUNDS"),
    "local": ("char a[8]; use(a); a[8 + zero] = 1; use(a);", "BOUNDS"),
    "local that stays": ("int a[4] = {1, 2, 3}; zero += a[zero + 4];", "BOUNDS"),
    "global": ("global[4 + zero] = 1;", "BOUNDS"),
    "variable length": ("int a[zero + 3]; use(a); a[zero + 3] = 1; use(a);", "BOUNDS"),
    "loop, one too far": ("for (int i = 0; i <= 4 + zero; i++) global[i] = i;", "BOUNDS"),
    "freed": ("char *p = malloc(8); use(&p); free(p); p[0] = 1;", "INVALID"),
    "freed, given out again": (
        "char *p = malloc(8), *q; use(&p); free(p);"
        "for (int i = 0; i < 9000; i++) { q = malloc(8); use(&q); free(q); if (i == 8000) zero += p[0]; }",
        ("TEMPORAL", "INVALID"),
    ),
    "freed twice": ("char *p = malloc(8); use(&p); free(p); free(p);", "INVALID"),
    "freed in the middle": ("char *p = malloc(8); use(&p); free(p + 4);", "NOT_BASE"),
    "local of a function that is gone": ("*leak() = 1;", "INVALID"),
    "null": ("int *p = 0; p[zero] = 1;", "INVALID"),
    "number as pointer": ("*(volatile int *)(0x80020000L + zero) = 1;", "INVALID"),
    "string function": ('char *p = malloc(4); use(&p); strcpy(p, "too long");', "BOUNDS"),
    "formatted": ('char *p = malloc(4); use(&p); sprintf(p, "%d", 12345 + zero);', "BOUNDS"),
    "text without end": ('char b[4] = {1, 2, 3, 4}; use(b); printf("%s", b);', "BOUNDS"),
    "copy from": ("char *p = malloc(64); use(&p); memcpy(p, global, 17 + zero);", "BOUNDS"),
    "copy to": ("char *p = malloc(4); use(&p); memcpy(p, global, 16); use(p);", "BOUNDS"),
    "fill": ("char *p = malloc(4); use(&p); memset(p, 1, 5 + zero);", "BOUNDS"),
    "index that overflows": (
        "unsigned char i = 250 + zero; i += 10; char *p = malloc(4); use(&p); p[i] = 1;",
        "BOUNDS",
    ),
    "carry into the index": (
        "char *p = malloc(8), *q = malloc(8); use(&p); use(&q);"
        "p = p + ((long)q - (long)p) + zero; p[8] = 1;",
        "BOUNDS",
    ),
}


@pytest.fixture(scope="module")
def errors_image(tmp_path_factory):
    directory = tmp_path_factory.mktemp("errors")
    functions = "".join(
        f"static __attribute__((noinline)) void error{number}(void)\n{{\n  {body}\n}}\n"
        for number, (body, _) in enumerate(ERRORS.values())
    )
    cases = "".join(f"  case {number}: error{number}(); break;\n" for number in range(len(ERRORS)))
    (directory / "errors.c").write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
        "extern const volatile unsigned long program_argument;\n"
        "int global[4];\nvolatile int zero;\nvoid *sink;\n"
        "__attribute__((noinline)) void use(void *p)\n"
        '{\n  sink = p;\n  __asm__ volatile("" : : "r"(p) : "memory");\n}\n'
        "__attribute__((noinline)) int *leak(void) { int x[3] = {zero}; use(x); return sink; }\n"
        f"{functions}int main(void)\n{{\n  switch (program_argument) {{\n{cases}  }}\n"
        '  puts("survived");\n  return 10;\n}\n'
    )  # fmt: skip
    image = directory / "errors.elf"
    assert run_command(["-w", "-O2", str(directory / "errors.c"), "-o", str(image)]) == 0
    return image


@pytest.mark.slow
def test_program_without_error_survives(errors_image):
    outcome = Simulator.build(preset("fides")).run(with_argument(errors_image, 1000), 20_000_000)
    assert outcome.uart == b"survived\n" and outcome.exit_code == 10


@pytest.mark.slow
@pytest.mark.parametrize("error", ERRORS)
def test_error_is_stopped(errors_image, error):
    _, reasons = ERRORS[error]
    image = with_argument(errors_image, list(ERRORS).index(error))
    outcome = Simulator.build(preset("fides")).run(image, 20_000_000)
    reasons = (reasons,) if isinstance(reasons, str) else reasons
    text = outcome.uart.decode()
    assert any(f"monitor: fault {reason} (MEMORY" in text for reason in reasons), text or outcome.message
