"""Every metric over counted rows is the metric of the rows written out as often as they count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from smartcli.metrics import score
from smartcli.significance.weighted_metrics import weighted_scores
from smartcli.tasks import METRICS_OF_KIND, Task, parse_task

KINDS: dict[str, dict[str, Any]] = {
    "classification": {"labels": ["a", "b", "c", "d"]},
    "binary": {},
    "regression": {"range": [0, 5]},
    "multilabel": {"labels": ["a", "b", "c"], "labels_separator": ","},
}


def task_of(kind: str, metric: str) -> Task:
    return parse_task({"name": "t", "kind": kind, "text": "a", "label": "l", "metric": metric, **KINDS[kind]}, "t")


SINGLE = [(kind, one) for kind, all_ in METRICS_OF_KIND.items() if kind != "multilabel" for one in all_]


@pytest.mark.parametrize(("kind", "metric"), SINGLE)
def test_counted_rows_score_as_repeated_rows_do(kind: str, metric: str) -> None:
    task, random = task_of(kind, metric), np.random.default_rng(0)
    n = 30
    if kind == "regression":
        labels = random.integers(0, 6, n).astype(float)
        predictions = np.round(labels + random.normal(size=(3, n)), 1)
    else:
        labels = random.integers(0, task.classes, n).astype(float)
        predictions = np.where(random.random((3, n)) < 0.5, labels, random.integers(0, task.classes, (3, n)))
    counts = np.stack([np.bincount(random.integers(0, n, n), minlength=n) for _ in range(20)]).astype(float)
    found = weighted_scores(task, labels, predictions, counts)
    assert found.shape == (20, 3)
    for draw, times in enumerate(counts.astype(int)):
        for model in range(3):
            expected = score(task, np.repeat(labels, times), np.repeat(predictions[model], times)).value
            assert found[draw, model] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS_OF_KIND["multilabel"])
def test_counted_sets_score_as_repeated_sets_do(metric: str) -> None:
    task, random, n = task_of("multilabel", metric), np.random.default_rng(0), 12
    sets = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 1], [1, 1, 0]], float)
    labels, predictions = random.integers(0, 4, n), random.integers(0, 4, (2, n))
    counts = np.stack([np.bincount(random.integers(0, n, n), minlength=n) for _ in range(20)]).astype(float)
    counts[0] = labels == 0
    found = weighted_scores(task, labels.astype(float), predictions.astype(float), counts, sets)
    for draw, times in enumerate(counts.astype(int)):
        for model in range(2):
            expected = score(task, np.repeat(sets[labels], times, 0), np.repeat(sets[predictions[model]], times, 0))
            assert found[draw, model] == pytest.approx(expected.value, abs=1e-12)


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_a_correlation_of_one_row_drawn_over_and_over_is_undefined(metric: str) -> None:
    labels, predictions = np.array([1.0, 2.0, 4.0]), np.array([[0.3, 0.1, 0.2]])
    found = weighted_scores(task_of("regression", metric), labels, predictions, np.array([[0.0, 3.0, 0.0]]))
    assert np.isnan(found).all()


def test_a_class_that_is_never_named_scores_as_elsewhere() -> None:
    labels, predictions = np.array([0.0, 0.0, 1.0]), np.array([[0.0, 0.0, 0.0]])
    everything = np.ones((1, 3))
    for metric, expected in (("f1", 0.0), ("mcc", 0.0), ("balanced_accuracy", 0.5)):
        assert weighted_scores(task_of("binary", metric), labels, predictions, everything)[0, 0] == expected
