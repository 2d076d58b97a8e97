"""The entry point of ``fides``: the compiler, which makefiles run a thousand times, does not wait for the
modules of the other commands."""

import signal
import sys

from fides_core.errors import UserError

__all__ = ["main"]


def main() -> None:
    """Runs ``fides``; does not return."""
    if len(sys.argv) > 1 and sys.argv[1] == "cc":
        from .driver import run_command

        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that temporary files go
        try:
            sys.exit(run_command(sys.argv[2:]))
        except UserError as error:
            print(f"fides cc: {' '.join(str(error).split())}", file=sys.stderr)
            sys.exit(2)
        except BrokenPipeError:
            sys.exit(1)
        except KeyboardInterrupt:
            print("fides cc: interrupted", file=sys.stderr)
            sys.exit(130)
    from fides_core import cli

    cli.main()


if __name__ == "__main__":
    main()
