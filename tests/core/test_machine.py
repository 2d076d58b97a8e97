"""CSRs, counters, interrupts, wfi and privilege modes (privileged ISA 1.12, chapter 3, and
docs/contract-notes.md)."""

import pytest

from fides_core.isa.csrs import CSR

ONES = (1 << 64) - 1

# (CSR, value written, value then read) with csrrw; the machine is left as it was by writing 0 afterwards.
# What belongs to event counters follows below.
WRITES = (
    (CSR.MSCRATCH, ONES, ONES), (CSR.MSCRATCH, 0x0123456789ABCDEF, 0x0123456789ABCDEF),
    (CSR.MEPC, ONES, ONES - 1), (CSR.MEPC, 0x8000_0002, 0x8000_0002),
    (CSR.MTVAL, ONES, ONES), (CSR.MCAUSE, ONES, 1 << 63 | 63), (CSR.MCAUSE, 11, 11),
    (CSR.MTVEC, 0x8000_0001, 0x8000_0001), (CSR.MTVEC, ONES, 0xFFFF_FFFD),
    (CSR.MTVEC, 0x8000_0102, 0x8000_0100),
    (CSR.MIE, ONES, 0x888),
    (CSR.MENVCFG, ONES, 0), (CSR.MHPMCOUNTER3 + 28, ONES, 0),
    (CSR.PMPADDR0, ONES, (1 << 30) - 1), (CSR.PMPADDR0 + 4, ONES, 0), (CSR.PMPADDR0 + 15, ONES, 0),
    (CSR.MIP, ONES, 0),
)  # fmt: skip


def test_registers_keep_what_they_implement(simulate):
    counters = simulate.core.hpm_counters
    enables = (1 << counters) - 1 << 3
    events = [(CSR.MHPMEVENT3 + i, ONES, i + 1 if i < counters else 0) for i in (0, 1, 9, 10, 28)]
    more = [(CSR.MCOUNTEREN, ONES, enables | 7), (CSR.MCOUNTINHIBIT, ONES, enables | 5), *events]
    if not counters:
        more.append((CSR.MHPMCOUNTER3, ONES, 0))
    body = ""
    for number, written, read in (*WRITES, *more):
        body += f"  csrr s5, {int(number):#x}\n  li a0, {written:#x}\n  csrw {int(number):#x}, a0\n"
        body += f"  csrr a1, {int(number):#x}\n  csrw {int(number):#x}, s5\n  check a1, {read:#x}\n"
    simulate(body + "  j pass\n")


def test_pmp_configuration_is_legalised(run):
    """W without R is cleared, reserved bits and entries that do not exist read 0."""
    run("""
  li a0, 0x627a7b7c7a1a191f
  csrw pmpcfg0, a0
  csrr a1, pmpcfg0
  check a1, 0x1818191f
  csrw 0x3a2, a0
  csrr a1, 0x3a2
  check a1, 0
  j pass
""")


def test_read_only_values(simulate):
    letters = "ACIMU" + ("B" if simulate.core.bitmanip else "") + ("X" if simulate.core.xfides else "")
    misa = 2 << 62 | sum(1 << ord(letter) - ord("A") for letter in letters)
    simulate(f"""
  csrr a0, misa
  check a0, {misa:#x}
  csrw misa, x0
  csrr a2, misa
  check_same a0, a2
  csrr a0, mvendorid
  check a0, 0
  csrr a0, mhartid
  check a0, 0
  csrr a0, 0xf15
  check a0, 0
  j pass
""")


