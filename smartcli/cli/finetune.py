"""`smart finetune`: multitask training."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from smartcli.cli.options import Jobs, TrainingOptions, training_options
from smartcli.cli.state import state_of
from smartcli.cli.training_command import run_training


@training_options
def finetune(
    ctx: typer.Context,
    options: TrainingOptions,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds",
            metavar="K",
            help="Train K times, each time without another K-th of the train rows; predict those rows, and combine "
            "the K trainings into an ensemble.",
            rich_help_panel="Cells",
            show_default=False,
        ),
    ] = None,
    jobs: Jobs = 1,
) -> None:
    """Train one encoder with one head per task, and register the best epoch as a checkpoint.

    Each option's default is the paper's; the encoder's preset, then --recipe, then --config, then the flags
    given here replace it. The values in force are printed before training.

    Example: smart finetune --schedule simultaneous --lambda 5 --name first
    """
    if folds is not None:
        _train_folds(ctx, options, folds, jobs)
        return
    if jobs != 1:
        from smartcli.errors import UserError

        raise UserError(f"--jobs {jobs} is for several trainings at a time; give it with --folds, or leave it out")
    run_training(ctx, "finetune", options)


def _train_folds(ctx: typer.Context, options: TrainingOptions, folds: int, jobs: int) -> None:
    from smartcli import ranks
    from smartcli.cli.cells_output import print_plan
    from smartcli.cli.cells_view import CellsView
    from smartcli.report.tables import print_table
    from smartcli.workflows.studies.fold_training import plan_folds, train_folds

    ranks.refuse("--folds")
    state = state_of(ctx)
    plan = plan_folds(state.home, folds, options.flags, config=options.config, recipe=options.recipe)
    if options.flags.get("dry_run"):
        print_plan(state, plan.base, plan.planned)
        return
    with CellsView(state.err, plan.planned, quiet=state.quiet, several=jobs > 1) as view:
        finished = train_folds(plan, ["smart", *sys.argv[1:]], view, jobs, state.say)
    print_table(state.out, finished.table.to_rich())
    state.say(f"out-of-fold predictions: {finished.path}")
    state.say(f"registered as {finished.checkpoint.name}; next: smart predict {finished.checkpoint.name} --input FILE")
