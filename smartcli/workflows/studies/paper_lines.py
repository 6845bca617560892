"""The paper's own rows, as far as they are known, as lines of the table of scores."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from smartcli.data.paper import paper
from smartcli.errors import UserError
from smartcli.metrics import Score
from smartcli.report.tables import ScoreRow
from smartcli.tasks import SPLITS, Task, TaskTable


def paper_lines(tasks: TaskTable, split: str) -> list[ScoreRow]:
    """Return the paper's rows for a split; a UserError when the tasks are not the paper's."""
    known = paper().table
    if set(tasks.names) != set(known.names):
        raise UserError(
            f"--paper: the paper's tasks are {', '.join(known.names)}, but this data set has {', '.join(tasks.names)}; "
            "leave --paper out"
        )
    value = tomllib.loads((files("smartcli.recipes") / "paper.toml").read_text(encoding="utf-8"))
    return [_line(entry, tasks, split) for entry in value["row"] if entry["split"] == split]


def _line(entry: Mapping[str, Any], tasks: TaskTable, split: str) -> ScoreRow:
    return ScoreRow(
        checkpoint=f"paper: {entry['label']}",
        kind="paper",
        method=entry.get("table", ""),
        lam=entry.get("lambda"),
        dropout=entry.get("dropout"),
        seed=None,
        scores={task.name: _score(entry, task, split) for task in tasks},
        overall=entry.get("overall"),
    )


def _score(entry: Mapping[str, Any], task: Task, split: str) -> Score | None:
    if task.name not in entry:
        return None
    rows = dict(zip(map(str, SPLITS), paper().rows[task.name], strict=True))
    return Score(task.metric, float(entry[task.name]), rows[split])