def test_mstatus(run):
    """MIE, MPIE, MPP, MPRV and TW, nothing else; UXL reads 2; an MPP that does not exist becomes U."""
    run("""
  li a0, -1
  li a2, 0x20000   # without MPRV, the check itself loads nothing, but to be sure
  xor a0, a0, a2
  csrw mstatus, a0
  csrr a1, mstatus
  csrw mstatus, x0
  check a1, 0x200201888
  csrr a1, mstatus
  check a1, 0x200000000
  li a0, 0x800     # S
  csrw mstatus, a0
  csrr a1, mstatus
  check a1, 0x200000000
  li a0, 0x1800
  csrs mstatus, a0
  csrr a1, mstatus
  check a1, 0x200001800
  li a0, 0x21880
  csrw mstatus, a0
  # mret to M: MIE takes MPIE, MPIE becomes 1, MPP becomes U, MPRV stays.
  la a0, 1f
  csrw mepc, a0
  mret
1:
  csrr a1, mstatus
  csrw mstatus, x0
  check a1, 0x200020088
  # mret to U clears MPRV; the trap back stacks MIE and the mode.
  li t0, -1
  csrw pmpaddr0, t0
  li t0, 0x1f
  csrw pmpcfg0, t0
  li a0, 0x20080
  csrw mstatus, a0
  la a0, 2f
  csrw mepc, a0
  la s10, 3f
  mret
2:
  ecall
3:
  check s3, 0x200000080
  csrr a1, mstatus
  li a2, 0x200001880
  # The handler's mret has gone back to M: MIE on, MPIE on, MPP U.
  check a1, 0x200000088
  j pass
""")


def test_csr_instructions(run):
    """The six forms: old value, set, clear, write; with the same register for source and destination."""
    run("""
  li a0, 0xff00ff00ff00ff00
  csrw mscratch, a0
  li a1, 0x0f0f0f0f0f0f0f0f
  csrrs a2, mscratch, a1
  check_same a2, a0
  csrrc a2, mscratch, a0
  check a2, 0xff0fff0fff0fff0f
  csrr a2, mscratch
  check a2, 0x000f000f000f000f
  csrrw a1, mscratch, a1
  check a1, 0x000f000f000f000f
  csrrwi a2, mscratch, 31
  check a2, 0x0f0f0f0f0f0f0f0f
  csrrsi a2, mscratch, 0
  check a2, 31
  csrrci a2, mscratch, 21
  check a2, 31
  csrrsi a2, mscratch, 4
  check a2, 10
  csrr a2, mscratch
  check a2, 14
  csrrs x0, mscratch, a0
  csrrc a2, mscratch, x0
  check a2, 0xff00ff00ff00ff0e
  csrrw x0, mscratch, x0
  csrr a2, mscratch
  check a2, 0
  j pass
""")


def test_instruction_counter(run):
    """Exact, however it is read: a read does not cost a count, traps are not counted, writes take the place
    of the count of the writing instruction."""
    run("""
  csrr a0, minstret
  csrr a1, minstret
  addi a0, a0, 1
  check_same a0, a1
  csrr a0, instret
  mul a2, a0, a0
  div a2, a0, a0
  csrrsi a1, minstret, 0
  addi a0, a0, 3
  check_same a0, a1
  csrrci a1, minstret, 0
  csrr a2, minstret
  addi a1, a1, 1
  check_same a1, a2
  li a0, 1000
  csrw minstret, a0
  csrr a1, minstret
  check a1, 1000
  csrw minstret, a0
  nop
  csrr a1, minstret
  check a1, 1001
  li a0, -1
  csrw minstret, a0
  nop
  csrr a1, minstret
  check a1, 0
  # Ten instructions of the handler and the one at the end; the ecall does not count.
  la s10, 1f
  csrr a0, minstret
  ecall
1:
  csrr a1, minstret
  sub a1, a1, a0
  check a1, 11
  j pass
""")


def test_inhibited_counters(simulate):
    implemented = 5 | (1 << simulate.core.hpm_counters) - 1 << 3
    simulate(f"""
  csrwi mcountinhibit, 4
  csrr a0, minstret
  nop
  nop
  csrr a1, minstret
  check_same a0, a1
  csrwi mcountinhibit, 1
  csrr a0, mcycle
  nop
  csrr a1, mcycle
  check_same a0, a1
  csrr a0, minstret
  nop
  csrr a1, minstret
  addi a0, a0, 2
  check_same a0, a1
  li a0, -1
  csrw mcountinhibit, a0
  csrr a0, mcountinhibit
  csrwi mcountinhibit, 0
  check a0, {implemented:#x}
  j pass
""")


