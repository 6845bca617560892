"""`smart checkpoints push`: a checkpoint to a hub, or to any file system that fsspec names."""

from __future__ import annotations

from typing import Annotated

import typer

from smartcli.cli import complete
from smartcli.cli.state import state_of


def push_checkpoint(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="CKPT", help="Checkpoint.", autocompletion=complete.checkpoints)],
    target: Annotated[
        str,
        typer.Argument(
            metavar="ORG/NAME|URL",
            help="Repository on the Hugging Face hub, or a folder such as s3://BUCKET/ckpt1, sftp://HOST/DIR/ckpt1, "
            "file:///DIR/ckpt1; a URL that ends in / gets the checkpoint's name.",
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    private: Annotated[bool, typer.Option("--private", help="A new repository is seen by its owners alone.")] = False,
    licence: Annotated[
        str | None,
        typer.Option(
            "--license",
            metavar="ID",
            help="Licence for the repository's page, such as apache-2.0 (default: the encoder's, where it is known).",
            show_default=False,
        ),
    ] = None,
    no_export: Annotated[
        bool, typer.Option("--no-export", help="Without the folders for transformers, each as large as the encoder.")
    ] = False,
) -> None:
    """Write a checkpoint to a hub's repository or to another file system, and compare what then lies there.

    It appears there whole or not at all. The same command again goes on with one that broke off.

    Example: smart checkpoints push ckpt1 my-lab/sentiment
    """
    from smartcli.workflows.sharing.share import push

    state = state_of(ctx)
    done = push(
        state.home,
        name,
        target,
        force=force,
        private=private,
        licence=licence,
        export=not no_export,
        say=state.say,
    )
    for note in done.notes:
        state.warn(note)
    if done.already:
        state.say(f"{name} is there already, with the same content; nothing to do")
    typer.echo(done.address)
