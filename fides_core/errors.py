"""Errors that are the user's to solve."""

__all__ = ["UserError"]


class UserError(Exception):
    """Something the user can put right; the message is one line. The commands print it and exit with 2."""