def test_cycle_counter_and_time(simulate):
    """mcycle and time both count every cycle: over a loop that reads counters, they gain the same."""
    outcome = simulate("""
  csrr s4, mcycle
  csrr s5, time
  li t0, 100
1:
  csrr a0, mcycle
  csrr a1, time
  csrr a2, cycle
  csrr a3, minstret
  div a4, t0, t0
  addi t0, t0, -1
  bnez t0, 1b
  csrr s6, mcycle
  csrr s7, time
  sub s6, s6, s4
  sub s7, s7, s5
  check_same s6, s7
  # time is the CLINT's mtime
  li t1, 0x200bff8
  csrr a0, time
  ld a1, 0(t1)
  csrr a2, time
  addi gp, gp, 1
  bltu a1, a0, fail
  bltu a2, a1, fail
  # and both can be set
  li a0, 0x100000000
  csrw mcycle, a0
  csrr a1, mcycle
  sub a1, a1, a0
  addi gp, gp, 1
  li a2, 8
  bgeu a1, a2, fail
  sd a0, 0(t1)
  csrr a1, time
  sub a1, a1, a0
  addi gp, gp, 1
  li a2, 16
  bgeu a1, a2, fail
  j pass
""")
    assert outcome.instructions < outcome.cycles


# Raises the interrupt, in t-registers, and takes it away.
SOFTWARE = ("li t0, 0x2000000\n li t1, 1\n sw t1, 0(t0)", "li t0, 0x2000000\n sw x0, 0(t0)")
TIMER = (
    "li t0, 0x200bff8\n ld t1, 0(t0)\n addi t1, t1, 30\n li t0, 0x2004000\n sd t1, 0(t0)",
    "li t0, 0x2004000\n li t1, -1\n sd t1, 0(t0)",
)
BY_NAME = {"software": (3, *SOFTWARE), "timer": (7, *TIMER)}


@pytest.mark.parametrize("vectored", [0, 1])
@pytest.mark.parametrize("name", BY_NAME)
def test_interrupts_from_the_clint(run, name, vectored):
    """Taken at once when enabled, in M-mode with MIE and in U-mode always; not with MIE or mie clear."""
    number, raise_it, clear_it = BY_NAME[name]
    run(
        f"""
  la t0, vectors
  ori t0, t0, {vectored}
  csrw mtvec, t0
  li t0, -1
  csrw pmpaddr0, t0
  li t0, 0x1f
  csrw pmpcfg0, t0

  # Pending, but not enabled: wfi waits for what mie enables, whatever MIE says.
  li t0, 1 << {number}
  csrw mie, t0
  {raise_it}
  wfi
  csrr a0, mip
  check a0, 1 << {number}
  # Enabled in mie only from now on: taken in the cycle in which MIE is set.
  la s10, 1f
  la s9, 2f
  li s11, 0
  csrsi mstatus, 8
2:
  li s11, 1
  j fail
1:
  check s0, (1 << 63) + {number}
  check s11, 0
  check_same s1, s9
  check s2, 0
  check s3, 0x200001880
  {clear_it}
  nop
  nop
  csrr a0, mip
  check a0, 0

  # In a loop that loads, stores, multiplies and divides: it goes on as if nothing had been.
  csrci mstatus, 8
  {raise_it}
  la s10, 3f
  csrsi mstatus, 8
4:
  mul a0, a0, a0
  div a0, a0, t1
  sd a0, -16(sp)
  ld a1, -16(sp)
  j 4b
3:
  check s0, (1 << 63) + {number}
  {clear_it}

  # In U-mode with MIE clear.
  csrci mstatus, 8
  li t0, 0x1880
  csrc mstatus, t0
  {raise_it}
  la s10, 5f
  la t0, 6f
  csrw mepc, t0
  mret
6:
  j 6b
5:
  check s0, (1 << 63) + {number}
  srli a0, s3, 11
  andi a0, a0, 3
  check a0, 0
  {clear_it}

  # Not enabled in mie: nothing happens.
  csrw mie, x0
  {raise_it}
  la s10, fail
  csrsi mstatus, 8
  li t0, 100
7:
  addi t0, t0, -1
  bnez t0, 7b
  # wfi does not wait for an instruction that an exception takes: the trap vector of exceptions is the base.
  csrci mstatus, 8
  la s10, 8f
  ecall
8:
  check s0, 11
  j pass

.balign 256
vectors:
  j handler
  .rept 11
  {"j wrong_vector" if vectored else "j handler"}
  .endr
wrong_vector:
  j fail
""".replace("  .rept 11\n  j wrong_vector\n  .endr\n", vector_table(number))
    )


