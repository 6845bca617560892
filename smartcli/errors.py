"""Errors that reach the user as one message and an exit code, never as a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST_LINE = 2000


class SmartCliError(Exception):
    """A failure that the user can read; the message says expected, found and what to do."""

    exit_code = 1

    def __str__(self) -> str:
        return "\n".join(map(_shortened, super().__str__().split("\n")))


class UserError(SmartCliError):
    """The user's input (option, file, name) is wrong: exit code 2."""

    exit_code = 2


class Stopped(SmartCliError):
    """A signal ended the work after its state was saved: exit code 130 or 143."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class SaidElsewhere(SmartCliError):
    """Of several processes with the same error another one says it; this one ends with its exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("said by another process")
        self.exit_code = exit_code


def _shortened(line: str) -> str:
    """Return a line with its middle left out where a file's content made it endless; the remedy stands at its end."""
    return line if len(line) <= LONGEST_LINE else f"{line[:1200]} … {line[-600:]}"


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean "x"?` for the nearest known word, or the only one that begins so; else an empty string."""
    # Letters' case is no distance: SST is sst.
    by_fold = {name.casefold(): name for name in known}
    typed = word.casefold()
    near = [by_fold[name] for name in difflib.get_close_matches(typed, by_fold, n=1, cutoff=0.6)]
    if not near and typed:
        begun = [name for fold, name in by_fold.items() if fold.startswith(typed)]
        near = begun if len(begun) == 1 else []
    return f'; did you mean "{near[0]}"?' if near else ""
