"""The paper's 70/10/20 division, the same on every machine and for every release of a library."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import compress

import numpy as np

from smartcli.data.rows import Row, SplitRows
from smartcli.data.saving import RowSink
from smartcli.tasks import SPLITS

SEED = 0


def sizes(n: int) -> tuple[int, int, int]:
    """Return the rows of train, dev and test: round(.7 n), round(.1 n), the rest."""
    train, dev = round(0.7 * n), round(0.1 * n)
    return train, dev, n - train - dev


def assign(n: int, seed: int = SEED) -> np.ndarray:
    """Return (n,) int8: 0 train, 1 dev, 2 test, by the order of the SHA-256 of `seed:row`."""
    keys = [hashlib.sha256(f"{seed}:{row}".encode()).digest() for row in range(n)]
    order = sorted(range(n), key=keys.__getitem__)
    train, dev, _ = sizes(n)
    place = np.full(n, 2, dtype=np.int8)
    place[order[:train]] = 0
    place[order[train : train + dev]] = 1
    return place


def divide(sink: RowSink, task: str) -> int:
    """Divide the rows written as the train split of `task` into train, dev and test; return how many there were."""
    rows = sink.take_back(task, "train")
    place = assign(len(rows))
    for number, split in enumerate(SPLITS):
        sink.write(task, split, chosen(rows, place == number), rows.sides)
    return len(rows)


def chosen(rows: SplitRows, mask: np.ndarray) -> Iterator[Row]:
    """Yield the rows where `mask` (n,) holds, in order."""
    return compress(rows.all(), mask)
