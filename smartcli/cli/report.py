"""`smart report`: figures and one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smartcli.cli import complete
from smartcli.cli.counting import CountingView
from smartcli.cli.state import state_of
from smartcli.counts import counted


def report(
    ctx: typer.Context,
    checkpoints: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CKPT]...",
            help="Checkpoints, ranges (ckpt1..ckpt5) or globs ('sweep-*'); default: all of the data set.",
            autocompletion=complete.checkpoints,
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", metavar="DIR", help="Folder for report.html, scores.json and figures/.", show_default=False
        ),
    ] = Path("report"),
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="NAME",
            help="Data set to score on (default: the checkpoints' own).",
            autocompletion=complete.data_sets,
            show_default=False,
        ),
    ] = None,
    explain: Annotated[
        int,
        typer.Option(
            "--explain",
            metavar="N",
            min=0,
            help="Show the words that matter and the nearest training rows of the N worst errors of each task "
            "(0: of none). The first time this runs each model over its training rows.",
        ),
    ] = 3,
) -> None:
    """Write the dev table, the paper's figures, the worst errors and calibration as one HTML page.

    The page needs nothing outside itself. Figures also come as PNG and SVG, and the scores, by class
    too, as scores.json.

    Example: smart report ckpt1 ckpt2 --output report
    """
    from smartcli.workflows.reporting.report_page import report as write_report

    state = state_of(ctx)
    with CountingView(state.err, quiet=state.quiet) as view:
        done = write_report(
            state.home, checkpoints or [], output, data=data, explain=explain, say=state.say, progress=view.count
        )
    state.out.print(str(done.page), markup=False, highlight=False, soft_wrap=True)
    state.say(f"{counted(len(done.figures), 'figure file')} in {output / 'figures'}")
