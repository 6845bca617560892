"""`smart sweep`: a grid over training options."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from smartcli.cli.options import Jobs, TrainingOptions, training_options
from smartcli.cli.state import state_of

_PANEL = "Sweep"


@training_options
def sweep(
    ctx: typer.Context,
    options: TrainingOptions,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar="OPTION=V1,V2,…",
            help="Values of a training option, once an option; every combination is a cell. "
            "Values that hold commas are parted by |. Default: the paper's Table 3.",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", help="Seeds a cell, counting up from --seed.", rich_help_panel=_PANEL)
    ] = 1,
    jobs: Jobs = 1,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            metavar="N",
            help="Train N cells of the grid, drawn at random by --seed (default: all).",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            metavar="N",
            help="Combine the N best cells by dev overall into an ensemble, as the paper's Table 4 does.",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Markdown file to put the table into; a section of the same name is replaced, all else stays.",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    title: Annotated[
        str | None,
        typer.Option("--title", metavar="TEXT", help="Title of the table.", rich_help_panel=_PANEL, show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=_PANEL)] = False,
) -> None:
    """Train every combination of some options' values, and show mean and standard deviation over seeds.

    Run the same command again to go on: finished cells are reused, an interrupted one is resumed. Cells are
    checkpoints called sweep-…, or with --name PREFIX PREFIX-….

    Example: smart sweep --grid lambda=0,1,5 --grid dropout=.1,.3 --seeds 3 --top 5
    """
    from smartcli.cli.cells_output import print_plan, print_results
    from smartcli.cli.cells_view import CellsView
    from smartcli.workflows.studies.grid import add_ensemble, default_grid, plan_sweep, read_grid, run_sweep

    state, argv = state_of(ctx), ["smart", *sys.argv[1:]]
    plan = plan_sweep(
        state.home,
        read_grid(grid) if grid else default_grid(),
        options.flags,
        seeds=seeds,
        sample=sample,
        top=top,
        config=options.config,
        recipe=options.recipe,
    )
    if options.flags.get("dry_run"):
        print_plan(state, plan.planned)
        return
    with CellsView(state.err, plan.planned, quiet=state.quiet, several=jobs > 1) as view:
        results, ranked = run_sweep(plan, argv, view, jobs)
    if top is not None:
        results = add_ensemble(state.home, results, ranked, top, argv)
    print_results(state, replace(results, title=title or results.title), as_json=as_json, output=output)
    state.say(f"next: smart ensemble '{plan.base.prefix}-*', or smart report {results.checkpoints[0]}")
