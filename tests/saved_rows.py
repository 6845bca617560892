"""Data sets of rows that a test makes up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from smartcli.data.rows import Row
from smartcli.data.saving import Header, RowSink, save_data
from smartcli.data.store import DataSet
from smartcli.home import Home
from smartcli.tasks import TaskTable


def save_rows(
    home: Home,
    name: str,
    tasks: TaskTable,
    rows: Mapping[str, Mapping[str, Iterable[Row]]],
    *,
    encoder: str = "minilm",
    source: str = "own",
    info: dict[str, Any] | None = None,
    force: bool = False,
) -> DataSet:
    """Store rows that are in memory: `rows[task][split]` is an iterable of (id, texts, label or None)."""

    def fill(sink: RowSink) -> Header:
        for task in tasks:
            for split, given in rows[task.name].items():
                kept = list(given)
                sink.write(task.name, split, kept, len(task.text), labelled=all(row[2] is not None for row in kept))
        return Header(source, tasks, encoder, info or {})

    return save_data(home, name, fill, force=force)[0]
