"""`smart` alone: the first steps, as far as they are taken already."""

from __future__ import annotations

import typer

from smartcli.cli.state import state_of


def welcome(ctx: typer.Context) -> None:
    """Print the next step."""
    state_of(ctx).out.print("smart prepare demo")
