"""`smart runs`: trainings in progress or interrupted."""

from __future__ import annotations

from typing import Annotated

import typer

from smartcli.cli import complete
from smartcli.cli.checkpoints import Json, Yes, confirm
from smartcli.cli.output import print_json, size_text
from smartcli.cli.state import state_of

app = typer.Typer(
    help="List and remove trainings in progress or interrupted.\n\nExample: smart runs list", no_args_is_help=True
)


@app.command("list")
def list_(ctx: typer.Context, json: Json = False) -> None:
    """List the runs that are not finished: those a process trains, and those to go on with by --resume.

    Example: smart runs list
    """
    from smartcli.workflows.checkpoints.listing import list_runs

    state = state_of(ctx)
    lines = list_runs(state.home)
    if json:
        print_json([line.to_json() for line in lines])
        return
    if not lines:
        state.say("no run is in progress or interrupted")
        return
    from rich import box
    from rich.table import Table

    from smartcli.report.tables import ABSENT, print_table
    from smartcli.visible import plain

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("run", "state"):
        table.add_column(title)
    table.add_column("saved at step", justify="right")
    table.add_column("size", justify="right")
    table.add_column("command", overflow="fold")
    for line in lines:
        status = "damaged" if line.problem else "interrupted" if line.pid is None else f"process {line.pid}"
        step = ABSENT if line.step is None else f"{line.step:,}"
        table.add_row(*map(plain, [line.name, status, step, size_text(line.size), line.command]))
    print_table(state.out, table)
    for line in lines:
        if line.problem:
            state.warn(line.problem)


@app.command("rm")
def remove(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs to remove.", autocompletion=complete.runs)],
    yes: Yes = False,
) -> None:
    """Remove interrupted runs; they cannot go on afterwards. Asks on a terminal; --yes answers.

    Example: smart runs rm ckpt4 --yes
    """
    from smartcli.registry.run_folders import Runs

    state = state_of(ctx)
    runs = Runs(state.home)
    for name in names:
        runs.find(name)
    confirm(state, f"remove {', '.join(names)}?", yes)
    for name in dict.fromkeys(names):
        state.say(f"removed run {name} ({size_text(runs.remove(name))})")
