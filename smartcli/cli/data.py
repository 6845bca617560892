"""`smart data`: the data sets on disk."""

from __future__ import annotations

from typing import Annotated

import typer

from smartcli.cli import complete
from smartcli.cli.output import print_json
from smartcli.cli.state import state_of

app = typer.Typer(
    name="data", help="List, show and remove data sets.\n\nExample: smart data list", no_args_is_help=True
)


@app.command("list")
def list_(ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the data sets: source, rows, size, encoder.

    Example: smart data list
    """
    from smartcli.data.store import data_size, latest_name, list_data

    state = state_of(ctx)
    data_sets = list_data(state.home)
    latest = latest_name(state.home)
    rows = [
        {
            "name": data.name,
            "source": data.source,
            "tasks": list(data.tasks.names),
            "rows": sum(data.count(task, split) for task in data.tasks.names for split in data.splits(task)),
            "bytes": data_size(data),
            "encoder": data.encoder,
            "fingerprint": data.fingerprint,
            "latest": data.name == latest,
        }
        for data in data_sets
    ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        state.say("no data set yet; `smart prepare demo` makes one that needs no network")
        return
    from rich import box
    from rich.table import Table

    from smartcli.report.tables import print_table
    from smartcli.visible import plain

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("data set", "source", "tasks"):
        table.add_column(column)
    for column in ("rows", "MB"):
        table.add_column(column, justify="right")
    table.add_column("encoder")
    for data, row in zip(data_sets, rows, strict=True):
        size, mark = f"{data_size(data) / 1e6:.1f}", " (latest)" if row["latest"] else ""
        cells = (data.name + mark, data.source, ", ".join(data.tasks.names), f"{row['rows']:,}", size, data.encoder)
        table.add_row(*(plain(cell) for cell in cells))
    print_table(state.out, table)


@app.command()
def show(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="Data set (default: the one prepared last).", autocompletion=complete.data_sets),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a data set: rows per task and split, skipped rows, leaks.

    Example: smart data show demo
    """
    from smartcli.cli.data_table import print_data_set
    from smartcli.data.store import open_data

    state = state_of(ctx)
    data = open_data(state.home, name, "NAME")
    if as_json:
        counts = {task.name: {s: data.count(task.name, s) for s in data.splits(task.name)} for task in data.tasks}
        value = {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "source": data.source,
            "encoder": data.encoder,
            "rows": counts,
            "tasks": data.tasks.to_json(),
            **data.info,
        }
        print_json(value)
        return
    print_data_set(state.out, data)


@app.command()
def rm(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Data set to remove.", autocompletion=complete.data_sets)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a data set and its tokens; checkpoints trained on it stay.

    Example: smart data rm demo --yes
    """
    import sys

    from smartcli.data.store import check_data_name, remove_data
    from smartcli.registry.locks import hold

    state = state_of(ctx)
    check_data_name(name, "NAME")
    if not yes and sys.stdin.isatty():
        typer.confirm(f'Remove the data set "{name}"?', abort=True, err=True)
    with hold(state.home, f".data-{name}"):
        remove_data(state.home, name)
    state.say(f'removed the data set "{name}"')
