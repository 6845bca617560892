"""`smart init`: a first tasks.toml for a folder of files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartcli.cli.state import CliState, state_of

if TYPE_CHECKING:
    from smartcli.data.task_guess import Open
    from smartcli.workflows.preparing.init_table import GuessedTable

Words = list[str] | None


def init(
    ctx: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER|FILE", help="Folder with csv, tsv, jsonl, parquet or xlsx files, or one file."),
    ],
    text: Annotated[
        Words,
        typer.Option("--text", metavar="[TASK:]COLUMN[,COLUMN]", help="Column of the text, or two of a pair."),
    ] = None,
    label: Annotated[
        Words,
        typer.Option(
            "--label", metavar="[TASK:]COLUMN[,COLUMN…]", help="Column of the label, or of each label (0 and 1)."
        ),
    ] = None,
    row_id: Annotated[Words, typer.Option("--id", metavar="[TASK:]COLUMN", help="Column that names the rows.")] = None,
    kind: Annotated[
        Words,
        typer.Option(
            "--kind", metavar="[TASK:]KIND", help="classification, binary, multilabel or regression (scores)."
        ),
    ] = None,
    labels: Annotated[
        Words, typer.Option("--labels", metavar="[TASK:]A,B,…", help="Names of the classes, in their order.")
    ] = None,
    sheet: Annotated[
        Words, typer.Option("--sheet", metavar="[TASK:]SHEET", help="The sheet, where an xlsx file has several.")
    ] = None,
    task: Annotated[
        Words, typer.Option("--task", metavar="TASK", help="Take this task's files alone (by default all files).")
    ] = None,
) -> None:
    """Look at a folder's files, or at one file, and write a commented tasks.toml, which you then correct.

    Files called like topic-train.csv and topic-dev.csv are one task. Where a choice is open it is asked on a terminal;
    elsewhere the command ends with the options that answer it: TASK:VALUE, or VALUE where there is one task. Nothing is
    trained, and no tasks.toml is overwritten.

    Example: smart init tickets --label topic
    """
    from smartcli.workflows.preparing.init_table import Given, init_folder

    state = state_of(ctx)
    given = Given(*(tuple(words or ()) for words in (text, label, row_id, kind, labels, sheet, task)))
    asks = sys.stdin.isatty() and sys.stderr.isatty() and not state.quiet
    guessed = init_folder(folder, given, _ask if asks else None)
    print_guess(state, guessed)
    state.say(f"wrote {guessed.folder / 'tasks.toml'}; read it, correct it, then: {_prepare(guessed.folder)}")


def _prepare(folder: Path) -> str:
    """Return the command that comes next, with a name where the folder's own is none for a data set."""
    import shlex

    from smartcli.data.guess_files import task_name
    from smartcli.data.store import check_data_name
    from smartcli.errors import UserError

    words = ["smart", "prepare", str(folder), "--encoder", "minilm"]
    try:
        check_data_name(folder.absolute().name, "--name")
    except UserError:
        words += ["--name", task_name(folder.absolute().name)]
    return shlex.join(words)


def _ask(task: str, choice: Open) -> str:
    """Ask until one of the choices is answered; Ctrl-C and the end of the input end the command."""
    from smartcli.errors import suggest
    from smartcli.visible import visible

    listed = ", ".join(choice.choices)
    typer.echo(visible(f"{task}: {choice.question}"), err=True)
    while True:
        answer = str(typer.prompt(visible(f"answer ({listed})"), err=True)).strip()
        if answer in choice.choices:
            return answer
        typer.echo(visible(f'"{answer}" is none of {listed}{suggest(answer, choice.choices)}'), err=True)


def print_guess(state: CliState, guessed: GuessedTable) -> None:
    """Print what was guessed from what, a line a key, then what deserves a look; on stderr."""
    from smartcli.cli.training_command import print_rows
    from smartcli.data.guess_toml import to_toml

    for task in guessed.tasks:
        rows = [(key, to_toml(value), task.reasons.get(key, "the file's name")) for key, value in task.values.items()]
        print_rows(state, f"{task.values['name']}: what the files look like", rows, headings=("key", "guess", "from"))
        for note in task.notes:
            state.warn(f"{task.values['name']}: {note}")
    if guessed.left_out:
        state.say(f"left out: {', '.join(path.name for path in guessed.left_out)}")
