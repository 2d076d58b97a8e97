"""The boards there are: the files of ``boards/``, or one of the user's own."""

import importlib.util
from pathlib import Path

from fides_core.errors import UserError
from fides_core.flow import tools
from fides_core.soc.board import Board

__all__ = ["DIRECTORY", "board_names", "load_board"]

DIRECTORY = tools.ROOT / "boards"


def board_names(directory: Path = DIRECTORY) -> list[str]:
    """The names of the boards that have a file."""
    return sorted(path.stem for path in directory.glob("*.py") if path.stem.isidentifier())


def load_board(name: str, directory: Path = DIRECTORY) -> Board:
    """The board ``name``, or the one that the Python file ``name`` describes.

    Raises UserError when there is none, or the file is not the description of a board.
    """
    own = name.endswith(".py")
    path = Path(name) if own else directory / f"{name}.py"
    if not own and name not in board_names(directory):
        known = ", ".join(board_names(directory))
        raise UserError(f"unknown board {name!r}; there are {known}, or give the path of a file")
    spec = importlib.util.spec_from_file_location(f"fides_board_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except ModuleNotFoundError as error:
        raise UserError(f"{path} needs the Python package {error.name}: run `make setup`") from None
    except Exception as error:  # whatever a file of the user's own may raise
        what = str(error) or type(error).__name__
        raise UserError(f"{path} is not the description of a board: {what}") from None
    board = getattr(module, "BOARD", None)
    if not isinstance(board, Board):
        raise UserError(f"{path} is not the description of a board: it has no BOARD of type Board")
    return board
