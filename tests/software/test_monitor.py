"""The monitor on the golden model: what U-mode may touch, hypercalls, faults, a deep shadow stack."""

from dataclasses import replace

import pytest
from elftools.elf.elffile import ELFFile

from fides_core.config import PRESETS
from fides_core.isa.causes import ControlFlowFault, ExceptionCause, MemoryFault
from fides_core.isa.xfides import pack_entry
from fides_core.model import Platform
from fides_core.soc.memory_map import CLINT, EXIT, MAIN_MEMORY_BASE, UART
from fides_core.software.policy_section import check_image

from .conftest import run_image

EXIT_CONTROL_FLOW, EXIT_MEMORY, EXIT_EXCEPTION = 64, 96, 128  # sw/monitor/hypercalls.h

HEAD = """\
#include <hypercall.h>
#include <stdio.h>
#include <stdlib.h>
int main(void);
"""


def main(body):
    return f"{HEAD}int main(void)\n{{\n{body}\n}}\n"


def load(address):
    return main(f"  return *(volatile unsigned char *)({address});")


def store(address):
    return main(f"  *(volatile unsigned char *)({address}) = 1;\n  return 0;")


def execute(address):
    return main(f"  ((void (*)(void))({address}))();\n  return 0;")


SECRETS = {
    "the monitor's text": MAIN_MEMORY_BASE,
    "the UART": UART.base,
    "the exit device": EXIT.base,
    "the CLINT": CLINT.base,
}


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("access", (load, store))
def test_u_mode_is_kept_out(programs, config, name, access):
    run = programs.run(access(hex(SECRETS[name])), config)
    cause = ExceptionCause.LOAD_ACCESS_FAULT if access is load else ExceptionCause.STORE_ACCESS_FAULT
    assert run.exit_code == EXIT_EXCEPTION + cause
    assert f"monitor: fault {cause.name} ({cause.name}, mcause {cause:d})" in run.text
    assert "in compartment main" in run.text and f"mtval {SECRETS[name]:#018x}" in run.text


def test_u_mode_is_kept_out_of_the_metadata_table(programs, config):
    program = "  return *(volatile unsigned char *){:#x};"
    address = check_image(programs.build(main(program.format(0)), config)).header["table_base"]
    run = programs.run(main(program.format(address)), config)
    assert run.exit_code == EXIT_EXCEPTION + ExceptionCause.LOAD_ACCESS_FAULT


@pytest.mark.parametrize(
    ("source", "cause"),
    (
        (store("(unsigned long)main"), ExceptionCause.STORE_ACCESS_FAULT),
        (store('(unsigned long)"constant"'), ExceptionCause.STORE_ACCESS_FAULT),
        (main("  static int data[4] = {0x13};\n" + execute("data").split("{")[1][:-2]), None),
        (main("  __asm__ volatile(\"csrr a0, mstatus\");\n  return 0;"), ExceptionCause.ILLEGAL_INSTRUCTION),
        (main("  __asm__ volatile(\"ebreak\");\n  return 0;"), ExceptionCause.BREAKPOINT),
        (load("2 | (1ul << 20)"), ExceptionCause.LOAD_ACCESS_FAULT),
    ),
    ids=("store to text", "store to constants", "execute data", "machine CSR", "ebreak", "no device"),
)
def test_u_mode_faults(programs, config, source, cause):
    cause = ExceptionCause.INSTRUCTION_ACCESS_FAULT if cause is None else cause
    run = programs.run(source, config)
    assert run.exit_code == EXIT_EXCEPTION + cause
    assert f"monitor: fault {cause.name} " in run.text


def test_code_may_be_read_and_data_written(programs, config):
    body = "  static volatile int data = 4;\n  data = data + 1;\n"
    body += "  return *(volatile int *)(void *)main ? data : 0;"
    assert programs.run(main(body), config).exit_code == 5


@pytest.mark.parametrize(("code", "seen"), ((0, 0), (31, 31), (32, 31), (-1, 31)))
def test_exit_codes_of_the_program(programs, config, code, seen):
    assert programs.run(main(f"  exit({code});"), config).exit_code == seen


