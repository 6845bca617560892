"""Predictions and labels in, one number a task out; and the overall score of several tasks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smartcli.data.predictions import Predictions
from smartcli.errors import SmartCliError
from smartcli.tasks import CORRELATIONS, Task

NEAR_CONSTANT = 1e-13
"""Spread below this share of the mean is rounding: its correlation would be noise (scipy warns at the same)."""


@dataclass(frozen=True)
class Score:
    """A task's metric over `n` rows; `value` is None where it is undefined, and `note` then says why."""

    metric: str
    value: float | None
    n: int
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return `{metric: value, "n": n}`."""
        return {self.metric: self.value, "n": self.n}


def score(task: Task, labels: np.ndarray | None, predictions: np.ndarray) -> Score:
    """Return the task's metric of (n,) predictions against (n,) labels; labels None gives a value of None.

    Accuracy is the share of equal classes; balanced_accuracy the mean recall of the classes that labels have; f1 that
    of class 1 for a binary task, else the mean over the classes that occur; mcc Matthews' coefficient (Gorodkin's for
    more than two classes; 0 where one side is constant); pearson and spearman are undefined where one side is
    constant. Of a multilabel task labels and predictions are (n, C) of 0 and 1: micro_f1 is the F1 of all of them
    together, macro_f1 the mean over the classes that occur. A SmartCliError names the task when a number is not finite.
    """
    n = len(predictions)
    if labels is None:
        return Score(task.metric, None, n, f"{task.name} has no labels on this split")
    if n == 0:
        return Score(task.metric, None, n, f"{task.name} has no rows on this split")
    if labels.shape != predictions.shape:
        raise SmartCliError(f"{task.name}: expected one prediction a label, found {n} for {len(labels)} labels")
    for what, values in (("label", labels), ("prediction", predictions)):
        if not np.isfinite(values).all():
            at = int(np.argwhere(~np.isfinite(values))[0][0])
            raise SmartCliError(f"{task.name}: {what} {at + 1} of {n} is {values[at]}; expected a finite number")
    if task.metric in ("pearson", "spearman"):
        return _correlation(task, labels, predictions)
    if task.kind == "multilabel":
        return Score(task.metric, _f1_of_sets(labels, predictions, micro=task.metric == "micro_f1"), n)
    classes = np.stack([labels, predictions]).astype(np.int64)
    if task.metric == "accuracy":
        value = float((labels == predictions).mean())
    elif task.metric == "balanced_accuracy":
        value = float(np.mean([one.recall for one in by_class(task, labels, predictions) if one.support]))
    else:
        value = (_f1 if task.metric == "f1" else _mcc)(classes[0], classes[1], binary=task.kind == "binary")
    return Score(task.metric, value, n)


@dataclass(frozen=True)
class ClassScore:
    """How one class of a task is predicted; precision is 0 where it never is, recall 0 where no row has it."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    """Rows whose label it is."""

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def by_class(task: Task, labels: np.ndarray, predictions: np.ndarray) -> list[ClassScore]:
    """Return precision, recall and F1 of each class from labels and predictions, (n,) or multilabel (n, C)."""
    out = []
    for number, name in enumerate(task.labels):
        true, found = (
            (labels[:, number] > 0, predictions[:, number] > 0)
            if labels.ndim == 2
            else (labels == number, predictions == number)
        )
        right, support, named = int((true & found).sum()), int(true.sum()), int(found.sum())
        out.append(
            ClassScore(
                name=name,
                precision=right / named if named else 0.0,
                recall=right / support if support else 0.0,
                f1=2 * right / (support + named) if support + named else 0.0,
                support=support,
            )
        )
    return out


def _correlation(task: Task, labels: np.ndarray, predictions: np.ndarray) -> Score:
    for what, values in (("label", labels), ("prediction", predictions)):
        if is_constant(values):
            note = f"every {what} of {task.name} is the same, so its {task.metric} is undefined"
            return Score(task.metric, None, len(labels), note)
    if task.metric == "pearson":
        # NumPy's, not SciPy's: importing scipy.stats takes longer than all else that evaluate and compare do here.
        pair = np.stack([labels, predictions]).astype(np.float64)
        return Score(task.metric, float(np.asarray(np.corrcoef(pair))[0, 1]), len(labels))
    from scipy import stats

    return Score(task.metric, float(stats.spearmanr(labels, predictions).statistic), len(labels))


def is_constant(values: np.ndarray) -> bool:
    """Return whether (n,) values differ by no more than rounding."""
    scaled = values.astype(np.float64) / (float(np.abs(values).max()) or 1.0)
    mean = float(scaled.mean())
    return float(np.linalg.norm(scaled - mean)) <= NEAR_CONSTANT * abs(mean) * math.sqrt(len(values))


def _f1(labels: np.ndarray, predictions: np.ndarray, *, binary: bool) -> float:
    classes = np.array([1]) if binary else np.union1d(labels, predictions)
    each = []
    for one in classes:
        right = int(((labels == one) & (predictions == one)).sum())
        named = int((labels == one).sum() + (predictions == one).sum())
        each.append(2 * right / named if named else 0.0)
    return float(np.mean(each))


def _f1_of_sets(labels: np.ndarray, predictions: np.ndarray, *, micro: bool) -> float:
    """Return the F1 of (n, C) labels; a class that neither side has counts in no mean, and no label at all is 0."""
    true, found = labels > 0, predictions > 0
    right = (true & found).sum(axis=0).astype(np.float64)
    named = (true.sum(axis=0) + found.sum(axis=0)).astype(np.float64)
    if not named.any():
        return 0.0
    if micro:
        return float(2 * right.sum() / named.sum())
    return float(np.mean(2 * right[named > 0] / named[named > 0]))


def _mcc(labels: np.ndarray, predictions: np.ndarray, *, binary: bool) -> float:
    classes = np.union1d(labels, predictions)
    true = (labels[:, None] == classes).astype(np.float64)
    found = (predictions[:, None] == classes).astype(np.float64)
    true, found = true - true.mean(0), found - found.mean(0)
    scale = math.sqrt(float((true**2).sum()) * float((found**2).sum()))
    return float((true * found).sum()) / scale if scale else 0.0


def overall(scores: Sequence[Score | None]) -> float | None:
    """Return the mean of the tasks' values, a correlation r counting as (r + 1)/2; None where one is missing."""
    parts: list[float] = []
    for one in scores:
        if one is None or one.value is None:
            return None
        parts.append((one.value + 1) / 2 if one.metric in CORRELATIONS else one.value)
    return math.fsum(parts) / len(parts) if parts else None


def score_tasks(tasks: Iterable[Task], predictions: Predictions) -> dict[str, Score | None]:
    """Return a score for each task in order; None for a task that has no predictions."""
    found = ((task, predictions.get(task.name)) for task in tasks)
    return {task.name: None if rows is None else score(task, rows.labels, rows.predictions) for task, rows in found}


def scores_json(tasks: Iterable[Task], predictions: Predictions) -> dict[str, Any]:
    """Return what a checkpoint's record holds of its scores: each task's (None without labels), and overall."""
    scores = score_tasks(tasks, predictions)
    each = {task: None if score is None else score.to_json() for task, score in scores.items()}
    return {**each, "overall": overall(list(scores.values()))}
