"""`smart` alone: the first steps, as far as they are taken already."""

from __future__ import annotations

import typer

from smartcli.cli.output import print_line
from smartcli.cli.state import state_of


def welcome(ctx: typer.Context) -> None:
    """Print what is there, the steps with those done ticked off, and the one to take next."""
    from rich.table import Table
    from rich.text import Text

    from smartcli.visible import plain
    from smartcli.workflows.first_steps import first_steps, names_in

    state = state_of(ctx)
    steps = first_steps(state.home)
    following = next((step for step in steps if not step.done), None)
    state.out.print("smart: fine-tune one small encoder for several sentence tasks at once\n", highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, min_width=max(len(step.command) for step in steps))
    table.add_column(overflow="fold")
    for step in steps:
        mark = "✓" if step.done else "→" if step is following else " "
        style = "dim" if step.done else "bold" if step is following else ""
        table.add_row(Text(mark), Text(step.command, style=style), plain(step.found or step.purpose))
    state.out.print(table)
    if waiting := names_in(state.home.runs):
        line = f"\nin progress or interrupted: {', '.join(waiting[-4:])} (smart runs list)"
        print_line(state.out, line)
    if following is not None:
        state.out.print(f"\nnext: {following.command}", markup=False, highlight=False, soft_wrap=True)
    line = "your own files: smart init FOLDER, then smart prepare FOLDER"
    state.out.print(line, highlight=False, soft_wrap=True)
    state.out.print("every command: smart --help   this machine: smart doctor", highlight=False, soft_wrap=True)
