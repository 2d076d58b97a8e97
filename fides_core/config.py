"""Configurations and the named presets. Every parameter says what it is, its unit, and what it costs."""

from dataclasses import asdict, dataclass, field, replace
from typing import Literal

__all__ = [
    "CacheConfig", "PredictorConfig", "XfidesConfig", "CoreConfig", "SoCConfig", "Config", "PRESETS",
    "ABLATIONS", "LARGEST_MEMORY_BYTES", "preset",
]  # fmt: skip

#: Of the main memory.
LARGEST_MEMORY_BYTES = 1 << 30


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True)
class CacheConfig:
    """One cache. ``size``: bytes, 1 KiB..64 KiB; ``ways``: 1, 2 or 4; ``line``: bytes of a line, 16, 32 or
    64.
    All powers of two. Banks of fewer than 512 words of 8 bytes waste block RAM. Raises ValueError when these
    contradict each other."""

    size: int = 16 << 10
    ways: int = 2
    line: int = 64

    def __post_init__(self):
        if not _power_of_two(self.size) or not 1 << 10 <= self.size <= 64 << 10:
            raise ValueError(f"cache size must be a power of two in 1024..65536 bytes, not {self.size}")
        if self.ways not in (1, 2, 4):
            raise ValueError(f"a cache has 1, 2 or 4 ways, not {self.ways}")
        if self.line not in (16, 32, 64):
            raise ValueError(f"a cache line has 16, 32 or 64 bytes, not {self.line}")
        if self.sets < 2:
            raise ValueError(
                f"a cache of {self.size} bytes with {self.ways} ways of {self.line}-byte lines has one set"
            )

    @property
    def sets(self) -> int:
        """Number of sets."""
        return self.size // (self.ways * self.line)


@dataclass(frozen=True)
class PredictorConfig:
    """Branch prediction. ``btb_entries``: branch target buffer, 128..4096, a power of two, two for each
    group of 8 bytes (1024 fill two block RAMs of 36 Kibit, fewer waste them); ``history``: bits of global
    history of the gshare predictor, 0..16 (0: bimodal); ``counters``: its two-bit counters, 512..16384, a
    power of two (16384 fill two block RAMs of 18 Kibit, fewer waste them); ``return_stack``: entries of the
    return-address stack, 0 or a power of two in 2..32. Raises ValueError for other values."""

    btb_entries: int = 1024
    history: int = 16
    counters: int = 16384
    return_stack: int = 8

    def __post_init__(self):
        if not _power_of_two(self.btb_entries) or not 128 <= self.btb_entries <= 4096:
            raise ValueError(f"btb_entries must be a power of two in 128..4096, not {self.btb_entries}")
        if not 0 <= self.history <= 16:
            raise ValueError(f"history must be in 0..16 bits, not {self.history}")
        if not _power_of_two(self.counters) or not 512 <= self.counters <= 16384:
            raise ValueError(f"counters must be a power of two in 512..16384, not {self.counters}")
        if self.return_stack and not (_power_of_two(self.return_stack) and 2 <= self.return_stack <= 32):
            raise ValueError(f"return_stack must be 0 or a power of two in 2..32, not {self.return_stack}")


