"""How often and how far predictions move between a text and the same text with terms exchanged, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartcli.data.predictions import TaskPredictions
from smartcli.tasks import Task

LEVEL = 0.95
RESAMPLES = 2000
SEED = 0
STEP = 0.1
"""Share of a score's range that counts as a move."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """`k` of `n`, with Wilson's 95 % interval of the share (Wilson 1927); none of no rows."""

    k: int
    n: int
    low: float | None
    high: float | None

    @property
    def value(self) -> float | None:
        return self.k / self.n if self.n else None

    def to_json(self) -> dict[str, Any]:
        return {"k": self.k, "n": self.n, "share": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Mean:
    """A mean over `n` rows with the 95 % percentile bootstrap interval; no interval of fewer than two rows."""

    n: int
    value: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        return {"n": self.n, "mean": self.value, "low": self.low, "high": self.high}


def share(k: int, n: int) -> Share:
    """Return k of n with its interval, `scipy.stats.binomtest(k, n).proportion_ci(method="wilson")`."""
    if n == 0:
        return Share(0, 0, None, None)
    from scipy.stats import binomtest

    found = binomtest(k, n).proportion_ci(LEVEL, method="wilson")
    return Share(k, n, float(found.low), float(found.high))


def mean(values: Values) -> Mean:
    """Return the mean of (n,) values; the interval is of rows drawn again, 2,000 times, with a fixed seed."""
    n = len(values)
    if n == 0:
        return Mean(0, None, None, None)
    value = float(np.mean(values))
    if n == 1:
        return Mean(1, value, None, None)
    from scipy.stats import bootstrap

    # Batches bound the memory: all draws of a large split at once would be gigabytes.
    found = bootstrap(
        (values,),
        np.mean,
        confidence_level=LEVEL,
        n_resamples=RESAMPLES,
        batch=max(1, 4_000_000 // n),
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Mean(n, value, float(found.low), float(found.high))


@dataclass(frozen=True)
class Moves:
    """Rows that moved, and how far; `signed` is for scores alone. `changes` is (n,): what rows are ordered by."""

    moved: Share
    size: Mean
    signed: Mean | None
    changes: Values

    def largest(self, count: int) -> list[tuple[int, float]]:
        """Return the rows that moved farthest and how far, farthest first, equal ones in row order."""
        order = np.argsort(-np.abs(self.changes), kind="stable")[:count]
        return [(int(row), float(self.changes[row])) for row in order]

    def to_json(self) -> dict[str, Any]:
        return {
            "moved": self.moved.to_json(),
            "absolute_change": self.size.to_json(),
            "signed_change": None if self.signed is None else self.signed.to_json(),
        }


def changes(task: Task, before: TaskPredictions, after: TaskPredictions) -> Values:
    """Return after − before (n,): of the score, or of the probability of the class predicted before."""
    if task.kind == "regression":
        return np.asarray(after.predictions - before.predictions, dtype=np.float64)
    assert before.probabilities is not None
    assert after.probabilities is not None
    rows, classes = np.arange(len(before)), before.predictions.astype(np.int64)
    return np.asarray(after.probabilities[rows, classes] - before.probabilities[rows, classes], dtype=np.float64)


def step_of(task: Task) -> float | None:
    """Return how far a score must go to count as moved: a tenth of its range; None for classes."""
    return None if task.range is None else STEP * (task.range[1] - task.range[0])


def moves(task: Task, before: TaskPredictions, after: TaskPredictions) -> Moves:
    """Return how many of the rows move and how far.

    A class moves when another one is predicted, a score when it changes by more than `step_of` the task.
    """
    found = changes(task, before, after)
    step = step_of(task)
    moved = np.abs(found) > step if step is not None else before.predictions != after.predictions
    signed = mean(found) if step is not None else None
    return Moves(share(int(np.sum(moved)), len(before)), mean(np.abs(found)), signed, found)


def alike(task: Task, found: TaskPredictions) -> NDArray[np.bool_] | None:
    """Return which pairs (n,) look alike: class 1, or a score from the middle of the range on.

    None for other classes, of which nobody can say which means alike.
    """
    if task.kind == "binary":
        return np.asarray(found.predictions == 1)
    if task.range is not None:
        return np.asarray(found.predictions >= sum(task.range) / 2)
    return None
