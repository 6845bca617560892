"""`smart explain`: why a row is predicted as it is, and what terms change about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from smartcli.cli import complete
from smartcli.cli.counting import CountingView
from smartcli.cli.output import print_json
from smartcli.cli.state import CliState, state_of
from smartcli.errors import UserError

_ONE, _SPLIT = "One row", "A whole split"
Ckpt = Annotated[
    str, typer.Argument(metavar="CKPT", help="Checkpoint or ensemble.", autocompletion=complete.checkpoints)
]
Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="T",
        help="Task to explain (default: the only one that the checkpoint has).",
        autocompletion=complete.task,
        show_default=False,
    ),
]
RowId = Annotated[
    str | None,
    typer.Option(
        "--row", metavar="ID", help="The row of the data set with this id.", rich_help_panel=_ONE, show_default=False
    ),
]
Text = Annotated[
    str | None,
    typer.Option(
        "--text", metavar="TEXT", help="A text of your own instead.", rich_help_panel=_ONE, show_default=False
    ),
]
Text2 = Annotated[
    str | None,
    typer.Option(
        "--text2",
        metavar="TEXT",
        help="The second text, where the task has pairs.",
        rich_help_panel=_ONE,
        show_default=False,
    ),
]
Neighbours = Annotated[
    int | None,
    typer.Option(
        "--neighbours",
        metavar="N",
        min=0,
        help="How many nearest training rows to show (default: 5; 0: none, and no vectors are computed).",
        rich_help_panel=_ONE,
        show_default=False,
    ),
]
Swap = Annotated[
    list[str] | None,
    typer.Option(
        "--swap",
        metavar="OLD=NEW",
        help="Also predict the row with this term replaced; may be given several times.",
        rich_help_panel=_ONE,
        show_default=False,
    ),
]
SwapFile = Annotated[
    str | None,
    typer.Option(
        "--swap-file",
        metavar="gender|facts|FILE",
        help="Exchange these pairs of terms both ways in every row of the split.",
        autocompletion=complete.swap_lists,
        rich_help_panel=_SPLIT,
        show_default=False,
    ),
]
SwapIn = Annotated[
    str | None,
    typer.Option(
        "--swap-in",
        metavar="both|first|second",
        help="In which text of a pair (default: both; for facts second).",
        autocompletion=complete.choices("both", "first", "second"),
        rich_help_panel=_SPLIT,
        show_default=False,
    ),
]
Top = Annotated[
    int | None,
    typer.Option(
        "--top",
        metavar="N",
        min=0,
        help="How many of the rows that moved most to show (default: 5).",
        rich_help_panel=_SPLIT,
        show_default=False,
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="train|dev|test",
        help="Split of --row or --swap-file (default: dev).",
        autocompletion=complete.choices("train", "dev", "test"),
        show_default=False,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="NAME",
        help="Data set of --row or --swap-file (default: the checkpoint's own).",
        autocompletion=complete.data_sets,
        show_default=False,
    ),
]


def explain(
    ctx: typer.Context,
    checkpoint: Ckpt,
    task: Task = None,
    split: Split = None,
    data: Data = None,
    row: RowId = None,
    text: Text = None,
    text2: Text2 = None,
    swap: Swap = None,
    neighbours: Neighbours = None,
    swap_file: SwapFile = None,
    swap_in: SwapIn = None,
    top: Top = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Explain a prediction: all probabilities, the words that matter, the nearest training rows, terms replaced.

    A word's effect is what the prediction loses without it. With `--swap-file` a whole split is predicted with
    terms exchanged, to see how often and how far predictions move.

    Example: smart explain ckpt1 --task sts --row 3f2a --swap preference=taste
    """
    state = state_of(ctx)
    own = {"--row": row, "--text": text, "--text2": text2, "--swap": swap or None, "--neighbours": neighbours}
    if swap_file is not None:
        _refuse(own, "--swap-file is about a whole split")
        _explain_split(state, checkpoint, task, swap_file, (split, data, swap_in, top), as_json)
        return
    _refuse({"--swap-in": swap_in, "--top": top}, "it belongs to --swap-file")
    _check_row(row, {"--text": text, "--text2": text2}, {"--split": split, "--data": data})
    from smartcli.cli.explain_output import print_explanation
    from smartcli.explain.swaps import parse_swaps
    from smartcli.workflows.explaining.explanation import explain as explain_one

    swaps = parse_swaps(swap or ())
    with CountingView(state.err, quiet=state.quiet) as view:
        found = explain_one(
            state.home,
            checkpoint,
            task,
            row_id=row,
            split=split or "dev",
            data=data,
            text=text,
            text2=text2,
            swaps=swaps,
            count=5 if neighbours is None else neighbours,
            say=state.say,
            progress=view.count,
        )
    for note in found.notes:
        state.say(f"note: {note}")
    if as_json:
        print_json(found.to_json())
    else:
        print_explanation(state.out, found)


def _check_row(row: str | None, texts: Mapping[str, str | None], places: Mapping[str, str | None]) -> None:
    """Refuse options of a row beside those of a text, and neither of them."""
    if row is not None:
        _refuse(texts, "--row names the text already")
    elif not any(text is not None for text in texts.values()):
        raise UserError("--row ID, --text TEXT or --swap-file gender|facts|FILE is needed; found none of them")
    else:
        _refuse(places, "it belongs to --row and --swap-file, and --text is of no data set")


def _explain_split(
    state: CliState,
    checkpoint: str,
    task: str | None,
    swap_file: str,
    chosen: tuple[str | None, str | None, str | None, int | None],
    as_json: bool,
) -> None:
    from smartcli.cli.explain_output import print_swap_report
    from smartcli.workflows.explaining.swap_split import swap_split

    split, data, sides, top = chosen
    with CountingView(state.err, quiet=state.quiet) as view:
        found = swap_split(
            state.home,
            checkpoint,
            task,
            swap_file,
            split=split or "dev",
            data=data,
            sides=sides,
            top=5 if top is None else top,
            say=state.say,
            progress=view.count,
        )
    if not found.moves.moved.n:
        state.say(f"note: none of the terms of {found.listed.title} occurs in these rows, so nothing can move")
    if as_json:
        print_json(found.to_json())
    else:
        print_swap_report(state.out, found)


def _refuse(given: Mapping[str, object], reason: str) -> None:
    for option, value in given.items():
        if value is not None:
            raise UserError(f"{option} has no place here: {reason}; leave it out")
