"""A data set on the terminal: the paper's Table 1, and the rows that were skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smartcli.cli.output import print_line
from smartcli.counts import counted
from smartcli.tasks import SPLITS

if TYPE_CHECKING:
    from rich.console import Console

    from smartcli.data.store import DataSet

LISTED = 100


def print_data_set(out: Console, data_set: DataSet) -> None:
    """Print rows per task and split, leaks, notes, and each skipped row as `file:line: reason`."""
    from rich import box
    from rich.table import Table

    from smartcli.visible import plain

    info = data_set.info
    table = Table(box=box.SIMPLE_HEAD, title=plain(data_set.title), title_justify="left", pad_edge=False)
    for column in ("task", "kind"):
        table.add_column(column)
    for column in (*SPLITS, "skipped", "also in train"):
        table.add_column(column, justify="right")
    skipped: dict[str, int] = {}
    for skip in info.get("skipped", []):
        skipped[skip["task"]] = skipped.get(skip["task"], 0) + 1
    bare: list[str] = []
    for task in data_set.tasks:
        counts = []
        for split in SPLITS:
            count = data_set.count(task.name, split)
            counts.append(f"{count:,}" if count else "–")
            if count and not data_set.labelled(task.name, split):
                bare.append(f"{task.name} {split}")
        leaks = info.get("leaks", {}).get(task.name, {})
        leaked = ", ".join(f"{split} {count:,}" for split, count in leaks.items() if count) or "–"
        table.add_row(task.name, task.kind, *counts, f"{skipped.get(task.name, 0):,}", leaked)
    out.print(table)

    def line(text: str) -> None:
        print_line(out, text)

    total = info.get("skipped_rows", 0)
    if total:
        line(f"{counted(total, 'skipped row')}:")
        for skip in info["skipped"][:LISTED]:
            line(f"  {skip['file']}:{skip['line']}: {skip['reason']}")
        if total > LISTED:
            line(f"  and {total - LISTED:,} more (--json lists them)")
    if bare:
        line(f"without labels: {', '.join(bare)}")
    for note in info.get("notes", []):
        line(f"note: {note}")
    line(f"fingerprint {data_set.fingerprint[:16]}, encoder {data_set.encoder}")
