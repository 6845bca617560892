"""`smart compare`: whether a difference is real."""

from __future__ import annotations

from typing import Annotated

import typer

from smartcli.cli import complete
from smartcli.cli.output import print_json, print_line
from smartcli.cli.state import state_of

HELP = "A checkpoint or an ensemble; for several seeds a range, a glob such as 'plain-*', or names joined by commas."


def compare(
    ctx: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help=HELP, autocompletion=complete.checkpoints)],
    b: Annotated[str, typer.Argument(metavar="B", help="The other side.", autocompletion=complete.checkpoints)],
    split: Annotated[
        str,
        typer.Option(
            "--split",
            metavar="dev|test",
            help="Which labelled rows to compare on.",
            autocompletion=complete.choices("dev", "test"),
        ),
    ] = "dev",
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="NAME",
            help="Compare on this data set; other than the training data it runs the models (default: their own).",
            autocompletion=complete.data_sets,
            show_default=False,
        ),
    ] = None,
    draws: Annotated[int, typer.Option("--draws", metavar="N", help="Draws of the bootstrap.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the draws.")] = 0,
    int8: Annotated[
        bool, typer.Option("--int8", help="Run B's models in int8: against themselves it shows what int8 costs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Say whether B is better than A on each task and overall, or whether the difference may be chance.

    One checkpoint a side: McNemar's exact test for accuracy, the paired bootstrap for other scores. Several seeds a
    side: the difference of their means, rows and seeds both drawn again. A claim needs p below .05 after Holm's
    adjustment for all tests of the call.

    Example: smart compare 'plain-*' 'smart-*'
    """
    from smartcli.report.tables import print_table
    from smartcli.workflows.scoring.comparison import compare as run

    state = state_of(ctx)
    found = run(state.home, a, b, split=split, data=data, draws=draws, seed=seed, int8=int8, say=state.say)
    for note in found.notes:
        state.warn(note)
    if as_json:
        print_json(found.to_json())
    else:
        print_table(state.out, found.to_rich())
        print_line(state.out, found.sentence())
