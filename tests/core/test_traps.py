"""Every exception of the base core: cause, mepc, mtval, mstatus, and that the instruction has had no
effect."""

import pytest

from fides_core.isa.causes import ExceptionCause as Cause
from fides_core.isa.compressed import expand
from fides_core.isa.csrs import CSR
from fides_core.isa.instructions import find

NOWHERE = 0x4000_0000
SENTINEL = 0x1BADB002
MACHINE, USER = 3, 0

# Words that are no instruction of RV64IM with Zicsr, Zifencei, M and U mode.
ILLEGAL = (
    0xFFFFFFFF, 0x00053507, 0x02A5F5D3,  # fld, fadd.d
    0x1800102F, 0x1E264E2F,  # sc of a halfword, and of a width that is none
    0x00C5952F, 0x28C5A52F, 0x10C5A52F,  # A: a width that it does not have, an operation, lr.w with rs2
    0x00007003, 0x00004023,  # widths that loads and stores do not have
    0x04001013, 0x0200101B, 0x4000103B, 0x0200103B, 0x06002033, 0x40001033,  # reserved funct6 and funct7
    0x00002063, 0x00001067, 0x00004073, 0x0000200F,  # reserved funct3
    0x00200073, 0x10200073, 0x12000073, 0x302000F3, 0x7B200073,  # uret, sret, sfence.vma, mret with rd, dret
)  # fmt: skip
#: Reserved, and floating point: c.unimp, c.addi4spn 0, c.fld, c.addiw x0, c.lui 0, c.lwsp x0, c.ldsp x0,
#: c.jr x0, c.fsd, the reserved arithmetic.
ILLEGAL_COMPRESSED = (
    0x0000, 0x0004, 0x2000, 0x2005, 0x6181, 0x4002, 0x6002, 0x8002, 0xA000, 0x9C61, 0x9C61 | 0x1000,
)  # fmt: skip
CUSTOM = (0x0000000B, 0x0000100B, 0x0000300B, 0x0000202B, 0x0000402B)


def trap(instruction: str, cause: int, value: str, *, setup: str = "", mode: int = MACHINE) -> str:
    """Code that checks one trap. ``setup`` runs before; ``value``: instructions that put what mtval must be
    into s4; ``mode``: that the instruction is executed in. The instruction must have a0 for its
    destination."""
    enter = ""
    if mode == USER:
        enter = "  la s5, 1f\n  csrw mepc, s5\n  li s5, 0x1800\n  csrc mstatus, s5\n  mret\n"
    return f"""
{setup}
  la s10, 2f
  la s9, 1f
  li a0, {SENTINEL}
{enter}
1:
  {instruction}
  j fail
2:
  {value}
  check s0, {int(cause)}
  check_same s1, s9
  check_same s2, s4
  srli s4, s3, 11
  andi s4, s4, 3
  check s4, {mode}
  check a0, {SENTINEL}
"""


def constant(value: int) -> str:
    return f"li s4, {value:#x}"


# Lets U-mode reach everything.
OPEN = "  li t0, -1\n  csrw pmpaddr3, t0\n  li t0, 0x1f000000\n  csrw pmpcfg0, t0\n"


def test_illegal_instructions(run):
    assert not [hex(word) for word in ILLEGAL if find(word)]
    body = "".join(trap(f".word {word:#010x}", Cause.ILLEGAL_INSTRUCTION, constant(word)) for word in ILLEGAL)
    run(body + "  j pass\n")


def test_illegal_compressed_instructions(run):
    """mtval holds the 16 bits alone."""
    assert not [hex(halfword) for halfword in ILLEGAL_COMPRESSED if expand(halfword)]
    body = "".join(
        trap(
            f".option rvc\n  .half {halfword:#06x}\n  .option norvc",
            Cause.ILLEGAL_INSTRUCTION,
            constant(halfword),
        )
        for halfword in ILLEGAL_COMPRESSED
    )
    run(body + "  j pass\n")


def test_custom_instructions_are_illegal_without_the_extension(assemble, simulators):
    assert all(find(word) and not find(word, xfides=False) for word in CUSTOM)
    body = "".join(trap(f".word {word:#010x}", Cause.ILLEGAL_INSTRUCTION, constant(word)) for word in CUSTOM)
    outcome = simulators("tiny").run(assemble(body + "  j pass\n"), 100_000)
    assert outcome.exit_code == 0, outcome.message


def test_environment_calls_and_breakpoints(run):
    run(
        OPEN
        + trap("ecall", Cause.ECALL_FROM_M, constant(0))
        + trap("ebreak", Cause.BREAKPOINT, "mv s4, s9")
        + trap("ecall", Cause.ECALL_FROM_U, constant(0), mode=USER)
        + trap("ebreak", Cause.BREAKPOINT, "mv s4, s9", mode=USER)
        + "  j pass\n"
    )


