"""`smart check`: look a data folder over without storing or training anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartcli.cli import complete
from smartcli.cli.output import print_json, print_line
from smartcli.cli.state import state_of

if TYPE_CHECKING:
    from rich.console import Console

    from smartcli.workflows.preparing.data_check import CheckReport, SplitCheck


def check(
    ctx: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR|FILE", help="Folder with a tasks.toml, or the course's files; or a file alone."),
    ],
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            metavar="ID|DIR|minilm",
            help="Encoder in whose tokens lengths are counted (default: one that is at hand).",
            autocompletion=complete.encoders,
        ),
    ] = None,
    max_length: Annotated[
        int,
        typer.Option("--max-length", metavar="N", min=8, help="Tokens an example may have, special tokens included."),
    ] = 128,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look a data folder or a file over without training: label balance, lengths, truncation, duplicates,
    train/dev/test leaks and conflicting labels.

    Exits with 2 where the files cannot be prepared.

    Example: smart check my-data --max-length 64
    """
    from smartcli.workflows.preparing.data_check import check as run

    state = state_of(ctx)
    report = run(folder, encoder=encoder, max_length=max_length, say=state.say)
    if as_json:
        print_json(report.to_json())
        return
    _print(state.out, report)


def _print(out: Console, report: CheckReport) -> None:
    from rich import box
    from rich.table import Table

    from smartcli.visible import plain

    def line(text: str) -> None:
        print_line(out, text)

    for task in report.tasks:
        title = plain(f"{task.task.name} ({task.task.kind}, {task.task.metric})")
        table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
        table.add_column("split")
        table.add_column("rows", justify="right")
        table.add_column("labels")
        table.add_column("length .5/.95/max", justify="right")
        for column in ("cut", "twice", "in train"):
            table.add_column(column, justify="right")
        for found in task.splits:
            own = found.lengths
            counts = (own.truncated, found.duplicates, found.also_in_train)
            cells = (found.split, f"{found.rows:,}", _labels(found), f"{own.median}/{own.p95}/{own.longest}")
            table.add_row(*(plain(cell) for cell in (*cells, *(f"{count:,}" for count in counts))))
        out.print(table)
        for example in task.conflicts.examples:
            line(f"  other label for the same text: {example}")
    line(f"lengths in {report.unit}; cut: longer than {report.max_length}; twice: repeats an earlier row of its split")
    for skip in report.skipped[:20]:
        line(f"  {skip}")
    if len(report.skipped) > 20:
        line(f"  and {len(report.skipped) - 20:,} more (--json lists them)")
    for finding in report.findings:
        line(f"look at: {finding}")
    if not report.findings:
        line("nothing odd was found")


def _labels(found: SplitCheck) -> str:
    if found.balance is None:
        return "none"
    if "fifths" in found.balance:
        fifths = " ".join(f"{count:,}" for count in found.balance["fifths"])
        return f"{found.balance['lowest']:g} to {found.balance['highest']:g}, fifths {fifths}"
    shown = [f"{name}: {count:,}" for name, count in list(found.balance.items())[:12]]
    return ", ".join(shown) + (", …" if len(found.balance) > 12 else "")
