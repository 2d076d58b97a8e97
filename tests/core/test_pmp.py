"""Physical memory protection against rules written from the privileged ISA manual, section 3.7."""

import random

import pytest

OFF, TOR, NA4, NAPOT = range(4)
READ, WRITE, EXECUTE, LOCKED = 1, 2, 4, 0x80
ENTRIES = 4
#: The memory that accesses go to; the programs' own code and data are elsewhere.
ARENA = 0x8008_0000
ARENA_BYTES = 256
ROWS = 1500


def matches(entries, index: int, address: int) -> bool:
    """Does entry ``index`` of ``entries``, (configuration, pmpaddr) each, contain the byte at ``address``?"""
    configuration, value = entries[index]
    mode = configuration >> 3 & 3
    if mode == TOR:
        bottom = entries[index - 1][1] if index else 0
        return bottom << 2 <= address < value << 2
    if mode == NA4:
        return value << 2 <= address < (value << 2) + 4
    if mode == NAPOT:
        ones = 0
        while value >> ones & 1:
            ones += 1
        size = 8 << ones
        base = value >> ones << ones << 2
        return base <= address < base + size
    return False


def allowed(entries, address: int, size: int, kind: int, machine: bool) -> bool:
    """The lowest-numbered entry that contains any byte decides, and must contain all of them. Without one,
    M-mode may and U-mode may not."""
    for index, (configuration, _) in enumerate(entries):
        inside = [matches(entries, index, byte) for byte in range(address, address + size)]
        if any(inside):
            if machine and not configuration & LOCKED:
                return all(inside)
            return all(inside) and bool(configuration & kind)
    return machine


