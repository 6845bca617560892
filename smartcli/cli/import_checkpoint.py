"""`smart checkpoints import`: a checkpoint folder from another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smartcli.cli.state import state_of


def import_checkpoint(
    ctx: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="DIR", help="A checkpoint's folder, as it lies in another home's checkpoints/.")
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name here (default: the one it has).", show_default=False),
    ] = None,
) -> None:
    """Take in a checkpoint from another machine, after verifying every file of it; all of it or nothing.

    With its own name the content stays the same to the byte, so that ensembles find it; --name gives another.

    Example: smart checkpoints import /media/stick/ckpt3 --name from-lab
    """
    from smartcli.workflows.checkpoints.checkpoint_import import import_folder

    state = state_of(ctx)
    done = import_folder(state.home, source, name)
    for warning in done.warnings:
        state.warn(warning)
    if done.already:
        state.say(f"{done.name} is here already, with the same content; nothing to do")
    else:
        state.say(f"imported {done.name}; next: smart show {done.name}")
