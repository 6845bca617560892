"""What sweep and reproduce print: the plan, the table of results, and a section in a results file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from smartcli.cli.output import print_json, print_line
from smartcli.cli.state import CliState

if TYPE_CHECKING:
    from smartcli.workflows.studies.cells import Planned
    from smartcli.workflows.studies.results import Results


def print_plan(state: CliState, planned: Sequence[Planned]) -> None:
    """Print what `--dry-run` shows: each training, and whether it is there already."""
    from rich import box
    from rich.table import Table

    from smartcli.visible import plain
    from smartcli.workflows.studies.cells import is_finished

    table = Table("cell", "seed", "checkpoint", "state", box=box.SIMPLE_HEAD)
    for one in planned:
        there = "done" if is_finished(state.home, one) else "to train"
        table.add_row(plain(one.cell.label), str(one.cell.seed), plain(one.name), there)
    state.out.print(table)


def print_results(state: CliState, results: Results, *, as_json: bool, output: Path | None) -> None:
    """Print the results (table or JSON) on stdout, notes on stderr, and write the section to `output`."""
    from smartcli.workflows.studies.results import write_section

    if output is not None:
        write_section(output, results)
    if as_json:
        print_json(results.to_json())
    else:
        _print_table(state, results)
    if output is not None:
        state.say(f"written to {output}")


def _print_table(state: CliState, results: Results) -> None:
    from rich import box
    from rich.table import Table

    from smartcli.report.tables import print_table
    from smartcli.visible import plain

    table = Table(box=box.SIMPLE_HEAD)
    header, rows = results.table()
    for at, name in enumerate(header):
        table.add_column(plain(name), justify="right" if name in results.scores else "left", no_wrap=at > 0)
    for at, row in enumerate(rows):
        # Paper, ours and difference belong together: a gap before the next row that has a name.
        last = results.compared and at + 1 < len(rows) and rows[at + 1][0] != ""
        table.add_row(*(plain(cell) for cell in row), end_section=last)
    # Not as the table's title and caption, which would be broken to the width of a narrow table.
    print_line(state.out, results.title)
    print_table(state.out, table)
    print_line(state.out, "; ".join(results.facts))
    for verdict in results.verdicts:
        print_line(state.out, verdict.text())
    for note in results.notes:
        print_line(state.out, f"note: {note}")
    for picture in results.pictures:
        state.say(f"figure: {picture}")
