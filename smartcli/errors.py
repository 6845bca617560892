"""Errors that reach the user as one message and an exit code, never as a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SmartCliError(Exception):
    """A failure that the user can read; the message says expected, found and what to do."""

    exit_code = 1


class UserError(SmartCliError):
    """The user's input (option, file, name) is wrong: exit code 2."""

    exit_code = 2


class Stopped(SmartCliError):
    """A signal ended the work after its state was saved: exit code 130 or 143."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean "x"?` for the nearest known word, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""
