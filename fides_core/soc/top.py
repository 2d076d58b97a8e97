"""The SoC: the core, its memory and devices, on the map of ``memory_map.py``."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from ..config import Config
from ..core.bus import DataBus, InstructionBus
from ..core.core import Core
from ..core.rvfi import RVFI_FIELDS
from . import memory_map
from .devices import CLINT, UART, ExitDevice
from .memory import BootROM, MainMemory
from .stalls import RandomStalls

__all__ = ["FidesSoC"]


class FidesSoC(wiring.Component):
    """The top level: serial lines, one external interrupt, and what the exit device says. With
    ``config.core.rvfi`` the core's retirement report comes out as ``rvfi_*``. Everything runs on the one
    clock of domain ``sync``."""

    def __init__(self, config: Config):
        self._config = config
        ports = {
            "uart_tx": Out(1),
            "uart_rx": In(1, init=1),
            "external_interrupt": In(1),
            "exit_valid": Out(1),
            "exit_code": Out(32),
        }
        if config.core.rvfi:
            ports |= {f"rvfi_{name}": Out(width) for name, width in RVFI_FIELDS.items()}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.core = core = Core(config.core)
        m.submodules.main_memory = memory = MainMemory(config.soc.memory_bytes)
        m.submodules.boot_rom = rom = BootROM(config.core.hart_id)
        m.submodules.uart = uart = UART(config.soc.uart_divisor)
        m.submodules.clint = clint = CLINT()
        devices = [(memory_map.UART, uart.port), (memory_map.CLINT, clint.port)]
        if config.soc.simulation_exit:
            m.submodules.exit = exit_device = ExitDevice()
            devices.append((memory_map.EXIT, exit_device.port))
            m.d.comb += [self.exit_valid.eq(exit_device.valid), self.exit_code.eq(exit_device.code)]

        ibus, dbus = core.ibus, core.dbus
        if config.soc.random_stalls is not None:
            for name, bus in (("ibus", ibus), ("dbus", dbus)):
                signature = InstructionBus if name == "ibus" else DataBus
                stalls = RandomStalls(signature, config.soc.random_stalls * 2 + (name == "dbus"))
                m.submodules[f"{name}_stalls"] = stalls
                connect(m, bus, stalls.upstream)
                if name == "ibus":
                    ibus = stalls.downstream
                else:
                    dbus = stalls.downstream

        def selects(address, base, size):
            return address[size.bit_length() - 1 :] == base >> (size.bit_length() - 1)

        # Every request is granted at once and answered in the next cycle.
        i_memory = Signal()
        i_rom = Signal()
        i_from_memory = Signal()
        i_from_rom = Signal()
        m.d.comb += [
            ibus.gnt.eq(1),
            i_memory.eq(selects(ibus.addr, memory_map.MAIN_MEMORY_BASE, config.soc.memory_bytes)),
            i_rom.eq(selects(ibus.addr, memory_map.BOOT_ROM.base, memory_map.BOOT_ROM.size)),
            memory.i_request.eq(ibus.req & i_memory),
            memory.i_address.eq(ibus.addr),
            rom.i_request.eq(ibus.req & i_rom),
            rom.i_address.eq(ibus.addr),
            ibus.rdata.eq(Mux(i_from_memory, memory.i_data, rom.i_data)),
            ibus.err.eq(~(i_from_memory | i_from_rom)),
        ]
        m.d.sync += ibus.rvalid.eq(ibus.req)
        with m.If(ibus.req):
            m.d.sync += [i_from_memory.eq(i_memory), i_from_rom.eq(i_rom)]

        sources = []
        answered = 0

        def attach(select, rdata, name):
            """Route this select's response to the core in the cycle after the request."""
            nonlocal answered
            chosen = Signal(name=f"d_from_{name}")
            with m.If(dbus.req):
                m.d.sync += chosen.eq(select)
            sources.append((chosen, rdata))
            answered = answered | chosen

        lanes = Mux(dbus.we, dbus.be, 0)
        d_memory = selects(dbus.addr, memory_map.MAIN_MEMORY_BASE, config.soc.memory_bytes)
        m.d.comb += [
            memory.d_request.eq(dbus.req & d_memory),
            memory.d_address.eq(dbus.addr),
            memory.d_lanes.eq(lanes),
            memory.d_wdata.eq(dbus.wdata),
        ]
        attach(d_memory, memory.d_data, "memory")
        # Stores to the boot ROM are refused: reads alone select it.
        d_rom = selects(dbus.addr, memory_map.BOOT_ROM.base, memory_map.BOOT_ROM.size) & ~dbus.we
        m.d.comb += [rom.d_request.eq(dbus.req & d_rom), rom.d_address.eq(dbus.addr)]
        attach(d_rom, rom.d_data, "boot_rom")
        for region, port in devices:
            select = selects(dbus.addr, region.base, region.size)
            m.d.comb += [
                port.request.eq(dbus.req & select),
                port.address.eq(dbus.addr),
                port.lanes.eq(lanes),
                port.wdata.eq(dbus.wdata),
            ]
            attach(select, port.rdata, region.name)

        value = 0
        for chosen, rdata in sources:
            value = value | (rdata & chosen.replicate(64))
        m.d.comb += [dbus.gnt.eq(1), dbus.rdata.eq(value), dbus.err.eq(~answered)]
        m.d.sync += dbus.rvalid.eq(dbus.req)

        m.d.comb += [
            uart.rx.eq(self.uart_rx),
            self.uart_tx.eq(uart.tx),
            core.time.eq(clint.time),
            core.software_interrupt.eq(clint.software_interrupt),
            core.timer_interrupt.eq(clint.timer_interrupt),
            core.external_interrupt.eq(self.external_interrupt),
            core.fence_i_done.eq(1),
        ]
        if config.core.rvfi:
            m.d.comb += [getattr(self, f"rvfi_{name}").eq(getattr(core.rvfi, name)) for name in RVFI_FIELDS]
        return m
