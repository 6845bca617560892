"""`smart sweep --search tpe`: its part of the command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from smartcli.cli.options import TrainingOptions
from smartcli.cli.state import CliState

if TYPE_CHECKING:
    from smartcli.workflows.search.search_plan import Search


def search_trials(
    state: CliState,
    options: TrainingOptions,
    argv: list[str],
    *,
    entries: Sequence[str],
    bounds: Path | None,
    trials: int | None,
    storage: str | None,
    prune: bool,
    jobs: int,
    top: int | None,
    output: Path | None,
    title: str | None,
    as_json: bool,
) -> None:
    """Plan the search, do this worker's part of it, and print the table of all trials."""
    from smartcli.cli.cells_output import check_options, print_results
    from smartcli.cli.cells_view import CellsView
    from smartcli.errors import UserError
    from smartcli.workflows.search.bounds import Choice, read_bounds
    from smartcli.workflows.search.search_plan import plan_search
    from smartcli.workflows.search.search_results import run_search
    from smartcli.workflows.studies.grid import default_grid

    if trials is None:
        raise UserError("--search tpe needs --trials N: how many trials all workers train together")
    check_options(jobs, output)
    chosen = read_bounds(entries, bounds) if entries or bounds is not None else {}
    plan = plan_search(
        state.home,
        chosen or {key: Choice(tuple(values)) for key, values in default_grid().items()},
        options.flags,
        trials=trials,
        storage=storage,
        prune=prune,
        top=top,
        config=options.config,
        recipe=options.recipe,
    )
    if options.flags.get("dry_run"):
        _print_plan(state, plan)
        return
    with CellsView(state.err, [], quiet=state.quiet, several=jobs > 1, total=trials) as view:
        results = run_search(plan, argv, view, jobs, top)
    print_results(state, replace(results, title=title or results.title), as_json=as_json, output=output)
    state.say(f"next: smart report {results.checkpoints[0]}")


def _print_plan(state: CliState, plan: Search) -> None:
    """Print what `--dry-run` shows; the storage is not asked, since that would begin the study."""
    from rich import box
    from rich.table import Table

    from smartcli.visible import plain

    table = Table("option", "drawn from", box=box.SIMPLE_HEAD)
    for key, bound in plan.bounds.items():
        table.add_row(plain(key.replace("_", "-")), plain(bound.text()))
    state.out.print(table)
    state.say(f'{plan.trials} trials of the study "{plan.name}" in {plan.place.shown}; nothing is trained')
