"""`smart doctor`: what this machine has, what will be used, and what is wrong."""

from __future__ import annotations

from typing import Annotated

import typer

from smartcli.cli.output import print_json, print_line
from smartcli.cli.state import state_of


def doctor(
    ctx: typer.Context,
    probe: Annotated[bool, typer.Option("--probe", help="Time fp32 against bf16 again and store the verdict.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what training will run on, what is found on disk, and each problem with its remedy.

    Exits with 1 where a problem keeps smart from training.

    Example: smart doctor
    """
    from smartcli.workflows.machine_check import examine

    state = state_of(ctx)
    findings = examine(state.home, probe=probe)
    if as_json:
        print_json(findings.to_json())
    else:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        from smartcli.report.tables import print_table
        from smartcli.visible import plain

        table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
        for what, value in findings.facts:
            table.add_row(Text(what, no_wrap=True), plain(value))
        print_table(state.out, table)
        for problem in findings.problems:
            word, style = ("problem", "red") if problem.serious else ("note", "yellow")
            line = f"{word}: {problem.what}; {problem.remedy}"
            print_line(state.out, line, style)
        if not findings.problems:
            state.out.print("no problem found")
    if any(problem.serious for problem in findings.problems):
        raise typer.Exit(1)
