"""`smart checkpoints`: look after what was trained; other modules have show, export, import, push and pull."""

from __future__ import annotations

from typing import Annotated

import typer

from smartcli.cli import complete
from smartcli.cli.export import export
from smartcli.cli.import_checkpoint import import_checkpoint
from smartcli.cli.output import print_json, size_text
from smartcli.cli.pull import pull_checkpoint
from smartcli.cli.push import push_checkpoint
from smartcli.cli.show import show
from smartcli.cli.state import CliState, state_of
from smartcli.counts import counted

app = typer.Typer(
    help="List, show, verify, remove, export, import, push and pull checkpoints.\n\nExample: smart checkpoints list",
    no_args_is_help=True,
)
app.command("show")(show)
app.command("export")(export)
app.command("import")(import_checkpoint)
app.command("push")(push_checkpoint)
app.command("pull")(pull_checkpoint)

Names = Annotated[
    list[str],
    typer.Argument(metavar="CKPT...", help="Names, ranges ckpt1..ckpt5 or globs.", autocompletion=complete.checkpoints),
]
SomeNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CKPT...]",
        help="Names, ranges ckpt1..ckpt5 or globs (default: all).",
        show_default=False,
        autocompletion=complete.checkpoints,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command("list")
def list_(ctx: typer.Context, json: Json = False) -> None:
    """List every checkpoint with its score and size; a damaged one with what is wrong.

    Example: smart checkpoints list
    """
    from smartcli.workflows.checkpoints.listing import list_checkpoints

    state = state_of(ctx)
    lines = list_checkpoints(state.home)
    if json:
        print_json([line.to_json() for line in lines])
        return
    if not lines:
        state.say("no checkpoints yet; `smart finetune` makes one")
        return
    from rich import box
    from rich.table import Table

    from smartcli.report.tables import print_table, three
    from smartcli.visible import plain

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for title in ("checkpoint", "kind", "method", "data"):
        table.add_column(title, overflow="fold", no_wrap=title == "kind")
    for title in ("overall", "size", "created"):
        table.add_column(title, justify="left" if title == "created" else "right", no_wrap=True)
    for line in lines:
        if not line.problem:
            cells = [line.name, line.kind, line.method, line.data]
            cells += [three(line.overall), size_text(line.size), line.created[:16].replace("T", " ")]
            table.add_row(*map(plain, cells))
        else:
            table.add_row(plain(line.name), plain("damaged"), style="red")
    print_table(state.out, table)
    for line in lines:
        if line.problem:
            state.warn(f"{line.name}: {line.problem}")
    state.say(f"{counted(len(lines), 'checkpoint')}, {size_text(sum(x.size for x in lines))}")


@app.command("verify")
def verify(ctx: typer.Context, names: SomeNames = None, json: Json = False) -> None:
    """Hash every file and look into it; exit 1 and name the file when one is not as it was committed.

    Example: smart checkpoints verify
    """
    from smartcli.registry.registry import Registry

    state = state_of(ctx)
    registry = Registry(state.home)
    chosen = registry.expand(names) if names else None
    problems = registry.verify(chosen)
    if json:
        print_json([vars(problem) for problem in problems])
    else:
        for problem in problems:
            state.err.print(f"error: {problem}", markup=False, highlight=False, soft_wrap=True, style="red")
    if problems:
        raise typer.Exit(1)
    if not json:
        count = len(chosen if chosen is not None else registry.names())
        state.say(f"{counted(count, 'checkpoint')} verified: every file is as it was committed")


@app.command("rm")
def remove(
    ctx: typer.Context,
    names: Names,
    yes: Yes = False,
    force: Annotated[bool, typer.Option("--force", help="Also one that another checkpoint names.")] = False,
) -> None:
    """Remove checkpoints and the predictions stored for them. Asks on a terminal; --yes answers.

    Example: smart checkpoints rm ckpt3 --yes
    """
    from smartcli.registry.registry import Registry

    state = state_of(ctx)
    registry = Registry(state.home)
    chosen = registry.expand(names)
    confirm(state, f"remove {', '.join(chosen)}?", yes)
    for name in registry.removal_order(chosen):
        freed = registry.remove(name, force=force)
        state.say(f"removed {name} ({size_text(freed)})")


def confirm(state: CliState, question: str, yes: bool) -> None:
    """Ask on a terminal; in a script the command itself is the answer."""
    import sys

    if not yes and sys.stdin.isatty() and state.err.is_terminal:
        typer.confirm(question, abort=True, err=True)