ACCESSES = [("lb", 1), ("lbu", 1), ("lh", 2), ("lhu", 2), ("lw", 4), ("lwu", 4), ("ld", 8)]
STORES = [("sb", 1), ("sh", 2), ("sw", 4), ("sd", 8)]


def test_misaligned_accesses(run):
    """Misaligned comes before access fault, and a misaligned store changes nothing."""
    body = "  la s6, cell\n"
    for name, size in ACCESSES + STORES:
        cause = Cause.LOAD_MISALIGNED if name[0] == "l" else Cause.STORE_MISALIGNED
        for offset in range(1, 8):
            if offset % size:
                body += trap(f"{name} a0, {offset}(s6)", cause, f"addi s4, s6, {offset}")
        if size > 1:
            setup = f"  li s7, {NOWHERE}\n"
            body += trap(f"{name} a0, 1(s7)", cause, constant(NOWHERE + 1), setup=setup)
    body += "  ld a0, 0(s6)\n  check a0, 0x1122334455667788\n  ld a0, 8(s6)\n  check a0, 0\n"
    run(body + "  j pass\n.data\n.balign 16\ncell: .dword 0x1122334455667788, 0\n")


# Above and below each device, at the ends of the main memory of 1 MiB, and above 32 bits.
UNMAPPED = (
    0x0, 0x0FF8, 0x2000, 0x1_12F8, 0x1_1400, 0x0F_FFF8, 0x10_1000, 0x1FF_FFF8, 0x201_0000, 0xC00_0000,
    NOWHERE, 0x7FFF_FFF8, 0x8010_0000, 0xFFFF_FFF8, 0x1_0000_0000, 0x1_8000_0000, 0x8000_0000_8000_0000,
)  # fmt: skip


@pytest.mark.parametrize("name, size", ACCESSES + STORES)
def test_accesses_where_nothing_answers(run, name, size):
    cause = Cause.LOAD_ACCESS_FAULT if name[0] == "l" else Cause.STORE_ACCESS_FAULT
    body = ""
    for address in UNMAPPED:
        body += trap(f"{name} a0, 0(s7)", cause, constant(address), setup=f"  li s7, {address:#x}\n")
    if name[0] == "s":  # the boot ROM can be read only
        body += trap(f"{name} a0, 8(s7)", cause, constant(0x1008), setup="  li s7, 0x1000\n")
    run(body + "  j pass\n")


def test_fetch_where_nothing_answers(run):
    """The trap belongs to the instruction that is not there: mepc is its address, also above 32 bits."""
    body = ""
    for address in (*UNMAPPED, 0x1_1300, 0x10_0000, 0x200_0000):
        body += f"""
  la s10, 1f
  li s9, {address:#x}
  la a1, 2f
  jalr a0, 0(s9)
2:
  j fail
1:
  check s0, {int(Cause.INSTRUCTION_ACCESS_FAULT)}
  check_same s1, s9
  check_same s2, s9
  check_same a0, a1
"""
    # mret and taken branches get there as well.
    body += f"""
  la s10, 1f
  li s9, {NOWHERE:#x}
  csrw mepc, s9
  mret
  j fail
1:
  check s0, {int(Cause.INSTRUCTION_ACCESS_FAULT)}
  check_same s1, s9
"""
    run(body + "  j pass\n")


def test_jumps_to_every_halfword(run):
    """A target is any even address; 32-bit instructions stand at all of them, and links count halfwords."""
    ways = [
        ("jal a0, {target}", 4),
        ("la a1, {target}\n  jalr a0, 0(a1)", 4), ("la a1, {target}\n  jalr a0, 1(a1)", 4),
        ("la a1, {target}\n  .option rvc\n  c.jalr a1\n  .option norvc\n  mv a0, ra", 2),
        *((f"li a0, 0\n  {name} x0, x0, {{target}}", 0) for name in ("beq", "bge", "bgeu")),
    ]  # fmt: skip
    body = "  li s6, 1\n"
    for way, length in ways:
        for halfwords in range(4):
            before, _, after = way.partition("\n  mv")
            jump, link = before.format(target="8f"), "9f" if length else "0"
            body += "  .option rvc\n  .balign 8\n  .option norvc\n"
            body += f"  {jump}\n9:\n  j {'7f' if after else 'fail'}\n"
            body += "  .option rvc\n  .balign 8\n" + "  c.nop\n" * halfwords + "  .option norvc\n8:\n"
            body += "  addi s6, s6, 1\n" + ("  mv a0, ra\n" if after else "")
            body += f"  la a2, {link.replace('9f', '9b')}\n" if length else "  li a2, 0\n"
            body += "  check_same a0, a2\n  j 6f\n7:\n  j fail\n6:\n"
    body += f"  check s6, {1 + 4 * len(ways)}\n"
    run(body + "  j pass\n")


def jal(offset: int) -> int:
    """jal a0 by ``offset`` bytes, which may be one that the assembler refuses."""
    offset &= 0x1FFFFF
    fields = (offset >> 20) << 31 | (offset >> 1 & 0x3FF) << 21 | (offset >> 11 & 1) << 20
    return fields | (offset >> 12 & 0xFF) << 12 | 10 << 7 | 0x6F


