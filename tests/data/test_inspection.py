"""Looking rows over: each count by hand on rows that can be counted by eye."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from smartcli.data.inspection import (
    ADVICE,
    ADVICE_ON_SETS,
    balance,
    count_duplicates,
    find_conflicts,
    findings_on_balance,
    lengths,
)
from smartcli.data.rows import Row, SplitRows
from smartcli.data.saving import RowSink
from smartcli.tasks import parse_task

BASE = {"name": "t", "text": ["a"], "label": "y"}
MOOD = parse_task({**BASE, "kind": "classification", "labels": ["bad", "fair", "good"]}, "t")
SCORE = parse_task({**BASE, "kind": "regression", "range": [0, 5]}, "t")


def rows(folder: Path, split: str, *given: tuple[str, float]) -> SplitRows:
    sink = RowSink(folder)
    made: list[Row] = [(f"{split}{i}", (text,), label) for i, (text, label) in enumerate(given)]
    sink.write("t", split, made, 1)
    return sink.open("t", split)


def test_balance_counts_classes_and_fifths_of_the_range() -> None:
    assert balance(MOOD, np.array([0.0, 2, 2])) == {"bad": 1, "fair": 0, "good": 2}
    found = balance(SCORE, np.array([0.0, 0.5, 4.0, 5.0]))
    assert found == {"lowest": 0.0, "mean": 2.375, "highest": 5.0, "fifths": [2, 0, 0, 0, 2]}
    assert balance(MOOD, None) is None


def test_odd_balance_is_put_into_words() -> None:
    assert findings_on_balance(MOOD, "dev", {"bad": 1, "fair": 0, "good": 99}, 100) == [
        'task "t", dev: no row of class "fair"',
        'task "t", dev: class "bad" has 1 of 100 rows, so its score rests on few',
        'task "t", dev: 99% of the rows are of class "good", so accuracy alone will say little',
    ]
    assert findings_on_balance(MOOD, "dev", {"bad": 30, "fair": 30, "good": 40}, 100) == []
    assert findings_on_balance(MOOD, "test", None, 9) == []
    same = {"lowest": 2.0, "highest": 2.0, "mean": 2.0, "fifths": []}
    assert findings_on_balance(SCORE, "dev", same, 9) == [
        'task "t", dev: every score is 2, so a correlation is undefined'
    ]


def test_a_class_is_rare_from_one_row_to_four_of_the_largest_on() -> None:
    assert findings_on_balance(MOOD, "train", {"bad": 26, "fair": 100, "good": 30}, 156) == []
    assert findings_on_balance(MOOD, "train", {"bad": 25, "fair": 100, "good": 20}, 145) == [
        'task "t", train: class "good" has 20 rows beside 100 of "fair" (and 1 other class is rare too); from 1 : 4 on '
        f"a rare class is found less often; {ADVICE}"
    ]
    weighted = parse_task({**MOOD.to_json(), "class_weights": "balanced"}, "t")
    assert findings_on_balance(weighted, "train", {"bad": 25, "fair": 100, "good": 20}, 145) == []
    sets = parse_task({**BASE, "kind": "multilabel", "labels": ["bad", "good"], "labels_separator": ","}, "t")
    assert findings_on_balance(sets, "train", {"bad": 50, "good": 21}, 100) == []
    assert findings_on_balance(sets, "train", {"bad": 95, "good": 20}, 100) == [
        'task "t", train: class "good" has 20 rows beside 80 without it; from 1 : 4 on a rare class is found less '
        f"often; {ADVICE_ON_SETS}"
    ]


def test_lengths_count_special_tokens_and_what_is_cut(tmp_path: Path) -> None:
    own = rows(tmp_path, "train", ("a", 0), ("a b c", 0), ("a b", 0), ("a b c d e f", 1))
    found = lengths(own, lambda texts: [len(text.split()) for text in texts], extra=2, limit=5)
    assert (found.measured, found.median, found.p95, found.longest, found.truncated) == (4, 5, 8, 8, 1)


def test_long_splits_are_measured_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smartcli.data.inspection.MEASURED", 3)
    own = rows(tmp_path, "train", *((f"{'w ' * i}w", 0.0) for i in range(9)))
    found = lengths(own, lambda texts: [len(text.split()) for text in texts], extra=0, limit=5)
    assert (found.measured, found.median, found.longest, found.truncated) == (3, 5, 9, 1)


def test_duplicates_and_conflicts_are_counted_within_and_across_splits(tmp_path: Path) -> None:
    train = rows(tmp_path, "train", ("x", 0), ("x", 0), ("y", 1), ("z", 1), ("x", 0))
    dev = rows(tmp_path, "dev", ("y", 2), ("z", 1))
    assert (count_duplicates(train), count_duplicates(dev)) == (2, 0)
    found = find_conflicts(MOOD, {"train": train, "dev": dev})
    assert (found.texts, found.rows) == (1, 2)
    assert found.examples == ("train train2 (label fair) and dev dev0 (label good)",)
    assert find_conflicts(SCORE, {"train": train, "dev": dev}).examples == (
        "train train2 (label 1) and dev dev0 (label 2)",
    )
    assert find_conflicts(MOOD, {"train": train}).texts == 0
    assert find_conflicts(MOOD, {}).texts == 0
