"""`smart checkpoints export`: a checkpoint as folders that other tools load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smartcli.cli import complete
from smartcli.cli.state import state_of


def export(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="CKPT", help="Checkpoint.", autocompletion=complete.checkpoints)],
    file_format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="hf|onnx",
            help="hf: for transformers and sentence-transformers; onnx: for onnxruntime (extra `onnx`).",
            autocompletion=complete.choices("hf", "onnx"),
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="New or empty folder; each task gets a folder in it.")
    ],
    int8: Annotated[
        bool, typer.Option("--int8", help="onnx: weights in int8, a quarter of the size, for CPUs.")
    ] = False,
) -> None:
    """Write a folder for each task that other tools load, with the same predictions and no code of its own.

    What the format cannot hold is said, and stands in each folder's README.md. The folder appears whole or
    not at all.

    Example: smart checkpoints export ckpt1 --format hf --output exported
    """
    from smartcli.workflows.checkpoints.export_folders import export_checkpoint

    state = state_of(ctx)
    done = export_checkpoint(state.home, name, output, file_format, state.say, int8=int8)
    for folder in done.folders.values():
        typer.echo(folder)
    for task, reason in done.left_out.items():
        state.warn(f"{task} was left out: {reason}")
    for line in done.limits:
        state.say(f"note: {line}")
