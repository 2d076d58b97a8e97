"""A bench for single instructions and short programs on the golden model."""

import pytest

from fides_core.config import preset
from fides_core.isa.compressed import encode_compressed, is_compressed
from fides_core.isa.encode import encode
from fides_core.model import Platform
from fides_core.model.control import MACHINE, USER
from fides_core.soc.memory_map import MAIN_MEMORY_BASE

HANDLER = MAIN_MEMORY_BASE + 0x8000


class Bench:
    """A platform whose hart stands at the start of main memory; traps go to ``HANDLER``."""

    def __init__(self, config, **options):
        self.platform = Platform(config, **options)
        self.hart = self.platform.hart
        self.control = self.hart.control
        self.control.mtvec = HANDLER
        self.hart.pc = MAIN_MEMORY_BASE

    @property
    def x(self):
        return self.hart.x

    def word(self, address, value, size=4):
        self.platform.store(address, size, value)
        self.hart.flush()

    def mode(self, *, user=False, cen=False, fen=False):
        self.control.privilege = USER if user else MACHINE
        if self.hart.xfides:
            self.hart.xfides.compartments_enabled, self.hart.xfides.pointers_enabled = cen, fen
        # One entry that lets U-mode reach everything.
        self.control.pmp.write_address(0, (1 << 30) - 1)
        self.control.pmp.write_config(0, 0x1F)
        self.hart.refresh()
        self.hart.flush()
        return self

    def execute(self, word, pc=None):
        """Execute one word or compressed halfword at the pc, or at ``pc``; None: what is there. Returns None,
        or a trap as (cause, mtval); it must be precise."""
        if pc is not None:
            self.hart.pc = pc
        pc, before, retired = self.hart.pc, list(self.x), self.control.retired
        if word is not None:
            self.word(pc, word, 2 if is_compressed(word) else 4)
        self.hart.step()
        if self.control.retired > retired:
            return None
        assert self.hart.pc == HANDLER and self.control.mepc == pc and list(self.x) == before
        assert self.control.privilege == MACHINE
        return self.control.mcause, self.control.mtval

    def do(self, name, pc=None, **operands):
        """Execute an instruction by its name, "c.addi" as well as "addi"."""
        make = encode_compressed if name.startswith("c.") else encode
        return self.execute(make(name, **operands), pc)

    def csr_read(self, number):
        """A CSR by csrrs in the present mode. Raises LookupError when it traps."""
        if self.do("csrrs", rd=31, csr=number) is not None:
            raise LookupError(number)
        return self.x[31]

    def csr_write(self, number, value):
        """Write a CSR by csrrw. Raises LookupError when it traps."""
        self.x[30] = value
        if self.do("csrrw", rs1=30, csr=number) is not None:
            raise LookupError(number)


@pytest.fixture
def bench():
    """The ``fides`` preset in M-mode."""
    return Bench(preset("fides"))


@pytest.fixture
def base_bench():
    """The ``base`` preset in M-mode."""
    return Bench(preset("base"))


@pytest.fixture
def make_bench():
    """Bench(config, **options of Platform)."""
    return Bench
