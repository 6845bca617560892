"""Task metrics of several models at once over rows that count several times, as a bootstrap draws them.

A row that is drawn w times counts w times. So a draw is a vector of counts, and most metrics are sums over rows, which
one matrix product gives for many draws and all models. Each metric is that of `smartcli.metrics.score` on the rows that
were drawn; where it is undefined there the value is NaN.
"""

from __future__ import annotations

import numpy as np

from smartcli.tasks import Task

NEAR_CONSTANT = 1e-13
"""Share of the mean square below which a variance is rounding."""


def weighted_scores(
    task: Task, labels: np.ndarray, predictions: np.ndarray, counts: np.ndarray, sets: np.ndarray | None = None
) -> np.ndarray:
    """Return the task's metric (draws, m) of (m, n) predictions against (n,) labels, rows counted by (draws, n).

    Of a multilabel task labels and predictions are row numbers of `sets` (s, C), each a set of labels as 0 and 1.
    """
    if task.metric == "accuracy":
        right = counts @ (predictions == labels).T.astype(np.float64)
        return np.asarray(right / counts.sum(axis=1, keepdims=True))
    if task.metric == "pearson":
        return _pearson(labels, predictions, counts)
    if task.metric == "spearman":
        return np.stack([_spearman(labels, one, counts) for one in predictions], axis=1)
    return _from_classes(task, labels, predictions, counts, sets)


def _from_classes(
    task: Task, labels: np.ndarray, predictions: np.ndarray, counts: np.ndarray, sets: np.ndarray | None
) -> np.ndarray:
    """Balanced accuracy, F1 and Matthews' coefficient: from rows right, labelled and named, a class."""
    classes = np.union1d(labels, predictions) if sets is None else np.arange(sets.shape[1])
    right, true, named = [], [], []
    for one in classes:
        is_class, says = (
            (values == one if sets is None else sets[values.astype(np.int64), one] > 0).astype(np.float64)
            for values in (labels, predictions.T)
        )
        right.append(counts @ (says * is_class[:, None]))
        true.append(np.repeat((counts @ is_class)[:, None], len(predictions), axis=1))
        named.append(counts @ says)
    r, t, p = np.stack(right), np.stack(true), np.stack(named)  # (classes, draws, m) each
    if task.metric == "micro_f1":
        return _ratio(2 * r.sum(axis=0), (t + p).sum(axis=0))
    if task.metric == "macro_f1":
        return _mean_over(2 * r, t + p)
    if task.metric == "balanced_accuracy":
        return _mean_over(r, t)
    if task.metric == "f1":
        if task.kind == "binary":
            at = np.flatnonzero(classes == 1)
            return _ratio(2 * r[at].sum(axis=0), (t + p)[at].sum(axis=0))
        return _mean_over(2 * r, t + p)
    n = counts.sum(axis=1, keepdims=True)
    spread = np.sqrt((n**2 - (t**2).sum(axis=0)) * (n**2 - (p**2).sum(axis=0)))
    return _ratio(n * r.sum(axis=0) - (t * p).sum(axis=0), spread)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below > 0))


def _mean_over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return the mean ratio over the classes that occur, those with something below the line."""
    return _ratio(_ratio(above, below).sum(axis=0), (below > 0).sum(axis=0))


def _pearson(labels: np.ndarray, predictions: np.ndarray, counts: np.ndarray) -> np.ndarray:
    n = counts.sum(axis=1, keepdims=True)
    # Centred on the mean of all rows, so that the squares below lose no digits.
    y = (labels - labels.mean()).astype(np.float64)[:, None]
    x = (predictions - predictions.mean(axis=1, keepdims=True)).T.astype(np.float64)
    # One product for all sums: the counts are far larger than what they are multiplied with.
    sums = counts @ np.hstack([y, y * y, x, x * x, x * y]) / n
    (mean_y, yy), (mean_x, xx, xy) = np.hsplit(sums[:, :2], 2), np.hsplit(sums[:, 2:], 3)
    return _correlation(xy - mean_x * mean_y, xx - mean_x**2, yy - mean_y**2, xx, yy)


def _correlation(
    cov: np.ndarray, var_x: np.ndarray, var_y: np.ndarray, square_x: np.ndarray, square_y: np.ndarray
) -> np.ndarray:
    defined = (var_x > NEAR_CONSTANT * square_x) & (var_y > NEAR_CONSTANT * square_y)
    scale: np.ndarray = np.sqrt(np.where(defined, var_x * var_y, 1.0))
    return np.asarray(np.where(defined, cov / scale, np.nan))


def _spearman(labels: np.ndarray, one: np.ndarray, counts: np.ndarray) -> np.ndarray:
    n = counts.sum(axis=1)
    middle = ((n + 1) / 2)[:, None]
    y, x = _ranks(labels, counts) - middle, _ranks(one, counts) - middle
    cov, var_y, var_x = ((counts * product).sum(axis=1) for product in (y * x, y * y, x * x))
    # Ranks are whole or half: a variance that is not zero is far from rounding.
    ones = np.ones_like(n)
    return _correlation(cov, var_x, var_y, ones, ones)


def _ranks(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return each row's rank (draws, n) among the rows that were drawn; equal values share their mean rank."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    size = np.add.reduceat(counts[:, order], starts, axis=1)
    rank = np.cumsum(size, axis=1) - size + (size + 1) / 2
    return np.asarray(rank[:, group])
