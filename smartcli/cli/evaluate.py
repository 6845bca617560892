"""`smart evaluate`: the table of scores."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from smartcli.cli import complete
from smartcli.cli.inference_precision import Precision, in_int8
from smartcli.cli.output import print_json
from smartcli.cli.state import state_of

Checkpoints = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CKPT]...",
        help="Checkpoints: names, ckpt1..ckpt5 or 'sweep-*' (default: all that were trained on the data set).",
        autocompletion=complete.checkpoints,
        show_default=False,
    ),
]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write the table as CSV (-: to stdout).")]
Latex = Annotated[
    Path | None, typer.Option("--latex", metavar="FILE", help="Also write the table as LaTeX, booktabs (-: to stdout).")
]
SafeCsv = Annotated[
    bool, typer.Option("--safe-csv", help="In CSV put ' before text that a spreadsheet would run as a formula.")
]


def evaluate(
    ctx: typer.Context,
    checkpoints: Checkpoints = None,
    split: Annotated[
        str,
        typer.Option(
            "--split",
            metavar="dev|test",
            help="Which labelled rows to score.",
            autocompletion=complete.choices("dev", "test"),
        ),
    ] = "dev",
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="NAME",
            help="Score on this data set; other than the training data it runs the models (default: their own).",
            autocompletion=complete.data_sets,
            show_default=False,
        ),
    ] = None,
    precision: Precision = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
    csv: Csv = None,
    safe_csv: SafeCsv = False,
    latex: Latex = None,
    by_class: Annotated[
        bool, typer.Option("--by-class", help="Also show precision, recall and F1 of each class, and its rows.")
    ] = False,
    paper: Annotated[bool, typer.Option("--paper", help="Add the rows of the paper's tables 2 to 4.")] = False,
) -> None:
    """Score checkpoints and print one row each: a column per task's metric, and overall.

    Overall is the mean of the tasks' metrics, a correlation r counting as (r + 1)/2. Dev scores come from
    predictions that are stored with each checkpoint; other splits, other data sets and int8 run the model once.

    Example: smart evaluate ckpt1..ckpt3 --csv scores.csv
    """
    from smartcli.atomic import write_output
    from smartcli.report.class_tables import class_tables
    from smartcli.report.tables import print_table
    from smartcli.workflows.scoring.evaluation import check_outputs
    from smartcli.workflows.scoring.evaluation import evaluate as score

    state = state_of(ctx)
    if safe_csv and csv is None:
        state.warn("--safe-csv has no effect without --csv")
    check_outputs({"--csv": csv, "--latex": latex}, as_json=as_json)
    int8 = in_int8(precision)
    table = score(
        state.home, checkpoints or (), split=split, data=data, paper=paper, classes=by_class, int8=int8, say=state.say
    )
    for note in table.notes:
        state.warn(note)
    for path, text in ((csv, partial(table.to_csv, safe=safe_csv)), (latex, table.to_latex)):
        if path == Path("-"):
            sys.stdout.write(text())
        elif path is not None:
            write_output(path, text())
            state.say(f"wrote {path}")
    if as_json:
        print_json(table.to_json())
    elif Path("-") not in (csv, latex):
        print_table(state.out, table.to_rich())
        for classes in class_tables(table):
            print_table(state.out, classes)
