"""`smart distill`: one student of an ensemble."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from smartcli.cli import complete
from smartcli.cli.options import TrainingOptions, training_options
from smartcli.cli.training_command import run_training


@training_options
def distill(
    ctx: typer.Context,
    options: TrainingOptions,
    ensemble: Annotated[
        str | None,
        typer.Argument(
            metavar="ENSEMBLE",
            help="The teacher: an ensemble or a checkpoint (with --resume the run's own).",
            autocompletion=complete.checkpoints,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train one student on an ensemble's probabilities and scores beside the labels: its quality at one model's cost.

    The loss is label-share x the labels' + (1 - label-share) x T^2 x KL of the teacher from the student, both at
    temperature T (Hinton et al. 2015); scores take their squared difference. Members predict the train rows once. The
    student is trained as by finetune, with its options; --unlabelled adds rows without labels, which the teacher
    labels.

    Example: smart distill five --temperature 2 --name student
    """
    if ensemble is not None:
        other = options.flags.get("teacher")
        if other is not None and other != ensemble:
            from smartcli.errors import UserError

            raise UserError(f"--teacher is {other}, but the teacher named first is {ensemble}; leave --teacher out")
        options = replace(options, flags=options.flags | {"teacher": ensemble})
    run_training(ctx, "distill", options)
