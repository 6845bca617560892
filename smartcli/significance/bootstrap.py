"""The paired bootstrap (Efron 1979): rows drawn again with replacement, the same rows for every model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smartcli.tasks import Task

DRAWS = 10_000
CELLS = 500_000
"""Counts that are held at once: few enough for a processor's cache."""
COUNTED = 30
"""Drawing one group's count costs as much as drawing so many rows."""
FEWEST = 0.9
"""Share of the draws in which a score must be defined."""
INTERVAL = (2.5, 97.5)


def resampled_scores(
    task: Task, labels: np.ndarray, predictions: np.ndarray, draws: int, random: np.random.Generator
) -> np.ndarray:
    """Return the task's metric (draws, m) of (m, n) predictions, each draw on n rows drawn anew for all models.

    Of a multilabel task labels are (n, C) and predictions (m, n, C).
    """
    from smartcli.significance.weighted_metrics import weighted_scores

    sets: np.ndarray | None = None
    if labels.ndim == 2:
        # Each set of labels becomes one number.
        every = np.concatenate([labels[None], predictions]).reshape(-1, labels.shape[1])
        sets, number = np.unique(every, axis=0, return_inverse=True)
        labels, *others = number.reshape(-1, len(labels)).astype(np.float64)
        predictions = np.stack(others)
    # Rows that agree in label and in every prediction are one group: a draw is how often each group came.
    rows, group, sizes = np.unique(np.vstack([labels, predictions]).T, axis=0, return_inverse=True, return_counts=True)
    out = np.empty((draws, len(predictions)))
    step = max(1, CELLS // len(labels))
    for start in range(0, draws, step):
        counts = _draw(group.reshape(-1), sizes, min(step, draws - start), random)
        out[start : start + len(counts)] = weighted_scores(task, rows[:, 0], rows[:, 1:].T, counts, sets)
    return out


def _draw(group: np.ndarray, sizes: np.ndarray, draws: int, random: np.random.Generator) -> np.ndarray:
    """Return how often each group came (draws, groups) when len(group) rows are drawn with replacement."""
    n, groups = len(group), len(sizes)
    if groups * COUNTED < n:
        return random.multinomial(n, sizes / n, size=draws).astype(np.float64)
    out = np.empty((draws, groups))
    alone = groups == n
    for counts, drawn in zip(out, random.integers(0, n, size=(draws, n), dtype=np.int32), strict=True):
        counts[:] = np.bincount(drawn if alone else group[drawn], minlength=groups)
    return out


@dataclass(frozen=True)
class Resampled:
    """A difference over the draws: 95 % interval by percentiles, and the two-sided p."""

    low: float
    high: float
    p: float


def judge(drawn: np.ndarray, difference: float) -> Resampled | None:
    """Return interval and p of (draws,) differences; None where too many of them are undefined.

    Were there none, differences would scatter about 0 as the drawn ones do about the `difference` found (Hall and
    Wilson 1991): p is the share of the draws that are at least as far from it as it is from 0, the sample itself
    counted as one more draw. The share on the other side of 0 would claim too much where few rows tell the sides apart:
    of six rows that all speak for one side, a draw has none in one case of 400, and McNemar's p is .031.
    """
    found = drawn[np.isfinite(drawn)]
    if len(found) < FEWEST * len(drawn):
        return None
    # Differences that rounding alone tells apart are equal.
    farther = int((np.round(np.abs(found - difference) - abs(difference), 12) >= 0).sum())
    low, high = np.percentile(np.round(found, 12), INTERVAL)
    return Resampled(float(low), float(high), (farther + 1) / (len(found) + 1))
