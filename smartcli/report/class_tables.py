"""Precision, recall and F1 of each class as tables for a terminal, one a checkpoint and task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from smartcli.report.tables import ScoreTable, three
from smartcli.visible import plain

if TYPE_CHECKING:
    from rich.table import Table


def class_tables(table: ScoreTable) -> Iterator[Table]:
    """Yield a table for each checkpoint and task whose classes were asked for."""
    from rich import box
    from rich.table import Table

    for row in table.rows:
        for task, found in (row.by_class or {}).items():
            out = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
            out.title = plain(f"{row.checkpoint}: {task}, by class")
            out.add_column("class", overflow="fold")
            for name in ("precision", "recall", "f1", "rows"):
                out.add_column(name, justify="right", no_wrap=True)
            for one in found:
                cells = [one.name, three(one.precision), three(one.recall), three(one.f1), f"{one.support:,}"]
                out.add_row(*map(plain, cells))
            yield out
