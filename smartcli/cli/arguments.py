"""Rewrites of the argument list that Typer cannot express."""

from __future__ import annotations

from collections.abc import Sequence

EVERYWHERE = ("--quiet", "--debug")
"""Global flags that may also stand after the command."""


def rewrite(arguments: Sequence[str]) -> list[str]:
    """Move the flags of `EVERYWHERE` to the front and turn a bare `--resume` into `--resume auto`.

    Nothing after `--` is touched. Typer has no optional option values, so a `--resume` that is last or
    followed by another option gets its value here.
    """
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    front: list[str] = []
    rest: list[str] = []
    for at, word in enumerate(arguments[:end]):
        if word in EVERYWHERE:
            front.append(word)
            continue
        rest.append(word)
        if word == "--resume" and _no_value(arguments[at + 1 : end]):
            rest.append("auto")
    return list(dict.fromkeys(front)) + rest + list(arguments[end:])


def _no_value(following: Sequence[str]) -> bool:
    return not following or following[0].startswith("-")
