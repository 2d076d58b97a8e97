"""Devices on a 64-bit bus: each is addressed by offset, writes by byte lanes, and answers in the next
cycle."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, Signature

from .memory_map import UartRegister

__all__ = ["DevicePort", "UART", "CLINT", "ExitDevice"]

#: ``request`` selects the device in this cycle; ``lanes`` are the bytes to write, none for a read. ``rdata``
#: stays until the next request.
DevicePort = Signature(
    {"request": Out(1), "address": Out(16), "lanes": Out(8), "wdata": Out(64), "rdata": In(64)}
)


class _Fifo(SyncFIFO):
    """Its memory is read asynchronously: distributed memory on FPGAs."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.submodules.storage.attrs["ram_style"] = "distributed"
        return m


class UART(wiring.Component):
    """Shakti's register layout (``memory_map.UartRegister``), 8N1, 16-byte FIFOs. A bit lasts 16 * ``baud``
    cycles. A byte written while the transmit FIFO is full is lost, as is one received while the receive FIFO
    is full."""

    port: In(DevicePort)
    tx: Out(1, init=1)
    rx: In(1)

    def __init__(self, divisor: int):
        self._divisor = divisor
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        port = self.port
        baud = Signal(16, init=self._divisor)
        m.submodules.transmit = transmit = _Fifo(width=8, depth=16)
        m.submodules.receive = receive = _Fifo(width=8, depth=16)

        register = port.address[2:4]
        rx_not_empty = Signal()
        m.d.comb += rx_not_empty.eq(receive.r_rdy)
        status = Cat(~transmit.r_rdy, ~transmit.w_rdy, rx_not_empty, ~receive.w_rdy)
        low = Mux(port.address[3], receive.r_data, baud)
        high = Mux(port.address[3], status, 0)
        writes_low, writes_high = port.lanes[0], port.lanes[4]
        assert (UartRegister.BAUD, UartRegister.TRANSMIT, UartRegister.RECEIVE, UartRegister.STATUS) == (
            0,
            4,
            8,
            12,
        )
        m.d.comb += [
            transmit.w_data.eq(port.wdata[32:40]),
            transmit.w_en.eq(port.request & writes_high & (register[1] == 0)),
            # Only a read of RECEIVE itself takes a byte: the bus tells the lanes of reads by address bit 2.
            receive.r_en.eq(port.request & (port.lanes == 0) & (register == 2)),
        ]
        with m.If(port.request):
            m.d.sync += port.rdata.eq(Cat(low, Const(0, 32 - len(low)), high))
            with m.If(writes_low & (register[1] == 0)):
                m.d.sync += baud.eq(Mux(port.wdata[:16] == 0, 1, port.wdata[:16]))

        # Transmitter: start bit, eight data bits, stop bit.
        tx_shift = Signal(9, init=0x1FF)
        tx_count = Signal(20)
        tx_bits = Signal(4)
        m.d.comb += self.tx.eq(tx_shift[0])
        with m.If(tx_bits == 0):
            m.d.comb += transmit.r_en.eq(1)
            with m.If(transmit.r_rdy):
                m.d.sync += [
                    tx_shift.eq(Cat(Const(0, 1), transmit.r_data)),
                    tx_bits.eq(10),
                    tx_count.eq(Cat(Const(0, 4), baud) - 1),
                ]
        with m.Elif(tx_count == 0):
            m.d.sync += [
                tx_shift.eq(Cat(tx_shift[1:], Const(1, 1))),
                tx_bits.eq(tx_bits - 1),
                tx_count.eq(Cat(Const(0, 4), baud) - 1),
            ]
        with m.Else():
            m.d.sync += tx_count.eq(tx_count - 1)

        # Receiver: samples in the middle of each bit.
        rx_sync = Signal(3, init=7)
        rx_shift = Signal(8)
        rx_count = Signal(20)
        rx_bits = Signal(4)
        m.d.sync += rx_sync.eq(Cat(self.rx, rx_sync[:2]))
        line = rx_sync[2]
        m.d.comb += receive.w_data.eq(rx_shift)
        with m.If(rx_bits == 0):
            with m.If(~line):
                m.d.sync += [rx_bits.eq(10), rx_count.eq(Cat(Const(0, 3), baud))]
        with m.Elif(rx_count == 0):
            m.d.sync += [rx_bits.eq(rx_bits - 1), rx_count.eq(Cat(Const(0, 4), baud) - 1)]
            with m.If((rx_bits == 10) & line):  # no start bit after all
                m.d.sync += rx_bits.eq(0)
            with m.Elif(rx_bits == 1):
                m.d.comb += receive.w_en.eq(line)
            with m.Else():
                m.d.sync += rx_shift.eq(Cat(rx_shift[1:], line))
        with m.Else():
            m.d.sync += rx_count.eq(rx_count - 1)
        return m


class CLINT(wiring.Component):
    """msip at +0, mtimecmp at +0x4000, mtime at +0xbff8 (the SiFive/Shakti layout). mtime counts every
    cycle."""

    port: In(DevicePort)
    software_interrupt: Out(1)
    timer_interrupt: Out(1)
    time: Out(64)

    def elaborate(self, platform):
        m = Module()
        port = self.port
        compare = Signal(64, init=(1 << 64) - 1)
        time = self.time
        # Compared one cycle late: a 64-bit comparison need not be on the interrupt path.
        m.d.sync += [time.eq(time + 1), self.timer_interrupt.eq(time >= compare)]

        def written(register):
            return Cat(
                Mux(port.lanes[i], port.wdata.word_select(i, 8), register.word_select(i, 8)) for i in range(8)
            )

        with m.If(port.request):
            m.d.sync += port.rdata.eq(0)
            with m.Switch(port.address[3:]):
                with m.Case(0x0000 >> 3):
                    m.d.sync += port.rdata.eq(self.software_interrupt)
                    with m.If(port.lanes[0]):
                        m.d.sync += self.software_interrupt.eq(port.wdata[0])
                with m.Case(0x4000 >> 3):
                    m.d.sync += port.rdata.eq(compare)
                    with m.If(port.lanes != 0):
                        m.d.sync += compare.eq(written(compare))
                with m.Case(0xBFF8 >> 3):
                    m.d.sync += port.rdata.eq(time)
                    with m.If(port.lanes != 0):
                        m.d.sync += time.eq(written(time))
        return m


class ExitDevice(wiring.Component):
    """A 32-bit store to its first word sets ``code`` and raises ``valid`` for good."""

    port: In(DevicePort)
    valid: Out(1)
    code: Out(32)

    def elaborate(self, platform):
        m = Module()
        with m.If(self.port.request & self.port.lanes[0] & (self.port.address[3:12] == 0) & ~self.valid):
            m.d.sync += [self.valid.eq(1), self.code.eq(self.port.wdata)]
        return m