def pmp_address(draw: random.Random) -> int:
    """A bound or a region in or around the arena."""
    address = (ARENA >> 2) + draw.randrange(-8, ARENA_BYTES // 4 + 8)
    if draw.random() < 0.5:
        ones = draw.randrange(6)
        address = address | (1 << ones) - 1
    return address


def rows(seed: int):
    draw = random.Random(seed)
    for _ in range(ROWS):
        entries = []
        for _ in range(ENTRIES):
            permissions = draw.choice(
                (0, READ, READ | WRITE, EXECUTE, READ | EXECUTE, READ | WRITE | EXECUTE)
            )
            entries.append((permissions | draw.choice((OFF, TOR, TOR, NA4, NAPOT)) << 3, pmp_address(draw)))
        if draw.random() < 0.2:  # an empty region, or one between equal bounds
            index = draw.randrange(1, ENTRIES)
            entries[index] = (entries[index][0] & ~0x18 | TOR << 3, entries[index - 1][1] - draw.randrange(2))
        size = draw.choice((1, 2, 4, 8, 8))
        near = draw.choice(entries)[1] << 2
        address = (
            (near + draw.randrange(-16, 16)) if draw.random() < 0.7 else ARENA + draw.randrange(ARENA_BYTES)
        )
        address &= -size
        kind = draw.choice((READ, WRITE, EXECUTE))
        yield entries, address, size if kind != EXECUTE else 4, kind


def table(seed: int) -> tuple[str, int]:
    text, refused = ".data\n.balign 8\nrows:\n", 0
    for entries, address, size, kind in rows(seed):
        if kind == EXECUTE:
            address &= -4
        fault = not allowed(entries, address, size, kind, machine=False)
        refused += fault
        cause = {READ: 5, WRITE: 7, EXECUTE: 1}[kind] if fault else 8 if kind == EXECUTE else 0
        configuration = sum(c << 8 * i for i, (c, _) in enumerate(entries))
        # What to do: the routine of this kind and size.
        routine = f"fetch{size}" if kind == EXECUTE else f"{'load' if kind == READ else 'store'}{size}"
        values = (*(hex(value) for _, value in entries), hex(configuration), hex(address), routine, cause)
        text += "  .dword " + ", ".join(map(str, values)) + "\n"
    return text + "rows_end:\n", refused


def routines() -> str:
    """Each tries one access to a2 with U-mode rights and returns to ra; s0 is 0 or the cause. They stand far
    from the arena, so that no entry covers them."""
    text = ""
    for size, letter in ((1, "b"), (2, "h"), (4, "w"), (8, "d")):
        for name, operation in ((f"load{size}", f"l{letter}"), (f"store{size}", f"s{letter}")):
            text += f"""
{name}:
  li s0, 0
  mv s10, ra
  csrs mstatus, a3  # MPRV, with MPP = U
  {operation} a4, 0(a2)
  csrc mstatus, a3
  ret
"""
    return (
        text
        + """
fetch4:
  # The arena is full of ecall.
  mv s10, ra
  csrw mepc, a2
  mret
"""
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_user_accesses(run, seed):
    text, refused = table(seed)
    assert ROWS // 5 < refused < ROWS * 4 // 5  # both verdicts are common
    run(
        f"""
  la s5, rows
  la s6, rows_end
  li s7, {ARENA}
  li a3, 0x20000
1:
  # Everything off, then fill the arena with ecall.
  csrw pmpcfg0, x0
  li t0, {ARENA - 256}
  li t1, {ARENA + ARENA_BYTES + 256}
  li t2, 0x73
2:
  sw t2, 0(t0)
  addi t0, t0, 4
  bltu t0, t1, 2b
  fence.i
  ld t0, 0(s5)
  csrw pmpaddr0, t0
  ld t0, 8(s5)
  csrw pmpaddr1, t0
  ld t0, 16(s5)
  csrw pmpaddr2, t0
  ld t0, 24(s5)
  csrw pmpaddr3, t0
  ld t0, 32(s5)
  ld a2, 40(s5)
  ld t1, 48(s5)
  ld s8, 56(s5)
  addi gp, gp, 1
  li t2, 0x21800
  csrc mstatus, t2
  csrw pmpcfg0, t0
  jalr t1
  li t2, 0x20000
  csrc mstatus, t2
  bne s0, s8, fail
  beqz s8, 3f
  li t0, 8
  beq s8, t0, 3f
  bne s2, a2, fail  # mtval is the address
3:
  addi s5, s5, 64
  bltu s5, s6, 1b
  j pass
.balign 4096
{routines()}
{text}""".replace(".balign 4096\n", "")
    )


LOCKED_CASES = [
    # (configuration, pmpaddr), (configuration, pmpaddr): the second one may be the bound below or above
    [(LOCKED | NA4 << 3, ARENA >> 2)],
    [(LOCKED | READ | NAPOT << 3, (ARENA >> 2) | 1)],
    [(OFF, ARENA >> 2), (LOCKED | READ | WRITE | TOR << 3, (ARENA >> 2) + 3)],
    [(LOCKED | EXECUTE | NAPOT << 3, (ARENA >> 2) | 3)],
]


@pytest.mark.parametrize("case", range(len(LOCKED_CASES)))
def test_locked_entries_bind_machine_mode_and_stay(run, case):
    entries = (LOCKED_CASES[case] + [(OFF, 0)] * ENTRIES)[:ENTRIES]
    configuration = sum(c << 8 * i for i, (c, _) in enumerate(entries))
    body = ""
    for index, (_, value) in enumerate(entries):
        body += f"  li t0, {value:#x}\n  csrw pmpaddr{index}, t0\n"
    body += f"  li t0, {configuration:#x}\n  csrw pmpcfg0, t0\n"
    for offset in (-8, -4, 0, 4, 8, 12, 16, 32):
        for size, letter in ((4, "w"), (8, "d")):
            address = ARENA + offset
            if address % size:
                continue
            for kind, name, cause in ((READ, "l", 5), (WRITE, "s", 7)):
                expected = 0 if allowed(entries, address, size, kind, machine=True) else cause
                body += f"""
  li s0, 0
  la s10, 1f
  li a2, {address:#x}
  {name}{letter} a0, 0(a2)
1:
  check s0, {expected}
"""
    # Nothing changes a locked entry, nor the bound below a locked TOR entry.
    body += "  li t0, -1\n"
    body += "".join(f"  csrw pmpaddr{index}, x0\n" for index in range(ENTRIES))
    body += "  csrw pmpcfg0, x0\n  csrr a0, pmpcfg0\n"
    kept = sum(c << 8 * i for i, (c, _) in enumerate(entries) if c & LOCKED)
    body += f"  check a0, {kept:#x}\n"
    for index, (c, value) in enumerate(entries):
        above = entries[index + 1][0] if index + 1 < ENTRIES else 0
        frozen = c & LOCKED or (above & LOCKED and above >> 3 & 3 == TOR)
        body += f"  csrr a0, pmpaddr{index}\n  check a0, {value if frozen else 0:#x}\n"
    run(body + "  j pass\n")
