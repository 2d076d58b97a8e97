"""Configurations and the named presets. Every parameter says what it is, its unit, and what it costs."""

from dataclasses import asdict, dataclass, field, replace

__all__ = ["XfidesConfig", "CoreConfig", "SoCConfig", "Config", "PRESETS", "preset"]


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True)
class XfidesConfig:
    """The security extension.

    ``compartments``: number of compartment identifiers, 2..256, a power of two; 0 leaves the capability check
    and the shadow stack out. ``shadow_stack_entries``: entries on chip, 16..32768, a power of two.
    ``fat_pointers``: with the fat-pointer validator. Raises ValueError when these contradict each other.
    """

    compartments: int = 256
    shadow_stack_entries: int = 512
    fat_pointers: bool = True

    def __post_init__(self):
        if self.compartments and not (_power_of_two(self.compartments) and 2 <= self.compartments <= 256):
            raise ValueError(f"compartments must be 0 or a power of two in 2..256, not {self.compartments}")
        if not (_power_of_two(self.shadow_stack_entries) and 16 <= self.shadow_stack_entries <= 32768):
            raise ValueError(
                f"shadow_stack_entries must be a power of two in 16..32768, not {self.shadow_stack_entries}"
            )
        if not self.compartments and not self.fat_pointers:
            raise ValueError(
                "an Xfides configuration without compartments and fat pointers is the base core: use None"
            )


@dataclass(frozen=True)
class CoreConfig:
    """The core. ``reset_vector``: address in bytes; ``hart_id``: value of mhartid; ``pmp_entries``: 0, 4, 8
    or 16; ``rvfi``: a port that reports every retired instruction (verification builds only); ``xfides``: the
    extension, None leaves every trace of it out. Raises ValueError when a value is not possible."""

    reset_vector: int = 0x1000
    hart_id: int = 0
    pmp_entries: int = 4
    rvfi: bool = False
    xfides: XfidesConfig | None = None

    def __post_init__(self):
        if self.reset_vector % 4 or not 0 <= self.reset_vector < 1 << 32:
            raise ValueError(f"reset_vector {self.reset_vector:#x} is not a 4-byte aligned 32-bit address")
        if self.pmp_entries not in (0, 4, 8, 16):
            raise ValueError(f"pmp_entries must be 0, 4, 8 or 16, not {self.pmp_entries}")
        if self.hart_id < 0:
            raise ValueError("hart_id must not be negative")


@dataclass(frozen=True)
class SoCConfig:
    """The system around the core. ``memory_bytes``: main memory at 0x8000_0000, a power of two, at least 4
    KiB; ``simulation_exit``: with the exit device (a store ends a simulation; on an FPGA it only drives
    pins); ``uart_divisor``: reset value of the UART's baud register (clock / (16 * baud rate));
    ``random_stalls``: None, or the seed of random waits on both buses (verification builds only)."""

    memory_bytes: int = 1 << 20
    simulation_exit: bool = True
    uart_divisor: int = 1
    random_stalls: int | None = None

    def __post_init__(self):
        if not _power_of_two(self.memory_bytes) or not 4096 <= self.memory_bytes <= 1 << 30:
            raise ValueError(f"memory_bytes must be a power of two in 4096..2^30, not {self.memory_bytes}")
        if not 1 <= self.uart_divisor < 1 << 16:
            raise ValueError(f"uart_divisor must be in 1..65535, not {self.uart_divisor}")


@dataclass(frozen=True)
class Config:
    """A complete, named configuration."""

    name: str
    core: CoreConfig = field(default_factory=CoreConfig)
    soc: SoCConfig = field(default_factory=SoCConfig)

    def to_dict(self) -> dict:
        """Plain nested dictionaries, for manifests and hashes."""
        return asdict(self)

    def with_rvfi(self) -> "Config":
        """The same configuration with the retirement port, for verification."""
        return replace(self, name=f"{self.name}_rvfi", core=replace(self.core, rvfi=True))

    def with_stalls(self, seed: int) -> "Config":
        """The same configuration with random waits on its buses, for verification."""
        return replace(self, name=f"{self.name}_stalls", soc=replace(self.soc, random_stalls=seed))


PRESETS: dict[str, Config] = {
    "base": Config("base"),
    "fides": Config("fides", core=CoreConfig(xfides=XfidesConfig())),
}


def preset(name: str) -> Config:
    """The preset called ``name``. Raises ValueError, naming the presets there are, for any other name."""
    try:
        return PRESETS[name]
    except KeyError:
        raise ValueError(f"unknown preset {name!r}; there are {', '.join(PRESETS)}") from None
