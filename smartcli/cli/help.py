"""Help texts as Rich shows them: paragraphs joined, brackets kept, no type beside a flag."""

from __future__ import annotations

import inspect
from typing import Any


def tidy_help(command: Any) -> None:
    """Put the help of a command, its parameters and its sub-commands in the form that Typer prints as meant.

    Typer's Rich mode keeps the line breaks of a docstring and reads `[word]` as a style; it shows a
    flag's type, which is always bool.
    """
    if command.help:
        command.help = _escaped(_joined(command.help))
    from typer import Context

    # Built at the first use and kept; Typer shows its type too.
    own_help = command.get_help_option(Context(command))
    for parameter in [*command.params, *filter(None, [own_help])]:
        if getattr(parameter, "help", None):
            parameter.help = _escaped(parameter.help)
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    for child in getattr(command, "commands", {}).values():
        tidy_help(child)


def _joined(text: str) -> str:
    """Return `text` with each paragraph on one line; indented paragraphs (blocks of commands) stay."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(part if part.startswith((" ", "\b")) else " ".join(part.split()) for part in paragraphs)


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")
