"""Models of AXI4 managers and subordinates, for benches: they act once a cycle, at random times."""

from dataclasses import dataclass, field

from fides_core.axi.signatures import Burst, Response

__all__ = ["Transaction", "Manager", "Subordinate", "Port", "beats", "merge"]


def beats(address: int, length: int, size: int, burst: int):
    """(word address, byte lanes) of each beat of a burst (IHI 0022H, A3.4.2)."""
    width, count = 1 << size, length + 1
    aligned = address // width * width
    low = address // (width * count) * width * count
    for number in range(count):
        here = address if number == 0 or burst == Burst.FIXED else aligned + number * width
        if burst == Burst.WRAP and here >= low + width * count:
            here -= width * count
        end = here // width * width + width
        yield here & ~7, sum(1 << byte % 8 for byte in range(here, end))


@dataclass
class Transaction:
    """``data``: of a write, (value, strobes) of each beat. Filled in by the manager: ``received``, (value,
    response) of each beat read; ``response`` of a write; ``cycles`` from the address to the last response."""

    write: bool
    address: int
    length: int = 0
    size: int = 3
    burst: int = Burst.INCR
    identifier: int = 0
    data: list = field(default_factory=list)
    tag: object = None
    received: list = field(default_factory=list)
    response: Response | None = None
    start: int | None = None
    cycles: int | None = None

    @property
    def beats(self):
        """Word addresses and lanes."""
        return list(beats(self.address, self.length, self.size, self.burst))


class Port:
    """Signals of one interface of a unit, by their names in it."""

    def __init__(self, unit, prefix: str):
        self._unit, self._prefix = unit, prefix

    def set(self, **values):
        self._unit.set(**{f"{self._prefix}__{name}": value for name, value in values.items()})

    def get(self, name):
        return self._unit.get(f"{self._prefix}__{name}")

    def moves(self, channel):
        """Whether the channel transfers something in this cycle."""
        return bool(self.get(f"{channel}valid") and self.get(f"{channel}ready"))


class Manager:
    """Makes transactions, up to two reads and two writes at a time; ``eager``: without waits of its own.
    Data comes with or behind its address, with ``early_data`` also before. Call ``drive`` before a cycle's
    signals have settled and ``sample`` afterwards; ``done`` collects what is complete."""

    def __init__(self, port: Port, random, *, early_data: bool, eager: bool = False):
        self.port, self.random, self.early_data, self.eager = port, random, early_data, eager
        self.waiting = {False: [], True: []}  # by direction; addresses that are to be sent
        self.open = {False: [], True: []}  # sent, not answered
        self.data = []  # beats to be sent
        self.done = []
        self.shown = {"ar": False, "aw": False, "w": False}
        self.cycle = 0
        port.set(arvalid=0, awvalid=0, wvalid=0, rready=0, bready=0)
        port.set(arprot=0, arcache=0, awprot=0, awcache=0)

    def start(self, transaction: Transaction) -> None:
        """Put into the queue."""
        self.waiting[transaction.write].append(transaction)
        if transaction.write:
            last = len(transaction.data) - 1
            self.data += [
                (transaction, value, strobes, i == last)
                for i, (value, strobes) in enumerate(transaction.data)
            ]

    def count(self, write: bool) -> int:
        """Transactions of a direction that are not complete."""
        return len(self.waiting[write]) + len(self.open[write])

    def _now(self) -> bool:
        return self.eager or self.random.random() < 0.5

    def _may_send(self) -> bool:
        t = self.data[0][0]
        shown = self.shown["aw"] and t is self.waiting[True][0]
        return self.early_data or shown or t not in self.waiting[True]

    def drive(self) -> None:
        port = self.port
        for write, channel in ((False, "ar"), (True, "aw")):
            queue = self.waiting[write]
            if queue and (self.shown[channel] or (len(self.open[write]) < 2 and self._now())):
                t = queue[0]
                if t.start is None:
                    t.start = self.cycle
                self.shown[channel] = True
                port.set(**{
                    f"{channel}valid": 1, f"{channel}addr": t.address, f"{channel}len": t.length,
                    f"{channel}size": t.size, f"{channel}burst": t.burst, f"{channel}id": t.identifier,
                })  # fmt: skip
            else:
                port.set(**{f"{channel}valid": 0})
        if self.data and (self.shown["w"] or (self._may_send() and self._now())):
            _, value, strobes, last = self.data[0]
            self.shown["w"] = True
            port.set(wvalid=1, wdata=value, wstrb=strobes, wlast=last)
        else:
            port.set(wvalid=0)
        port.set(rready=self._now(), bready=self._now())

    def sample(self) -> None:
        port = self.port
        # Responses first: they belong to what was sent in earlier cycles.
        if port.moves("r"):
            identifier = port.get("rid")
            t = next(t for t in self.open[False] if t.identifier == identifier)
            t.received.append((port.get("rdata"), Response(port.get("rresp"))))
            assert port.get("rlast") == (len(t.received) == t.length + 1), "rlast"
            if port.get("rlast"):
                self._finish(t)
        if port.moves("b"):
            identifier = port.get("bid")
            t = next(t for t in self.open[True] if t.identifier == identifier)
            t.response = Response(port.get("bresp"))
            self._finish(t)
        for write, channel in ((False, "ar"), (True, "aw")):
            if port.moves(channel):
                self.shown[channel] = False
                self.open[write].append(self.waiting[write].pop(0))
        if port.moves("w"):
            self.shown["w"] = False
            self.data.pop(0)
        self.cycle += 1

    def _finish(self, t):
        t.cycles = self.cycle - t.start + 1
        self.open[t.write].remove(t)
        self.done.append(t)


