"""`--precision fp32|int8` of the commands that run finished models."""

from __future__ import annotations

from typing import Annotated

import typer

from smartcli.cli import complete
from smartcli.errors import UserError, suggest

CHOICES = ("fp32", "int8")
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="fp32|int8",
        help="int8: linear layers multiply in whole numbers, on the CPU, in less time (default: fp32).",
        autocompletion=complete.choices(*CHOICES),
        show_default=False,
    ),
]


def in_int8(precision: str | None) -> bool:
    """Return whether models are to run in int8; a UserError names another word."""
    if precision not in (None, *CHOICES):
        raise UserError(f'--precision must be fp32 or int8; found "{precision}"{suggest(precision, CHOICES)}')
    return precision == "int8"
