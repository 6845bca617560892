"""Rows of a task picked, and rows without labels put behind others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smartcli.engine.training.batches import Split


def take(split: Split, rows: NDArray[np.int64]) -> Split:
    """Return the given rows of a split without a teacher, their tokens copied."""
    sides = [side.take(rows) for side in split.sides]
    labels = None if split.labels is None else split.labels[rows]
    return Split(sides, labels, lambda row: split.row_id(int(rows[row])))


def joined(first: Split, second: Split) -> Split:
    """Return the rows of both, their tokens copied; those of `second` have no label and count as such."""
    sides = [one.followed_by(other) for one, other in zip(first.sides, second.sides, strict=True)]
    assert first.labels is not None
    none = np.full((len(second), *first.labels.shape[1:]), np.nan)
    n = len(first)
    return Split(
        sides,
        np.concatenate([first.labels, none]),
        lambda row: first.row_id(row) if row < n else second.row_id(row - n),
        unlabelled=first.unlabelled + len(second),
    )