class Subordinate:
    """Answers from ``memory`` (word address to value; absent words are 0), at random times. ``order``:
    what is taken first of a write, "address", "data" or "any"; "together": both in one cycle, when they are
    there."""

    def __init__(self, port: Port, random, memory: dict, order: str):
        self.port, self.random, self.memory, self.order = port, random, memory, order
        self.reads, self.answers = [], []  # of each direction: what is to be answered
        self.addresses, self.data = [], []
        self.shown = {"r": False, "b": False}
        port.set(arready=0, awready=0, wready=0, rvalid=0, bvalid=0, rresp=0, bresp=0)

    def drive(self) -> None:
        port, flip = self.port, self.random.random
        port.set(arready=flip() < 0.5 and len(self.reads) < 2)
        for channel, ready in (("aw", not self.addresses), ("w", len(self.data) < 40)):
            if self.order == "address" and channel == "w":
                ready = bool(self.addresses)
            if self.order == "data" and channel == "aw":
                ready = bool(self.data) and not self.addresses
            if self.order == "together" and not self.addresses:
                ready = False
            port.set(**{f"{channel}ready": ready and flip() < 0.5})
        if self.reads and (self.shown["r"] or flip() < 0.5):
            identifier, words = self.reads[0]
            self.shown["r"] = True
            port.set(rvalid=1, rid=identifier, rdata=self.memory.get(words[0], 0), rlast=len(words) == 1)
        else:
            port.set(rvalid=0)
        if self.answers and (self.shown["b"] or flip() < 0.5):
            self.shown["b"] = True
            port.set(bvalid=1, bid=self.answers[0])
        else:
            port.set(bvalid=0)

    def join(self) -> bool:
        """For "together", once signals have settled: whether inputs were changed."""
        ready = (
            self.order == "together" and not self.addresses
            and self.port.get("awvalid") and self.port.get("wvalid") and self.random.random() < 0.5
        )  # fmt: skip
        if ready:
            self.port.set(awready=1, wready=1)
        return bool(ready)

    def sample(self) -> None:
        port = self.port
        if port.moves("r"):
            self.shown["r"] = False
            self.reads[0][1].pop(0)
            if not self.reads[0][1]:
                self.reads.pop(0)
        if port.moves("b"):
            self.shown["b"] = False
            self.answers.pop(0)
        for channel in ("ar", "aw"):
            if port.moves(channel):
                address, length, size, burst, identifier = (
                    port.get(f"{channel}{name}") for name in ("addr", "len", "size", "burst", "id")
                )
                words = list(beats(address, length, size, burst))
                if channel == "ar":
                    self.reads.append((identifier, [word for word, _ in words]))
                else:
                    self.addresses.append((identifier, words))
        if port.moves("w"):
            self.data.append(tuple(port.get(name) for name in ("wdata", "wstrb", "wlast")))
        if self.addresses and len(self.data) >= len(self.addresses[0][1]):
            identifier, words = self.addresses.pop(0)
            for i, (word, _) in enumerate(words):
                value, strobes, last = self.data.pop(0)
                assert last == (i == len(words) - 1), "wlast"
                merge(self.memory, word, value, strobes)
            self.answers.append(identifier)


def merge(memory: dict, word: int, value: int, strobes: int) -> None:
    """Write bytes of a word."""
    mask = sum(0xFF << 8 * i for i in range(8) if strobes >> i & 1)
    memory[word] = memory.get(word, 0) & ~mask | value & mask
