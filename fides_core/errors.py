"""Errors that are the user's to solve."""

__all__ = ["UserError"]


class UserError(Exception):
    """Something the user can put right: the message is one line, the command line prints it and exits with 2."""
