"""The runtime library on the golden model, with and without Xfides."""

import pytest

from fides_core.isa.causes import ControlFlowFault, ExceptionCause, MemoryFault

EXIT_CONTROL_FLOW, EXIT_MEMORY, EXIT_EXCEPTION = 64, 96, 128  # sw/monitor/hypercalls.h

HEAD = """\
#include <fat_pointer.h>
#include <runtime.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define CHECK(condition) do { if (!(condition)) { print("line %d\\n", __LINE__); exit(1); } } while (0)
#define PLAIN(pointer) ((unsigned char *)((uintptr_t)(pointer) & UINT32_MAX))
int main(void);
"""


def main(body, before=""):
    return f"{HEAD}{before}\n#line 1\nint main(void)\n{{\n{body}\n  return 0;\n}}\n"


def check(run):
    assert (run.exit_code, run.text) == (0, "")


def test_heap_objects_do_not_overlap_and_keep_their_contents(programs, config):
    body = """\
  static unsigned char *object[64];
  static unsigned size[64];
  unsigned seed = 1;
  for (unsigned step = 0; step < 1500; step++) {
    seed = seed * 1103515245 + 12345;
    unsigned i = seed >> 16 & 63;
    if (object[i]) {
      for (unsigned at = 0; at < size[i]; at++)
        CHECK(PLAIN(object[i])[at] == (unsigned char)(i + at));
      free(object[i]);
      object[i] = 0;
    } else {
      size[i] = seed >> 8 & 127;
      object[i] = malloc(size[i]);
      CHECK(object[i] && ((uintptr_t)object[i] & 15) == 0);
      for (unsigned at = 0; at < size[i]; at++)
        AT(object[i], at) = (unsigned char)(i + at);
    }
  }"""
    check(programs.run(main(body), config))


def test_heap_gives_back_all_its_memory(programs, config):
    body = """\
  uint64_t bytes = runtime_parameters.heap_end - runtime_parameters.heap_start;
  for (unsigned round = 0; round < 3; round++) {
    char *all = malloc(bytes);
    CHECK(all && !malloc(1));
    AT(all, bytes - 1) = 1;
    free(all);
    char *first = malloc(bytes / 2), *second = malloc(bytes / 2);
    CHECK(first && second && !malloc(1));
    free(second);
    free(first);
  }
  CHECK(!malloc(bytes + 1));
  CHECK(!malloc(-1ul));
  free(0);"""
    check(programs.run(main(body), config))


def test_heap_of_many_small_objects(programs, config):
    body = """\
  unsigned count = 0;
  char *last = 0, *object;
  while ((object = malloc(0))) {
    last = object;
    count++;
  }
  CHECK(count > 400);
  free(last);
  while (!(object = malloc(1)))
    CHECK(count--);"""
    check(programs.run(main(body), config))


@pytest.mark.parametrize(
    ("body", "fault"),
    (
        ("free(p); free(p);", MemoryFault.INVALID),
        ("free((char *)ptradd(p, 16));", MemoryFault.NOT_BASE),
        ("AT(p, 32) = 1;", MemoryFault.BOUNDS),
        ("AT(p, -1) = 1;", MemoryFault.BOUNDS),
        ("AT((uint64_t *)ptradd(p, 25), 0) = 1;", MemoryFault.BOUNDS),
        ("free(p); AT(p, 0) = 1;", MemoryFault.INVALID),
        ("for (int i = 0; i < 40; i++) free(malloc(8)); free(p); AT(p, 0) = 1;", MemoryFault.INVALID),
        ("AT(PLAIN(p), 0) = 1;", MemoryFault.INVALID),
        ("AT((char *)((uintptr_t)p ^ 1ul << 32), 0) = 1;", MemoryFault.TEMPORAL),
        ("free((char *)((uintptr_t)p ^ 1ul << 32));", MemoryFault.TEMPORAL),
        ("val_extent(p, 33);", MemoryFault.BOUNDS),
        ("val_extent(ptradd(p, 1), 32);", MemoryFault.BOUNDS),
    ),
)
def test_heap_misuse_faults(programs, fides, body, fault):
    run = programs.run(main(f"  char *p = malloc(32);\n  malloc(32);\n  {body}"), fides)
    assert run.exit_code == EXIT_MEMORY + fault
    assert f"monitor: fault {fault.name} (MEMORY, mcause 25)" in run.text


def test_uses_in_bounds_do_not_fault(programs, config):
    body = """\
  char *p = malloc(32);
  AT(p, 0) = AT(p, 31) = 1;
  AT((uint64_t *)ptradd(p, 24), 0) = 1;
  val_extent(p, 32);
  val_extent(p, 0);
  val_extent(ptradd(p, 32), 0);
  free(p);"""
    check(programs.run(main(body), config))


