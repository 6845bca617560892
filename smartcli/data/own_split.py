"""`split = {dev = .1, test = .1, seed = 0}`: one file of a task divided, the same for everyone.

Rows are divided by what they say and not by where they stand: groups of rows with one text stay together, pairs that
share a sentence too, and their order is that of a hash of seed, task and text. Each label (or tenth of the scores) is
divided for itself.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smartcli.counts import counted
from smartcli.data.divide import chosen
from smartcli.data.saving import RowSink
from smartcli.errors import UserError
from smartcli.task_keys import Shares
from smartcli.tasks import SPLITS, Task

BINS = 10
"""Parts of equal size into which scores are cut before they are divided."""


def text_of(texts: Sequence[str]) -> str:
    """Return what makes two rows the same text: letters' case, spaces and the order of a pair do not count."""
    sides = sorted(" ".join(text.casefold().split()) for text in texts)
    return "\x1f".join(sides)


def group_keys(rows: Sequence[Sequence[str]]) -> tuple[list[str], int]:
    """Return a key for each row, equal where rows must stay together; and how many rows' pairs could not.

    Rows of one text stay together. So do pairs that share a sentence, and those that share one with these, and so on:
    a chain. A chain that holds more than a tenth of the rows could not be divided, so in it only equal pairs stay
    together. A row that shares nothing has the key of its text.
    """
    keys = [text_of(texts) for texts in rows]
    parent: dict[str, str] = {}

    def root(sentence: str) -> str:
        while (above := parent.setdefault(sentence, sentence)) != sentence:
            parent[sentence] = parent[above]
            sentence = above
        return sentence

    sides = [key.split("\x1f") for key in keys]
    for first, *others in sides:
        for other in others:
            # The smaller sentence leads, so that the order of the rows does not count.
            one, two = sorted((root(first), root(other)))
            parent[two] = one
    roots = [root(own[0]) for own in sides]
    sizes = Counter(roots)
    pairs = {name: len(found) for name, found in _by(roots, keys).items()}
    most = max(1, len(rows) // 10)
    chained = [pairs[name] > 1 and sizes[name] <= most for name in roots]
    apart = sum(pairs[name] > 1 and sizes[name] > most for name in roots)
    return [f"{name}\x1e" if whole else key for name, key, whole in zip(roots, keys, chained, strict=True)], apart


def _by(names: Sequence[str], values: Sequence[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, value in zip(names, values, strict=True):
        found.setdefault(name, set()).add(value)
    return found


def strata(labels: NDArray[np.float64], scores: bool) -> NDArray[np.int64]:
    """Return the stratum of each row (n,): its class, or for scores the tenth in which its score lies.

    Of several labels (n, C) it is the rarest of the row's, C where it has none: so a rare label is divided by its
    share, whatever stands beside it.
    """
    if labels.ndim == 2:
        counts = labels.sum(axis=0, dtype=np.int64)
        # The rarest first; of equally rare ones the lower class.
        order = np.argsort(counts, kind="stable")
        rarest = order[labels[:, order].argmax(axis=1)]
        found: NDArray[np.int64] = np.where(labels.any(axis=1), rarest, labels.shape[1]).astype(np.int64)
        return found
    if not scores:
        return labels.astype(np.int64)
    edges = np.quantile(labels, np.linspace(0, 1, BINS + 1)[1:-1])
    return np.searchsorted(edges, labels, side="right").astype(np.int64)


def assign(keys: Sequence[str], stratum: NDArray[np.int64], shares: Shares, salt: str) -> NDArray[np.int8]:
    """Return 0 train, 1 dev, 2 test for each row (n,), by its text `keys[i]` and its `stratum[i]`.

    Rows of one text go together, in the lowest stratum of theirs. Of a stratum dev and test get about their shares,
    at least one text each where there are three or more, and never its last text: train has a row of every label.
    """
    groups: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    by_stratum: dict[int, list[str]] = {}
    for key, rows in groups.items():
        by_stratum.setdefault(int(stratum[rows].min()), []).append(key)
    place = np.zeros(len(keys), dtype=np.int8)
    for own in by_stratum.values():
        order = sorted(own, key=lambda key: hashlib.sha256(f"{shares.seed}:{salt}:{key}".encode()).digest())
        total = sum(len(groups[key]) for key in own)
        for number, share in ((2, shares.test), (1, shares.dev)):
            want = round(share * total)
            if share and not want and len(own) >= 3:
                want = 1
            taken = take([len(groups[key]) for key in order], want)
            for at in taken:
                place[groups[order[at]]] = number
            order = [key for at, key in enumerate(order) if at not in taken]
    return place


def take(sizes: Sequence[int], want: int) -> set[int]:
    """Return places of groups that hold about `want` rows together: the first that bring the sum nearer, not all.

    Where each is too large for that, the smallest is taken.
    """
    taken: set[int] = set()
    total = 0
    for at, size in enumerate(sizes):
        if len(taken) + 1 == len(sizes) or total >= want:
            break
        if abs(total + size - want) < want - total:
            taken.add(at)
            total += size
    if want and not taken and len(sizes) > 1:
        taken.add(min(range(len(sizes)), key=lambda at: sizes[at]))
    return taken


def divide_own(sink: RowSink, task: Task, shares: Shares) -> str:
    """Divide the rows written as the train split of `task`; return what was done, in words."""
    rows = sink.take_back(task.name, "train", task.classes)
    assert rows.labels is not None
    keys, apart = group_keys([texts for _, texts, _ in rows.all()])
    place = assign(keys, strata(rows.labels, task.kind == "regression"), shares, task.name)
    counts = []
    for number, split in enumerate(SPLITS):
        mask = place == number
        if not mask.any():
            if number == 0 or (shares.dev, shares.test)[number - 1]:
                raise UserError(
                    f'task "{task.name}": {len(rows):,} rows are too few to divide; "split" left none for {split}; '
                    "add rows, or name a file for it in tasks.toml"
                )
            continue
        sink.write(task.name, split, chosen(rows, mask), rows.sides)
        counts.append(f"{int(mask.sum()):,} {split}")
    by = "score" if task.kind == "regression" else "label"
    done = f'task "{task.name}": {task.train} was divided by {by}, seed {shares.seed}: {", ".join(counts)}'
    if apart:
        done += (
            f"; {counted(apart, 'pair')} share sentences in one long chain, which was divided: a sentence of dev or "
            "test may stand in train with another partner"
        )
    return done
