"""What a split's rows look like: balance of labels, lengths, rows that stand twice or contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from smartcli.counts import counted
from smartcli.data.leaks import text_keys
from smartcli.data.rows import SplitRows
from smartcli.tasks import Task

MEASURED = 20_000
"""Rows of a split whose lengths are measured, evenly spread; more would say no more."""
EXAMPLES = 5
FEW = 0.02
"""Below this share of a dev or test split a class's score rests on few rows."""
TIMES = 4
"""From so many rows of another class for each of its own on, a class is found clearly less often than an equal one.

Measured by benchmarks/imbalance.py; docs/own-data.md has the table.
"""
ADVICE = 'class_weights = "balanced" and metric = "balanced_accuracy" or "f1" in tasks.toml suit such a task'
ADVICE_ON_SETS = 'class_weights = "balanced" and metric = "macro_f1" in tasks.toml suit such a task'
LOPSIDED = 0.9

Measure = Callable[[Sequence[str]], list[int]]
"""From sentences to their lengths."""


@dataclass(frozen=True)
class Lengths:
    """Lengths of joined examples: a few quantiles, and how many are cut at the limit."""

    measured: int
    median: int
    p95: int
    longest: int
    truncated: int

    def to_json(self) -> dict[str, int]:
        return dict(vars(self))


@dataclass(frozen=True)
class Conflicts:
    """Texts that stand with different labels, over all splits of a task."""

    texts: int = 0
    rows: int = 0
    examples: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return {"texts": self.texts, "rows": self.rows, "examples": list(self.examples)}


def balance(task: Task, labels: np.ndarray | None) -> dict[str, Any] | None:
    """Return rows per class, or lowest, mean and highest score with five equal steps; None without labels."""
    if labels is None:
        return None
    if labels.ndim == 2:
        return {name: int(count) for name, count in zip(task.labels, labels.sum(axis=0, dtype=np.int64), strict=True)}
    if task.range is None:
        counts = np.bincount(labels.astype(np.int64), minlength=task.classes)
        return {name: int(count) for name, count in zip(task.labels, counts, strict=True)}
    steps, _ = np.histogram(labels, bins=5, range=task.range)
    return {
        "lowest": float(labels.min()),
        "mean": round(float(labels.mean()), 4),
        "highest": float(labels.max()),
        "fifths": steps.tolist(),
    }


def lengths(rows: SplitRows, measure: Measure, extra: int, limit: int) -> Lengths:
    """Measure joined examples: both sentences of a pair and `extra` special tokens, against `limit`."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MEASURED)).astype(np.int64))
    total = np.full(len(chosen), extra, dtype=np.int64)
    for side in range(rows.sides):
        total += np.array(measure([rows.text(side, int(row)) for row in chosen]), dtype=np.int64)
    median, p95 = (int(np.quantile(total, share, method="higher")) for share in (0.5, 0.95))
    return Lengths(len(chosen), median, p95, int(total.max()), int((total > limit).sum()))


def count_duplicates(rows: SplitRows) -> int:
    """Return the rows whose texts stand in an earlier row of the same split."""
    return len(rows) - len(np.unique(text_keys(rows)))


def find_conflicts(task: Task, splits: dict[str, SplitRows]) -> Conflicts:
    """Find equal texts with different labels, within and across the labelled splits; classes go by their names."""
    labelled = {split: rows for split, rows in splits.items() if rows.labels is not None}
    if not labelled:
        return Conflicts()
    keys = np.concatenate([text_keys(rows) for rows in labelled.values()])
    labels = np.concatenate([rows.labels for rows in labelled.values() if rows.labels is not None])
    if labels.ndim == 2:
        # Rows with the same set of labels have the same number.
        labels = np.unique(labels, axis=0, return_inverse=True)[1].reshape(len(labels))
    order = np.lexsort((labels, keys))
    keys, labels = keys[order], labels[order]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    ends = np.r_[starts[1:], len(keys)]
    clashing = np.flatnonzero(labels[starts] != labels[ends - 1])
    places = [(split, row) for split, rows in labelled.items() for row in range(len(rows))] if len(clashing) else []
    examples = []
    for group in clashing[:EXAMPLES]:
        first, last = places[order[starts[group]]], places[order[ends[group] - 1]]
        examples.append(" and ".join(_named(task, labelled[split], split, row) for split, row in (first, last)))
    count = int((ends[clashing] - starts[clashing]).sum())
    return Conflicts(len(clashing), count, tuple(examples))


def _named(task: Task, rows: SplitRows, split: str, row: int) -> str:
    assert rows.labels is not None
    label = rows.labels[row]
    if rows.labels.ndim == 2:
        names = [name for name, own in zip(task.labels, label, strict=True) if own]
        return f"{split} {rows.id(row)} (labels {', '.join(names) or 'none'})"
    return f"{split} {rows.id(row)} (label {task.labels[int(label)] if task.labels else f'{label:g}'})"


def findings_on_balance(task: Task, split: str, found: dict[str, Any] | None, rows: int) -> list[str]:
    """Return what is odd about the labels of a split of so many rows, in words."""
    where = f'task "{task.name}", {split}'
    if found is None:
        return [] if split == "test" else [f"{where}: no labels"]
    if task.range is not None:
        if found["lowest"] == found["highest"]:
            return [f"{where}: every score is {found['lowest']:g}, so a correlation is undefined"]
        return []
    out = [f'{where}: no row of class "{name}"' for name, count in found.items() if count == 0]
    name, most = max(found.items(), key=lambda item: item[1])
    if split == "train" and task.class_weights is None:
        out += _rare_classes(task, where, found, rows, (name, most))
    elif split != "train":
        few = [own for own, count in found.items() if 0 < count < FEW * rows]
        out += [f'{where}: class "{own}" has {found[own]:,} of {rows:,} rows, so its score rests on few' for own in few]
    if most > LOPSIDED * rows and task.kind != "multilabel":
        out.append(f'{where}: {most / rows:.0%} of the rows are of class "{name}", so accuracy alone will say little')
    return out


def _rare_classes(task: Task, where: str, found: dict[str, Any], rows: int, largest: tuple[str, int]) -> list[str]:
    """Return a line where a class has few rows beside the largest one, or a label beside the rows without it."""
    several = task.kind == "multilabel"
    others = {name: rows - count if several else largest[1] for name, count in found.items()}
    rare = sorted((name for name, count in found.items() if 0 < TIMES * count <= others[name]), key=found.__getitem__)
    if not rare:
        return []
    rarest, more = rare[0], len(rare) - 1
    beside = f"{others[rarest]:,} without it" if several else f'{others[rarest]:,} of "{largest[0]}"'
    are = f" (and {counted(more, 'other class is', 'other classes are')} rare too)" if more else ""
    return [
        f'{where}: class "{rarest}" has {counted(found[rarest], "row")} beside {beside}{are}; from 1 : {TIMES} on a '
        f"rare class is found less often; {ADVICE_ON_SETS if several else ADVICE}"
    ]