@pytest.mark.parametrize("what", ('(void *)"text"', "&argument"))
def test_free_of_what_is_not_the_heaps(programs, config, what):
    run = programs.run(main(f"  int argument = 0;\n  (void)argument;\n  free({what});"), config)
    assert run.exit_code == EXIT_EXCEPTION + ExceptionCause.BREAKPOINT


def test_an_index_never_gets_the_same_cookie_twice_running(programs, fides):
    body = """\
  uint8_t seen[512] = {0};
  for (unsigned i = 0; i < 5000; i++) {
    void *object = malloc(8);
    unsigned index = (uintptr_t)object >> POINTER_INDEX_SHIFT;
    uint8_t cookie = (uint8_t)((uintptr_t)object >> POINTER_COOKIE_SHIFT);
    CHECK(index && index < 512 && cookie && cookie != seen[index]);
    seen[index] = cookie;
    free(object);
  }"""
    check(programs.run(main(body), fides))


def test_freed_memory_is_not_reused_at_once(programs, fides):
    body = """\
  void *object = malloc(8), *next;
  malloc(8);
  free(object);
  for (unsigned i = 0; i < 10; i++) {
    CHECK((uint32_t)(uintptr_t)(next = malloc(8)) != (uint32_t)(uintptr_t)object);
    free(next);
  }"""
    check(programs.run(main(body), fides))


def test_escaping_locals(programs, config):
    before = """\
static __attribute__((noipa)) void twice(int *values, unsigned count)
{
  for (unsigned i = 0; i < count; i++)
    AT(values, i) *= 2;
}
static __attribute__((noipa)) int sum(int depth)
{
  ESCAPING_LOCALS();
  int one = depth;
  int three[3] = {depth, depth, depth};
  twice(ESCAPE(one), 1);
  twice(ESCAPE_ARRAY(three), 3);
  return one + three[0] + three[1] + three[2] + (depth ? sum(depth - 1) : 0);
}"""
    twice = "  CHECK(sum(200) == 8 * 20100);\n" * 2
    check(programs.run(main(twice, before), config))


def test_too_many_escaping_locals(programs, fides):
    before = """\
static __attribute__((noipa)) int down(int depth)
{
  ESCAPING_LOCALS();
  int local = depth;
  int *pointer = ESCAPE(local);
  return AT(pointer, 0) + (depth ? down(depth - 1) : 0);
}"""
    assert programs.run(main("  CHECK(down(511) == 130816);", before), fides).exit_code == 0
    run = programs.run(main("  down(512);", before), fides)
    assert run.exit_code == EXIT_MEMORY + MemoryFault.EXHAUSTED


def test_fields(programs, config):
    before = "struct pair { uint8_t a; uint64_t b; uint16_t c[3]; };\n"
    body = """\
  struct pair *p = malloc(sizeof *p);
  FIELD(p, a) = 1;
  FIELD(p, b) = 2;
  FIELD(p, c[2]) = 3;
  *FIELD_ADDRESS(p, c[1]) = 4;
  CHECK(ELEMENT_ADDRESS(p, 1) == (void *)((char *)p + sizeof *p));
  struct pair copy = *p;
  CHECK(copy.a == 1 && copy.b == 2 && copy.c[2] == 3 && copy.c[1] == 4);"""
    check(programs.run(main(body, before), config))


def test_static_with_an_entry_of_its_own(programs, config):
    programs.policy('statics = ["table", "text"]')
    before = """\
int table[3] = {1, 2, 3};
extern const char text[];
const char text[] = "four";
STATIC_POINTER(int, table);
STATIC_POINTER(const char, text);
"""
    body = """\
  AT(static_pointer_table, 2) += 4;
  CHECK(table[2] == 7 && AT(static_pointer_table, 0) == 1 && AT(static_pointer_text, 4) == 0);
  int (*object)[8] = malloc(32); /* the heap's indexes start behind the statics' */
  CHECK(!XFIDES || (uintptr_t)object >> POINTER_INDEX_SHIFT >= 3);
"""
    check(programs.run(main(body, before), config))
    if config.core.xfides:
        run = programs.run(main("  return AT(static_pointer_table, 3);", before), config)
        assert run.exit_code == EXIT_MEMORY + MemoryFault.BOUNDS


