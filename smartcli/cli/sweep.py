"""`smart sweep`: a grid over training options."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from smartcli.cli import complete
from smartcli.cli.options import Jobs, TrainingOptions, training_options
from smartcli.cli.state import state_of
from smartcli.errors import UserError, suggest

_PANEL = "Sweep"
_SEARCH: dict[str, Any] = {"rich_help_panel": "Search", "show_default": False}


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
            "Values that hold commas are parted by |. Default: the paper's Table 3. With --search tpe also "
            "OPTION=LOW..HIGH, LOW..HIGH:log or LOW..HIGH:STEP.",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    search: Annotated[
        str,
        typer.Option(
            "--search",
            metavar="grid|tpe",
            help="Train every combination, or draw trials where earlier ones scored well (tpe; Optuna).",
            autocompletion=complete.choices("grid", "tpe"),
            rich_help_panel=_PANEL,
        ),
    ] = "grid",
    trials: Annotated[
        int | None,
        typer.Option("--trials", metavar="N", help="Trials of --search tpe, of all workers together.", **_SEARCH),
    ] = None,
    bounds: Annotated[
        Path | None,
        typer.Option(
            "--bounds", metavar="FILE", help="TOML file with the bounds of --search tpe, a table an option.", **_SEARCH
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="FILE|URL",
            help="Where --search tpe keeps its trials: a file, or the URL of a database; workers that name the same "
            "one share the search (default: a file in the home).",
            **_SEARCH,
        ),
    ] = None,
    prune: Annotated[
        str | None,
        typer.Option(
            "--prune",
            metavar="median|off",
            help="End a trial of --search tpe whose best epoch so far is below the median (default: median).",
            autocompletion=complete.choices("median", "off"),
            **_SEARCH,
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
    checkpoints called sweep-…, or with --name PREFIX PREFIX-…. With --search tpe the trials are drawn between
    bounds, and those that fall behind are ended early; several machines may share one search.

    Example: smart sweep --grid lambda=0,1,5 --grid dropout=.1,.3 --seeds 3 --top 5
    """
    from smartcli.cli.cells_output import check_options, print_plan, print_results
    from smartcli.cli.cells_view import CellsView
    from smartcli.workflows.studies.grid import add_ensemble, default_grid, plan_sweep, read_grid, run_sweep

    state, argv = state_of(ctx), ["smart", *sys.argv[1:]]
    if _is_search(search, trials, bounds, storage, prune):
        from smartcli.cli.search_command import search_trials

        if seeds != 1 or sample is not None:
            raise UserError("--seeds and --sample are for a grid; a trial of --search tpe trains one seed, --seed")
        search_trials(
            state,
            options,
            argv,
            entries=grid or [],
            bounds=bounds,
            trials=trials,
            storage=storage,
            prune=prune != "off",
            jobs=jobs,
            top=top,
            output=output,
            title=title,
            as_json=as_json,
        )
        return
    check_options(jobs, output)
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
        print_plan(state, plan.base, plan.planned)
        return
    with CellsView(state.err, plan.planned, quiet=state.quiet, several=jobs > 1) as view:
        results, ranked = run_sweep(plan, argv, view, jobs)
    if top is not None:
        results = add_ensemble(state.home, results, ranked, top, argv)
    print_results(state, replace(results, title=title or results.title), as_json=as_json, output=output)
    state.say(f"next: smart ensemble '{plan.base.prefix}-*', or smart report {results.checkpoints[0]}")


def _is_search(search: str, trials: int | None, bounds: Path | None, storage: str | None, prune: str | None) -> bool:
    """Return whether the sweep is a search; UserErrors for options of the one given with the other."""
    if search not in ("grid", "tpe"):
        raise UserError(f"--search must be one of grid, tpe; found {search!r}{suggest(search, ('grid', 'tpe'))}")
    given = {"--trials": trials, "--bounds": bounds, "--storage": storage, "--prune": prune}
    if search == "grid":
        for flag, value in given.items():
            if value is not None:
                raise UserError(f"{flag} is for a search; give --search tpe, or leave it out")
        return False
    if prune not in (None, "median", "off"):
        raise UserError(f"--prune must be one of median, off; found {prune!r}{suggest(prune, ('median', 'off'))}")
    return True
