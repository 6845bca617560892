"""`smart prepare`: make a data set to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smartcli.cli import complete
from smartcli.cli.output import print_json
from smartcli.cli.state import state_of


def prepare(
    ctx: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[demo|cs224n|hub|DIR|FILE…]",
            help="Where the rows come from; DIR holds a tasks.toml, FILEs have columns that can be guessed.",
            autocompletion=complete.sources,
            show_default=False,
        ),
    ] = None,
    path: Annotated[
        Path | None, typer.Option("--path", metavar="DIR", help="Folder of the course's files (cs224n).")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Name of the data set (default: the source's or the folder's).",
            autocompletion=complete.data_sets,
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            metavar="ID|DIR|minilm",
            help="Encoder to use with it: a hub id, a folder, or minilm.",
            autocompletion=complete.encoders,
        ),
    ] = None,
    splits: Annotated[
        str | None,
        typer.Option(
            "--splits",
            metavar="paper|official",
            help="Splits of hub: the paper's, or the data sets' own.",
            autocompletion=complete.choices("paper", "official"),
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="A row without a sentence or label is an error, not skipped.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace other content under the same name.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read, check, split and store a data set; print its rows per task and split, and what was left out and why.

    demo is made by a seeded grammar and needs neither files nor network. A DIR holds tasks.toml, one [[task]]
    with name, kind, text, label and its train, dev and test files (csv, tsv, jsonl, parquet, xlsx) for each task; smart
    init writes a first one. A FILE alone is read by the same guess, and divided where there is no dev file.

    Example: smart prepare cs224n --path data --encoder minilm
    """
    from smartcli.workflows.preparing.preparation import prepare as run

    state = state_of(ctx)
    words = sources or ["demo"]
    report = run(
        state.home,
        words[0],
        more=words[1:],
        path=path,
        name=name,
        encoder=encoder,
        splits=splits,
        strict=strict,
        force=force,
        say=state.say,
    )
    for warning in report.data_set.info["warnings"]:
        state.warn(warning)
    if as_json:
        print_json(report.to_json())
        return
    from smartcli.cli.data_table import print_data_set

    print_data_set(state.out, report.data_set)
    tokens = report.tokens
    state.say(f"tokens of {tokens.encoder}: {tokens.reason}")
    done = "was prepared already" if report.already else "is prepared"
    state.say(f'the data set "{report.data_set.name}" {done}; next: smart finetune --data {report.data_set.name}')
