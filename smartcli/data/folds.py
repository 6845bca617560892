"""Folds of the train rows: each class spread evenly over them, and one text in one fold only.

A text that stands several times would otherwise be trained on in one fold and scored in another. Texts are the same
where they differ in letters' case, in spaces, or, of a pair, in the order of its sentences.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smartcli.counts import counted
from smartcli.data.rows import SplitRows
from smartcli.errors import UserError
from smartcli.tasks import Task

FEWEST = 2


def same_text(texts: Sequence[str]) -> tuple[str, ...]:
    """Return what rows of the same text have in common: lower case, single spaces, a pair in one order."""
    return tuple(sorted(" ".join(text.lower().split()) for text in texts))


def texts_of(rows: SplitRows, keep: NDArray[np.int64] | None) -> list[tuple[str, ...]]:
    """Return the `same_text` of the rows `keep` (None: all), in order."""
    columns = [rows.batches(side) for side in range(rows.sides)]
    every = [same_text(texts) for batch in zip(*columns, strict=True) for texts in zip(*batch, strict=True)]
    return every if keep is None else [every[i] for i in keep.tolist()]


def assign_folds(
    task: Task, texts: Sequence[tuple[str, ...]], labels: np.ndarray, folds: int, key: str
) -> NDArray[np.int64]:
    """Return each row's fold (n,), 0 to `folds` - 1; `key` (the data fingerprint) decides among equal choices.

    Rows of one text go to one fold, that which has the fewest rows of their class (the most frequent one among them),
    and of these the smallest. Scores are taken in order, each `folds` texts that follow each other to different folds.
    A UserError names the class that has fewer different texts than there are folds.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, text in enumerate(texts):
        groups.setdefault(text, []).append(row)
    lot = {text: hashlib.sha256("\0".join([key, task.name, *text]).encode()).digest() for text in groups}
    order = sorted(groups, key=lot.__getitem__)
    strata = _strata(task, [groups[text] for text in order], labels, folds)
    out = np.zeros(len(texts), dtype=np.int64)
    of_class = np.zeros((int(strata.max(initial=0)) + 1, folds), dtype=np.int64)
    size = np.zeros(folds, dtype=np.int64)
    # Texts of many rows first, so that the others can even out what they upset.
    for at in sorted(range(len(order)), key=lambda one: -len(groups[order[one]])):
        rows = groups[order[at]]
        fold = int(np.lexsort((size, of_class[strata[at]]))[0])
        out[rows] = fold
        of_class[strata[at], fold] += len(rows)
        size[fold] += len(rows)
    return out


def _strata(task: Task, groups: Sequence[Sequence[int]], labels: np.ndarray, folds: int) -> NDArray[np.int64]:
    """Return a class for each group of rows; scores in blocks of `folds` groups, sets of labels by their rarest."""
    if task.kind in ("regression", "multilabel") and len(groups) < folds:
        raise _too_many(task, folds, _rows(len(groups)))
    if task.kind == "regression":
        middle = np.array([labels[rows].mean() for rows in groups])
        place = np.empty(len(groups), dtype=np.int64)
        place[np.argsort(middle, kind="stable")] = np.arange(len(groups))
        return np.asarray(place // folds)
    if labels.ndim == 2:
        rarest = np.argsort(labels.sum(axis=0), kind="stable")
        has = labels[:, rarest] > 0
        labels = np.where(has.any(axis=1), rarest[has.argmax(axis=1)], labels.shape[1])
    found = np.array([np.bincount(labels[rows].astype(np.int64)).argmax() for rows in groups], dtype=np.int64)
    counts = np.bincount(found, minlength=task.classes)
    there = np.flatnonzero(counts[: task.classes])
    if task.kind != "multilabel" and len(there):
        rarest_class = there[counts[there].argmin()]
        if counts[rarest_class] < folds:
            name = task.labels[rarest_class]
            have = f'{_rows(counts[rarest_class])} in its rarest class, "{name}"'
            raise _too_many(task, folds, have)
    return found


def _rows(number: int) -> str:
    return counted(number, "train row of its own text", "train rows of different texts")


def _too_many(task: Task, folds: int, found: str) -> UserError:
    return UserError(f'--folds {folds} is too many: the task "{task.name}" has {found}; give at most that many folds')


def check_count(folds: int) -> int:
    """Return a number of folds; a UserError where it is below two."""
    if folds < FEWEST:
        raise UserError(f"--folds must be at least {FEWEST}, found {folds}")
    return folds
