"""What sweep and reproduce print: the plan, the table of results, and a section in a results file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from smartcli.cli.output import print_json, print_line
from smartcli.cli.state import CliState
from smartcli.counts import counted

if TYPE_CHECKING:
    from smartcli.workflows.studies.cells import Base, Planned
    from smartcli.workflows.studies.results import Results


def check_options(jobs: int, output: Path | None) -> None:
    """Raise a UserError for what would stop the command only when all is trained."""
    from smartcli.workflows.studies.jobs import check_jobs
    from smartcli.workflows.studies.results import check_output

    check_jobs(jobs)
    if output is not None:
        check_output(output)


def print_plan(state: CliState, base: Base, planned: Sequence[Planned]) -> None:
    """Print what `--dry-run` shows: each training, whether it is there already, and what the others will take."""
    from rich import box
    from rich.table import Table

    from smartcli.visible import plain
    from smartcli.workflows.studies.cells import is_finished
    from smartcli.workflows.studies.plan_time import kinds_of, plan_seconds
    from smartcli.workflows.training.dry_run import duration

    table = Table("cell", "seed", "checkpoint", "state", box=box.SIMPLE_HEAD)
    left = [one for one in planned if not is_finished(state.home, one)]
    for one in planned:
        table.add_row(plain(one.cell.label), str(one.cell.seed), plain(one.name), "to train" if one in left else "done")
    state.out.print(table)
    if not left:
        return
    kinds = len(kinds_of(left))
    state.say(f"measuring a few steps of {counted(kinds, 'kind')} of training; nothing of them is kept")
    seconds = plan_seconds(base, left, lambda one: state.say(f"… {one.cell.label}"), lambda event: None)
    print_line(
        state.out,
        f"time: about {duration(seconds)} for {counted(len(left), 'training')}, one after the other, on a machine "
        "as busy as this one is now",
    )


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
