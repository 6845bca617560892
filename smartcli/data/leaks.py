"""Rows whose text stands in train and in dev or test: counted, so that a score is not trusted too far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from smartcli.data.rows import SplitRows


def text_keys(rows: SplitRows) -> np.ndarray:
    """Return (n,) int64, equal where all texts of two rows are equal (a collision is about 1 in 2^64)."""
    columns = [rows.batches(side) for side in range(rows.sides)]
    return np.fromiter(
        (hash(texts) for batch in zip(*columns, strict=True) for texts in zip(*batch, strict=True)),
        dtype=np.int64,
        count=len(rows),
    )


def count_shared(rows: SplitRows, other: SplitRows) -> int:
    """Return how many of `rows` have the texts of any row of `other`."""
    return int(np.isin(text_keys(rows), text_keys(other)).sum())


def count_leaks(splits: Iterable[str], open_split: Callable[[str], SplitRows]) -> Iterator[tuple[str, int]]:
    """Yield (split, rows whose texts stand in train too) for dev and test, where both are there."""
    names = list(splits)
    if "train" not in names:
        return
    train = text_keys(open_split("train"))
    for split in names:
        if split != "train":
            yield split, int(np.isin(text_keys(open_split(split)), train).sum())