@dataclass(frozen=True)
class XfidesConfig:
    """The security extension.

    ``compartments``: number of compartment identifiers, 2..256, a power of two; 0 leaves the capability check
    and the shadow stack out. ``shadow_stack_entries``: entries on chip, 16..32768, a power of two.
    ``fat_pointers``: with the fat-pointer validator. ``crossings``: who judges crossings and keeps the shadow
    stack, the ``hardware`` (the contract), or the ``monitor``, to which they trap, as published for FIDES:
    then the hardware has the range check only, and ``shadow_stack_entries`` must be 0 (docs/ablation.md).
    Raises ValueError when these contradict each other.
    """

    compartments: int = 256
    shadow_stack_entries: int = 512
    fat_pointers: bool = True
    crossings: Literal["hardware", "monitor"] = "hardware"

    def __post_init__(self):
        if self.compartments and not (_power_of_two(self.compartments) and 2 <= self.compartments <= 256):
            raise ValueError(f"compartments must be 0 or a power of two in 2..256, not {self.compartments}")
        if self.crossings not in ("hardware", "monitor"):
            raise ValueError(f"crossings are judged by the hardware or the monitor, not {self.crossings!r}")
        if self.crossings == "monitor":
            if not self.compartments:
                raise ValueError("without compartments there are no crossings for the monitor")
            if self.shadow_stack_entries:
                raise ValueError(
                    "the monitor that judges crossings keeps the shadow stack in its memory: "
                    f"shadow_stack_entries must be 0, not {self.shadow_stack_entries}"
                )
        elif not (_power_of_two(self.shadow_stack_entries) and 16 <= self.shadow_stack_entries <= 32768):
            raise ValueError(
                f"shadow_stack_entries must be a power of two in 16..32768, not {self.shadow_stack_entries}"
            )
        if not self.compartments and not self.fat_pointers:
            raise ValueError(
                "an Xfides configuration without compartments and fat pointers is the base core: use None"
            )

    @property
    def judges_crossings(self) -> bool:
        """Whether the hardware does: with capability check and shadow stack."""
        return bool(self.compartments) and self.crossings == "hardware"


@dataclass(frozen=True)
class CoreConfig:
    """The core: RV64IMAC_Zicsr_Zifencei_Zicntr and what the options add.

    ``reset_vector``: address in bytes; ``hart_id``: value of mhartid; ``pmp_entries``: 0, 4, 8 or 16;
    ``late_alu``: a second, simpler ALU behind memory's loads, so that sums and branches do not wait
    for loads and products; ``bitmanip``: Zba, Zbb and Zbs; ``zicond``: conditional zero; ``predictor``: None
    predicts that no branch is taken; ``icache`` and ``dcache``: both or neither, None for tightly-coupled
    memory; ``hpm_counters``: event counters from mhpmcounter3 on, 0..13 (the events are ``isa.csrs.Event``);
    ``rvfi``: a port that reports every retired instruction (verification builds only); ``rvfi_csrs``: it
    reports accesses to every CSR, too; ``xfides``: the extension, None leaves every trace of it out. Raises
    ValueError when a value is not possible."""

    reset_vector: int = 0x1000
    hart_id: int = 0
    pmp_entries: int = 4
    late_alu: bool = True
    bitmanip: bool = True
    zicond: bool = True
    predictor: PredictorConfig | None = field(default_factory=PredictorConfig)
    icache: CacheConfig | None = field(default_factory=CacheConfig)
    dcache: CacheConfig | None = field(default_factory=CacheConfig)
    hpm_counters: int = 10
    rvfi: bool = False
    rvfi_csrs: bool = False
    xfides: XfidesConfig | None = None

    def __post_init__(self):
        if self.reset_vector % 4 or not 0 <= self.reset_vector < 1 << 32:
            raise ValueError(f"reset_vector {self.reset_vector:#x} is not a 4-byte aligned 32-bit address")
        if self.pmp_entries not in (0, 4, 8, 16):
            raise ValueError(f"pmp_entries must be 0, 4, 8 or 16, not {self.pmp_entries}")
        if self.hart_id < 0:
            raise ValueError("hart_id must not be negative")
        if not 0 <= self.hpm_counters <= 13:
            raise ValueError(f"hpm_counters must be in 0..13, not {self.hpm_counters}")
        if (self.icache is None) != (self.dcache is None):
            raise ValueError("a core has both caches, or tightly-coupled memory and no cache")
        if self.rvfi_csrs and not self.rvfi:
            raise ValueError("CSR accesses are reported on the retirement port: rvfi_csrs needs rvfi")

    @property
    def late_verdict(self) -> bool:
        """Whether a val is judged one cycle after its entry has come, in writeback: a word of the data cache
        is late in its cycle. Tightly-coupled memory answers early, but cannot undo what follows."""
        return self.xfides is not None and self.xfides.fat_pointers and self.dcache is not None

    @property
    def march(self) -> str:
        """The compiler's -march (GCC 12 and LLVM spelling)."""
        extensions = ["zicsr", "zifencei"]
        if self.bitmanip:
            extensions += ["zba", "zbb", "zbs"]
        return "_".join(["rv64imac", *extensions])

    @property
    def mabi(self) -> str:
        """The compiler's -mabi."""
        return "lp64"

    @property
    def isa(self) -> str:
        """Every implemented extension, as a RISC-V ISA string."""
        # Event counters that are left out read 0, which Zihpm allows.
        extensions = ["zicntr", *(["zicond"] if self.zicond else []), "zicsr", "zifencei", "zihpm"]
        if self.bitmanip:
            extensions += ["zba", "zbb", "zbs"]
        return "_".join(["rv64imac", *extensions])


