"""`smart ensemble`: combine checkpoints."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from smartcli.cli import complete
from smartcli.cli.output import print_json
from smartcli.cli.state import state_of


def ensemble(
    ctx: typer.Context,
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="CKPT...",
            help="Members: names, ckpt1..ckpt5 or 'sweep-*'; all trained on the same data.",
            autocompletion=complete.checkpoints,
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Its name (default: the next ckptN).", show_default=False),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            metavar="N",
            help="Take the best N of the checkpoints only: chosen on one half of dev, reported on the other.",
            show_default=False,
        ),
    ] = None,
    vote: Annotated[
        str,
        typer.Option(
            "--vote",
            metavar="mode|mean",
            help="mode: most frequent class, median score (the paper's). mean: highest mean probability, mean score.",
            autocompletion=complete.choices("mode", "mean"),
        ),
    ] = "mode",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Combine checkpoints and register the result, which evaluate, predict and report take like any other.

    Classes: the members' most frequent prediction, a tie going to the highest mean probability among the
    tied. Scores: the median. --vote mean takes mean probabilities and mean scores instead. Members and ensemble are
    printed in one table.

    Example: smart ensemble ckpt1..ckpt5 --name five
    """
    from smartcli.report.tables import print_table
    from smartcli.workflows.scoring.ensembling import ensemble as combine

    state = state_of(ctx)
    outcome = combine(state.home, checkpoints, name=name, top=top, vote=vote, argv=["smart", *sys.argv[1:]])
    for note in outcome.table.notes:
        state.warn(note)
    if as_json:
        print_json(outcome.to_json())
    else:
        print_table(state.out, outcome.table.to_rich())
    made = outcome.checkpoint.name
    state.say(f"registered as {made}; next: smart evaluate, or smart predict {made} --task TASK --input FILE")
