"""Text files that users give."""

from pathlib import Path

from .errors import UserError

__all__ = ["read_text"]


def read_text(path: Path) -> str:
    """What is in ``path``. Raises UserError, naming it, when it cannot be read or is no text."""
    try:
        return path.read_text()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file") from None
