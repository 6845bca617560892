"""`smart soup`: average the weights of several runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from smartcli.cli import complete
from smartcli.cli.output import print_json
from smartcli.cli.state import state_of


def soup(
    ctx: typer.Context,
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="CKPT...",
            help="Runs of one start: names, ckpt1..ckpt5 or 'sweep-*'.",
            autocompletion=complete.checkpoints,
        ),
    ],
    greedy: Annotated[
        bool,
        typer.Option(
            "--greedy",
            help="From the best run to the worst, keep one where the mean with it scores no less: chosen on one half "
            "of dev, reported on the other.",
        ),
    ] = False,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Its name (default: the next ckptN).", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Average the weights of several runs into one checkpoint, which costs what one of them costs (Wortsman 2022).

    The runs must have one start: the same --init with all heads, or the same encoder and --init-seed; they may differ
    in --seed, learning rate, penalties, and rows. Two starts are refused: the mean of their weights is no model.

    Example: smart soup ckpt1..ckpt5 --greedy --name broth
    """
    from smartcli.report.tables import print_table
    from smartcli.workflows.scoring.souping import soup as average

    state = state_of(ctx)
    argv = ["smart", *sys.argv[1:]]
    outcome = average(state.home, checkpoints, greedy=greedy, name=name, argv=argv, say=state.say)
    for note in outcome.table.notes:
        state.warn(note)
    if as_json:
        print_json(outcome.to_json())
    else:
        print_table(state.out, outcome.table.to_rich())
    made = outcome.checkpoint.name
    state.say(f"registered as {made}; next: smart evaluate, or smart predict {made} --task TASK --input FILE")
