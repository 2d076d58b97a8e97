"""What decode tells the later stages: control signals and the payloads between stages."""

from amaranth.hdl import signed
from amaranth.lib import data, enum

from .alu import AluControl
from .late_alu import LateControl

__all__ = ["Result", "SecurityOp", "Control", "EFFECTS", "ExecuteRequest", "MemoryRequest"]


class Result(enum.IntEnum, shape=2):
    """Where execute takes an instruction's result from."""

    ALU = 0
    ADDRESS = 1  # the address adder: lui, auipc, and the address of a load or store for mtval
    OTHER = 2  # address of the next instruction, or mtval of an exception that decode knows of
    DIVIDER = 3  # the divider, which passes rs1 on for everything but divisions: CSR operands, mint


class SecurityOp(enum.IntEnum, shape=4):
    """What the security units have to do with an instruction (contract, sections 5 to 9)."""

    NONE = 0
    ENTRY_PAD = 1
    LOCAL_PAD = 2
    HANDLER_PAD = 3
    ARM = 4
    DISARM = 5
    RETURN = 6
    VAL = 8
    PTRADD = 9
    MINT = 10
    REVOKE = 11


class Control(data.Struct):
    """Decoded control signals of one instruction; all zero is a no-op."""

    result: Result
    funct3: 3
    alu: AluControl
    word: 1  # multiplications and divisions of 32 bits
    b_immediate: 1  # the ALU's second operand is the immediate
    base_pc: 1  # the address adder starts at pc instead of rs1
    keep_upper: 1  # bits [63:32] of the result are those of rs1
    branch: 1
    jump: 1
    call: 1  # a jump that links, and one that returns (unprivileged ISA, section 2.5.1)
    ret: 1
    load: 1
    store: 1
    reserve: 1  # with load: LR
    conditional: 1  # with store: SC
    atomic: 1  # AMO: memory's value and rs2 are the ALU's operands, what it makes of them is stored
    multiply: 1
    divide: 1
    csr: 1
    fence_i: 1
    mret: 1
    wfi: 1
    write: 1  # writes rd
    security: SecurityOp
    size: 3  # val and vali: log2 of the access size in bytes; landing pads: bits [7:5] of the compartment


#: The signals that must be low for an instruction that only carries an exception.
EFFECTS = (
    "branch", "jump", "call", "ret", "load", "store", "reserve", "conditional", "atomic", "multiply",
    "divide", "csr", "fence_i", "mret", "wfi", "write",
)  # fmt: skip


class ExecuteRequest(data.Struct):
    """Decode to execute. Operands are final; ``cause`` is valid with ``exception`` or ``interrupt``; ``far``:
    the address of the instruction is 2^32 or more (fetch knows its upper half); ``link``: address behind it;
    ``second``: an instruction access fault of its second half, which is at ``link``; ``rd`` of a landing pad
    holds bits [4:0] of its compartment. ``late``: it is one for the late ALU, its other
    operand will be the result of the instruction just ahead."""

    pc: 32
    link: 32
    far: 1
    second: 1
    rs1: 64
    rs2: 64
    late: 1
    late_control: LateControl
    immediate: 32  # signed; the word itself of an illegal instruction
    control: Control
    rd: 5
    exception: 1
    interrupt: 1
    cause: 5


class MemoryRequest(data.Struct):
    """Execute to memory. ``result``: the result; address for loads and stores; operand for CSR instructions;
    mtval of an exception, unless it is a control-flow exception (pc) or an interrupt (0).

    ``late``: the late ALU's operands are ``result`` and the result in writeback. ``late_branch``: one of
    those that is a branch; fetch has ``followed`` it or gone on behind it, the other way is ``alternative``,
    whose bits [63:33] are equal."""

    pc: 32
    far: 1
    result: 64
    rd: 5
    write: 1
    load: 1
    store: 1  # the access is a write
    access: 1  # a response of the data bus is due
    funct3: 3
    size: 3
    multiply: 1
    reserve: 1
    conditional: 1
    csr: 1
    csr_number: 12
    mret: 1
    exception: 1
    interrupt: 1
    cause: 5
    late: 1
    late_control: LateControl
    late_branch: 1
    followed: 1
    alternative: signed(34)