@pytest.mark.parametrize(
    ("buffer", "count", "written"),
    (
        ('"abc"', "3", 3),
        ('"abc"', "0", 0),
        (f"(void *){MAIN_MEMORY_BASE:#x}", "4", -1),
        (f"(void *){UART.base:#x}", "4", -1),
        ('"abc"', "1ul << 30", -1),
        ('"abc"', "-1ul", -1),
        ("(void *)-4ul", "8", -1),
        ("0", "8", -1),
    ),
)
def test_console_takes_only_the_programs_memory(programs, config, buffer, count, written):
    run = programs.run(main(f"  return (int)write_bytes({buffer}, {count}) == {written} ? 0 : 1;"), config)
    assert run.exit_code == 0
    assert run.text == "abc"[: max(written, 0)]


def test_console_takes_a_fat_pointer(programs, fides):
    body = "  char *text = malloc(3);\n  text[0] = 'x'; text[1] = 'y'; text[2] = 'z';\n"
    body += "  write_bytes(text, 3);\n  return (unsigned long)text >> 40 ? 0 : 1;"
    run = programs.run(main(body), fides)
    assert (run.exit_code, run.text) == (0, "xyz")


def test_counters_and_unknown_hypercalls(programs, config):
    body = """\
  for (int number = HYPERCALL_TIME; number <= HYPERCALL_INSTRET; number++) {
    uint64_t first = hypercall(number, 0, 0);
    if (hypercall(number, 0, 0) <= first)
      return number;
  }
  uint64_t cycle, time, instret;
  __asm__ volatile("rdcycle %0\\n rdtime %1\\n rdinstret %2" : "=r"(cycle), "=r"(time), "=r"(instret));
  if (!cycle || !time || !instret)
    return 10;
  return hypercall(99, 1, 2) == UINT64_MAX ? 0 : 11;"""
    assert programs.run(main(body), config).exit_code == 0


def test_hypercalls_change_no_register_but_a0(programs, config):
    counts = {"t": 7, "s": 12, "a": 7}  # without a7, which holds the number
    registers = [f"{name}{number}" for name, count in counts.items() for number in range(count)]
    registers.remove("a0")
    fill = "".join(f"li {register}, {1000 + number}\\n" for number, register in enumerate(registers))
    check = "".join(
        f"li a7, {1000 + number}\\n bne {register}, a7, 1f\\n" for number, register in enumerate(registers)
    )
    source = main("  return 9;").replace("  return 9;", "  int registers(void);\n  return registers();") + (
        '__asm__(".type registers, @function\\nregisters:\\n addi sp, sp, -96\\n'
        + "".join(f"sd s{number}, {8 * number}(sp)\\n" for number in range(12))
        + f'{fill} li a0, 0\\n li a7, 2\\n ecall\\n {check} li a0, 0\\n j 2f\\n1: li a0, 1\\n2:\\n'
        + "".join(f"ld s{number}, {8 * number}(sp)\\n" for number in range(12))
        + ' addi sp, sp, 96\\n ret\\n.size registers, . - registers");\n'
    )
    assert programs.run(source, config).exit_code == 0


def test_timer_interrupts_change_nothing(programs, config):
    body = """\
  volatile uint64_t sum = 0;
  hypercall(HYPERCALL_TICKS, 1, 0);
  for (uint64_t i = 0; i < 5000; i++)
    sum += i * i;
  uint64_t ticks = hypercall(HYPERCALL_TICKS, 0, 0);
  for (volatile int i = 0; i < 100; i++) {
  }
  if (hypercall(HYPERCALL_TICKS, 0, 0) != ticks || ticks < 20)
    return 1;
  return sum == 41654167500u ? 0 : 2;"""
    assert programs.run(main(body), config).exit_code == 0


RECURSION = """\
#include <stdint.h>
uint64_t down(uint64_t depth, uint64_t (*visit)(uint64_t));
uint64_t down(uint64_t depth, uint64_t (*visit)(uint64_t)) { return visit(depth) + 1; }
"""


def recursion(depth):
    """A program that crosses into restricted fluid code and back ``depth`` times before it returns."""
    return HEAD + f"""\
uint64_t down(uint64_t depth, uint64_t (*visit)(uint64_t));
static uint64_t visit(uint64_t depth) {{ return depth ? 1 + down(depth - 1, visit) : 0; }}
int main(void) {{ return visit({depth}) == 2 * {depth} ? 0 : 1; }}
"""