def test_setjmp_and_longjmp(programs, config):
    before = """\
static jmp_buf outer;
static __attribute__((noipa)) void leave(int value) { longjmp(outer, value); }
static __attribute__((noipa)) int once(int value)
{
  int result = setjmp(outer);
  if (result == 0)
    leave(value);
  setjmp_leave(outer);
  return result;
}
static __attribute__((noipa)) int again(void)
{
  volatile int times = 0;
  int result = setjmp(outer);
  if (result < 5) {
    times = times + 1;
    leave(result + 1);
  }
  setjmp_leave(outer);
  return times;
}
static __attribute__((noipa)) int nested(void)
{
  jmp_buf first, second;
  volatile int order = 0;
  if (setjmp(first) == 0) {
    if (setjmp(second) == 0)
      longjmp(second, 1);
    order = order * 10 + 2;
    setjmp_leave(second);
    longjmp(first, 1);
  }
  order = order * 10 + 1;
  setjmp_leave(first);
  return order;
}"""
    body = """\
  for (int i = 0; i < 100; i++) {
    CHECK(once(3) == 3);
    CHECK(once(0) == 1);
    CHECK(again() == 5);
    CHECK(nested() == 21);
  }"""
    check(programs.run(main(body, before), config))


def test_longjmp_over_frames_with_handlers(programs, config):
    before = """\
static jmp_buf outer;
static __attribute__((noipa)) int dig(int depth)
{
  jmp_buf mine;
  if (setjmp(mine) == 0)
    depth ? dig(depth - 1) : longjmp(outer, 9);
  setjmp_leave(mine);
  return 0;
}"""
    body = """\
  for (int i = 0; i < 20; i++) {
    if (setjmp(outer) == 0)
      dig(10);
    setjmp_leave(outer);
  }"""
    check(programs.run(main(body, before), config))


STALE = """\
static jmp_buf buffer;
static __attribute__((noipa)) void left(void)
{
  setjmp(buffer);
  setjmp_leave(buffer);
}"""


def test_longjmp_into_a_function_that_was_left(programs, config):
    run = programs.run(main("  left();\n  longjmp(buffer, 1);", STALE), config)
    assert run.exit_code == EXIT_EXCEPTION + ExceptionCause.BREAKPOINT


def test_more_handlers_than_slots(programs, config):
    before = """\
static __attribute__((noipa)) int dig(int depth)
{
  jmp_buf mine;
  if (setjmp(mine) == 0 && depth)
    dig(depth - 1);
  setjmp_leave(mine);
  return 0;
}"""
    check(programs.run(main("  dig(15);", before), config))
    run = programs.run(main("  dig(16);", before), config)
    assert run.exit_code == EXIT_EXCEPTION + ExceptionCause.BREAKPOINT


def test_disarming_twice(programs, fides):
    body = "  jmp_buf b;\n  setjmp(b);\n  setjmp_leave(b);\n  setjmp_leave(b);"
    assert programs.run(main(body), fides).exit_code == EXIT_CONTROL_FLOW + ControlFlowFault.BAD_UNWIND


def test_print(programs, config):
    body = """\
  print("%s|%-6s|%6s|%c|%%\\n", "ab", "cd", "ef", 'g');
  print("%d %d %u %x %02x %3u|\\n", -5, 2147483647, 4294967295u, 48879u, 5u, 7u);
  print("%lu %lx %ld\\n", 18446744073709551615ul, 1ul << 63, -9223372036854775807l - 1);
  print("%s\\n", "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890");"""
    run = programs.run(main(body), config)
    long = ("0123456789" * 9 + "0") * 2
    assert run.text == (
        "ab|cd    |    ef|g|%\n-5 2147483647 4294967295 beef 05   7|\n"
        "18446744073709551615 8000000000000000 -9223372036854775808\n" + long[:160]
    )


def test_memory_functions(programs, config):
    body = """\
  unsigned char a[40], b[40];
  for (unsigned offset = 0; offset < 9; offset++)
    for (unsigned count = 0; count < 30; count++) {
      for (unsigned i = 0; i < 40; i++) {
        a[i] = (unsigned char)i;
        b[i] = 0xee;
      }
      CHECK(memcpy(b + offset, a + 1, count) == b + offset);
      for (unsigned i = 0; i < 40; i++)
        CHECK(b[i] == (i >= offset && i < offset + count ? i - offset + 1 : 0xee));
      CHECK(memcmp(b + offset, a + 1, count) == 0);
      CHECK(memset(b + offset, 0x77, count) == b + offset);
      for (unsigned i = 0; i < 40; i++)
        CHECK(b[i] == (i >= offset && i < offset + count ? 0x77 : 0xee));
      memmove(a + offset, a + 4, count);
      for (unsigned i = 0; i < count; i++)
        CHECK(a[offset + i] == i + 4);
    }
  CHECK(memcmp("ab", "ac", 2) < 0 && memcmp("b", "ab", 1) > 0 && memcmp("x", "y", 0) == 0);
  CHECK(strlen("") == 0 && strlen("four") == 4);"""
    check(programs.run(main(body), config))
