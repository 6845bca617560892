"""The rows whose vectors point most nearly the same way as one row's.

Axes: n rows, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
BLOCK = 16_384
"""Rows of a mapped file that are read at a time."""


def unit(vectors: Vectors) -> Vectors:
    """Return the rows of (n, D) scaled to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)


def cosines(vectors: Sequence[Vectors], queries: Sequence[Vectors]) -> NDArray[np.float64]:
    """Return the cosine (n,) of every row to one query, the mean over models.

    Each model has its own unit `vectors` (n, D) and unit query (D,); widths may differ between models.
    """
    total = np.zeros(len(vectors[0]))
    for own, query in zip(vectors, queries, strict=True):
        for start in range(0, len(own), BLOCK):
            total[start : start + BLOCK] += own[start : start + BLOCK] @ query
    return np.clip(total / len(vectors), -1.0, 1.0)


def nearest(found: NDArray[np.float64], count: int, leave_out: int | None = None) -> list[int]:
    """Return the rows of the `count` largest cosines, nearest first, equal ones in row order.

    `leave_out` is a row that does not count: the one that is explained.
    """
    if leave_out is not None:
        found = found.copy()
        found[leave_out] = -np.inf
    return [int(row) for row in np.argsort(-found, kind="stable")[:count] if np.isfinite(found[row])]
