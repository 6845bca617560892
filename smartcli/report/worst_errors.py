"""The rows that a model gets most wrong, per task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from smartcli.tasks import Task

if TYPE_CHECKING:
    from smartcli.data.predictions import TaskPredictions

Texts = Callable[[str, int], tuple[str, ...]]
"""(task, row of the split) to the row's one or two sentences."""


@dataclass(frozen=True)
class WorstRow:
    """One error: `badness` is 1 - p(true class) for classes and |residual| for scores."""

    id: str
    texts: tuple[str, ...] | None
    label: str
    prediction: str
    badness: float
    confidence: float | None


def worst_errors(task: Task, rows: TaskPredictions, texts: Texts | None, limit: int = 200) -> list[WorstRow]:
    """Return up to `limit` errors, worst first, ties in row order; none where the split has no labels.

    `texts` None means that the data set is not at hand; the rows then have no sentences.
    """
    if rows.labels is None:
        return []
    scores = task.kind == "regression"
    if scores:
        badness = np.abs(rows.predictions - rows.labels)
    elif rows.probabilities is not None:
        badness = 1.0 - rows.probabilities[np.arange(len(rows)), rows.labels.astype(np.int64)]
    else:
        badness = np.ones(len(rows))
    wrong = rows.predictions != rows.labels
    order = [int(i) for i in np.argsort(-badness, kind="stable") if wrong[i]][:limit]
    return [
        WorstRow(
            rows.ids[i],
            texts(task.name, i) if texts is not None else None,
            _name(task, rows.labels[i]),
            _name(task, rows.predictions[i]),
            float(badness[i]),
            None if scores or rows.probabilities is None else float(rows.probabilities[i, int(rows.predictions[i])]),
        )
        for i in order
    ]


def _name(task: Task, value: float) -> str:
    if task.kind == "regression":
        return f"{value:.2f}"
    number = int(value)
    return task.labels[number] if number < len(task.labels) else str(number)
