"""The worst errors are the worst, and only errors."""

from __future__ import annotations

import numpy as np

from smartcli.data.predictions import TaskPredictions
from smartcli.report.worst_errors import worst_errors
from smartcli.tasks import Task

MOOD = Task(name="mood", kind="classification", text=("s",), label="l", labels=("bad", "fair", "good"))
NEAR = Task(name="near", kind="regression", text=("a", "b"), label="l", range=(0.0, 5.0), metric="pearson")


def test_classes_are_ranked_by_how_little_the_true_class_got():
    rows = TaskPredictions(
        "mood",
        ["a", "b", "c"],
        np.array([0.0, 1.0, 2.0]),
        np.array([0.0, 2.0, 0.0]),
        np.array([[0.8, 0.1, 0.1], [0.1, 0.4, 0.5], [0.9, 0.05, 0.05]]),
    )
    found = worst_errors(MOOD, rows, lambda task, row: (f"{task} {row}",))
    assert [(row.id, row.label, row.prediction, row.texts) for row in found] == [
        ("c", "good", "bad", ("mood 2",)),
        ("b", "fair", "good", ("mood 1",)),
    ]
    assert [round(row.badness, 2) for row in found] == [0.95, 0.6]
    assert [row.confidence for row in found] == [0.9, 0.5]


def test_scores_are_ranked_by_residual_and_the_limit_holds():
    rows = TaskPredictions("near", ["a", "b", "c"], np.array([1.0, 2.0, 5.0]), np.array([1.5, 2.0, 1.0]))
    found = worst_errors(NEAR, rows, None)
    assert [(row.id, row.label, row.prediction, row.badness, row.texts) for row in found] == [
        ("c", "5.00", "1.00", 4.0, None),
        ("a", "1.00", "1.50", 0.5, None),
    ]
    assert len(worst_errors(NEAR, rows, None, limit=1)) == 1


def test_without_labels_there_are_no_errors_to_show():
    assert worst_errors(NEAR, TaskPredictions("near", ["a"], None, np.array([1.0])), None) == []
