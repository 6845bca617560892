"""`smart checkpoints pull`: a checkpoint from a hub, or from any file system that fsspec names."""

from __future__ import annotations

from typing import Annotated

import typer

from smartcli.cli.state import state_of


def pull_checkpoint(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(metavar="ORG/NAME|URL", help="What `smart checkpoints push` was given."),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name here (default: the one it has).", show_default=False),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision",
            metavar="REV",
            help="Branch, tag or commit of a repository (default: main).",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Fetch a checkpoint, verify every byte, and register it; all of it or nothing.

    The same command again goes on with one that broke off.

    Example: smart checkpoints pull my-lab/sentiment
    """
    from smartcli.workflows.sharing.share import pull

    state = state_of(ctx)
    done = pull(state.home, source, name=name, revision=revision, say=state.say)
    for warning in done.warnings:
        state.warn(warning)
    if done.already:
        state.say(f"{done.name} is here already, with the same content; nothing to do")
    else:
        state.say(f"registered {done.name}; next: smart show {done.name}")
