"""A stack that grows beyond its end meets memory that cannot be written, not the program's data."""

import pytest

from fides_core.config import preset
from fides_core.model import Platform

pytestmark = pytest.mark.timeout(300)

PROGRAM = """\
#include <stdio.h>
#include <stdlib.h>
static char before[256];
int depth(int n) {
  volatile char room[256];
  room[n] = n;
  return n ? (depth(n - 1) ^ 5) / (room[n] | 1) : 0;
}
int main(void) {
  char *last = 0;
  for (char *block; (block = malloc(512)); last = block)
    for (int i = 0; i < 512; i++) block[i] = 1;
  for (int i = 0; i < 256; i++) before[i] = 1;
  depth(DEPTH);
  for (int i = 0; i < 256; i++) if (before[i] != 1) return 1;
  return last[0] != 1;
}
"""
POLICY = """\
name = "stack"
[compartments.main]
id = 1
sources = ["main.c"]
[memory]
heap_bytes = 4096
stack_bytes = 16384
"""


@pytest.mark.parametrize("checks", ("-ffides-checks", "-fno-fides-checks"))
@pytest.mark.parametrize("depth, stopped", ((30, False), (100, True)))
def test_stack_that_is_too_small(cc, tmp_path, depth, stopped, checks):
    (tmp_path / "main.c").write_text(PROGRAM)
    (tmp_path / "policy.toml").write_text(POLICY)
    assert cc("-O1", checks, f"-DDEPTH={depth}", "main.c", "--policy", "policy.toml", "-o", "image").code == 0
    platform = Platform(preset("fides"))
    platform.load_elf(tmp_path / "image")
    outcome = platform.run(max_instructions=1_000_000)
    text = outcome.uart.decode()
    if stopped:
        assert text.startswith("monitor: fault STORE_ACCESS_FAULT") and outcome.exit_code not in (0, 1), text
    else:
        assert (text, outcome.exit_code) == ("", 0)
