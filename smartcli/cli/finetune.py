"""`smart finetune`: multitask training."""

from __future__ import annotations

import typer

from smartcli.cli.options import TrainingOptions, training_options
from smartcli.cli.training_command import run_training


@training_options
def finetune(ctx: typer.Context, options: TrainingOptions) -> None:
    """Train one encoder and a head a task, and register the best epoch as a checkpoint.

    Each option's default is the paper's; the encoder's preset, then --recipe, then --config, then the flags
    given here replace it. The values in force are printed before training.

    Example: smart finetune --schedule simultaneous --lambda 5 --name first
    """
    run_training(ctx, "finetune", options)