@dataclass(frozen=True)
class SoCConfig:
    """The system around the core. ``memory_bytes``: main memory at 0x8000_0000, a power of two, at least 4
    KiB; ``simulation_exit``: with the exit device (a store ends a simulation; on an FPGA it only drives
    pins); ``uart_divisor``: reset value of the UART's baud register (clock / (16 * baud rate));
    ``random_stalls``: None, or the seed of random waits on the core's buses and on AXI (verification builds
    only); ``axi_checker``: with the AXI4 protocol checker on every AXI4 port (verification builds only);
    ``boot``: the boot ROM jumps to the main ``memory``, or takes a program over the ``uart`` first
    (docs/boot.md), which costs a block RAM of 36 Kibit, without caches two. Raises ValueError for other
    values."""

    memory_bytes: int = 1 << 20
    simulation_exit: bool = True
    uart_divisor: int = 1
    random_stalls: int | None = None
    axi_checker: bool = False
    boot: Literal["memory", "uart"] = "memory"

    def __post_init__(self):
        if not _power_of_two(self.memory_bytes) or not 4096 <= self.memory_bytes <= LARGEST_MEMORY_BYTES:
            raise ValueError(f"memory_bytes must be a power of two in 4096..2^30, not {self.memory_bytes}")
        if not 1 <= self.uart_divisor < 1 << 16:
            raise ValueError(f"uart_divisor must be in 1..65535, not {self.uart_divisor}")
        if self.boot not in ("memory", "uart"):
            raise ValueError(f"a system boots from its memory or over the uart, not from {self.boot!r}")


@dataclass(frozen=True)
class Config:
    """A complete, named configuration."""

    name: str
    core: CoreConfig = field(default_factory=CoreConfig)
    soc: SoCConfig = field(default_factory=SoCConfig)

    def to_dict(self) -> dict:
        """Plain nested dictionaries, for manifests and hashes."""
        return asdict(self)

    def with_rvfi(self, *, csrs: bool = False) -> "Config":
        """The same configuration with the retirement port, for verification; ``csrs``: which reports accesses
        to CSRs, too."""
        core = replace(self.core, rvfi=True, rvfi_csrs=csrs)
        return replace(self, name=f"{self.name}_rvfi{'_csrs' if csrs else ''}", core=core)

    def with_stalls(self, seed: int) -> "Config":
        """The same configuration with random waits on its buses, for verification."""
        return replace(self, name=f"{self.name}_stalls", soc=replace(self.soc, random_stalls=seed))


def _tiny(xfides: XfidesConfig | None) -> CoreConfig:
    return CoreConfig(
        late_alu=False,
        bitmanip=False,
        zicond=False,
        predictor=None,
        icache=None,
        dcache=None,
        hpm_counters=0,
        xfides=xfides,
    )


PRESETS: dict[str, Config] = {
    "tiny": Config("tiny", core=_tiny(None)),
    "tiny_fides": Config("tiny_fides", core=_tiny(XfidesConfig())),
    "base": Config("base", core=CoreConfig()),
    "fides": Config("fides", core=CoreConfig(xfides=XfidesConfig())),
    "fides_monitor": Config(
        "fides_monitor", core=CoreConfig(xfides=XfidesConfig(crossings="monitor", shadow_stack_entries=0))
    ),
}

#: Presets that are there to be compared with; ``fides demo`` and ``fides report`` leave them out.
ABLATIONS = frozenset({"fides_monitor"})


def preset(name: str) -> Config:
    """The preset called ``name``. Raises ValueError, naming the presets there are, for any other name."""
    try:
        return PRESETS[name]
    except KeyError:
        raise ValueError(f"unknown preset {name!r}; there are {', '.join(PRESETS)}") from None
