"""Physical memory protection (privileged ISA 1.12, section 3.7): TOR, NA4, NAPOT, locked entries."""

__all__ = ["READ", "WRITE", "EXECUTE", "PhysicalMemoryProtection"]

READ, WRITE, EXECUTE = 1, 2, 4
_LOCKED = 0x80
_IMPLEMENTED = 0x9F  # bits 5 and 6 read 0
_OFF, _TOR, _NA4, _NAPOT = range(4)
ADDRESS_MASK = (1 << 30) - 1  # pmpaddr holds bits [31:2] of an address


class PhysicalMemoryProtection:
    """``entries`` pmpcfg/pmpaddr pairs; 0 leaves the unit out and allows everything."""

    def __init__(self, entries: int):
        self.entries = entries
        self.config = [0] * entries
        self.address = [0] * entries
        self._regions: list[tuple[int, int, int]] = []
        self._machine_regions = False

    def allows(self, address: int, size: int, access: int, machine: bool) -> bool:
        """Whether ``size`` bytes at ``address`` may be accessed: READ, WRITE or EXECUTE, by M-mode or not.

        The lowest-numbered entry that covers any byte decides; it denies when it does not cover all (3.7.1).
        """
        if machine and not self._machine_regions:
            return True
        end = address + size
        for start, limit, config in self._regions:
            if address < limit and start < end:
                if address < start or end > limit:
                    return False
                return bool(config & access) or (machine and not config & _LOCKED)
        return machine or not self.entries

    def read_config(self, first: int) -> int:
        """Eight pmpcfg bytes from entry ``first`` on; 0 for entries that are not implemented."""
        return int.from_bytes(bytes(self.config[first : first + 8]), "little")

    def write_config(self, first: int, value: int) -> None:
        """Write eight pmpcfg bytes; locked ones stay. The reserved R=0, W=1 clears W."""
        for number in range(first, min(first + 8, self.entries)):
            if not self.config[number] & _LOCKED:
                byte = value >> 8 * (number - first) & _IMPLEMENTED
                self.config[number] = byte if byte & READ else byte & ~WRITE
        self._update()

    def read_address(self, number: int) -> int:
        """pmpaddr ``number``, address bits [31:2]; 0 for entries that are not implemented."""
        return self.address[number] if number < self.entries else 0

    def write_address(self, number: int, value: int) -> None:
        """Write pmpaddr ``number`` unless it, or a TOR entry that starts there, is locked."""
        if number >= self.entries or self.config[number] & _LOCKED:
            return
        if number + 1 < self.entries:
            above = self.config[number + 1]
            if above & _LOCKED and above >> 3 & 3 == _TOR:
                return
        self.address[number] = value & ADDRESS_MASK
        self._update()

    def _update(self) -> None:
        self._regions = []
        for number, (config, address) in enumerate(zip(self.config, self.address, strict=True)):
            mode = config >> 3 & 3
            if mode == _OFF:
                continue
            if mode == _TOR:
                start, limit = self.address[number - 1] << 2 if number else 0, address << 2
            elif mode == _NA4:
                start, limit = address << 2, (address << 2) + 4
            else:
                ones = (~address & address + 1).bit_length() - 1
                size = 8 << ones
                start = address << 2 & ~(size - 1)
                limit = start + size
            if start < limit:
                self._regions.append((start, limit, config))
        self._machine_regions = any(config & _LOCKED for _, _, config in self._regions)
