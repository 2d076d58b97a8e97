"""``python -m fides_core.model IMAGE.elf``: run a program on the golden model."""

import argparse
import sys

from ..config import PRESETS, preset
from .platform import Platform

#: Exit status when the program did not end by itself, as coreutils' timeout has it.
DID_NOT_END = 124


def main(arguments: list[str] | None = None) -> int:
    """Run an image; the program's exit code (low 8 bits), 124 when it did not end, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m fides_core.model", description="Run a program on the model."
    )
    parser.add_argument("image", help="RV64 ELF file")
    names = ", ".join(PRESETS)
    parser.add_argument("--preset", default="fides", help=f"configuration: {names} (default: fides)")
    parser.add_argument("--max-instructions", type=int, metavar="N", help="limit, traps count too")
    parser.add_argument("--trace", action="store_true", help="every instruction on standard error")
    options = parser.parse_args(arguments)

    def transmit(byte):
        sys.stdout.buffer.write(bytes([byte]))
        if byte == 0x0A:
            sys.stdout.buffer.flush()

    try:
        platform = Platform(preset(options.preset), on_transmit=transmit)
        platform.load_elf(options.image)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    trace = (lambda line: print(line, file=sys.stderr)) if options.trace else None
    outcome = platform.run(options.max_instructions, trace)
    sys.stdout.buffer.flush()
    print(f"{outcome.instructions} instructions", file=sys.stderr)
    if outcome.exit_code is None:
        why = "waiting for an interrupt that cannot come" if platform.hart.stalled else "limit reached"
        print(f"{why}, pc {outcome.pc:#x}", file=sys.stderr)
        return DID_NOT_END
    return outcome.exit_code & 0xFF


if __name__ == "__main__":
    sys.exit(main())