def vector_table(number: int) -> str:
    return "".join(f"  j {'handler' if i == number else 'wrong_vector'}\n" for i in range(1, 12))


def test_external_interrupt(simulate):
    """wfi sleeps until the line rises; the interrupt is taken behind it."""
    outcome = simulate(
        """
  li t0, 0x800
  csrw mie, t0
  la s10, 1f
  la s9, 2f
  csrsi mstatus, 8
  wfi
2:
  j fail
1:
  li a0, (1 << 63) + 11
  check_same s0, a0
  check_same s1, s9
  csrci mstatus, 8
3: # until the line falls
  csrr a0, mip
  bnez a0, 3b
  j pass
""",
        external_interrupt=[(3000, 3500)],
    )
    assert 3500 <= outcome.cycles < 3700
    assert outcome.instructions < 1000


def test_priority_of_interrupts(simulate):
    """External before software before timer."""
    body = """
  li t0, 0x888
  csrw mie, t0
  li t0, 0x2000000
  li t1, 1
  sw t1, 0(t0)
  li t0, 0x2004000
  sd x0, 0(t0)
  li a1, 0x888
1:
  csrr a0, mip
  bne a0, a1, 1b
  la s10, 2f
  csrsi mstatus, 8
  j fail
2:
  check s0, (1 << 63) + 11
  csrci mstatus, 8
  li a1, 0x88
3:
  csrr a0, mip
  bne a0, a1, 3b
  la s10, 4f
  csrsi mstatus, 8
  j fail
4:
  check s0, (1 << 63) + 3
  li t0, 0x2000000
  sw x0, 0(t0)
  nop
  nop
  la s10, 5f
  csrsi mstatus, 8
  j fail
5:
  check s0, (1 << 63) + 7
  j pass
"""
    simulate(body, external_interrupt=[(0, 2000)])


def test_wfi_in_user_mode_waits_and_timer_ends_it(run):
    run(f"""
  li t0, -1
  csrw pmpaddr0, t0
  li t0, 0x1f
  csrw pmpcfg0, t0
  li t0, 0x80
  csrw mie, t0
  {TIMER[0]}
  la s10, 1f
  la t0, 2f
  csrw mepc, t0
  li t0, 0x1800
  csrc mstatus, t0
  mret
2:
  wfi
  j 2b
1:
  check s0, (1 << 63) + 7
  j pass
""")


def test_clint_registers(simulate):
    """32-bit and 64-bit accesses, narrow ones to their bytes."""
    simulate("""
  li t0, 0x2004000
  li t1, 0x1122334455667788
  sd t1, 0(t0)
  ld a0, 0(t0)
  check_same a0, t1
  lw a0, 4(t0)
  check a0, 0x11223344
  lbu a0, 2(t0)
  check a0, 0x66
  li t2, 0x99
  sb t2, 7(t0)
  ld a0, 0(t0)
  check a0, 0x9922334455667788
  sw x0, 0(t0)
  ld a0, 0(t0)
  check a0, 0x9922334400000000
  li t0, 0x2000000
  li t1, -1
  sw t1, 0(t0)
  lw a0, 0(t0)
  check a0, 1
  sw x0, 0(t0)
  lw a0, 4(t0)
  check a0, 0
  ld a0, 8(t0)
  check a0, 0
  j pass
""")


def test_registers_at_reset(simulate):
    """What the boot ROM leaves, and the machine's state: M-mode, interrupts off, PMP off, counters
    running."""
    simulate("""
  check a0, 0
  csrr a1, mstatus
  li a2, 0x200001808
  and a1, a1, a2
  li a2, 0x1800
  or a1, a1, a2
  check a1, 0x200001800
  csrr a1, pmpcfg0
  check a1, 0
  csrr a1, mcountinhibit
  check a1, 0
  j pass
""")
