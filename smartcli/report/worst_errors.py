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
    """One error: `badness` is 1 - p(true class) for classes and |residual| for scores.

    Of several labels it is that of the worst: 1 - p(label) for one that the row has, p(label) for another.
    """

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
    scores, several = task.kind == "regression", task.kind == "multilabel"
    if scores:
        badness = np.abs(rows.predictions - rows.labels)
    elif several:
        shares = rows.predictions if rows.probabilities is None else rows.probabilities
        badness = np.abs(shares - rows.labels).max(axis=1)
    elif rows.probabilities is not None:
        badness = 1.0 - rows.probabilities[np.arange(len(rows)), rows.labels.astype(np.int64)]
    else:
        badness = np.ones(len(rows))
    wrong = wrong_rows(rows)
    order = [int(i) for i in np.argsort(-badness, kind="stable") if wrong[i]][:limit]
    return [
        WorstRow(
            rows.ids[i],
            texts(task.name, i) if texts is not None else None,
            _name(task, rows.labels[i]),
            _name(task, rows.predictions[i]),
            float(badness[i]),
            None
            if scores or several or rows.probabilities is None
            else float(rows.probabilities[i, int(rows.predictions[i])]),
        )
        for i in order
    ]


def wrong_rows(rows: TaskPredictions) -> np.ndarray:
    """Return which rows (n,) are predicted otherwise than their label says; of several labels, any of them."""
    wrong = np.asarray(rows.predictions != rows.labels)
    return np.asarray(wrong.any(axis=1)) if wrong.ndim == 2 else wrong


def _name(task: Task, value: float | np.ndarray) -> str:
    if isinstance(value, np.ndarray):
        has = [name for name, own in zip(task.labels, value, strict=True) if own]
        return (task.labels_separator or "|").join(has) or "none"
    if task.kind == "regression":
        return f"{value:.2f}"
    number = int(value)
    return task.labels[number] if number < len(task.labels) else str(number)