def run_recursion(programs, depth, entries):
    programs.policy(fluid='["restricted.c"]', compartments="[memory]\nstack_bytes = 262144")
    fides = PRESETS["fides"]
    config = replace(
        fides, core=replace(fides.core, xfides=replace(fides.core.xfides, shadow_stack_entries=entries))
    )
    image = programs.build(recursion(depth), fides, restricted=RECURSION)
    return image, config


@pytest.mark.parametrize("entries", (16, 64, 512))
@pytest.mark.parametrize("depth", (7, 8, 9, 300))
def test_shadow_stack_deeper_than_the_chip(programs, entries, depth):
    image, config = run_recursion(programs, depth, entries)
    platform = Platform(config)
    platform.load_elf(image)
    assert platform.run(max_instructions=1_000_000).exit_code == 0
    shadow_stack = platform.hart.xfides.compartments
    assert (shadow_stack.ssdepth, shadow_stack.ssbase) == (0, 0)


def test_shadow_stack_deeper_than_the_monitors_memory(programs):
    image, config = run_recursion(programs, 2040, 16)
    assert run_image(image, config).exit_code == 0
    image, config = run_recursion(programs, 2100, 16)
    run = run_image(image, config)
    assert run.exit_code == EXIT_CONTROL_FLOW + ControlFlowFault.SHADOW_OVERFLOW
    assert "monitor: fault SHADOW_OVERFLOW" in run.text and "entries is full" in run.text


def test_memory_may_hold_anything_at_reset(programs, config):
    """The monitor clears what the image does not bring: a table of live entries would be open to everyone."""
    body = """\
  static int zero[1000];
  for (int i = 0; i < 1000; i++)
    if (zero[i])
      return 1;
  if (hypercall(HYPERCALL_TICKS, 0, 0))
    return 1;
  uint64_t tag = XFIDES ? 0x5aul << 32 | 700ul << 40 : 0;
  return AT((char *)((uintptr_t)zero | tag), 0) + 2;"""
    image = programs.build("#include <fat_pointer.h>\n" + main(body), config)
    platform = Platform(config)
    platform.load_elf(image)
    live = pack_entry(MAIN_MEMORY_BASE, (1 << 24) - 1, 0x5A).to_bytes(8, "little")
    with image.open("rb") as stream:
        for section in ELFFile(stream).iter_sections():
            if section["sh_type"] == "SHT_NOBITS":
                at, size = section["sh_addr"] - MAIN_MEMORY_BASE, section["sh_size"]
                assert section["sh_addr"] % 8 == 0
                platform.memory[at : at + size] = (live * (size // 8 + 1))[:size]
    outcome = platform.run(max_instructions=300_000)
    assert outcome.exit_code == (EXIT_MEMORY + MemoryFault.INVALID if config.core.xfides else 2)


def test_everything_is_on_and_locked(programs, fides):
    platform = Platform(fides)
    platform.load_elf(programs.build(main("  return 0;"), fides))
    platform.run(max_instructions=300_000)
    xfides = platform.hart.xfides
    assert xfides.compartments_enabled and xfides.pointers_enabled and xfides.locked


def test_fault_report(programs, fides):
    """Names of code, context and object; the base build knows the code."""
    programs.policy(
        compartments='[compartments.other]\nid = 9\nsources = ["other.c"]', calls='["other"]'
    )
    source = HEAD + "void other(void);\nint main(void) { other(); return 0; }\n"
    other = "#include <fat_pointer.h>\n#include <stdlib.h>\nvoid other(void);\n"
    other += "void other(void) { char *p = malloc(20); AT(p, 20) = 1; }\n"
    run = programs.run(source, fides, other=other)
    assert run.exit_code == 98
    lines = run.text.splitlines()
    assert lines[0] == "monitor: fault BOUNDS (MEMORY, mcause 25)"
    assert "in compartment other" in lines[1]
    assert lines[2] == "monitor: running as compartment 9 other"
    assert "index 1," in lines[3] and "the entry holds 20 bytes" in lines[3]
