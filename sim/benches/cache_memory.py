"""An AXI4 memory for the benches of the caches: it waits at random, and watches what it is sent."""

from .common import Coverage, Unit, differs

__all__ = ["AxiMemory", "Lines", "BASE", "BYTES", "ROM", "ROM_BYTES", "BROKEN", "DEVICE"]

ROM = 0x1000
ROM_BYTES = 0x1000
BASE = 0x8000_0000
BYTES = 1 << 16
BROKEN = BASE + BYTES - 0x2000  # lines from here on have one beat that answers SLVERR
DEVICE = 0x1001_0000  # not cacheable; the upper half of each 4 KiB answers SLVERR

PAYLOAD = {
    "ar": ("addr", "len", "size", "burst", "cache", "prot", "id"),
    "aw": ("addr", "len", "size", "burst", "cache", "prot", "id"),
    "w": ("data", "strb", "last"),
}


class AxiMemory:
    """``words``: memory by address of the 8 bytes; what was never written is a function of the address.
    ``before`` and ``after`` go around ``Unit.settle``, once a cycle. ``slow``: probability of a wait.
    ``reads`` and ``writes``: all transfers, as tuples (address, size, beats)."""

    def __init__(self, unit: Unit, random, line: int, coverage: Coverage):
        self.unit, self.random, self.line, self.coverage = unit, random, line, coverage
        self.salt = random.getrandbits(64) | 1
        self.words = {}
        self.slow = 0.0
        self.reads, self.writes = [], []
        self.beats_read = None  # [address, size, beats left, error]
        self.address = None  # of the write under way
        self.data = []
        self.respond = None
        self.held = {}

    def word(self, address: int) -> int:
        address &= ~7
        return self.words.get(address, (address + 8) * self.salt % (1 << 64))

    def broken(self, address: int) -> bool:
        """Whether a read of these 8 bytes answers an error: one word of each line of the broken region."""
        if BROKEN <= address < BASE + BYTES:
            line = address // self.line
            return address % self.line // 8 == line * 7 % (self.line // 8)
        return BASE > address >= DEVICE and bool(address & 0x800)

    def stall(self) -> bool:
        return self.random.random() < self.slow

    def before(self) -> None:
        """Drive what the cache sees in this cycle."""
        unit, random = self.unit, self.random
        values = {"rvalid": 0, "rdata": random.getrandbits(64), "rresp": random.randrange(4), "rlast": 0}
        if self.beats_read and (self.held.get("r") or not self.stall()):
            address, _, left = self.beats_read
            values = {"rvalid": 1, "rdata": self.word(address), "rlast": left == 1}
            values["rresp"] = 2 * self.broken(address)
            self.held["r"] = True
        if self.respond is not None and (self.held.get("b") or not self.stall()):
            values |= {"bvalid": 1, "bresp": self.respond}
            self.held["b"] = True
        else:
            values |= {"bvalid": 0, "bresp": random.randrange(4)}
        values["arready"] = self.beats_read is None and not self.stall()
        values["awready"] = self.address is None and self.respond is None and not self.stall()
        values["wready"] = self.respond is None and not self.stall()
        unit.set(**{f"axi__{name}": value for name, value in values.items()})

    def after(self) -> None:
        """Take what the cache sends."""
        get = lambda name: self.unit.get(f"axi__{name}")  # noqa: E731
        fires = {}
        for channel, payload in PAYLOAD.items():
            now = tuple(get(channel + name) for name in payload) if get(f"{channel}valid") else None
            if self.held.get(channel) is not None:
                differs(f"{channel} while it waits", self.held[channel], now)
            fires[channel] = now if get(f"{channel}ready") else None
            self.held[channel] = None if fires[channel] else now
        if get("bvalid") and get("bready"):
            self.respond, self.held["b"] = None, False
        if get("rvalid") and get("rready"):
            self.held["r"] = False
            self.beats_read[0] += 8
            self.beats_read[2] -= 1
            if not self.beats_read[2]:
                self.beats_read = None
        for channel in ("ar", "aw"):
            if fires[channel]:
                self.check_address(channel, *fires[channel][:4])
        if fires["ar"]:
            address, length, size, *_ = fires["ar"]
            self.reads.append((address, 1 << size, length + 1))
            self.beats_read = [address, 1 << size, length + 1]
        if fires["aw"]:
            self.address = fires["aw"][:3]
        if fires["w"]:
            self.data.append(fires["w"])
        if self.address and self.data and self.data[-1][2]:
            self.write()
        elif self.address:
            assert len(self.data) <= self.address[1], "no WLAST"

    def check_address(self, channel: str, address: int, length: int, size: int, burst: int) -> None:
        differs("burst", 1, burst)
        if length:
            differs("beats of a line", self.line // 8 - 1, length)
            differs("size of a line's beats", 3, size)
            differs("alignment of a line", 0, address % self.line)
            assert not DEVICE <= address < DEVICE + 0x1000, "a line of a device"
        else:
            differs("alignment of a transfer", 0, address % (1 << size))
            assert DEVICE <= address < DEVICE + 0x1000, "a single beat of memory"
        self.coverage.hit(f"{channel} {'line' if length else f'single {1 << size}'}")

    def write(self) -> None:
        address, length, size = self.address
        differs("beats written", length + 1, len(self.data))
        error = self.broken(address) and not length
        lanes = 0xFF if length else ((1 << (1 << size)) - 1) << address % 8
        for beat, (data, strobe, last) in enumerate(self.data):
            differs("WLAST", int(beat == length), last)
            differs("WSTRB", lanes, strobe)
            if not error:
                at = (address & ~7) + 8 * beat
                self.words[at] = merge(self.word(at), data, strobe)
        self.writes.append((address, 1 << size, length + 1))
        self.respond = 2 * error
        self.address, self.data = None, []


class Lines:
    """Which lines a cache holds: every miss replaces a line of the next way, whatever its set."""

    def __init__(self, ways: int, sets: int):
        self.slots = [[None] * ways for _ in range(sets)]
        self.victim = 0

    def __contains__(self, line: int) -> bool:
        return line in self.slots[line % len(self.slots)]

    def use(self, line: int, keep: bool = True) -> None:
        """An access; ``keep``: its line stays if it was not there."""
        slots = self.slots[line % len(self.slots)]
        if line not in slots:
            slots[self.victim] = line if keep else None
            self.victim = (self.victim + 1) % len(slots)

    def clear(self) -> None:
        """Nothing is valid any more."""
        self.slots = [[None] * len(slots) for slots in self.slots]

    def all(self) -> set[int]:
        """The lines that are there."""
        return {line for slots in self.slots for line in slots if line is not None}


def merge(old: int, new: int, lanes: int) -> int:
    """``new`` in the byte lanes that are set, ``old`` elsewhere."""
    mask = sum(0xFF << 8 * lane for lane in range(8) if lanes >> lane & 1)
    return old & ~mask | new & mask
