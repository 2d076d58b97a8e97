"""Instruction and data cache, between the core's buses and AXI4."""

from .system import MemorySystem

__all__ = ["MemorySystem"]
