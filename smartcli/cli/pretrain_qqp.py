"""`smart pretrain-qqp`: training on the paraphrase task alone, as a start for the others."""

from __future__ import annotations

import typer

from smartcli.cli.options import TrainingOptions, training_options
from smartcli.cli.training_command import run_training


@training_options
def pretrain_qqp(ctx: typer.Context, options: TrainingOptions) -> None:
    """Train encoder and QQP head on QQP alone, for one epoch unless told otherwise, to start from with --init.

    Example: smart pretrain-qqp --name start, then smart finetune --init start
    """
    run_training(ctx, "pretrain-qqp", options)
