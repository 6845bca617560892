"""Several members' predictions in, one ensemble's predictions out; and the fair choice of members."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from smartcli.data.predictions import Predictions, TaskPredictions
from smartcli.errors import SmartCliError, UserError
from smartcli.metrics import overall, score_tasks
from smartcli.tasks import Task, Vote

SAME = 12
"""Decimals to which two mean probabilities count as equal: members' order must not break a tie by rounding."""


def combine(
    tasks: Iterable[Task], members: Sequence[Predictions], names: Sequence[str] = (), vote: Vote = "mode"
) -> Predictions:
    """Return the ensemble's predictions for every task, in order.

    By mode (the paper's). Classes: the mode of the members' predictions; a tie goes to the class with the highest
    mean probability among the tied, then to the lowest class. Multilabel: each label by the members' majority, a tie
    by whether its mean probability is at least one half. Scores: the median. By mean (soft voting). Classes: the
    highest mean probability, a tie going to the lowest class. Multilabel: each label whose mean probability is at
    least one half. Scores: the mean. Probabilities are the members' mean either way. A task that no member has is left
    out: the split has no rows of it. A UserError names a member (by `names`, else by number) that lacks a task which
    another has; rows that differ between members are a SmartCliError.
    """
    called = list(names) or [f"member {i + 1}" for i in range(len(members))]
    combined: Predictions = {}
    for task in tasks:
        if not any(task.name in member for member in members):
            continue
        rows = [_rows_of(task, member, name) for member, name in zip(members, called, strict=True)]
        for other, name in zip(rows[1:], called[1:], strict=True):
            check_same_rows(task, rows[0], other, called[0], name)
        combined[task.name] = _combine_task(task, rows, vote)
    return combined


def _rows_of(task: Task, member: Predictions, name: str) -> TaskPredictions:
    if task.name not in member:
        raise UserError(
            f'{name} has no head for task "{task.name}", which an ensemble on this data needs; leave {name} out'
        )
    return member[task.name]


def check_same_rows(task: Task, first: TaskPredictions, other: TaskPredictions, name: str, other_name: str) -> None:
    """Raise a SmartCliError that names both where two do not predict the same rows with the same labels."""
    where = f"{task.name}: {name} and {other_name} do not predict the same rows"
    if len(first) != len(other):
        raise SmartCliError(f"{where}: {len(first)} rows against {len(other)}")
    if first.ids != other.ids:
        at = next(i for i, (a, b) in enumerate(zip(first.ids, other.ids, strict=True)) if a != b)
        raise SmartCliError(f'{where}: row {at + 1} is "{first.ids[at]}" against "{other.ids[at]}"')
    if not _equal(first.labels, other.labels):
        raise SmartCliError(f"{where}: their labels differ")


def _equal(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return bool(np.array_equal(a, b)) if a is not None and b is not None else a is b


def _combine_task(task: Task, rows: Sequence[TaskPredictions], vote: Vote) -> TaskPredictions:
    votes = np.stack([one.predictions for one in rows])
    if not np.isfinite(votes).all():
        raise SmartCliError(f"{task.name}: a member's prediction is not a finite number; verify the members")
    if task.kind == "regression":
        # Sorted before summing, so that the mean does not depend on the members' order.
        middle = np.median(votes, axis=0) if vote == "mode" else np.sort(votes, axis=0).mean(axis=0)
        return replace(rows[0], predictions=middle, probabilities=None)
    shares = mean_probabilities(task, rows)
    if task.kind == "multilabel":
        found = majority(votes, shares) if vote == "mode" else (np.round(shares, SAME) >= 0.5).astype(np.float64)
    else:
        found = mode(votes, shares) if vote == "mode" else np.round(shares, SAME).argmax(axis=1).astype(np.float64)
    return replace(rows[0], predictions=found, probabilities=shares)


def mean_probabilities(task: Task, rows: Sequence[TaskPredictions]) -> np.ndarray:
    """Return the members' mean probabilities (n, C), whatever the members' order."""
    each = []
    for one in rows:
        shares = one.probabilities
        if shares is None:
            raise SmartCliError(f"{task.name}: a member has no probabilities, which break a tie between classes")
        if shares.shape[1] == 1 and task.kind == "binary":
            shares = np.concatenate([1 - shares, shares], axis=1)
        each.append(shares)
    widths = {shares.shape[1] for shares in each}
    if len(widths) > 1:
        raise SmartCliError(f"{task.name}: members have {sorted(widths)} classes; expected the same in all")
    # Sorted before summing: floating-point sums depend on the order of the terms.
    return np.asarray(np.sort(np.stack(each), axis=0).mean(axis=0))


def majority(votes: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the (n, C) labels that most of (members, n, C) votes have; mean probabilities (n, C) break ties."""
    if votes.shape[1:] != shares.shape or not np.isin(votes, (0, 1)).all():
        raise SmartCliError("a member predicts something other than 0 or 1 for each label; verify the members")
    ahead = 2 * votes.sum(axis=0) - len(votes)
    return np.where(ahead == 0, np.round(shares, SAME) >= 0.5, ahead > 0).astype(np.float64)


def mode(votes: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the (n,) winning classes of (members, n) votes; (n, C) mean probabilities break ties."""
    classes = np.arange(shares.shape[1])
    counts = np.asarray((votes[:, :, None] == classes).sum(axis=0))
    if (counts.sum(axis=1) != len(votes)).any():
        raise SmartCliError(f"a member predicts a class other than 0 to {len(classes) - 1}; verify the members")
    tied = counts == counts.max(axis=1, keepdims=True)
    winners = np.where(tied, np.round(shares, SAME), -1.0).argmax(axis=1)
    return np.asarray(winners, dtype=np.float64)


def halves(predictions: Predictions, key: str) -> tuple[Predictions, Predictions]:
    """Return two halves of every task's rows: one to choose members on, one to report on.

    A row's half follows a hash of `key` (the data fingerprint), task and id, so it is the same for every
    model and machine; the halves' sizes differ by one at most.
    """
    first: Predictions = {}
    second: Predictions = {}
    for name, rows in predictions.items():
        digests = [hashlib.sha256(f"{key}\0{name}\0{row_id}".encode()).digest() for row_id in rows.ids]
        order = sorted(range(len(rows)), key=digests.__getitem__)
        middle = (len(order) + 1) // 2
        first[name] = take(rows, sorted(order[:middle]))
        second[name] = take(rows, sorted(order[middle:]))
    return first, second


def take(rows: TaskPredictions, keep: Sequence[int]) -> TaskPredictions:
    """Return the rows at the positions `keep`."""
    at = np.array(keep, dtype=np.int64)
    return TaskPredictions(
        task=rows.task,
        ids=[rows.ids[i] for i in keep],
        labels=None if rows.labels is None else rows.labels[at],
        predictions=rows.predictions[at],
        probabilities=None if rows.probabilities is None else rows.probabilities[at],
    )


def rank(tasks: Sequence[Task], candidates: Mapping[str, Predictions]) -> list[tuple[str, float]]:
    """Return the candidates with their overall score, best first; equal ones keep their order.

    A candidate without an overall score (a task without labels, a constant prediction) stands last with −1.
    """
    scored = [(name, overall(list(score_tasks(tasks, found).values()))) for name, found in candidates.items()]
    return sorted(((name, -1.0 if value is None else value) for name, value in scored), key=lambda pair: -pair[1])
