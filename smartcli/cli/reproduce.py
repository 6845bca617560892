"""`smart reproduce`: the paper's tables and Figure 3 on your data and encoder."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from smartcli.cli import complete
from smartcli.cli.options import Jobs, TrainingOptions, training_options
from smartcli.cli.state import state_of

_PANEL = "Reproduce"
_TARGETS = "table2|table3|table4|figure3|methods"


@training_options
def reproduce(
    ctx: typer.Context,
    options: TrainingOptions,
    target: Annotated[
        str,
        typer.Argument(
            metavar=_TARGETS,
            help="What to reproduce.",
            autocompletion=complete.choices(*_TARGETS.split("|")),
            show_default=False,
        ),
    ],
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", help="Seeds a row, counting up from --seed.", rich_help_panel=_PANEL)
    ] = 1,
    jobs: Jobs = 1,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Markdown file to put the table into, such as results.md; the section of this table is "
            "replaced, all else stays. Figure 3's pictures go beside it.",
            rich_help_panel=_PANEL,
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=_PANEL)] = False,
) -> None:
    """Run the paper's rows and print its numbers, ours and the difference, and whether its orderings hold.

    Run the same command again to go on: finished rows are reused, an interrupted one is resumed. `methods` is ours
    and not in the paper: each method against plain training, made for several seeds. With --rows N every row trains
    on N rows a task, and the table says so.

    Example: smart reproduce table2 --encoder minilm --rows 2000 --jobs 2 --output results.md
    """
    from smartcli.cli.cells_output import check_options, print_plan, print_results
    from smartcli.cli.cells_view import CellsView
    from smartcli.workflows.studies.reproduction import draw_figure3, plan_reproduction, run_reproduction

    state, argv = state_of(ctx), ["smart", *sys.argv[1:]]
    check_options(jobs, output)
    work = plan_reproduction(
        state.home, target, options.flags, seeds=seeds, config=options.config, recipe=options.recipe
    )
    if options.flags.get("dry_run"):
        print_plan(state, work.base, work.planned)
        return
    with CellsView(state.err, work.planned, quiet=state.quiet, several=jobs > 1) as view:
        results = run_reproduction(work, argv, view, jobs)
    if work.recipe.curve is not None:
        folder = Path.cwd() if output is None else output.parent
        results = replace(results, pictures=draw_figure3(state.home, results, work, folder))
    print_results(state, results, as_json=as_json, output=output)
