"""`--precision fp32|int8` of the commands that run finished models."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from smartcli.cli import complete
from smartcli.errors import UserError, suggest

CHOICES = ("fp32", "int8")


def option(panel: str | None = None) -> Any:
    """Return the option, for the given panel of the command's help."""
    return typer.Option(
        "--precision",
        metavar="fp32|int8",
        help="int8: linear layers multiply in whole numbers, on the CPU, in less time (default: fp32).",
        autocompletion=complete.choices(*CHOICES),
        rich_help_panel=panel,
        show_default=False,
    )


Precision = Annotated[str | None, option()]


def in_int8(precision: str | None) -> bool:
    """Return whether models are to run in int8; a UserError names another word."""
    if precision not in (None, *CHOICES):
        raise UserError(f'--precision must be fp32 or int8; found "{precision}"{suggest(precision, CHOICES)}')
    return precision == "int8"
