"""`smart predict`: label new rows, or write the course's submission files."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from smartcli.cli import complete, inference_precision
from smartcli.cli.inference_precision import in_int8
from smartcli.cli.state import CliState, state_of
from smartcli.counts import counted
from smartcli.errors import UserError
from smartcli.visible import visible

LISTED = 10
_ROWS, _COURSE = "New rows", "Course submission"


def predict(
    ctx: typer.Context,
    checkpoint: Annotated[
        str, typer.Argument(metavar="CKPT", help="Checkpoint or ensemble.", autocompletion=complete.checkpoints)
    ],
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            metavar="T",
            help="Task to predict (default: the only one whose text columns the rows have).",
            autocompletion=complete.task,
            rich_help_panel=_ROWS,
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="csv, tsv, jsonl, parquet or xlsx with the task's text columns by name; - is stdin.",
            rich_help_panel=_ROWS,
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="csv, tsv, jsonl or parquet, as its extension says; - is stdout (the default).",
            rich_help_panel=_ROWS,
            show_default=False,
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            "--encoding",
            metavar="NAME",
            help="Encoding of a text file, such as cp1252 (default: UTF-8, UTF-16, or that of the task's own files).",
            rich_help_panel=_ROWS,
            show_default=False,
        ),
    ] = None,
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities", help="Classes: add a column p_NAME with each class's probability.", rich_help_panel=_ROWS
        ),
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            metavar="P",
            help="Classes: leave the prediction empty below this probability; binary: the second class from it on.",
            rich_help_panel=_ROWS,
            show_default=False,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            metavar="K",
            help="Classes: add the K best with their probabilities: top1, top1_probability, ….",
            rich_help_panel=_ROWS,
            show_default=False,
        ),
    ] = None,
    output_delimiter: Annotated[
        str | None,
        typer.Option(
            "--output-delimiter",
            metavar="CHAR",
            help='Delimiter of a csv or tsv output, such as ";" or tab (default: as its extension says).',
            rich_help_panel=_ROWS,
            show_default=False,
        ),
    ] = None,
    output_encoding: Annotated[
        str | None,
        typer.Option(
            "--output-encoding",
            metavar="NAME",
            help="Encoding of a csv or tsv output, such as utf-8-sig, which spreadsheets recognise (default: UTF-8).",
            rich_help_panel=_ROWS,
            show_default=False,
        ),
    ] = None,
    safe_csv: Annotated[
        bool,
        typer.Option(
            "--safe-csv",
            help="In CSV put ' before text that a spreadsheet would run as a formula.",
            rich_help_panel=_ROWS,
        ),
    ] = False,
    precision: Annotated[str | None, inference_precision.option(_ROWS)] = None,
    submission: Annotated[
        Path | None,
        typer.Option(
            "--submission",
            metavar="DIR",
            help="Write the six CS224N submission files into this folder instead.",
            rich_help_panel=_COURSE,
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="dev|test|both",
            help="Which submission files to write (default: both).",
            autocompletion=complete.choices("dev", "test", "both"),
            rich_help_panel=_COURSE,
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="NAME",
            help="Data set to write the submission for (default: the checkpoint's own).",
            autocompletion=complete.data_sets,
            rich_help_panel=_COURSE,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Label the rows of a file, or write the course's submission files.

    The output has the input's columns, then `prediction`: a score, or a class, by its name where it has one (its number
    is `class`), with its `probability`; rows without a text have none. It appears whole or not at all.

    Example: smart predict ckpt1 --task sts --input pairs.csv --output scored.csv
    """
    state = state_of(ctx)
    rows: dict[str, object] = {"--task": task, "--input": source, "--output": target, "--safe-csv": safe_csv or None}
    rows |= {"--encoding": encoding, "--output-delimiter": output_delimiter, "--output-encoding": output_encoding}
    rows |= {"--probabilities": probabilities or None, "--threshold": threshold, "--top": top}
    rows["--precision"] = precision
    course = {"--split": split, "--data": data}
    if submission is not None:
        _refuse(rows, "--submission writes files of its own")
        _write_submission(state, checkpoint, submission, split or "both", data)
        return
    _refuse(course, "it belongs to --submission")
    if source is None:
        raise UserError("--input FILE (- is stdin) or --submission DIR is needed; found neither")
    int8 = in_int8(precision)
    from smartcli.data.answers import Wish
    from smartcli.workflows.scoring.prediction import STREAM, predict_file

    done = predict_file(
        state.home,
        checkpoint,
        task,
        source,
        target or STREAM,
        sys.stdin.buffer,
        wish=Wish(probabilities, threshold, top),
        encoding=encoding,
        safe=safe_csv,
        delimiter=output_delimiter,
        output_encoding=output_encoding,
        int8=int8,
        say=state.say,
    )
    if done.content:
        print_content(done.content)
    else:
        over = ", replacing the file that was there" if done.replaced else ""
        state.say(f"wrote {counted(done.rows, 'row')} to {target}{over}")
    if done.empty:
        more = f" and {len(done.empty) - LISTED:,} more" if len(done.empty) > LISTED else ""
        places = f"{', '.join(done.empty[:LISTED])}{more}"
        state.warn(f"no text, and so no prediction, in {counted(len(done.empty), 'row')}: {places}")


def print_content(content: bytes) -> None:
    """Write labelled rows to stdout as they are; on a terminal control characters in them show as text."""
    if sys.stdout.isatty():
        text = content.decode("utf-8", "replace")
        sys.stdout.write("\t".join(visible(part) for part in text.split("\t")))
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def _refuse(given: Mapping[str, object], reason: str) -> None:
    for option, value in given.items():
        if value is not None:
            raise UserError(f"{option} has no place here: {reason}; leave it out")


def _write_submission(state: CliState, checkpoint: str, folder: Path, split: str, data: str | None) -> None:
    from smartcli.workflows.scoring.submission_files import write_submission

    done = write_submission(state.home, checkpoint, folder, split=split, data=data, say=state.say)
    for file, count in done.files.items():
        state.say(f"wrote {folder / file}: {counted(count, 'row')}")
    if done.others:
        state.warn(
            f"{folder} holds {', '.join(done.others)} from before, which may be another model's; write them too with "
            "--split both, or choose a new folder"
        )
    if done.left_out:
        rows = counted(len(done.left_out), "dev row")
        state.warn(f"{rows} that prepare skipped, left out of the files:")
        for line in done.left_out:
            state.warn(f"  {line}")