def csr_word(number: int, funct3: int = 2, rs1: int = 0) -> int:
    """A CSR instruction with destination a0."""
    return number << 20 | rs1 << 15 | funct3 << 12 | 10 << 7 | 0x73


def test_csrs_that_do_not_exist_or_cannot_be_written(run):
    body = ""
    missing = (
        0x000,
        0x100,
        0x105,
        0x140,
        0x180,
        0x200,
        0x302,
        0x303,
        0x5A8,
        0x7B0,
        0x7C0,
        0x801,
        0x9C0,
        0xFC0,
    )
    for number in missing:
        for word in (csr_word(number), csr_word(number, 1), csr_word(number, 5)):
            body += trap(f".word {word:#010x}", Cause.ILLEGAL_INSTRUCTION, constant(word))
    read_only = (
        CSR.MVENDORID,
        CSR.MHARTID,
        CSR.MCONFIGPTR,
        CSR.CYCLE,
        CSR.TIME,
        CSR.INSTRET,
        CSR.HPMCOUNTER3,
    )
    for number in read_only:
        body += f"  li a1, 0\n  .word {csr_word(number):#010x}\n  .word {csr_word(number, 6):#010x}\n"
        # Set and clear write when their operand is not x0, whatever it holds; csrrw always writes.
        for word in (
            csr_word(number, 1),
            csr_word(number, 2, 11),
            csr_word(number, 3, 11),
            csr_word(number, 7, 1),
        ):
            body += trap(
                f".word {word:#010x}", Cause.ILLEGAL_INSTRUCTION, constant(word), setup="  li a1, 0\n"
            )
    run(body + "  j pass\n")


def test_what_user_mode_may_not_do(run):
    body = OPEN + "  li a1, 0\n  csrw mcounteren, x0\n"

    def illegal(word):
        return trap(f".word {word:#010x}", Cause.ILLEGAL_INSTRUCTION, constant(word), mode=USER)

    body += illegal(0x30200073)  # mret
    for number in (CSR.MSTATUS, CSR.MISA, CSR.MIE, CSR.MTVEC, CSR.MSCRATCH, CSR.MEPC, CSR.MCAUSE, CSR.MTVAL,
                   CSR.MIP, CSR.PMPCFG0, CSR.PMPADDR0, CSR.MCYCLE, CSR.MINSTRET, CSR.MCOUNTEREN,
                   CSR.MHARTID):  # fmt: skip
        body += illegal(csr_word(number)) + illegal(csr_word(number, 1)) + illegal(csr_word(number, 6))
    for enabled in range(8):
        body += f"  csrwi mcounteren, {enabled}\n"
        for bit, number in enumerate((CSR.CYCLE, CSR.TIME, CSR.INSTRET)):
            if not enabled >> bit & 1:
                body += illegal(csr_word(number))
            else:  # the ecall behind it is what traps
                word = f".word {csr_word(number):#010x}"
                body += trap(
                    f"{word}\n  li a0, {SENTINEL}\n  ecall", Cause.ECALL_FROM_U, constant(0), mode=USER
                ).replace("check_same s1, s9", "addi gp, gp, 1")
        body += illegal(csr_word(CSR.HPMCOUNTER3))
    # wfi is legal with TW clear, when an interrupt is pending; illegal with it set.
    body += (
        "  li t0, 0x200000\n  csrs mstatus, t0\n"
        + illegal(0x10500073)
        + "  li t0, 0x200000\n  csrc mstatus, t0\n"
    )
    run(body + "  j pass\n")


def test_a_trap_leaves_younger_instructions_without_effect(run):
    """Behind a trap: a store, a write to a CSR, a jump, a multiplication, a division, another trap."""
    body = "  la s6, cell\n  li s7, 77\n"
    for younger in ("sd s7, 0(s6)", "csrw mscratch, s7", "j fail", "mul a0, s7, s7", "div a0, s7, s7",
                    "ebreak", "ld a0, 0(s6)", "fence.i", "mret"):  # fmt: skip
        for older, cause, value in (
            ("ecall", Cause.ECALL_FROM_M, constant(0)),
            (f"ld a0, {-8}(x0)", Cause.LOAD_ACCESS_FAULT, "li s4, -8"),
            ("sw a0, 1(s6)", Cause.STORE_MISALIGNED, "addi s4, s6, 1"),
            (".word 0", Cause.ILLEGAL_INSTRUCTION, constant(0)),
        ):
            body += trap(f"{older}\n  {younger}", cause, value)
    body += "  ld a0, 0(s6)\n  check a0, 0\n  csrr a0, mscratch\n  check a0, 0\n  j pass\n"
    run("  csrw mscratch, x0\n" + body + ".data\n.balign 16\ncell: .dword 0\n")
